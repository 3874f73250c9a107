// Rung 7, shared by its FP16 and BF16 files: as many CTAs as SMs, each taking tile after tile.
//
// Tiles (m x n x k, stages): 128x256x64, 4; 128x192x64, 4; 128x128x64, 6; 128x96x64, 6; 128x64x64, 6. 384 threads: warpgroup 0
// produces (one thread), warpgroups 1 and 2 multiply 64 rows each ("cooperative"); or each its own tile of 64 rows
// ("pingpong": 64x256x64, 4; 64x128x64, 6), so that one stores C while the other multiplies.
// -c2m and -c2n run in clusters of two CTAs that are neighbours along M (or N) and fetch half of their common B (or A) each,
// for both.
// Shared memory (dynamic): [stages of A tile, B tile | C rows of the 8 consumer warps, 4 KiB each | mbarriers].
// Registers: launched with 168 a thread; the producer goes down to 40, the consumers up to 232.
// Alignment contract: rows of A and B start at multiples of 16 bytes. C may have any alignment: it goes out by TMA where
// its rows are whole multiples of 16 bytes and beta is 0, else by rows (tile/warp_output.cuh).
// Over rung 6: the producer runs ahead into the next tile while this one's C is stored, and the stores themselves are
// asynchronous; tiles are taken in bands, so that the CTAs that run together share operands in L2.
#pragma once

#include "params.cuh"
#include "ptx/elect.cuh"
#include "ptx/named_barrier.cuh"
#include "ptx/registers.cuh"
#include "tile/pipeline.cuh"
#include "tile/raster.cuh"
#include "tile/warp_output.cuh"

template <class P_, bool kPingPong_>
struct Config {
    using P = P_;
    using Output = WarpOutput<P::kElement, P::kN>;
    static constexpr bool kPingPong = kPingPong_;
    static constexpr unsigned kConsumerWarps = 8;
    // A stage is read by the warps that own its tile.
    static constexpr unsigned kReaders = kPingPong ? 4 : 8;
    static constexpr unsigned kThreads = 384;
    static constexpr unsigned kOutputOffset = P::kRingBytes;
    static constexpr unsigned kBarrierOffset = kOutputOffset + kConsumerWarps * Output::kStageBytes;
    static constexpr unsigned kSharedBytes = kBarrierOffset + P::Stages::kBytes;
    // Tile rows of a band: near sqrt(SMs * tile n / tile m) the resident CTAs' operands are smallest.
    static constexpr unsigned kGroup = P::kN >= 192 ? 16 : 8;
    static_assert(P::kM == (kPingPong ? 64 : 128), "64 rows a warpgroup");
    static_assert(kSharedBytes <= 232448, "what a CTA can have");
};

// Bits of GemmParams::reserved.
__device__ __forceinline__ bool c_goes_by_tma(const GemmParams& p) {
    return (p.reserved & 1) != 0 && p.beta == 0.0f;
}
__device__ __forceinline__ unsigned asked_group(const GemmParams& p) {
    return p.reserved >> 8 & 0xff;
}

// The tiles of one CTA: every gridDim-th, in units of a cluster's pair.
template <class C>
class Schedule {
    using P = typename C::P;

public:
    __device__ __forceinline__ Schedule(const GemmParams& p, unsigned rank)
        : units_m_(ceil_div(p.m, P::kM * kUnitM)),
          units_n_(ceil_div(p.n, P::kN * kUnitN)),
          rank_(rank),
          next_(blockIdx.x / P::kCluster) {
        const unsigned group = asked_group(p);
        group_ = (group == 0 ? C::kGroup : group) / kUnitM;
        group_ = group_ == 0 ? 1 : group_;
    }

    __device__ __forceinline__ bool done() const { return next_ >= units_m_ * units_n_; }

