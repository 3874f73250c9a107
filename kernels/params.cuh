// The launch ABI that every GEMM kernel shares: one struct, passed by value.
#pragma once

#include <cuda_fp16.h>

// C = alpha * A * B + beta * C. Matrices are stored row by row: A m x k and B k x n, or transposed, A k x m and B n x k, as the
// kernel's layout says; C m x n. Leading dimensions are in elements. The pointers already include any base offset, so all that
// is known about them is that they are multiples of an element; a variant that needs more says so in catalog.toml.
template <class In, class Out>
struct GemmParamsT {
    const In* a;
    const In* b;
    Out* c;
    long long lda;
    long long ldb;
    long long ldc;
    unsigned m;
    unsigned n;
    unsigned k;
    float alpha;
    float beta;
    unsigned reserved;
};
using GemmParams = GemmParamsT<__half, __half>;

static_assert(sizeof(GemmParams) == 72, "the host builds this struct byte by byte: no implicit padding");
static_assert(alignof(GemmParams) == 8, "kernel parameters are laid out at 8-byte alignment");

// Which operands are stored transposed: the first letter is A's, the second B's.
struct LayoutNN {
    static constexpr bool kTransA = false, kTransB = false;
};
struct LayoutNT {
    static constexpr bool kTransA = false, kTransB = true;
};
struct LayoutTN {
    static constexpr bool kTransA = true, kTransB = false;
};
struct LayoutTT {
    static constexpr bool kTransA = true, kTransB = true;
};

// The problem of C transposed: B transposed times A transposed. Nothing moves; only what is read as what changes. C's own leading
// dimension stays.
template <class In, class Out>
__device__ __forceinline__ GemmParamsT<In, Out> swap_operands(const GemmParamsT<In, Out>& p) {
    return {p.b, p.a, p.c, p.ldb, p.lda, p.ldc, p.n, p.m, p.k, p.alpha, p.beta, p.reserved};
}

// Its layout: B as it is stored is B transposed the other way round.
template <class Layout>
struct SwappedLayout {
    static constexpr bool kTransA = !Layout::kTransB, kTransB = !Layout::kTransA;
};
