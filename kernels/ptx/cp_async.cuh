// cp.async: global -> shared copies that bypass registers (sm_80+).
#pragma once

// Copies kBytes; source and destination must both be aligned to kBytes.
// The 16-byte form goes through L2 only (.cg): a GEMM tile is read once by each CTA, so L1 would not help it.
template <unsigned kBytes>
__device__ __forceinline__ void cp_async(unsigned shared, const void* global) {
    static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16, "cp.async moves 4, 8 or 16 bytes");
    if constexpr (kBytes == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
                     :: "r"(shared), "l"(__cvta_generic_to_global(global)) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;"
                     :: "r"(shared), "l"(__cvta_generic_to_global(global)), "n"(kBytes) : "memory");
    }
}

// Reads only the first `valid` bytes and fills the rest of the kBytes with zeros; valid == 0 reads nothing.
template <unsigned kBytes>
__device__ __forceinline__ void cp_async_zfill(unsigned shared, const void* global, unsigned valid) {
    static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16, "cp.async moves 4, 8 or 16 bytes");
    if constexpr (kBytes == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     :: "r"(shared), "l"(__cvta_generic_to_global(global)), "r"(valid) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                     :: "r"(shared), "l"(__cvta_generic_to_global(global)), "n"(kBytes), "r"(valid) : "memory");
    }
}

// Closes this thread's current group of copies; an empty group is legal and completes at once.
__device__ __forceinline__ void cp_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until at most kPending of this thread's newest groups are still in flight. Other threads need a barrier on top.
template <unsigned kPending>
__device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" :: "n"(kPending) : "memory");
}
