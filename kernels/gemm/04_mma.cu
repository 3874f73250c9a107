// Rung 4: mma.sync m16n8k16 fed by ldmatrix from swizzled shared memory, several k steps in flight.
//
// Tiles (m x n x k, warps, stages): 128x256x32, 8, 3; 128x128x32, 4, 4; 64x64x32, 4, 6. Warp tile 64x64, or 32x32.
// Shared memory: stages of [A tile | B tile], rows as in memory, XOR-swizzled, no padding; the C tile takes
// its place after the main loop. All of it dynamic, requested at launch.
// Alignment contract: suffix aN = rows of A and B start at multiples of N bytes; aNbM tells them apart. 16, 8 and 4 copy with
// cp.async of that size; 2 takes any operand by shifting aligned 16-byte loads in registers. C may have any alignment.
// Layouts nn and nt; 04_mma_ta.cu has those with A transposed.
// Over rung 3: the fragment layout is used, not hidden, so that shared memory needs no padding, operands of every layout are
// transposed on the way to registers, and copies of later k steps overlap the multiplication of this one.
#include "tile/mma_loop.cuh"

template <class Tiles, class Layout>
using F16 = MmaConfig<Tiles, TypeF16, Layout>;

// catalog.toml asks for these amounts at launch.
static_assert(F16<Tiles128x256, LayoutNN>::kSharedBytes == 73728 && Tiles128x256::kThreads == 256, "catalog.toml");
static_assert(F16<Tiles128x128, LayoutNN>::kSharedBytes == 65536 && Tiles128x128::kThreads == 128, "catalog.toml");
static_assert(F16<Tiles64x64, LayoutNN>::kSharedBytes == 49152 && Tiles64x64::kThreads == 128, "catalog.toml");

// One entry: its name, layout, and the bytes that rows of A and of B start at multiples of.
#define GEMM_MMA_128x256(name, Layout, a, b)                                                                             \
    extern "C" __global__ void __launch_bounds__(256) gemm_mma_128x256x32_##name(const __grid_constant__ GemmParams p) { \
        gemm_mma<F16<Tiles128x256, Layout>, a, b>(p);                                                                    \
    }
#define GEMM_MMA_128x128(name, Layout, a, b)                                                                             \
    extern "C" __global__ void __launch_bounds__(128) gemm_mma_128x128x32_##name(const __grid_constant__ GemmParams p) { \
        gemm_mma<F16<Tiles128x128, Layout>, a, b>(p);                                                                    \
    }
#define GEMM_MMA_64x64(name, Layout, a, b)                                                                                \
    extern "C" __global__ void __launch_bounds__(128, 4) gemm_mma_64x64x32_##name(const __grid_constant__ GemmParams p) { \
        gemm_mma<F16<Tiles64x64, Layout>, a, b>(p);                                                                       \
    }

GEMM_MMA_128x256(a16_f16_nn, LayoutNN, 16, 16)
GEMM_MMA_128x256(a8_f16_nn, LayoutNN, 8, 8)
GEMM_MMA_128x256(a4_f16_nn, LayoutNN, 4, 4)
GEMM_MMA_128x256(a2_f16_nn, LayoutNN, 2, 2)

GEMM_MMA_128x128(a16_f16_nn, LayoutNN, 16, 16)
GEMM_MMA_128x128(a8_f16_nn, LayoutNN, 8, 8)
GEMM_MMA_128x128(a4_f16_nn, LayoutNN, 4, 4)
GEMM_MMA_128x128(a2_f16_nn, LayoutNN, 2, 2)
GEMM_MMA_128x128(a2b16_f16_nn, LayoutNN, 2, 16)
GEMM_MMA_128x128(a16b2_f16_nn, LayoutNN, 16, 2)
GEMM_MMA_128x128(a16_f16_nt, LayoutNT, 16, 16)
GEMM_MMA_128x128(a8_f16_nt, LayoutNT, 8, 8)
GEMM_MMA_128x128(a4_f16_nt, LayoutNT, 4, 4)
GEMM_MMA_128x128(a2_f16_nt, LayoutNT, 2, 2)

GEMM_MMA_64x64(a16_f16_nn, LayoutNN, 16, 16)
GEMM_MMA_64x64(a8_f16_nn, LayoutNN, 8, 8)
GEMM_MMA_64x64(a4_f16_nn, LayoutNN, 4, 4)
GEMM_MMA_64x64(a2_f16_nn, LayoutNN, 2, 2)
GEMM_MMA_64x64(a2b16_f16_nn, LayoutNN, 2, 16)
GEMM_MMA_64x64(a16b2_f16_nn, LayoutNN, 16, 2)
GEMM_MMA_64x64(a16_f16_nt, LayoutNT, 16, 16)
