// XOR-swizzled shared-memory tiles of 16-bit elements.
#pragma once

// kRows x kCols halves, rows packed without padding; the 16-byte chunks of a row are permuted by the row's number so that
// the eight rows which one ldmatrix phase (or one column of accumulators) touches fall into eight different bank groups.
template <unsigned kRows_, unsigned kCols_>
struct SwizzledTile {
    static constexpr unsigned kRows = kRows_;
    static constexpr unsigned kCols = kCols_;
    static constexpr unsigned kPitch = kCols * 2;
    static constexpr unsigned kChunks = kCols / 8;
    static constexpr unsigned kBytes = kRows * kPitch;
    static_assert(kChunks == 1 || kChunks == 2 || kChunks == 4 || kChunks % 8 == 0,
                  "rows are a part of the 128 bytes of all banks, or a multiple of them");

    // Where several rows fill the banks, the permutation moves on with each such group of rows only.
    __device__ __forceinline__ static unsigned swizzle(unsigned row) {
        constexpr unsigned kPermuted = kChunks < 8 ? kChunks : 8;
        return row / (8 / kPermuted) % kPermuted;
    }

    __device__ __forceinline__ static unsigned offset(unsigned row, unsigned chunk) {
        return row * kPitch + ((chunk ^ swizzle(row)) << 4);
    }

    __device__ __forceinline__ static unsigned element_offset(unsigned row, unsigned col) {
        return offset(row, col / 8) + (col % 8) * 2;
    }
};

// How kThreads threads cover such a tile with pieces of kPiece bytes: neighbouring threads take neighbouring pieces of a
// span of up to 128 bytes, further passes step down the rows and then across the spans. Since the steps are multiples of
// the swizzle's period, or flip whole bits of it, a thread needs one swizzled offset and compile-time distances from it.
template <class Tile, unsigned kThreads, unsigned kPiece>
struct TileCover {
    static constexpr unsigned kSpan = Tile::kPitch < 128 ? Tile::kPitch : 128;
    static constexpr unsigned kLanes = kSpan / kPiece;
    static constexpr unsigned kRowStep = kThreads / kLanes;
    // A small tile leaves threads without a row.
    static constexpr bool kSomeIdle = Tile::kRows < kRowStep;
    static constexpr unsigned kRowPasses = kSomeIdle ? 1 : Tile::kRows / kRowStep;
    static constexpr unsigned kColPasses = Tile::kPitch / kSpan;
    static_assert(kThreads % kLanes == 0 && (kSomeIdle || Tile::kRows % kRowStep == 0), "the passes cover the tile exactly");
    static_assert((kRowStep & (kRowStep - 1)) == 0, "flipping swizzle bits needs a power of two");
    static_assert(kSpan == 128 || kRowStep % 8 == 0, "shorter rows: each pass starts at the same swizzle");

    // Row of a thread's first piece, and the bytes in front of it in that row.
    __device__ __forceinline__ static unsigned row(unsigned thread) { return thread / kLanes; }
    __device__ __forceinline__ static unsigned col_bytes(unsigned thread) { return thread % kLanes * kPiece; }

    __device__ __forceinline__ static unsigned first_offset(unsigned thread) {
        return Tile::offset(row(thread), col_bytes(thread) / 16) + col_bytes(thread) % 16;
    }

    __device__ __forceinline__ static bool idle(unsigned row) { return kSomeIdle && row >= Tile::kRows; }

    // From a thread's first offset to its piece in row pass i, column pass j.
    __device__ __forceinline__ static unsigned offset(unsigned first, unsigned i, unsigned j) {
        return (first ^ ((i * kRowStep & 7) << 4)) + i * kRowStep * Tile::kPitch + j * kSpan;
    }
};
