// Rung 12: few rows of C. The product of the transposed operands, with A and B in each other's place.
//
// mma.sync multiplies 16 rows of its A with 8 columns of its B: of a product with m up to 8, as other rungs do it, at least half
// of every multiplication is padding. C transposed is B transposed times A transposed: now the many columns of C are the rows
// of 16, and the few rows of C the columns of 8. Nothing is transposed in memory, as every layout is multiplied as it is stored:
// nn becomes tt with the operands exchanged, nt stays nt, tn stays tn. Only C's tile is turned, on its way through shared memory.
// Tile: 8 rows and 128 columns of C, k steps of 32, 4 warps, 6 stages; k is shared out over CTAs as in rung 10.
// Shared memory: 6 stages of [B tile, 8192 bytes | A tile, 512 bytes], each as it is stored, XOR-swizzled; then C, 8 rows of 256 bytes.
// Alignment contract: suffix aN = rows of A and B start at multiples of N bytes; C any.
#include "tile/split_k.cuh"

template <class Type, class Layout>
using Swapped = MmaConfig<Tiles8x128, Type, SwappedLayout<Layout>>;

static_assert(Swapped<TypeF16, LayoutNN>::kSharedBytes == 52224 && Tiles8x128::kThreads == 128, "catalog.toml");

// One entry: alignment in bytes, type and layout, and CTAs that an SM must have registers for.
#define GEMM_SWAP(align, type, Type, layout, Layout, ctas)                                                            \
    extern "C" __global__ void __launch_bounds__(128, ctas) gemm_swap_ab_8x128x32_a##align##_##type##_##layout(       \
        const __grid_constant__ Swapped<Type, Layout>::Params p, const __grid_constant__ SplitPlan plan) {            \
        gemm_split<Swapped<Type, Layout>, align, align>(swap_operands(p), plan);                                      \
    }
#define GEMM_SWAP_LAYOUTS(align, type, Type, ctas)      \
    GEMM_SWAP(align, type, Type, nn, LayoutNN, ctas)    \
    GEMM_SWAP(align, type, Type, nt, LayoutNT, ctas)    \
    GEMM_SWAP(align, type, Type, tn, LayoutTN, ctas)    \
    GEMM_SWAP(align, type, Type, tt, LayoutTT, ctas)

// Accumulators lie alike in all layouts.
#define GEMM_SWAP_SUM(type, Type)                                                                             \
    extern "C" __global__ void __launch_bounds__(128) gemm_split_k_sum_8x128_##type(                          \
        const __grid_constant__ Swapped<Type, LayoutNN>::Params p, const __grid_constant__ SplitPlan plan) {  \
        reduce_split<Swapped<Type, LayoutNN>>(swap_operands(p), plan);                                        \
    }

GEMM_SWAP_LAYOUTS(16, f16, TypeF16, 4)
GEMM_SWAP_LAYOUTS(2, f16, TypeF16, 4)
GEMM_SWAP_SUM(f16, TypeF16)
GEMM_SWAP_LAYOUTS(16, bf16, TypeBf16, 4)
GEMM_SWAP_LAYOUTS(2, bf16, TypeBf16, 4)
GEMM_SWAP_SUM(bf16, TypeBf16)
