// FP32 accumulators to and from pairs of 16-bit elements.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "ptx/tensor_map.cuh"

// Both rounded to nearest even, `low` in the low half.
template <Element kElement>
__device__ __forceinline__ unsigned pack(float low, float high) {
    if constexpr (kElement == Element::kF16) {
        const __half2 pair = __floats2half2_rn(low, high);
        return *reinterpret_cast<const unsigned*>(&pair);
    } else {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
        return *reinterpret_cast<const unsigned*>(&pair);
    }
}

template <Element kElement>
__device__ __forceinline__ float2 unpack(unsigned pair) {
    if constexpr (kElement == Element::kF16) {
        return __half22float2(*reinterpret_cast<const __half2*>(&pair));
    } else {
        return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
    }
}
