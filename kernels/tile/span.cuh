// Reading 16-byte granules of a matrix that may start and end anywhere: what sticks out of it is not touched.
#pragma once

#include "ptx/ld_global.cuh"
#include "tile/realign.cuh"

// The bytes of a matrix from its first element to behind its last, row padding in between included.
template <unsigned kSize>
class Span {
public:
    __device__ __forceinline__ Span(const void* first, long long ld, unsigned rows, unsigned cols)
        : begin_(static_cast<const char*>(first)),
          end_(begin_ + ((rows - 1ll) * ld + cols) * static_cast<long long>(kSize)) {}

    // The granule at `at`, a multiple of 16; zeros where it is not wanted or lies outside. Only the granules of the
    // matrix's first and last element can lie half inside; they are read element by element.
    __device__ __forceinline__ uint4 granule(const char* at, bool wanted) const {
        const bool whole = at >= begin_ && at + 16 <= end_;
        uint4 out = ld_global_nc_16_if(at, wanted && whole);
        if (wanted && !whole) {
            out = edge(at, begin_, end_);
        }
        return out;
    }

private:
    // Not inlined: it runs twice in a matrix, and its code would be everywhere.
    __device__ __noinline__ static uint4 edge(const char* at, const char* begin, const char* end) {
        unsigned words[4] = {};
#pragma unroll
        for (unsigned byte = 0; byte < 16; byte += kSize) {
            if (at + byte >= begin && at + byte + kSize <= end) {
                words[byte / 4] |= element(at + byte) << byte % 4 * 8;
            }
        }
        return {words[0], words[1], words[2], words[3]};
    }

    __device__ __forceinline__ static unsigned element(const char* at) {
        if constexpr (kSize == 1) {
            return *reinterpret_cast<const unsigned char*>(at);
        } else if constexpr (kSize == 2) {
            return *reinterpret_cast<const unsigned short*>(at);
        } else {
            return *reinterpret_cast<const unsigned*>(at);
        }
    }

    const char* begin_;
    const char* end_;
};

// Where a row's elements lie among granules.
struct RowStart {
    const char* granule;  // the granule that holds the first element
    unsigned shift;       // bytes in front of it there
};

__device__ __forceinline__ RowStart row_start(const char* first) {
    const unsigned shift = static_cast<unsigned>(reinterpret_cast<unsigned long long>(first)) % 16;
    return {first - shift, shift};
}

// The same granule as lane + 1 holds, for all but the last lane of each group of kLanes.
template <unsigned kLanes>
__device__ __forceinline__ uint4 next_lanes(uint4 granule) {
    return {__shfl_down_sync(~0u, granule.x, 1, kLanes), __shfl_down_sync(~0u, granule.y, 1, kLanes),
            __shfl_down_sync(~0u, granule.z, 1, kLanes), __shfl_down_sync(~0u, granule.w, 1, kLanes)};
}

// Bytes 16 * lane .. 16 * lane + 15 of a row from `start` on, of which only `bytes` exist: an aligned load for each lane, one
// more for the last of a group, and shifts. All lanes of the warp call it; `exists` is whether the row does.
template <unsigned kLanes, unsigned kSize>
__device__ __forceinline__ uint4 load_row_chunk(const Span<kSize>& span, RowStart start, unsigned lane, long long bytes,
                                                bool exists) {
    const char* const at = start.granule + lane * 16;
    const long long here = bytes - lane * 16ll;
    const unsigned valid = here <= 0 ? 0u : here >= 16 ? 16u : static_cast<unsigned>(here);
    // A lane's own granule is also the upper half of its neighbour's chunk: wanted if any byte of either is.
    const uint4 low = span.granule(at, exists && here + static_cast<long long>(start.shift) > 0);
    uint4 high = next_lanes<kLanes>(low);
    if (lane % kLanes == kLanes - 1) {
        high = span.granule(at + 16, exists && start.shift + valid > 16);
    }
    return keep_first_bytes(realign_bytes(low, high, start.shift), valid);
}
