// Rung 4 with A stored transposed (k x m): the same code as 04_mma.cu, in a file of its own to keep files small.
//
// Tile 128x128x32, 4 warps (8 in a2 of tn), 4 stages. A's tile is 32 rows along m, as B's along n, and ldmatrix transposes it too.
// Shared memory and alignment contract as in 04_mma.cu.
#include "tile/mma_loop.cuh"

template <class Layout, class Tiles = Tiles128x128>
using F16 = MmaConfig<Tiles, TypeF16, Layout>;

static_assert(F16<LayoutTN>::kSharedBytes == 65536 && F16<LayoutTN>::kThreads == 128, "catalog.toml");

// One entry: its name, layout, and the bytes that rows of A and of B start at multiples of.
#define GEMM_MMA(name, Layout, a, b)                                                                       \
    extern "C" __global__ void __launch_bounds__(128) gemm_mma_##name(const __grid_constant__ GemmParams p) { \
        gemm_mma<F16<Layout>, a, b>(p);                                                                    \
    }
// Two operands shifted in registers, both with rows of several spans: 8 warps, so that each thread carries half.
#define GEMM_MMA_8_WARPS(name, Layout, a, b)                                                                  \
    extern "C" __global__ void __launch_bounds__(256, 1) gemm_mma_##name(const __grid_constant__ GemmParams p) { \
        gemm_mma<F16<Layout, Tiles128x128Wide>, a, b>(p);                                                     \
    }

GEMM_MMA(128x128x32_a16_f16_tn, LayoutTN, 16, 16)
GEMM_MMA(128x128x32_a8_f16_tn, LayoutTN, 8, 8)
GEMM_MMA(128x128x32_a4_f16_tn, LayoutTN, 4, 4)
GEMM_MMA_8_WARPS(128x128x32_a2_f16_tn, LayoutTN, 2, 2)
GEMM_MMA(128x128x32_a2b16_f16_tn, LayoutTN, 2, 16)
GEMM_MMA(128x128x32_a16b2_f16_tn, LayoutTN, 16, 2)
GEMM_MMA(128x128x32_a16_f16_tt, LayoutTT, 16, 16)
GEMM_MMA(128x128x32_a8_f16_tt, LayoutTT, 8, 8)
GEMM_MMA(128x128x32_a4_f16_tt, LayoutTT, 4, 4)
GEMM_MMA(128x128x32_a2_f16_tt, LayoutTT, 2, 2)
GEMM_MMA(128x128x32_a2b16_f16_tt, LayoutTT, 2, 16)
GEMM_MMA(128x128x32_a16b2_f16_tt, LayoutTT, 16, 2)
