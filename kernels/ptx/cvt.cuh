// cvt: conversions that C++ has no name for.
#pragma once

// FP32 bits to TF32 bits, to nearest, ties away from zero.
__device__ __forceinline__ unsigned round_to_tf32(unsigned bits) {
    unsigned out;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(out) : "f"(__uint_as_float(bits)));
    return out;
}
