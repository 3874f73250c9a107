// A ring of stages between a producer that fills them by TMA and consumer warps that multiply them.
#pragma once

#include "ptx/cluster.cuh"
#include "ptx/mbarrier.cuh"

// Where one side stands. It moves on for as long as the CTA lives and is never set back: at any time the parity tells
// this round through the ring from the last.
template <unsigned kStages>
struct RingPosition {
    unsigned stage = 0;
    unsigned parity = 0;

    __device__ __forceinline__ void advance() {
        if (++stage == kStages) {
            stage = 0;
            parity ^= 1;
        }
    }

    __device__ __forceinline__ void advance(unsigned by) {
        const unsigned to = stage + by;
        parity ^= to / kStages & 1;
        stage = to % kStages;
    }
};

// Two mbarriers a stage: full (the producers' arrivals and all bytes), empty (one arrival of each consumer warp of each CTA
// whose copies land here or that gets ours).
template <unsigned kStages_, unsigned kCluster>
struct Ring {
    static constexpr unsigned kStages = kStages_;
    static constexpr unsigned kBytes = kStages * 16;

    unsigned shared;

    __device__ __forceinline__ unsigned full(unsigned stage) const { return shared + stage * 8; }
    __device__ __forceinline__ unsigned empty(unsigned stage) const { return shared + (kStages + stage) * 8; }

    // One thread; a CTA or cluster barrier has to follow.
    __device__ __forceinline__ void init(unsigned consumer_warps, unsigned producer_threads = 1) const {
        for (unsigned stage = 0; stage < kStages; ++stage) {
            mbarrier_init(full(stage), producer_threads);
            mbarrier_init(empty(stage), consumer_warps * kCluster);
        }
        mbarrier_init_fence();
    }

    __device__ __forceinline__ void wait_full(RingPosition<kStages> at) const {
        while (!mbarrier_try_wait(full(at.stage), at.parity)) {
        }
    }

    // A fresh ring is empty: its first round waits for the phase before the first, which counts as ended.
    __device__ __forceinline__ void wait_empty(RingPosition<kStages> at) const {
        if constexpr (kCluster > 1) {
            while (!mbarrier_try_wait_cluster(empty(at.stage), at.parity ^ 1)) {
            }
        } else {
            while (!mbarrier_try_wait(empty(at.stage), at.parity ^ 1)) {
            }
        }
    }

    // A warp has read a stage. Each warp says so itself: waiting for a wgmma covers what the warp itself asked for.
    __device__ __forceinline__ void release(unsigned stage, unsigned lane) const {
        if constexpr (kCluster > 1) {
            if (lane < kCluster) {
                mbarrier_arrive_cluster(cluster_address(empty(stage), lane));
            }
        } else {
            if (lane == 0) {
                mbarrier_arrive(empty(stage));
            }
        }
    }
};
