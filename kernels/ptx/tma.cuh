// Tensor copies between global and shared memory (TMA): one thread moves a whole box, and the hardware computes addresses,
// swizzles, and fills what lies outside the matrix with zeros. Coordinates count elements, innermost first; they may be
// negative or beyond the end in loads, but the address of the innermost one must be a multiple of 16 bytes.
#pragma once

#include "ptx/tensor_map.cuh"

// Fetches the map itself, ahead of the first copy.
__device__ __forceinline__ void tma_prefetch(const TensorMap& map) {
    asm volatile("prefetch.tensormap [%0];" :: "l"(reinterpret_cast<unsigned long long>(&map)) : "memory");
}

// The barrier's phase gets the whole box's bytes, also for what lies outside.
__device__ __forceinline__ void tma_load(unsigned shared, const TensorMap& map, int inner, int outer, unsigned barrier) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
                 :: "r"(shared), "l"(reinterpret_cast<unsigned long long>(&map)), "r"(inner), "r"(outer), "r"(barrier)
                 : "memory");
}

// The same box into each CTA of `ranks` (one bit a rank), at the same place, crediting the barrier at the same place.
__device__ __forceinline__ void tma_load_multicast(unsigned shared, const TensorMap& map, int inner, int outer,
                                                   unsigned barrier, unsigned short ranks) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
                 "[%0], [%1, {%2, %3}], [%4], %5;"
                 :: "r"(shared), "l"(reinterpret_cast<unsigned long long>(&map)), "r"(inner), "r"(outer), "r"(barrier),
                    "h"(ranks)
                 : "memory");
}

// Hardware cuts rows that leave the matrix at 16 bytes, not at elements: the matrix's rows must be multiples of that.
__device__ __forceinline__ void tma_store(const TensorMap& map, int inner, int outer, unsigned shared) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];"
                 :: "l"(reinterpret_cast<unsigned long long>(&map)), "r"(inner), "r"(outer), "r"(shared) : "memory");
}

// Closes this thread's current group of stores.
__device__ __forceinline__ void tma_store_commit() {
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

// Until at most kPending of this thread's newest groups still have to read shared memory.
template <unsigned kPending>
__device__ __forceinline__ void tma_store_wait_read() {
    asm volatile("cp.async.bulk.wait_group.read %0;" :: "n"(kPending) : "memory");
}

// Until at most kPending of this thread's newest groups are not yet written.
template <unsigned kPending>
__device__ __forceinline__ void tma_store_wait() {
    asm volatile("cp.async.bulk.wait_group %0;" :: "n"(kPending) : "memory");
}