    __device__ __forceinline__ TileOrigin take() {
        const uint2 unit = raster_bands(next_, units_m_, units_n_, group_);
        next_ += gridDim.x / P::kCluster;
        return {(unit.x * kUnitM + (kUnitM == 2 ? rank_ : 0)) * P::kM, (unit.y * kUnitN + (kUnitN == 2 ? rank_ : 0)) * P::kN};
    }

private:
    static constexpr unsigned kUnitM = P::kPair == Pair::kAlongM ? 2 : 1;
    static constexpr unsigned kUnitN = P::kPair == Pair::kAlongN ? 2 : 1;

    unsigned units_m_;
    unsigned units_n_;
    unsigned rank_;
    unsigned next_;
    unsigned group_;
};

template <class C>
__device__ __forceinline__ void produce_all(const GemmParams& p, typename C::P::Stages ring, unsigned shared, const TensorMap& a,
                                            const TensorMap& b, unsigned rank) {
    using P = typename C::P;
    typename P::Position at;
    const Depth depth(p.k);
    for (Schedule<C> schedule(p, rank); !schedule.done();) {
        const TileOrigin origin = schedule.take();
        P::produce(at, ring, shared, a, b, static_cast<int>(origin.row), static_cast<int>(origin.col), depth.first, depth.first,
                   depth.blocks, rank);
    }
}

template <class C>
__device__ __forceinline__ void consume_all(const GemmParams& p, typename C::P::Stages ring, unsigned char* memory,
                                            unsigned shared, const TensorMap& c, unsigned rank, unsigned consumer,
                                            unsigned lane) {
    using P = typename C::P;
    typename P::Position at;
    const typename C::Output output(memory + C::kOutputOffset + consumer * C::Output::kStageBytes, lane);
    const Depth depth(p.k);
    const unsigned warpgroup = consumer / 4;
    const unsigned first_row = C::kPingPong ? 0 : warpgroup * 64;
    const bool by_tma = c_goes_by_tma(p);
    unsigned index = 0;
    for (Schedule<C> schedule(p, rank); !schedule.done(); ++index) {
        const TileOrigin origin = schedule.take();
        if constexpr (C::kPingPong) {
            // The warpgroups take turns: tile by tile, and in the main loop, which has the tensor cores to itself.
            if (index % 2 != warpgroup) {
                at.advance(depth.blocks);
                continue;
            }
            if (index != 0) {
                named_barrier_sync(1 + warpgroup, 256);
            }
        }
        float acc[P::kN / 2];
        P::consume(acc, at, ring, shared, first_row, depth.blocks, lane, [](unsigned) {});
        if constexpr (C::kPingPong) {
            if (!schedule.done()) {
                named_barrier_arrive(2 - warpgroup, 256);
            }
        }

        const unsigned row = origin.row + first_row + consumer % 4 * 16;
        if (by_tma) {
            output.store_tma(acc, c, row, origin.col, p.m, p.n, p.alpha);
        } else {
            const unsigned rows = row < p.m ? min(p.m - row, 16u) : 0;
            const unsigned columns = origin.col < p.n ? min(p.n - origin.col, P::kN) : 0;
            const WarpRows to{reinterpret_cast<char*>(p.c) + (row * p.ldc + origin.col) * 2, p.ldc * 2, rows, 0,
                              static_cast<int>(columns)};
            output.store_rows(acc, to, p.alpha, p.beta);
        }
    }
    if (by_tma && lane == 0) {
        tma_store_wait<0>();
    }
}

