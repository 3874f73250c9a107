// Rung 4 for FP8 (e4m3), from sm_89 on: K-major operands as in 04_mma_types.cu, C in FP16.
//
// Tile 128x128x64, 8 warps of 64x32, 4 stages: sm_90a widens operands before it multiplies, which takes registers. Shared memory: stages of [A tile | B tile], 64-byte rows, XOR-swizzled; the FP16 tile of
// C takes its place. Alignment contract: suffix aN = rows of A and B start at multiples of N bytes (= elements); a1 is any.
// Multipliers before Hopper are said to keep 13 fractional bits of a sum of FP8 products, whatever the accumulator's width.
#include "tile/mma_loop.cuh"

using Fp8 = MmaConfig<Tiles128x128Wide, TypeE4m3, LayoutNT>;

static_assert(Fp8::kSharedBytes == 65536 && Fp8::kThreads == 256 && Fp8::kK == 64, "catalog.toml");

#define GEMM_MMA(name, align)                                                                                \
    extern "C" __global__ void __launch_bounds__(256, 1) gemm_mma_##name(const __grid_constant__ Fp8::Params p) { \
        gemm_mma<Fp8, align, align>(p);                                                                      \
    }

GEMM_MMA(128x128x64_a16_e4m3_nt, 16)
GEMM_MMA(128x128x64_a8_e4m3_nt, 8)
GEMM_MMA(128x128x64_a4_e4m3_nt, 4)
GEMM_MMA(128x128x64_a1_e4m3_nt, 1)
