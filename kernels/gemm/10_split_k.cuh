// Rung 10, shared by its FP16 and BF16 files: split-K and stream-K, for outputs with too few tiles to fill the device, or a last wave
// that is mostly empty.
//
// Tiles (m x n x k, warps, stages): 128x128x32, 4, 4; 64x64x32, 4, 6; 16x128x32, 4, 6. Products as in rung 4; which CTA does which k
// steps, and the order of sums, in tile/split_k.cuh. Partial sums are FP32 and go through a workspace; a second launch adds
// them in the order of k, so that results do not depend on timing.
// Shared memory: as in rung 4. The second launch stages C in it.
// Alignment contract: suffix aN = rows of A and B start at multiples of N bytes; C any.
// 16x128 is for m up to 16, the multiplier's least on that side; rung 12 has C transposed for m up to 8.
#pragma once

#include "tile/split_k.cuh"

// catalog.toml asks for these amounts at launch.
static_assert(MmaConfig<Tiles128x128, TypeF16, LayoutNN>::kSharedBytes == 65536 && Tiles128x128::kThreads == 128, "catalog.toml");
static_assert(MmaConfig<Tiles64x64, TypeF16, LayoutNN>::kSharedBytes == 49152 && Tiles64x64::kThreads == 128, "catalog.toml");
static_assert(MmaConfig<Tiles16x128, TypeF16, LayoutNN>::kSharedBytes == 55296 && Tiles16x128::kThreads == 128, "catalog.toml");

// One entry: tiles, alignment in bytes, type and layout, and CTAs that an SM must have registers for.
#define GEMM_SPLIT(tiles, align, type, Type, layout, Layout, ctas)                                                 \
    extern "C" __global__ void __launch_bounds__(128, ctas) gemm_split_k_##tiles##x32_a##align##_##type##_##layout( \
        const __grid_constant__ MmaConfig<Tiles##tiles, Type, Layout>::Params p,                                   \
        const __grid_constant__ SplitPlan plan) {                                                                  \
        gemm_split<MmaConfig<Tiles##tiles, Type, Layout>, align, align>(p, plan);                                  \
    }
#define GEMM_SPLIT_LAYOUTS(tiles, align, type, Type, ctas)      \
    GEMM_SPLIT(tiles, align, type, Type, nn, LayoutNN, ctas)    \
    GEMM_SPLIT(tiles, align, type, Type, nt, LayoutNT, ctas)    \
    GEMM_SPLIT(tiles, align, type, Type, tn, LayoutTN, ctas)    \
    GEMM_SPLIT(tiles, align, type, Type, tt, LayoutTT, ctas)

// Accumulators lie alike in all layouts.
#define GEMM_SPLIT_SUM(tiles, type, Type)                                                                          \
    extern "C" __global__ void __launch_bounds__(128) gemm_split_k_sum_##tiles##_##type(                           \
        const __grid_constant__ MmaConfig<Tiles##tiles, Type, LayoutNN>::Params p,                                 \
        const __grid_constant__ SplitPlan plan) {                                                                  \
        reduce_split<MmaConfig<Tiles##tiles, Type, LayoutNN>>(p, plan);                                            \
    }

#define ENTRIES(type, Type)                             \
    GEMM_SPLIT_LAYOUTS(128x128, 16, type, Type, 1)      \
    GEMM_SPLIT_LAYOUTS(64x64, 16, type, Type, 4)        \
    GEMM_SPLIT_LAYOUTS(64x64, 2, type, Type, 3)         \
    GEMM_SPLIT_LAYOUTS(16x128, 16, type, Type, 4)       \
    GEMM_SPLIT_LAYOUTS(16x128, 2, type, Type, 3)        \
    GEMM_SPLIT_SUM(128x128, type, Type)                 \
    GEMM_SPLIT_SUM(64x64, type, Type)                   \
    GEMM_SPLIT_SUM(16x128, type, Type)
