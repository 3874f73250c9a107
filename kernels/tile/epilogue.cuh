// The way out: C = alpha * acc + beta * C through a tile of 16-bit elements staged in shared memory, stored by whole rows.
//
// Accumulators sit in registers in an order that suits the multiplier, not memory. Staging the finished tile lets
// consecutive threads write consecutive 16-byte granules of a row, whatever C's alignment is: where a row starts inside a
// granule, the granules are shifted together from two staged chunks, and only the halves in the first and last granule
// of the row segment are stored singly. Nothing outside the segment is read or written.
#pragma once

#include "params.cuh"
#include "tile/element.cuh"
#include "tile/realign.cuh"
#include "tile/swizzle.cuh"

template <unsigned kRows, unsigned kCols, unsigned kThreads, class Out = __half>
class StagedOutput {
    using Tile = SwizzledTile<kRows, kCols>;

public:
    static constexpr unsigned kBytes = Tile::kBytes;

    static_assert(sizeof(Out) == 2, "the tile holds 16-bit elements");

    template <class In>
    __device__ __forceinline__ StagedOutput(unsigned char* shared, const GemmParamsT<In, Out>& p, unsigned row0,
                                            unsigned col0)
        : shared_(shared),
          first_(p.c + (row0 * p.ldc + col0)),
          ld_(p.ldc),
          rows_(min(p.m - row0, kRows)),
          cols_(static_cast<int>(min(p.n - col0, kCols))) {}

    // Two neighbouring elements; `col` is even.
    __device__ __forceinline__ unsigned& pair(unsigned row, unsigned col) const {
        return *reinterpret_cast<unsigned*>(shared_ + Tile::element_offset(row, col));
    }

    // Eight neighbouring elements.
    __device__ __forceinline__ uint4& chunk(unsigned row, unsigned index) const {
        return *reinterpret_cast<uint4*>(shared_ + Tile::offset(row, index));
    }

    __device__ __forceinline__ Out& element(unsigned row, unsigned col) const {
        return *reinterpret_cast<Out*>(shared_ + Tile::element_offset(row, col));
    }

    // Reads the tile's part of C into the stage, zeros where C ends. Callers put a barrier on both sides.
    __device__ __forceinline__ void load(unsigned thread) const {
        if (rows_are_aligned()) {
            load_chunks<true>(thread);
        } else {
            load_chunks<false>(thread);
        }
    }

    // Writes the staged tile to C. Callers put a barrier in front.
    __device__ __forceinline__ void store(unsigned thread) const {
        if (rows_are_aligned()) {
            store_granules<true>(thread);
        } else {
            store_granules<false>(thread);
        }
    }

private:
    // One aligned 16-byte granule of a row segment: it covers columns first .. first+7 of the tile, of which some may lie
    // before the segment (first < 0, only where rows are not aligned) or after it.
    struct Granule {
        unsigned row;
        unsigned index;
        unsigned residue;  // halves between the first granule's start and the segment's
        int first;
        Out* at;        // its address; only columns inside the segment may be touched
    };

    // A misaligned segment straddles one granule more than it has chunks.
    template <bool kAligned>
    static constexpr unsigned kGranules = Tile::kChunks + (kAligned ? 0 : 1);

    __device__ __forceinline__ bool rows_are_aligned() const {
        return ((low_bits(first_) | static_cast<unsigned>(ld_ * 2)) & 15) == 0;
    }

    __device__ __forceinline__ static unsigned low_bits(const Out* pointer) {
        return static_cast<unsigned>(reinterpret_cast<unsigned long long>(pointer));
    }

    template <bool kAligned>
    __device__ __forceinline__ Granule granule(unsigned piece) const {
        const unsigned row = piece / kGranules<kAligned>;
        const unsigned index = piece % kGranules<kAligned>;
        Out* const start = first_ + row * ld_;
        const unsigned residue = kAligned ? 0 : low_bits(start) / 2 % 8;
        const int first = static_cast<int>(index * 8) - static_cast<int>(residue);
        return {row, index, residue, first, start + first};
    }

    template <bool kAligned>
    __device__ __forceinline__ void load_chunks(unsigned thread) const {
#pragma unroll 1
        for (unsigned piece = thread; piece < kRows * Tile::kChunks; piece += kThreads) {
            const unsigned row = piece / Tile::kChunks;
            const unsigned index = piece % Tile::kChunks;
            const Out* const from = first_ + row * ld_ + index * 8;
            const unsigned residue = kAligned ? 0 : low_bits(from) / 2 % 8;
            // The one or two granules that hold the chunk must lie inside the row segment: what is next to it belongs to
            // other CTAs, which may be writing it.
            const int begin = static_cast<int>(index * 8) - static_cast<int>(residue);
            const int end = begin + (residue == 0 ? 8 : 16);
            if (row < rows_ && begin >= 0 && end <= cols_) {
                const auto* granules = reinterpret_cast<const uint4*>(from - residue);
                const uint4 low = granules[0];
                chunk(row, index) = residue == 0 ? low : realign_bytes(low, granules[1], residue * 2);
            } else {
#pragma unroll 1
                for (unsigned h = 0; h < 8; ++h) {
                    const bool inside = row < rows_ && static_cast<int>(index * 8 + h) < cols_;
                    element(row, index * 8 + h) = inside ? from[h] : Out();
                }
            }
        }
    }

    template <bool kAligned>
    __device__ __forceinline__ void store_granules(unsigned thread) const {
#pragma unroll 1
        for (unsigned piece = thread; piece < rows_ * kGranules<kAligned>; piece += kThreads) {
            const Granule g = granule<kAligned>(piece);
            if (g.first >= 0 && g.first + 8 <= cols_) {
                uint4 out = chunk(g.row, g.index);
                if (!kAligned && g.residue != 0) {
                    out = realign_bytes(chunk(g.row, g.index - 1), out, 16 - g.residue * 2);
                }
                *reinterpret_cast<uint4*>(g.at) = out;
            } else {
                const int end = min(g.first + 8, cols_);
#pragma unroll 1
                for (int col = max(g.first, 0); col < end; ++col) {
                    g.at[col - g.first] = element(g.row, col);
                }
            }
        }
    }

    unsigned char* shared_;
    Out* first_;
    long long ld_;
    unsigned rows_;
    int cols_;
};
