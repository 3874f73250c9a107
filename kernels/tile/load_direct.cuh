// Global -> register -> shared tile copies with a load width chosen at run time: the simple way to take any alignment.
#pragma once

#include "tile/realign.cuh"

// The widest load, in bytes, that the rows of an operand allow: 16, 8, 4 or 2.
__device__ __forceinline__ unsigned widest_load(const __half* first, long long ld) {
    const unsigned bits = static_cast<unsigned>(reinterpret_cast<unsigned long long>(first)) |
                          static_cast<unsigned>(ld * 2);
    return bits % 16 == 0 ? 16 : bits % 8 == 0 ? 8 : bits % 4 == 0 ? 4 : 2;
}

// Eight halves of a row, of which the first `valid` exist; the rest become zeros. `width` is the same for all threads.
__device__ __forceinline__ uint4 load_chunk(const __half* from, unsigned valid, unsigned width) {
    if (valid == 8 && width == 16) {
        return *reinterpret_cast<const uint4*>(from);
    }
    if (valid == 8 && width == 8) {
        const auto* pairs = reinterpret_cast<const uint2*>(from);
        return {pairs[0].x, pairs[0].y, pairs[1].x, pairs[1].y};
    }
    if (valid == 8 && width == 4) {
        const auto* words = reinterpret_cast<const unsigned*>(from);
        return {words[0], words[1], words[2], words[3]};
    }
    unsigned halves[8];
#pragma unroll
    for (unsigned h = 0; h < 8; ++h) {
        halves[h] = h < valid ? __half_as_ushort(from[h]) : 0u;
    }
    return {halves[0] | halves[1] << 16, halves[2] | halves[3] << 16, halves[4] | halves[5] << 16,
            halves[6] | halves[7] << 16};
}
