// Rung 4 for BF16: the same code as 04_mma.cu with another multiplier and another rounding of C.
//
// Tile 128x128x32, 4 warps (8 in a2 of tn), 4 stages; shared memory, alignment contract and every layout as in 04_mma.cu.
#include "tile/mma_loop.cuh"

template <class Layout, class Tiles = Tiles128x128>
using Bf16 = MmaConfig<Tiles, TypeBf16, Layout>;

static_assert(Bf16<LayoutNN>::kSharedBytes == 65536 && Bf16<LayoutNN>::kThreads == 128, "catalog.toml");

// One entry: its name, layout, and the bytes that rows of A and of B start at multiples of.
#define GEMM_MMA(name, Layout, a, b)                                     \
    extern "C" __global__ void __launch_bounds__(128)                    \
        gemm_mma_##name(const __grid_constant__ Bf16<Layout>::Params p) { \
        gemm_mma<Bf16<Layout>, a, b>(p);                                 \
    }
// As in 04_mma_ta.cu.
#define GEMM_MMA_8_WARPS(name, Layout, a, b)                              \
    extern "C" __global__ void __launch_bounds__(256, 1)                 \
        gemm_mma_##name(const __grid_constant__ Bf16<Layout>::Params p) { \
        gemm_mma<Bf16<Layout, Tiles128x128Wide>, a, b>(p);               \
    }

GEMM_MMA(128x128x32_a16_bf16_nn, LayoutNN, 16, 16)
GEMM_MMA(128x128x32_a8_bf16_nn, LayoutNN, 8, 8)
GEMM_MMA(128x128x32_a4_bf16_nn, LayoutNN, 4, 4)
GEMM_MMA(128x128x32_a2_bf16_nn, LayoutNN, 2, 2)
GEMM_MMA(128x128x32_a16_bf16_nt, LayoutNT, 16, 16)
GEMM_MMA(128x128x32_a8_bf16_nt, LayoutNT, 8, 8)
GEMM_MMA(128x128x32_a4_bf16_nt, LayoutNT, 4, 4)
GEMM_MMA(128x128x32_a2_bf16_nt, LayoutNT, 2, 2)
GEMM_MMA(128x128x32_a16_bf16_tn, LayoutTN, 16, 16)
GEMM_MMA(128x128x32_a8_bf16_tn, LayoutTN, 8, 8)
GEMM_MMA(128x128x32_a4_bf16_tn, LayoutTN, 4, 4)
GEMM_MMA_8_WARPS(128x128x32_a2_bf16_tn, LayoutTN, 2, 2)
GEMM_MMA(128x128x32_a16_bf16_tt, LayoutTT, 16, 16)
GEMM_MMA(128x128x32_a8_bf16_tt, LayoutTT, 8, 8)
GEMM_MMA(128x128x32_a4_bf16_tt, LayoutTT, 4, 4)
GEMM_MMA(128x128x32_a2_bf16_tt, LayoutTT, 2, 2)
