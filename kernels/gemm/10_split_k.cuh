// Rung 10: split-K and stream-K, for outputs with too few tiles to fill the device, or a last wave that is mostly empty.
//
// Tiles (m x n x k, warps, stages): 128x128x32, 4, 4; 64x64x32, 4, 6; 16x128x32, 4, 6. Products as in rung 4; which CTA does which k
// steps, and the order of sums, in tile/split_k.cuh. Partial sums are FP32 and go through a workspace; a second launch adds
// them in the order of k, so that results do not depend on timing.
// Shared memory: as in rung 4. The second launch stages C in it.
// Alignment contract: suffix aN = rows of A and B start at multiples of N bytes; C any.
// 16x128 is for m up to 16, the multiplier's least: with the roles of A and B swapped it would be 8, and up to 8 rank products
// are bound by memory and belong to rung 11.
#include "tile/split_k.cuh"

template <class Tiles, class Layout>
using F16 = MmaConfig<Tiles, TypeF16, Layout>;

static_assert(F16<Tiles128x128, LayoutNN>::kSharedBytes == 65536 && Tiles128x128::kThreads == 128, "catalog.toml");
static_assert(F16<Tiles64x64, LayoutNN>::kSharedBytes == 49152 && Tiles64x64::kThreads == 128, "catalog.toml");
static_assert(F16<Tiles16x128, LayoutNN>::kSharedBytes == 55296 && Tiles16x128::kThreads == 128, "catalog.toml");

// One entry: tiles, alignment in bytes, layout, and CTAs that an SM must have registers for.
#define GEMM_SPLIT(tiles, align, type_layout, Layout, ctas)                                                        \
    extern "C" __global__ void __launch_bounds__(128, ctas) gemm_split_k_##tiles##x32_a##align##_##type_layout(    \
        const __grid_constant__ GemmParams p, const __grid_constant__ SplitPlan plan) {                            \
        gemm_split<F16<Tiles##tiles, Layout>, align, align>(p, plan);                                              \
    }
#define GEMM_SPLIT_LAYOUTS(tiles, align, ctas)             \
    GEMM_SPLIT(tiles, align, f16_nn, LayoutNN, ctas)       \
    GEMM_SPLIT(tiles, align, f16_nt, LayoutNT, ctas)       \
    GEMM_SPLIT(tiles, align, f16_tn, LayoutTN, ctas)       \
    GEMM_SPLIT(tiles, align, f16_tt, LayoutTT, ctas)

GEMM_SPLIT_LAYOUTS(128x128, 16, 1)
GEMM_SPLIT_LAYOUTS(64x64, 16, 4)
GEMM_SPLIT_LAYOUTS(64x64, 2, 3)
GEMM_SPLIT(16x128, 16, f16_nn, LayoutNN, 4)
GEMM_SPLIT(16x128, 16, f16_nt, LayoutNT, 4)
GEMM_SPLIT(16x128, 2, f16_nn, LayoutNN, 3)
GEMM_SPLIT(16x128, 2, f16_nt, LayoutNT, 3)

// Accumulators lie alike in all layouts.
#define GEMM_SPLIT_SUM(tiles)                                                                        \
    extern "C" __global__ void __launch_bounds__(128) gemm_split_k_sum_##tiles##_f16(               \
        const __grid_constant__ GemmParams p, const __grid_constant__ SplitPlan plan) {              \
        reduce_split<F16<Tiles##tiles, LayoutNN>>(p, plan);                                          \
    }

GEMM_SPLIT_SUM(128x128)
GEMM_SPLIT_SUM(64x64)
GEMM_SPLIT_SUM(16x128)
