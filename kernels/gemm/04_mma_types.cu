// Rung 4 for TF32 and INT8: K-major operands (layout nt) of any type are alike to ldmatrix, which moves bytes.
//
// Tile 128x128 and 64 bytes along k (16 elements of TF32, 64 of INT8), 4 warps, 4 stages; C has 32-bit elements.
// Shared memory: stages of [A tile | B tile], 64-byte rows, XOR-swizzled. C leaves straight from registers.
// Alignment contract: suffix aN = rows of A and B start at multiples of N bytes. TF32 elements are 4 bytes, so that cp.async
// is always legal; odd rows of INT8 (a1) are shifted in registers. A multiple of 16 bytes is 4 elements of TF32, 16 of INT8.
// The other layouts need a transposing load of elements that ldmatrix cannot transpose: pack operands first.
#include "tile/mma_loop.cuh"

template <class Type>
using Config = MmaConfig<Tiles128x128, Type, LayoutNT>;

static_assert(Config<TypeTf32>::kSharedBytes == 65536 && Config<TypeTf32>::kThreads == 128, "catalog.toml");
static_assert(Config<TypeI8>::kSharedBytes == 65536 && Config<TypeTf32>::kK == 16 && Config<TypeI8>::kK == 64, "catalog.toml");

#define GEMM_MMA(name, Type, align)                                      \
    extern "C" __global__ void __launch_bounds__(128)                    \
        gemm_mma_##name(const __grid_constant__ Config<Type>::Params p) { \
        gemm_mma<Config<Type>, align, align>(p);                         \
    }

GEMM_MMA(128x128x16_a16_tf32_nt, TypeTf32, 16)
GEMM_MMA(128x128x16_a8_tf32_nt, TypeTf32, 8)
GEMM_MMA(128x128x16_a4_tf32_nt, TypeTf32, 4)
GEMM_MMA(128x128x64_a16_i8_nt, TypeI8, 16)
GEMM_MMA(128x128x64_a8_i8_nt, TypeI8, 8)
GEMM_MMA(128x128x64_a4_i8_nt, TypeI8, 4)
GEMM_MMA(128x128x64_a1_i8_nt, TypeI8, 1)
