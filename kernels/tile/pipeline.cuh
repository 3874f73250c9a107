// The main loop of the warp-specialised kernels: one thread fills a ring of stages, consumer warpgroups multiply them.
#pragma once

#include "ptx/tensor_map.cuh"
#include "ptx/wgmma.cuh"
#include "tile/operand.cuh"
#include "tile/raster.cuh"
#include "tile/ring.cuh"

// How far the main loop runs along K. Where there is nothing to add it runs once, beyond the operands' end, where TMA
// supplies zeros: the accumulators then have one definition, wgmma, and stay in its registers.
struct Depth {
    unsigned blocks;
    int first;

    __device__ __forceinline__ explicit Depth(unsigned k) : blocks(k == 0 ? 1 : ceil_div(k, 64)), first(k == 0 ? 64 : 0) {}
};

// Which operand the CTAs of a cluster share: neighbours along M need the same columns of B, along N the same rows of A.
// Each fetches its part of the shared one for both.
enum class Pair { kNone, kAlongM, kAlongN };

// A stage: kM x 64 of A, then 64 x kN of B. kTransA, kTransB: stored k x m and n x k.
template <Element kElement_, bool kTransA_, bool kTransB_, unsigned kM_, unsigned kN_, unsigned kStages_,
          Pair kPair_ = Pair::kNone>
struct Pipeline {
    static constexpr Element kElement = kElement_;
    static constexpr unsigned kM = kM_;
    static constexpr unsigned kN = kN_;
    static constexpr unsigned kK = 64;
    static constexpr unsigned kStages = kStages_;
    static constexpr Pair kPair = kPair_;
    static constexpr unsigned kCluster = kPair == Pair::kNone ? 1 : 2;
    static constexpr bool kShareA = kPair == Pair::kAlongN;
    static constexpr bool kShareB = kPair == Pair::kAlongM;
    // wgmma's "transposed" is relative to K-major: A stored k x m, B stored k x n.
    using TileA = OperandTile<kM, kTransA_, kShareA ? 2 : 1>;
    using TileB = OperandTile<kN, !kTransB_, kShareB ? 2 : 1>;
    using Stages = Ring<kStages, kCluster>;
    using Position = RingPosition<kStages>;
    using Multiply = Wgmma<kN>;
    static constexpr unsigned kStageBytes = TileA::kBytes + TileB::kBytes;
    static constexpr unsigned kRingBytes = kStages * kStageBytes;

    // The producer's side, one thread: `k_blocks` stages from row `row` of A and column `col` of B on. Along K, A starts at
    // `k_a` and B at `k_b`.
    __device__ __forceinline__ static void produce(Position& at, Stages ring, unsigned shared, const TensorMap& a,
                                                   const TensorMap& b, int row, int col, int k_a, int k_b,
                                                   unsigned k_blocks, unsigned rank) {
#pragma unroll 1
        for (unsigned block = 0; block < k_blocks; ++block) {
            ring.wait_empty(at);
            const unsigned barrier = ring.full(at.stage);
            const unsigned stage = shared + at.stage * kStageBytes;
            // The peer's parts land here too and count.
            mbarrier_arrive_expect(barrier, kStageBytes);
            TileA::template load<kShareA>(stage, a, row, k_a, kShareA ? rank : 0, barrier);
            TileB::template load<kShareB>(stage + TileA::kBytes, b, col, k_b, kShareB ? rank : 0, barrier);
            k_a += kK;
            k_b += kK;
            at.advance();
        }
    }

    // A consumer warpgroup's side: acc = rows first_row .. first_row+63 of A times B. `prepare(stage)` runs before the first
    // stage is read. One group of wgmmas stays in flight: a stage is released when the next one's are under way.
    template <class Prepare>
    __device__ __forceinline__ static void consume(float (&acc)[kN / 2], Position& at, Stages ring, unsigned shared,
                                                   unsigned first_row, unsigned k_blocks, unsigned lane,
                                                   Prepare prepare) {
        unsigned previous = 0;
#pragma unroll 1
        for (unsigned block = 0; block < k_blocks; ++block) {
            const unsigned stage = shared + at.stage * kStageBytes;
            const unsigned long long a = TileA::descriptor(stage, first_row);
            const unsigned long long b = TileB::descriptor(stage + TileA::kBytes, 0);
            ring.wait_full(at);
            if (block == 0) {
                prepare(stage);
            }
            wgmma_fence();
#pragma unroll
            for (unsigned step = 0; step < kK / 16; ++step) {
                // The first product overwrites what the last tile left.
                Multiply::template multiply<kElement, TileA::kMnMajor, TileB::kMnMajor>(
                    acc, a + step * TileA::kStep, b + step * TileB::kStep, block | step);
            }
            wgmma_commit();
            wgmma_wait<1>();
            if (block != 0) {
                ring.release(previous, lane);
            }
            previous = at.stage;
            at.advance();
        }
        wgmma_wait<0>();
        fence_accumulators(acc);
        ring.release(previous, lane);
    }
};
