// The element types of operands: what they multiply with, accumulate in and are stored as.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#include "ptx/cvt.cuh"
#include "ptx/mma.cuh"

// FP32 in memory, of which the multiplier reads 19 bits.
struct Tf32 {
    float value;
};

struct E4m3 {
    unsigned char bits;
};

// Acc is what a product is summed in, Out the element of C. mma() multiplies fragments 32 bytes deep.
template <class In>
struct Element;

template <>
struct Element<__half> {
    using Acc = float;
    using Out = __half;
    __device__ __forceinline__ static unsigned prepared(unsigned fragment) { return fragment; }
    __device__ __forceinline__ static void mma(Acc (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        mma_f16(d, a, b0, b1);
    }
};

template <>
struct Element<__nv_bfloat16> {
    using Acc = float;
    using Out = __nv_bfloat16;
    __device__ __forceinline__ static unsigned prepared(unsigned fragment) { return fragment; }
    __device__ __forceinline__ static void mma(Acc (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        mma_bf16(d, a, b0, b1);
    }
};

template <>
struct Element<Tf32> {
    using Acc = float;
    using Out = float;
    // The multiplier would cut the low bits off; rounding first halves the error and centres it.
    __device__ __forceinline__ static unsigned prepared(unsigned fragment) { return round_to_tf32(fragment); }
    __device__ __forceinline__ static void mma(Acc (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        mma_tf32(d, a, b0, b1);
    }
};

template <>
struct Element<signed char> {
    using Acc = int;
    using Out = int;
    __device__ __forceinline__ static unsigned prepared(unsigned fragment) { return fragment; }
    __device__ __forceinline__ static void mma(Acc (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        mma_s8(d, a, b0, b1);
    }
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
template <>
struct Element<E4m3> {
    using Acc = float;
    using Out = __half;
    __device__ __forceinline__ static unsigned prepared(unsigned fragment) { return fragment; }
    __device__ __forceinline__ static void mma(Acc (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        mma_e4m3(d, a, b0, b1);
    }
};
#endif

// FP32 to the element of C, rounded once, to nearest even.
template <class Out>
__device__ __forceinline__ Out narrow(float value) {
    if constexpr (sizeof(Out) == 4) {
        return value;
    } else if constexpr (std::is_same_v<Out, __half>) {
        return __float2half_rn(value);
    } else {
        return __float2bfloat16_rn(value);
    }
}

__device__ __forceinline__ float widen(__half value) { return __half2float(value); }
__device__ __forceinline__ float widen(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ __forceinline__ float widen(float value) { return value; }

// alpha * acc.
template <class Out>
__device__ __forceinline__ Out scale(float acc, float alpha) {
    return narrow<Out>(alpha * acc);
}

// Integers stay exact where nothing scales them.
template <class Out>
__device__ __forceinline__ Out scale(int acc, float alpha) {
    return alpha == 1.0f ? acc : __float2int_rn(alpha * static_cast<float>(acc));
}

// alpha * acc + beta * old. FP32 all the way: the product is not rounded to the element of C before beta * C is added.
template <class Out>
__device__ __forceinline__ Out blend(float acc, float alpha, float beta, Out old) {
    return narrow<Out>(__fmaf_rn(beta, widen(old), alpha * acc));
}

__device__ __forceinline__ int blend(int acc, float alpha, float beta, int old) {
    return __float2int_rn(__fmaf_rn(beta, static_cast<float>(old), alpha * static_cast<float>(acc)));
}

// Two neighbouring 16-bit elements of C in one register, the first in the low half.
template <class Out>
__device__ __forceinline__ unsigned pack(Out low, Out high) {
    static_assert(sizeof(Out) == 2, "two to a register");
    if constexpr (std::is_same_v<Out, __half>) {
        return __half_as_ushort(low) | static_cast<unsigned>(__half_as_ushort(high)) << 16;
    } else {
        return __bfloat16_as_ushort(low) | static_cast<unsigned>(__bfloat16_as_ushort(high)) << 16;
    }
}

template <class Out>
__device__ __forceinline__ Out unpack(unsigned bits) {
    if constexpr (std::is_same_v<Out, __half>) {
        return __ushort_as_half(static_cast<unsigned short>(bits));
    } else {
        return __ushort_as_bfloat16(static_cast<unsigned short>(bits));
    }
}

template <class Out>
__device__ __forceinline__ unsigned scale_pair(float low, float high, float alpha) {
    return pack(scale<Out>(low, alpha), scale<Out>(high, alpha));
}

template <class Out>
__device__ __forceinline__ unsigned blend_pair(float low, float high, float alpha, float beta, unsigned old) {
    return pack(blend(low, alpha, beta, unpack<Out>(old)), blend(high, alpha, beta, unpack<Out>(old >> 16)));
}
