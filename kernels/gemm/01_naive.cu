// Rung 1: one thread for one element of C, straight from global memory, in every type and layout.
//
// Tile 16x16, no k tile, no stages: a thread walks its whole row of A and column of B, wherever their elements lie.
// Shared memory: none.
// Alignment contract: none beyond an element; every access is one element.
// What it is for: the shortest kernel that keeps the whole contract, to read first and to compare the others with.
// Neighbouring threads take neighbouring columns, so that writes of C coalesce, and reads of B where it is not transposed.
#include "params.cuh"
#include "tile/raster.cuh"
#include "types.cuh"

constexpr unsigned kTile = 16;

template <class Type, class Layout>
__device__ __forceinline__ void gemm_naive(const GemmParamsT<typename Type::In, typename Type::Out>& p) {
    static_assert(kTile * kTile == 256, "one thread for each element of the tile");
    const TileOrigin origin = raster_grouped<8, kTile, kTile>(blockIdx.x, p.m, p.n);
    const unsigned row = origin.row + threadIdx.x / kTile;
    const unsigned col = origin.col + threadIdx.x % kTile;
    if (row >= p.m || col >= p.n) {
        return;
    }

    const auto* a = p.a + (Layout::kTransA ? row : row * p.lda);
    const auto* b = p.b + (Layout::kTransB ? col * p.ldb : col);
    const long long step_a = Layout::kTransA ? p.lda : 1;
    const long long step_b = Layout::kTransB ? 1 : p.ldb;
    typename Type::Acc acc = 0;
    for (unsigned k = 0; k < p.k; ++k) {
        acc = Type::multiply_add(Type::load(*a), Type::load(*b), acc);
        a += step_a;
        b += step_b;
    }

    // beta == 0 means that C is only written: what it held may be anything, NaN included.
    auto* c = p.c + row * p.ldc + col;
    *c = p.beta != 0.0f ? Type::finish(acc, p.alpha, p.beta, *c) : Type::finish(acc, p.alpha);
}

#define GEMM_NAIVE(name, Type, Layout)                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                                        \
        gemm_naive_##name(const __grid_constant__ GemmParamsT<Type::In, Type::Out> p) {                      \
        gemm_naive<Type, Layout>(p);                                                                         \
    }
#define GEMM_NAIVE_LAYOUTS(name, Type)       \
    GEMM_NAIVE(name##_nn, Type, LayoutNN)    \
    GEMM_NAIVE(name##_nt, Type, LayoutNT)    \
    GEMM_NAIVE(name##_tn, Type, LayoutTN)    \
    GEMM_NAIVE(name##_tt, Type, LayoutTT)

GEMM_NAIVE_LAYOUTS(f16, TypeF16)
GEMM_NAIVE_LAYOUTS(bf16, TypeBf16)
GEMM_NAIVE_LAYOUTS(tf32, TypeTf32)
GEMM_NAIVE_LAYOUTS(i8, TypeI8)
GEMM_NAIVE_LAYOUTS(e4m3, TypeE4m3)
