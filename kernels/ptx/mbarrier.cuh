// mbarrier: 64 bits in shared memory that count arrivals and bytes of asynchronous copies, phase after phase.
//
// A phase ends when all arrivals have come and all expected bytes have landed. Waiting names the parity of the phase that
// must have ended: a fresh barrier is in phase 0, and parity 1 counts as ended.
#pragma once

#include "ptx/tensor_map.cuh"

__device__ __forceinline__ void mbarrier_init(unsigned barrier, unsigned arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(barrier), "r"(arrivals) : "memory");
}

// Makes inits visible to the other CTAs of the cluster and to the copies; a CTA or cluster barrier has to follow.
__device__ __forceinline__ void mbarrier_init_fence() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ __forceinline__ void mbarrier_arrive(unsigned barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(barrier) : "memory");
}

// Arrives at the barrier at an address in the cluster's window (cluster_address).
__device__ __forceinline__ void mbarrier_arrive_cluster(unsigned barrier) {
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" :: "r"(barrier) : "memory");
}

// One arrival that also makes the phase wait for `bytes` more bytes.
__device__ __forceinline__ void mbarrier_arrive_expect(unsigned barrier, unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(barrier), "r"(bytes) : "memory");
}

// Makes the phase wait for `bytes` more bytes, without an arrival.
__device__ __forceinline__ void mbarrier_expect(unsigned barrier, unsigned bytes) {
    asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" :: "r"(barrier), "r"(bytes) : "memory");
}

// Whether the phase of this parity has ended; may block for a while before it says no.
__device__ __forceinline__ bool mbarrier_try_wait(unsigned barrier, unsigned parity) {
    unsigned done;
    asm volatile("{\n"
                 "    .reg .pred p;\n"
                 "    mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                 "    selp.u32 %0, 1, 0, p;\n"
                 "}"
                 : "=r"(done) : "r"(barrier), "r"(parity) : "memory");
    return done != 0;
}

// The same where CTAs of the cluster arrive too: acquires what they did before they arrived.
__device__ __forceinline__ bool mbarrier_try_wait_cluster(unsigned barrier, unsigned parity) {
    unsigned done;
    asm volatile("{\n"
                 "    .reg .pred p;\n"
                 "    mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n"
                 "    selp.u32 %0, 1, 0, p;\n"
                 "}"
                 : "=r"(done) : "r"(barrier), "r"(parity) : "memory");
    return done != 0;
}
