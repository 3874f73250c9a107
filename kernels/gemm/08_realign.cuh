// Rung 8 again, for what absorption cannot take: producer warps that realign operands on the way into shared memory.
//
// Shared by its FP16 and BF16 files. A misaligned operand is read in aligned 16-byte granules, shifted in registers and stored
// where TMA would have put it; wgmma cannot tell the difference. No workspace, no second pass over memory, any layout.
// Variants: -a, -b, -ab name the operands that pass through registers; the other one comes by TMA.
//
// Tile (m x n x k, stages): 128x128x64, 6. 384 threads: warpgroup 0 produces, all of it, two blocks of 64x64 in flight a
// thread; warpgroups 1 and 2 multiply 64 rows each.
// Shared memory (dynamic): [stages of A tile, B tile | C rows of the 8 consumer warps, 4 KiB each | mbarriers].
// Registers: launched with 168 a thread; producers go down to 104, since their loads in flight are registers, consumers up to 200.
// Alignment contract: the operands named, none (2 bytes); the other, rows at multiples of 16 bytes; C none.
// Over absorption: MN-major operands with any leading dimension, and K-major ones whose partner is K-major too, at the
// price of loads, shifts and stores that cost the SM instruction issue and shared-memory bandwidth.
#pragma once

#include "params.cuh"
#include "ptx/fence.cuh"
#include "ptx/registers.cuh"
#include "tile/pipeline.cuh"
#include "tile/raster.cuh"
#include "tile/realigned_load.cuh"
#include "tile/warp_output.cuh"

template <class P_, bool kTransA, bool kTransB, bool kRealignA_, bool kRealignB_>
struct Config {
    using P = P_;
    using Output = WarpOutput<P::kElement, P::kN>;
    static constexpr bool kRealignA = kRealignA_;
    static constexpr bool kRealignB = kRealignB_;
    static constexpr unsigned kProducers = 128;
    static constexpr unsigned kConsumerWarps = 8;
    static constexpr unsigned kOutputOffset = P::kRingBytes;
    static constexpr unsigned kBarrierOffset = kOutputOffset + kConsumerWarps * Output::kStageBytes;
    static constexpr unsigned kSharedBytes = kBarrierOffset + P::Stages::kBytes;
    static constexpr unsigned kGroup = 8;
    static constexpr unsigned kBlocksA = kRealignA ? P::kM / 64 : 0;
    static constexpr unsigned kBlocks = kBlocksA + (kRealignB ? P::kN / 64 : 0);
    // Bytes of a stage that TMA brings.
    static constexpr unsigned kTmaBytes = (kRealignA ? 0 : P::TileA::kBytes) + (kRealignB ? 0 : P::TileB::kBytes);
    static_assert(kBlocks != 0 && kBlocks % 2 == 0, "blocks are fetched two by two");
    static_assert(kSharedBytes <= 232448, "what a CTA can have");
};

// The stages of one CTA in order: tiles every gridDim-th, and their blocks of K.
template <class C>
class Cursor {
    using P = typename C::P;

public:
    __device__ __forceinline__ explicit Cursor(const GemmParams& p)
        : tiles_m_(ceil_div(p.m, P::kM)), tiles_n_(ceil_div(p.n, P::kN)), depth_(p.k), next_(blockIdx.x), block_(0) {
        const unsigned group = p.reserved >> 8 & 0xff;
        group_ = group == 0 ? C::kGroup : group;
        find();
    }

    __device__ __forceinline__ bool done() const { return next_ >= tiles_m_ * tiles_n_; }
    __device__ __forceinline__ TileOrigin origin() const { return origin_; }
    __device__ __forceinline__ unsigned blocks() const { return depth_.blocks; }
    __device__ __forceinline__ unsigned k() const { return depth_.first + block_ * P::kK; }

    __device__ __forceinline__ void next_stage() {
        if (++block_ == depth_.blocks) {
            next_tile();
        }
    }
    __device__ __forceinline__ void next_tile() {
        block_ = 0;
        next_ += gridDim.x;
        find();
    }

private:
    __device__ __forceinline__ void find() {
        const uint2 tile = raster_bands(next_, tiles_m_, tiles_n_, group_);
        origin_ = {tile.x * P::kM, tile.y * P::kN};
    }

    unsigned tiles_m_;
    unsigned tiles_n_;
    Depth depth_;
    unsigned group_;
    unsigned next_;
    unsigned block_;
    TileOrigin origin_;
};

