// Moving misaligned runs of bytes in registers.
#pragma once

#include "ptx/shift.cuh"

// Bytes shift .. shift+15 of the 32 in (low, high); shift is 0..15, and high is not looked at where it is 0.
// Two rounds of selects move by whole words, one funnel shift a word moves by the bytes left over.
__device__ __forceinline__ uint4 realign_bytes(uint4 low, uint4 high, unsigned shift) {
    const bool four = shift & 8;
    const unsigned u0 = four ? low.z : low.x;
    const unsigned u1 = four ? low.w : low.y;
    const unsigned u2 = four ? high.x : low.z;
    const unsigned u3 = four ? high.y : low.w;
    const unsigned u4 = four ? high.z : high.x;
    const unsigned u5 = four ? high.w : high.y;
    const bool two = shift & 4;
    const unsigned v0 = two ? u1 : u0;
    const unsigned v1 = two ? u2 : u1;
    const unsigned v2 = two ? u3 : u2;
    const unsigned v3 = two ? u4 : u3;
    const unsigned v4 = two ? u5 : u4;
    const unsigned bits = (shift & 3) * 8;
    return {shift_right_pair(v0, v1, bits), shift_right_pair(v1, v2, bits), shift_right_pair(v2, v3, bits),
            shift_right_pair(v3, v4, bits)};
}

// The first `valid` (0..16) bytes of a chunk; the rest zero.
__device__ __forceinline__ uint4 keep_first_bytes(uint4 chunk, unsigned valid) {
    const auto keep = [valid](unsigned word, unsigned first) {
        return valid >= first + 4 ? word : valid > first ? word & ~(~0u << (valid - first) * 8) : 0u;
    };
    return {keep(chunk.x, 0), keep(chunk.y, 4), keep(chunk.z, 8), keep(chunk.w, 12)};
}

// A chunk without its first `gone` (0..16) bytes, zeros in their place.
__device__ __forceinline__ uint4 drop_first_bytes(uint4 chunk, unsigned gone) {
    const auto keep = [gone](unsigned word, unsigned first) {
        return gone <= first ? word : gone < first + 4 ? word & ~0u << (gone - first) * 8 : 0u;
    };
    return {keep(chunk.x, 0), keep(chunk.y, 4), keep(chunk.z, 8), keep(chunk.w, 12)};
}

// All but the first `skipped` (0..8) halves of a chunk; those zero.
__device__ __forceinline__ uint4 keep_from(uint4 chunk, unsigned skipped) {
    const auto keep = [skipped](unsigned word, unsigned first) {
        return skipped <= first ? word : skipped == first + 1 ? word & 0xffff0000u : 0u;
    };
    return {keep(chunk.x, 0), keep(chunk.y, 2), keep(chunk.z, 4), keep(chunk.w, 6)};
}

// The same in halves.
__device__ __forceinline__ uint4 realign(uint4 low, uint4 high, unsigned shift) {
    return realign_bytes(low, high, shift * 2);
}

__device__ __forceinline__ uint4 keep_first(uint4 chunk, unsigned valid) {
    const auto keep = [valid](unsigned word, unsigned first) {
        return valid > first + 1 ? word : valid > first ? word & 0xffffu : 0u;
    };
    return {keep(chunk.x, 0), keep(chunk.y, 2), keep(chunk.z, 4), keep(chunk.w, 6)};
}

// How many of the `width` elements from `first` on lie below `limit`.
__device__ __forceinline__ unsigned count_below(unsigned limit, unsigned first, unsigned width) {
    return limit > first ? min(limit - first, width) : 0;
}
