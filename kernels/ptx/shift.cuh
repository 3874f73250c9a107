// shf: a 32-bit window out of a 64-bit register pair.
#pragma once

// (high:low) >> (bits % 32), low word.
__device__ __forceinline__ unsigned shift_right_pair(unsigned low, unsigned high, unsigned bits) {
    unsigned out;
    asm("shf.r.wrap.b32 %0, %1, %2, %3;" : "=r"(out) : "r"(low), "r"(high), "r"(bits));
    return out;
}