template <class C>
__device__ __forceinline__ void produce_all(const GemmParams& p, typename C::P::Stages ring, unsigned char* memory,
                                            unsigned shared, const TensorMap& map_a, const TensorMap& map_b) {
    using P = typename C::P;
    constexpr bool kMnA = P::TileA::kMnMajor;
    constexpr bool kMnB = P::TileB::kMnMajor;
    const unsigned thread = threadIdx.x;
    const Source a{reinterpret_cast<const char*>(p.a), p.lda * 2, kMnA ? p.k : p.m, kMnA ? p.m : p.k};
    const Source b{reinterpret_cast<const char*>(p.b), p.ldb * 2, kMnB ? p.k : p.n, kMnB ? p.n : p.k};
    // Block `index` of a stage: those of A first. Rows are along the dimension that is not contiguous.
    const auto fetch = [&](RealignedBlock& block, const Cursor<C>& at, unsigned index) {
        if (at.done()) {
            return;
        }
        const bool of_a = index + 1 <= C::kBlocksA;
        const unsigned mn = (of_a ? at.origin().row : at.origin().col) + (of_a ? index : index - C::kBlocksA) * 64;
        const bool mn_major = of_a ? kMnA : kMnB;
        block.fetch(of_a ? a : b, mn_major ? at.k() : mn, mn_major ? mn : at.k(), thread);
    };
    const auto place = [&](unsigned index) {
        return index + 1 <= C::kBlocksA ? index * 8192 : P::TileA::kBytes + (index - C::kBlocksA) * 8192;
    };

    typename P::Position at;
    Cursor<C> now(p);
    RealignedBlock even;
    RealignedBlock odd;
    fetch(even, now, 0);
    fetch(odd, now, 1);
#pragma unroll 1
    while (!now.done()) {
        ring.wait_empty(at);
        const unsigned barrier = ring.full(at.stage);
        if (C::kTmaBytes != 0 && thread == 0) {
            const unsigned stage = shared + at.stage * P::kStageBytes;
            mbarrier_expect(barrier, C::kTmaBytes);
            if constexpr (!C::kRealignA) {
                P::TileA::template load<false>(stage, map_a, static_cast<int>(now.origin().row), static_cast<int>(now.k()), 0,
                                               barrier);
            }
            if constexpr (!C::kRealignB) {
                P::TileB::template load<false>(stage + P::TileA::kBytes, map_b, static_cast<int>(now.origin().col),
                                               static_cast<int>(now.k()), 0, barrier);
            }
        }
        unsigned char* const stage = memory + at.stage * P::kStageBytes;
        Cursor<C> later = now;
        later.next_stage();
#pragma unroll
        for (unsigned index = 0; index < C::kBlocks; index += 2) {
            const bool last = index + 2 == C::kBlocks;
            even.store(stage + place(index), thread);
            fetch(even, last ? later : now, last ? 0 : index + 2);
            odd.store(stage + place(index + 1), thread);
            fetch(odd, last ? later : now, last ? 1 : index + 3);
        }
        fence_async_shared();
        mbarrier_arrive(barrier);
        now = later;
        at.advance();
    }
}

template <class C>
__device__ __forceinline__ void consume_all(const GemmParams& p, typename C::P::Stages ring, unsigned char* memory,
                                            unsigned shared, unsigned consumer, unsigned lane) {
    using P = typename C::P;
    typename P::Position at;
    const typename C::Output output(memory + C::kOutputOffset + consumer * C::Output::kStageBytes, lane);
    for (Cursor<C> now(p); !now.done(); now.next_tile()) {
        float acc[P::kN / 2];
        P::consume(acc, at, ring, shared, consumer / 4 * 64, now.blocks(), lane, [](unsigned) {});
        const TileOrigin origin = now.origin();
        const unsigned row = origin.row + consumer * 16;
        const WarpRows to{reinterpret_cast<char*>(p.c) + (row * p.ldc + origin.col) * 2, p.ldc * 2,
                          row < p.m ? min(p.m - row, 16u) : 0, 0, static_cast<int>(min(p.n - origin.col, P::kN))};
        output.store_rows(acc, to, p.alpha, p.beta);
    }
}

template <class C>
__device__ __forceinline__ void gemm_realign(const GemmParams& p, const TensorMap& map_a, const TensorMap& map_b) {
    using P = typename C::P;
    extern __shared__ __align__(1024) unsigned char memory[];
    const unsigned shared = shared_address(memory);
    const typename P::Stages ring{shared + C::kBarrierOffset};
    if (threadIdx.x == 0) {
        ring.init(C::kConsumerWarps, C::kProducers);
    }
    __syncthreads();
    if (threadIdx.x < C::kProducers) {
        registers_decrease<104>();
        produce_all<C>(p, ring, memory, shared, map_a, map_b);
    } else {
        registers_increase<200>();
        consume_all<C>(p, ring, memory, shared, threadIdx.x / 32 - 4, threadIdx.x % 32);
    }
}

template <Element kElement, bool kTransA, bool kTransB, bool kRealignA, bool kRealignB>
using Square = Config<Pipeline<kElement, kTransA, kTransB, 128, 128, 6>, kTransA, kTransB, kRealignA, kRealignB>;

#define ENTRY(name, ...)                                                                                        \
    extern "C" __global__ void __launch_bounds__(384, 1) name(                                                  \
        const __grid_constant__ GemmParams p, const __grid_constant__ TensorMap a,                              \
        const __grid_constant__ TensorMap b, const __grid_constant__ TensorMap c) {                             \
        gemm_realign<__VA_ARGS__>(p, a, b);                                                                     \
    }

#define ENTRIES_OF_LAYOUT(type, element, layout, trans_a, trans_b)                                              \
    ENTRY(gemm_realign_128x128x64_a_##layout##_##type, Square<element, trans_a, trans_b, true, false>)          \
    ENTRY(gemm_realign_128x128x64_b_##layout##_##type, Square<element, trans_a, trans_b, false, true>)          \
    ENTRY(gemm_realign_128x128x64_ab_##layout##_##type, Square<element, trans_a, trans_b, true, true>)

#define ENTRIES(type, element)                                                                                  \
    ENTRIES_OF_LAYOUT(type, element, nn, false, false)                                                          \
    ENTRIES_OF_LAYOUT(type, element, nt, false, true)                                                           \
    ENTRIES_OF_LAYOUT(type, element, tn, true, false)                                                           \
    ENTRIES_OF_LAYOUT(type, element, tt, true, true)
