// prmt: four bytes out of eight.
#pragma once

// Byte i of the result is byte (kSelect >> 4 * i) % 8 of (high:low).
template <unsigned kSelect>
__device__ __forceinline__ unsigned permute_bytes(unsigned low, unsigned high) {
    unsigned out;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(out) : "r"(low), "r"(high), "n"(kSelect));
    return out;
}
