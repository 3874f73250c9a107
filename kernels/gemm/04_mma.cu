// Rung 4: mma.sync m16n8k16 fed by ldmatrix from swizzled shared memory, several k steps in flight.
//
// Tiles (m x n x k, warps, stages): 128x256x32, 8, 3; 128x128x32, 4, 4; 64x64x32, 4, 6. Warp tile 64x64, or 32x32.
// Shared memory: stages of [A tile | B tile], rows as in memory, XOR-swizzled, no padding; the C tile takes
// its place after the main loop. All of it dynamic, requested at launch.
// Alignment contract: suffix aN = rows of A and B start at multiples of N bytes; aNbM tells them apart. 16, 8 and 4 copy with
// cp.async of that size; 2 takes any operand by shifting aligned 16-byte loads in registers. C may have any alignment.
// Over rung 3: the fragment layout is used, not hidden, so that shared memory needs no padding, operands of every layout are
// transposed on the way to registers, and copies of later k steps overlap the multiplication of this one.
#include "tile/mma_loop.cuh"

template <class T, bool kTransA, bool kTransB>
using F16 = MmaConfig<T, __half, kTransA, kTransB>;

// catalog.toml asks for these amounts at launch.
static_assert(F16<Tiles128x256, false, false>::kSharedBytes == 73728 && Tiles128x256::kThreads == 256, "catalog.toml");
static_assert(F16<Tiles128x128, false, false>::kSharedBytes == 65536 && Tiles128x128::kThreads == 128, "catalog.toml");
static_assert(F16<Tiles64x64, false, false>::kSharedBytes == 49152 && Tiles64x64::kThreads == 128, "catalog.toml");

template <class C, unsigned kAlignA, unsigned kAlignB = kAlignA>
__device__ __forceinline__ void gemm_mma(const typename C::Params& p) {
    extern __shared__ __align__(128) unsigned char memory[];
    const TileOrigin origin = raster_grouped<C::kGroup, C::kM, C::kN>(blockIdx.x, p.m, p.n);
    WarpTile<C> warp_tile(threadIdx.x);
    multiply_tile<C, kAlignA, kAlignB>(warp_tile, p, origin, memory);
    // All warps are done with the pipeline's shared memory: it becomes the stage for C.
    __syncthreads();
    warp_tile.write(p, origin, memory);
}

extern "C" __global__ void __launch_bounds__(256) gemm_mma_128x256x32_a16(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles128x256, false, false>, 16>(p);
}
extern "C" __global__ void __launch_bounds__(256) gemm_mma_128x256x32_a8(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles128x256, false, false>, 8>(p);
}
extern "C" __global__ void __launch_bounds__(256) gemm_mma_128x256x32_a4(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles128x256, false, false>, 4>(p);
}
extern "C" __global__ void __launch_bounds__(256) gemm_mma_128x256x32_a2(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles128x256, false, false>, 2>(p);
}

extern "C" __global__ void __launch_bounds__(128) gemm_mma_128x128x32_a16(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles128x128, false, false>, 16>(p);
}
extern "C" __global__ void __launch_bounds__(128) gemm_mma_128x128x32_a8(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles128x128, false, false>, 8>(p);
}
extern "C" __global__ void __launch_bounds__(128) gemm_mma_128x128x32_a4(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles128x128, false, false>, 4>(p);
}
extern "C" __global__ void __launch_bounds__(128) gemm_mma_128x128x32_a2(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles128x128, false, false>, 2>(p);
}
extern "C" __global__ void __launch_bounds__(128) gemm_mma_128x128x32_a2b16(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles128x128, false, false>, 2, 16>(p);
}
extern "C" __global__ void __launch_bounds__(128) gemm_mma_128x128x32_a16b2(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles128x128, false, false>, 16, 2>(p);
}

extern "C" __global__ void __launch_bounds__(128, 4) gemm_mma_64x64x32_a16(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles64x64, false, false>, 16>(p);
}
extern "C" __global__ void __launch_bounds__(128, 4) gemm_mma_64x64x32_a8(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles64x64, false, false>, 8>(p);
}
extern "C" __global__ void __launch_bounds__(128, 4) gemm_mma_64x64x32_a4(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles64x64, false, false>, 4>(p);
}
extern "C" __global__ void __launch_bounds__(128, 4) gemm_mma_64x64x32_a2(const __grid_constant__ GemmParams p) {
    gemm_mma<F16<Tiles64x64, false, false>, 2>(p);
}
