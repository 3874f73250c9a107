// Rung 5: TMA fetches tiles, wgmma multiplies them out of shared memory; one warpgroup, one stage.
//
// Tile (m x n x k, threads, stages): 128x128x64, 128, 1. What overlaps copies with products are the other CTAs of the SM.
// Shared memory (static): [A tile, 16 KiB | B tile, 16 KiB | mbarrier]; the warps' C rows take the place of A at the end.
// Alignment contract: rows of A and B start at multiples of 16 bytes, which TMA demands. C may have any alignment.
// Over rung 4: one thread issues the copies, their addresses, edges and swizzles are the hardware's work; fragments of A and
// B never pass through registers; and every layout is multiplied as it is stored.
#include "params.cuh"
#include "ptx/mbarrier.cuh"
#include "ptx/tma.cuh"
#include "ptx/wgmma.cuh"
#include "tile/operand.cuh"
#include "tile/raster.cuh"
#include "tile/warp_output.cuh"

constexpr unsigned kM = 128;
constexpr unsigned kN = 128;
constexpr unsigned kK = 64;
constexpr unsigned kThreads = 128;
constexpr unsigned kGroup = 8;

template <bool kTransA, bool kTransB>
__device__ __forceinline__ void gemm_wgmma(const GemmParams& p, const TensorMap& map_a, const TensorMap& map_b) {
    using TileA = OperandTile<kM, kTransA>;
    using TileB = OperandTile<kN, !kTransB>;
    using Output = WarpOutput<Element::kF16, kN>;
    __shared__ __align__(1024) unsigned char memory[TileA::kBytes + TileB::kBytes];
    __shared__ __align__(8) unsigned long long barrier_memory;
    static_assert(kThreads / 32 * Output::kStageBytes <= TileA::kBytes, "C is staged where A was");

    const unsigned a = shared_address(memory);
    const unsigned b = a + TileA::kBytes;
    const unsigned barrier = shared_address(&barrier_memory);
    if (threadIdx.x == 0) {
        mbarrier_init(barrier, 1);
        mbarrier_init_fence();
    }
    __syncthreads();

    const TileOrigin origin = raster_grouped<kGroup, kM, kN>(blockIdx.x, p.m, p.n);
    // Where there is nothing to add the loop runs once, beyond the operands' end, where TMA supplies zeros.
    const unsigned k_blocks = p.k == 0 ? 1 : ceil_div(p.k, kK);
    const unsigned k_first = p.k == 0 ? kK : 0;
    // Rows 0-63 and 64-127.
    float acc[2][kN / 2];
#pragma unroll 1
    for (unsigned block = 0; block < k_blocks; ++block) {
        if (threadIdx.x == 0) {
            const int k = static_cast<int>(k_first + block * kK);
            mbarrier_arrive_expect(barrier, TileA::kBytes + TileB::kBytes);
            TileA::template load<false>(a, map_a, static_cast<int>(origin.row), k, 0, barrier);
            TileB::template load<false>(b, map_b, static_cast<int>(origin.col), k, 0, barrier);
        }
        while (!mbarrier_try_wait(barrier, block % 2)) {
        }
        wgmma_fence();
#pragma unroll
        for (unsigned step = 0; step < kK / 16; ++step) {
#pragma unroll
            for (unsigned half = 0; half < 2; ++half) {
                // The first product overwrites whatever the registers hold.
                Wgmma<kN>::multiply<Element::kF16, TileA::kMnMajor, TileB::kMnMajor>(
                    acc[half], TileA::descriptor(a, half * 64) + step * TileA::kStep,
                    TileB::descriptor(b, 0) + step * TileB::kStep, block | step);
            }
        }
        wgmma_commit();
        wgmma_wait<0>();
        // All warps have read the stage: the next copies may overwrite it.
        __syncthreads();
    }
#pragma unroll
    for (unsigned half = 0; half < 2; ++half) {
        fence_accumulators(acc[half]);
    }

    const unsigned warp = threadIdx.x / 32;
    const Output output(memory + warp * Output::kStageBytes, threadIdx.x % 32);
#pragma unroll
    for (unsigned half = 0; half < 2; ++half) {
        const unsigned row = origin.row + half * 64 + warp * 16;
        const WarpRows to{reinterpret_cast<char*>(p.c) + (row * p.ldc + origin.col) * 2, p.ldc * 2,
                          row < p.m ? min(p.m - row, 16u) : 0, 0, static_cast<int>(min(p.n - origin.col, kN))};
        output.store_rows(acc[half], to, p.alpha, p.beta);
    }
}

#define ENTRY(layout, trans_a, trans_b)                                                                        \
    extern "C" __global__ void __launch_bounds__(kThreads, 2) gemm_wgmma_128x128x64_##layout(                  \
        const __grid_constant__ GemmParams p, const __grid_constant__ TensorMap a,                             \
        const __grid_constant__ TensorMap b, const __grid_constant__ TensorMap c) {                            \
        gemm_wgmma<trans_a, trans_b>(p, a, b);                                                                 \
    }

ENTRY(nn, false, false)
ENTRY(nt, false, true)
ENTRY(tn, true, false)
ENTRY(tt, true, true)