template <class C>
__device__ __forceinline__ void gemm_persistent(const GemmParams& p, const TensorMap& a, const TensorMap& b,
                                                const TensorMap& c) {
    using P = typename C::P;
    extern __shared__ __align__(1024) unsigned char memory[];
    const unsigned shared = shared_address(memory);
    const typename P::Stages ring{shared + C::kBarrierOffset};
    const unsigned rank = P::kCluster > 1 ? cluster_rank() : 0;
    if (threadIdx.x == 0) {
        ring.init(C::kReaders);
        tma_prefetch(a);
        tma_prefetch(b);
    }
    if constexpr (P::kCluster > 1) {
        cluster_sync();
    } else {
        __syncthreads();
    }

    const unsigned warp = threadIdx.x / 32;
    if (warp < 4) {
        registers_decrease<40>();
        if (warp == 0) {
            if (elect_one()) {
                produce_all<C>(p, ring, shared, a, b, rank);
            }
            __syncwarp();
        }
    } else {
        registers_increase<232>();
        consume_all<C>(p, ring, memory, shared, c, rank, warp - 4, threadIdx.x % 32);
    }
    if constexpr (P::kCluster > 1) {
        // The peer may still copy into this CTA's shared memory, or arrive there.
        cluster_sync();
    }
}

// catalog.toml asks for these amounts at launch.
template <Element kElement, bool kTransA, bool kTransB, Pair kPair, unsigned kN, unsigned kStages>
using Cooperative = Config<Pipeline<kElement, kTransA, kTransB, 128, kN, kStages, kPair>, false>;
template <Element kElement, bool kTransA, bool kTransB, Pair kPair, unsigned kN, unsigned kStages>
using PingPong = Config<Pipeline<kElement, kTransA, kTransB, 64, kN, kStages, kPair>, true>;

#define ENTRY(name, cluster, ...)                                                                               \
    extern "C" __global__ void __launch_bounds__(384, 1) cluster name(                                          \
        const __grid_constant__ GemmParams p, const __grid_constant__ TensorMap a,                              \
        const __grid_constant__ TensorMap b, const __grid_constant__ TensorMap c) {                             \
        gemm_persistent<__VA_ARGS__>(p, a, b, c);                                                               \
    }

#define ENTRIES_OF_LAYOUT(type, element, layout, trans_a, trans_b)                                              \
    ENTRY(gemm_persistent_128x256x64_##layout##_##type, ,                                                       \
          Cooperative<element, trans_a, trans_b, Pair::kNone, 256, 4>)                                          \
    ENTRY(gemm_persistent_128x256x64_c2m_##layout##_##type, __cluster_dims__(2, 1, 1),                          \
          Cooperative<element, trans_a, trans_b, Pair::kAlongM, 256, 4>)                                        \
    ENTRY(gemm_persistent_128x192x64_##layout##_##type, ,                                                       \
          Cooperative<element, trans_a, trans_b, Pair::kNone, 192, 4>)                                          \
    ENTRY(gemm_persistent_128x128x64_##layout##_##type, ,                                                       \
          Cooperative<element, trans_a, trans_b, Pair::kNone, 128, 6>)                                          \
    ENTRY(gemm_persistent_128x128x64_c2n_##layout##_##type, __cluster_dims__(2, 1, 1),                          \
          Cooperative<element, trans_a, trans_b, Pair::kAlongN, 128, 6>)                                        \
    ENTRY(gemm_persistent_128x96x64_##layout##_##type, ,                                                        \
          Cooperative<element, trans_a, trans_b, Pair::kNone, 96, 6>)                                           \
    ENTRY(gemm_persistent_128x64x64_##layout##_##type, ,                                                        \
          Cooperative<element, trans_a, trans_b, Pair::kNone, 64, 6>)                                           \
    ENTRY(gemm_persistent_64x256x64_pp_##layout##_##type, ,                                                     \
          PingPong<element, trans_a, trans_b, Pair::kNone, 256, 4>)                                             \
    ENTRY(gemm_persistent_64x128x64_pp_##layout##_##type, ,                                                     \
          PingPong<element, trans_a, trans_b, Pair::kNone, 128, 6>)

#define ENTRIES(type, element)                                                                                  \
    ENTRIES_OF_LAYOUT(type, element, nn, false, false)                                                          \
    ENTRIES_OF_LAYOUT(type, element, nt, false, true)                                                           \
    ENTRIES_OF_LAYOUT(type, element, tn, true, false)                                                           \
    ENTRIES_OF_LAYOUT(type, element, tt, true, true)
