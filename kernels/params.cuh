// The launch ABI that every GEMM kernel shares: one struct, passed by value.
#pragma once

#include <cuda_fp16.h>

// C = alpha * op(A) * op(B) + beta * C with op(A) m x k, op(B) k x n and C m x n, all stored row-major. Whether A or B is
// stored transposed, and the types of their elements, belong to the entry point and are not told here.
// Leading dimensions are in elements, of the matrices as stored. The pointers already include any base offset, so all that
// is known about them is that they are aligned to an element; a variant that needs more says so in catalog.toml.
template <class In, class Out>
struct GemmParamsOf {
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

using GemmParams = GemmParamsOf<__half, __half>;

static_assert(sizeof(GemmParams) == 72, "the host builds this struct byte by byte: no implicit padding");
static_assert(alignof(GemmParams) == 8, "kernel parameters are laid out at 8-byte alignment");
