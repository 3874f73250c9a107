// Global -> shared tile copies for operands of any (2-byte) alignment: aligned 16-byte loads, shifted in registers.
//
// cp.async cannot help here: it moves at least 4 bytes between equally aligned addresses. Instead each thread loads the
// one or two aligned 16-byte granules that cover its 16 bytes, shifts them into place and stores one chunk. With halves:
//
//     global granules    | . . . a b c d e | f g h . . . . . |      shift = 3 halves
//     shared chunk             | a b c d e   f g h |
//
// The shift of a row is its address % 16. A thread's rows are a multiple of 16 bytes' worth of rows apart and each k step
// moves by a multiple of 16 bytes or as many rows, so that a thread has one shift for the whole kernel.
#pragma once

#include "ptx/ld_global.cuh"
#include "tile/realign.cuh"
#include "tile/swizzle.cuh"

template <class In, class Tile, unsigned kThreads>
class ShiftedLoader {
    using Cover = TileCover<Tile, kThreads, 16>;
    static constexpr unsigned kPasses = Cover::kRowPasses * Cover::kColPasses;
    static_assert(Cover::kRowStep * sizeof(In) % 16 == 0, "all rows of a thread share one shift");

public:
    // `origin` is the tile's first element; [begin, end) are the addresses of the matrix from its first element to its
    // last, row padding in between included: whole granules may be read only there.
    __device__ __forceinline__ ShiftedLoader(const In* origin, long long ld, const In* begin, const In* end,
                                             unsigned thread)
        : row_(Cover::row(thread)),
          col_bytes_(Cover::col_bytes(thread)),
          first_offset_(Cover::first_offset(thread)),
          row_step_bytes_(ld * static_cast<long long>(Cover::kRowStep * sizeof(In))),
          begin_(reinterpret_cast<const char*>(begin)),
          end_(reinterpret_cast<const char*>(end)) {
        const char* first = reinterpret_cast<const char*>(origin + row_ * ld) + col_bytes_;
        shift_ = static_cast<unsigned>(reinterpret_cast<unsigned long long>(first)) % 16;
        granule_ = first - shift_;
    }

    __device__ __forceinline__ void advance(long long bytes) { granule_ += bytes; }

    // Issues the loads of a tile that lies wholly inside the matrix and away from its two ends.
    __device__ __forceinline__ void fetch_full() {
        for_each_pass([this](unsigned pass, unsigned, unsigned, const char* granule) {
            low_[pass] = ld_global_nc_16(granule);
            high_[pass] = ld_global_nc_16_if(granule + 16, shift_ != 0);
        });
    }

    __device__ __forceinline__ void store_full(unsigned char* shared) const {
        for_each_pass([&](unsigned pass, unsigned i, unsigned j, const char*) {
            *chunk(shared, i, j) = realign_bytes(low_[pass], high_[pass], shift_);
        });
    }

    // Issues the loads of a tile of which only the first `rows` rows and `cols` columns exist. Granules that hold no
    // wanted element, or stick out of the matrix's span, read as zeros.
    __device__ __forceinline__ void fetch_guarded(unsigned rows, unsigned cols) {
        for_each_pass([&](unsigned pass, unsigned i, unsigned j, const char* granule) {
            const unsigned wanted = wanted_bytes(i, j, rows, cols);
            low_[pass] = ld_global_nc_16_if(granule, wanted != 0 && in_span(granule));
            high_[pass] = ld_global_nc_16_if(granule + 16, shift_ + wanted > 16 && in_span(granule + 16));
        });
    }

    __device__ __forceinline__ void store_guarded(unsigned char* shared, unsigned rows, unsigned cols) const {
        for_each_pass([&](unsigned pass, unsigned i, unsigned j, const char*) {
            const uint4 shifted = realign_bytes(low_[pass], high_[pass], shift_);
            *chunk(shared, i, j) = keep_first_bytes(shifted, wanted_bytes(i, j, rows, cols));
        });
    }

    // After store_guarded, and only for a tile that holds the matrix's first or last granule: chunks of which a granule
    // sticks out of the span are written again, element by element. The one place where elements are loaded singly.
    __device__ __forceinline__ void patch_ends(unsigned char* shared, unsigned rows, unsigned cols) const {
#pragma unroll 1
        for (unsigned i = 0; i < Cover::kRowPasses; ++i) {
#pragma unroll 1
            for (unsigned j = 0; j < Cover::kColPasses; ++j) {
                const unsigned wanted = wanted_bytes(i, j, rows, cols);
                const char* granule = granule_ + i * row_step_bytes_ + j * Cover::kSpan;
                const bool low_sticks_out = wanted != 0 && !in_span(granule);
                const bool high_sticks_out = shift_ + wanted > 16 && !in_span(granule + 16);
                if (low_sticks_out || high_sticks_out) {
                    const In* from = reinterpret_cast<const In*>(granule + shift_);
                    In* to = reinterpret_cast<In*>(chunk(shared, i, j));
#pragma unroll 1
                    for (unsigned h = 0; h < wanted / sizeof(In); ++h) {
                        to[h] = from[h];
                    }
                }
            }
        }
    }

private:
    template <class Body>
    __device__ __forceinline__ void for_each_pass(Body body) const {
        if (Cover::idle(row_)) {
            return;
        }
        const char* row_granule = granule_;
#pragma unroll
        for (unsigned i = 0; i < Cover::kRowPasses; ++i) {
#pragma unroll
            for (unsigned j = 0; j < Cover::kColPasses; ++j) {
                body(i * Cover::kColPasses + j, i, j, row_granule + j * Cover::kSpan);
            }
            row_granule += row_step_bytes_;
        }
    }

    __device__ __forceinline__ unsigned wanted_bytes(unsigned i, unsigned j, unsigned rows, unsigned cols) const {
        const unsigned cols_bytes = cols * static_cast<unsigned>(sizeof(In));
        return row_ + i * Cover::kRowStep < rows ? count_below(cols_bytes, col_bytes_ + j * Cover::kSpan, 16) : 0;
    }

    __device__ __forceinline__ bool in_span(const char* granule) const {
        return granule >= begin_ && granule + 16 <= end_;
    }

    __device__ __forceinline__ uint4* chunk(unsigned char* shared, unsigned i, unsigned j) const {
        return reinterpret_cast<uint4*>(shared + Cover::offset(first_offset_, i, j));
    }

    unsigned row_;
    unsigned col_bytes_;
    unsigned first_offset_;
    unsigned shift_;
    long long row_step_bytes_;
    const char* granule_;
    const char* begin_;
    const char* end_;
    uint4 low_[kPasses];
    uint4 high_[kPasses];
};

// Whether the block of `rows` x `cols` elements at `first` shares a 16-byte granule with the outside of [begin, end).
template <class In>
__device__ __forceinline__ bool touches_ends(const In* first, long long ld, unsigned rows, unsigned cols, const In* begin,
                                             const In* end) {
    const auto lowest = reinterpret_cast<unsigned long long>(first) & ~15ull;
    const auto last = reinterpret_cast<unsigned long long>(first + (rows - 1) * ld + (cols - 1));
    return lowest < reinterpret_cast<unsigned long long>(begin) || (last | 15) >= reinterpret_cast<unsigned long long>(end);
}
