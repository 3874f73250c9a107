// What the multiplier and the epilogue do with each element type, beyond types.cuh.
#pragma once

#include "ptx/mma.cuh"
#include "types.cuh"

#include <type_traits>

// d (16x8) += a * b for fragments that are 32 bytes deep, whatever the type.
template <class Type>
__device__ __forceinline__ void mma(typename Type::Acc (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    if constexpr (std::is_same_v<Type, TypeF16>) {
        mma_f16(d, a, b0, b1);
    } else if constexpr (std::is_same_v<Type, TypeBf16>) {
        mma_bf16(d, a, b0, b1);
    } else if constexpr (std::is_same_v<Type, TypeTf32>) {
        mma_tf32(d, a, b0, b1);
    } else if constexpr (std::is_same_v<Type, TypeI8>) {
        mma_s8(d, a, b0, b1);
    } else {
        static_assert(std::is_same_v<Type, TypeE4m3>, "a type of types.cuh");
        mma_e4m3(d, a, b0, b1);
    }
}

// Two neighbouring 16-bit elements in one register, the first in the low half.
__device__ __forceinline__ unsigned pack_pair(__half low, __half high) {
    return __half_as_ushort(low) | static_cast<unsigned>(__half_as_ushort(high)) << 16;
}
__device__ __forceinline__ unsigned pack_pair(__nv_bfloat16 low, __nv_bfloat16 high) {
    return __bfloat16_as_ushort(low) | static_cast<unsigned>(__bfloat16_as_ushort(high)) << 16;
}

template <class Out>
__device__ __forceinline__ Out unpack_low(unsigned pair) {
    if constexpr (std::is_same_v<Out, __half>) {
        return __ushort_as_half(static_cast<unsigned short>(pair));
    } else {
        return __ushort_as_bfloat16(static_cast<unsigned short>(pair));
    }
}

// Two neighbouring elements of C from their sums.
template <class Type>
__device__ __forceinline__ unsigned finish_pair(float low, float high, float alpha) {
    return pack_pair(Type::finish(low, alpha), Type::finish(high, alpha));
}

template <class Type>
__device__ __forceinline__ unsigned finish_pair(float low, float high, float alpha, float beta, unsigned old) {
    using Out = typename Type::Out;
    return pack_pair(Type::finish(low, alpha, beta, unpack_low<Out>(old)),
                     Type::finish(high, alpha, beta, unpack_low<Out>(old >> 16)));
}
