// The element types: what A and B hold, what C holds, and how they become the numbers that kernels compute with.
//
// A kernel names its type by an empty struct of this file and takes the members from it: In and Out are how elements are
// stored, Acc is what sums are kept in, load() turns an element into a factor, finish() a sum into an element of C.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

// FP8 E4M3 as stored. In FP16's place its bits are the same number with another bias of the exponent, 2^8 too small.
struct e4m3 {
    unsigned char bits;
};

__device__ __forceinline__ float e4m3_to_float(e4m3 x) {
    const unsigned bits = x.bits;
    if ((bits & 0x7f) == 0x7f) {
        return __uint_as_float(0x7fffffff);
    }
    const unsigned short half_bits = static_cast<unsigned short>((bits & 0x80) << 8 | (bits & 0x7f) << 7);
    return __half2float(__ushort_as_half(half_bits)) * 256.0f;
}

// alpha * acc + beta * old, FP32 all the way: the product is not rounded to C's type before beta * C is added.
__device__ __forceinline__ float scaled(float acc, float alpha) { return alpha * acc; }
__device__ __forceinline__ float blended(float acc, float alpha, float beta, float old) {
    return __fmaf_rn(beta, old, alpha * acc);
}

struct TypeF16 {
    using In = __half;
    using Out = __half;
    using Acc = float;
    static __device__ __forceinline__ Acc load(In x) { return __half2float(x); }
    static __device__ __forceinline__ Acc multiply_add(Acc a, Acc b, Acc c) { return __fmaf_rn(a, b, c); }
    static __device__ __forceinline__ Out finish(Acc acc, float alpha) { return __float2half_rn(scaled(acc, alpha)); }
    static __device__ __forceinline__ Out finish(Acc acc, float alpha, float beta, Out old) {
        return __float2half_rn(blended(acc, alpha, beta, __half2float(old)));
    }
};

struct TypeBf16 {
    using In = __nv_bfloat16;
    using Out = __nv_bfloat16;
    using Acc = float;
    static __device__ __forceinline__ Acc load(In x) { return __bfloat162float(x); }
    static __device__ __forceinline__ Acc multiply_add(Acc a, Acc b, Acc c) { return __fmaf_rn(a, b, c); }
    static __device__ __forceinline__ Out finish(Acc acc, float alpha) { return __float2bfloat16_rn(scaled(acc, alpha)); }
    static __device__ __forceinline__ Out finish(Acc acc, float alpha, float beta, Out old) {
        return __float2bfloat16_rn(blended(acc, alpha, beta, __bfloat162float(old)));
    }
};

struct TypeTf32 {
    using In = float;
    using Out = float;
    using Acc = float;
    // As tensor cores read it. A NaN whose bits all lie below the mask stays one.
    static __device__ __forceinline__ Acc load(In x) {
        return x != x ? x : __uint_as_float(__float_as_uint(x) & 0xffffe000u);
    }
    static __device__ __forceinline__ Acc multiply_add(Acc a, Acc b, Acc c) { return __fmaf_rn(a, b, c); }
    static __device__ __forceinline__ Out finish(Acc acc, float alpha) { return scaled(acc, alpha); }
    static __device__ __forceinline__ Out finish(Acc acc, float alpha, float beta, Out old) {
        return blended(acc, alpha, beta, old);
    }
};

struct TypeI8 {
    using In = signed char;
    using Out = int;
    using Acc = int;
    static __device__ __forceinline__ Acc load(In x) { return x; }
    static __device__ __forceinline__ Acc multiply_add(Acc a, Acc b, Acc c) { return a * b + c; }
    // The exact sum where nothing scales it; else FP32, rounded to the nearest integer.
    static __device__ __forceinline__ Out finish(Acc acc, float alpha) {
        return alpha == 1.0f ? acc : __float2int_rn(scaled(static_cast<float>(acc), alpha));
    }
    static __device__ __forceinline__ Out finish(Acc acc, float alpha, float beta, Out old) {
        return __float2int_rn(blended(static_cast<float>(acc), alpha, beta, static_cast<float>(old)));
    }
};

struct TypeE4m3 {
    using In = e4m3;
    using Out = __half;
    using Acc = float;
    static __device__ __forceinline__ Acc load(In x) { return e4m3_to_float(x); }
    static __device__ __forceinline__ Acc multiply_add(Acc a, Acc b, Acc c) { return __fmaf_rn(a, b, c); }
    static __device__ __forceinline__ Out finish(Acc acc, float alpha) { return TypeF16::finish(acc, alpha); }
    static __device__ __forceinline__ Out finish(Acc acc, float alpha, float beta, Out old) {
        return TypeF16::finish(acc, alpha, beta, old);
    }
};
