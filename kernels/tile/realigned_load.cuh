// Misaligned blocks of 64 x 64 elements on their way from global to swizzled shared memory, through registers.
#pragma once

#include "ptx/ld_global.cuh"
#include "tile/realign.cuh"

// A matrix of 16-bit elements, 2-byte aligned, as it is stored.
struct Source {
    const char* first;
    long long row_bytes;
    unsigned rows;
    unsigned cols;

    __device__ __forceinline__ const char* end() const {
        return first + ((rows - 1ll) * row_bytes + cols * 2ll);
    }
};

// 128 threads' share of one block: thread t takes the eight elements from column 8 (t % 8) on, of rows t / 8 + 0, 16, 32, 48.
// fetch issues all loads, store waits for them; what lies outside the matrix becomes zero.
class RealignedBlock {
public:
    __device__ __forceinline__ void fetch(const Source& from, unsigned row, unsigned col, unsigned thread) {
        const unsigned column = col + thread % 8 * 8;
        valid_ = count_below(from.cols, column, 8);
        const unsigned first_row = row + thread / 8;
        rows_ = count_below(from.rows, first_row, 64);
        const char* const at = from.first + (first_row * from.row_bytes + column * 2ll);
        // Sixteen rows on, the shift is the same again, whatever the leading dimension.
        shift_ = static_cast<unsigned>(reinterpret_cast<unsigned long long>(at) / 2 % 8);
        const char* granule = at - shift_ * 2;
        const char* const end = from.end();
#pragma unroll
        for (unsigned i = 0; i < 4; ++i) {
            const unsigned wanted = rows_ > i * 16 ? valid_ : 0;
            const bool both = shift_ + wanted > 8;
            if (wanted != 0 && (granule < from.first || granule + (both ? 32 : 16) > end)) {
                fetch_singly(i, granule, from.first, end);
            } else {
                low_[i] = ld_global_nc_16_if(granule, wanted != 0);
                high_[i] = ld_global_nc_16_if(granule + 16, both);
            }
            granule += from.row_bytes * 16;
        }
    }

    // Into the block at `to`: rows of 128 bytes under the 128-byte swizzle. For the async proxy after fence_async_shared.
    __device__ __forceinline__ void store(unsigned char* to, unsigned thread) const {
        const unsigned row = thread / 8;
        unsigned char* const at = to + row * 128 + ((thread % 8 ^ row % 8) << 4);
#pragma unroll
        for (unsigned i = 0; i < 4; ++i) {
            const unsigned wanted = rows_ > i * 16 ? valid_ : 0;
            *reinterpret_cast<uint4*>(at + i * 2048) = keep_first(realign(low_[i], high_[i], shift_), wanted);
        }
    }

private:
    // Two granules of which one sticks out of the matrix, as the first and the last may: what is inside, and zeros.
    __device__ __forceinline__ void fetch_singly(unsigned i, const char* granule, const char* begin, const char* end) {
        unsigned long long word[4] = {0, 0, 0, 0};
#pragma unroll 1
        for (unsigned h = 0; h < 16; ++h) {
            const char* const at = granule + h * 2;
            const unsigned long long half = at >= begin && at < end ? *reinterpret_cast<const unsigned short*>(at) : 0;
#pragma unroll
            for (unsigned w = 0; w < 4; ++w) {
                word[w] |= h / 4 == w ? half << h % 4 * 16 : 0;
            }
        }
        const auto join = [](unsigned long long low, unsigned long long high) {
            return uint4{static_cast<unsigned>(low), static_cast<unsigned>(low >> 32), static_cast<unsigned>(high),
                         static_cast<unsigned>(high >> 32)};
        };
        low_[i] = join(word[0], word[1]);
        high_[i] = join(word[2], word[3]);
    }

    unsigned valid_;
    unsigned rows_;
    unsigned shift_;
    uint4 low_[4];
    uint4 high_[4];
};
