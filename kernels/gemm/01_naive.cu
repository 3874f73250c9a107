// Rung 1: one thread for one element of C, straight from global memory.
//
// Tile 16x16, no k tile, no stages: a thread walks its whole row of A and column of B.
// Shared memory: none.
// Alignment contract: none beyond 2 bytes; every access is one half.
// What it is for: the shortest kernel that keeps the whole contract, to read first and to compare the others with.
// Neighbouring threads take neighbouring columns, so that reads of B and writes of C coalesce.
#include "params.cuh"
#include "tile/epilogue.cuh"
#include "tile/raster.cuh"

constexpr unsigned kTile = 16;

extern "C" __global__ void __launch_bounds__(256) gemm_naive_16x16(const __grid_constant__ GemmParams p) {
    static_assert(kTile * kTile == 256, "one thread for each element of the tile");
    const TileOrigin origin = raster_grouped<8, kTile, kTile>(blockIdx.x, p.m, p.n);
    const unsigned row = origin.row + threadIdx.x / kTile;
    const unsigned col = origin.col + threadIdx.x % kTile;
    if (row >= p.m || col >= p.n) {
        return;
    }

    const __half* a = p.a + row * p.lda;
    const __half* b = p.b + col;
    float acc = 0.0f;
    for (unsigned k = 0; k < p.k; ++k) {
        acc = __fmaf_rn(__half2float(*a), __half2float(*b), acc);
        a += 1;
        b += p.ldb;
    }

    // beta == 0 means that C is only written: what it held may be anything, NaN included.
    __half* c = p.c + row * p.ldc + col;
    *c = p.beta != 0.0f ? blend(acc, p.alpha, p.beta, *c) : scale(acc, p.alpha);
}
