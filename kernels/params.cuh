// The launch ABI that every GEMM kernel shares: one struct, passed by value.
#pragma once

#include <cuda_fp16.h>

// C = alpha * A * B + beta * C with row-major A (m x k), B (k x n) and C (m x n); FP16 in and out, FP32 in between.
// Leading dimensions are in elements. The pointers already include any base offset, so all that is known about
// them is that they are 2-byte aligned; a variant that needs more says so as `align_bytes` in catalog.toml.
struct GemmParams {
    const __half* a;
    const __half* b;
    __half* c;
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

static_assert(sizeof(GemmParams) == 72, "the host builds this struct byte by byte: no implicit padding");
static_assert(alignof(GemmParams) == 8, "kernel parameters are laid out at 8-byte alignment");
