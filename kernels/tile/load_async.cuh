// Global -> shared tile copies for operands whose rows are 16-, 8- or 4-byte aligned: cp.async of that size.
#pragma once

#include "ptx/cp_async.cuh"
#include "tile/realign.cuh"
#include "tile/swizzle.cuh"

// Which elements of a tile exist: rows first_row .. rows-1, columns 0 .. cols-1.
struct TileExtent {
    unsigned rows;
    unsigned cols;
    unsigned first_row;
};

template <class In, class Tile, unsigned kThreads, unsigned kPiece>
class AsyncLoader {
    using Cover = TileCover<Tile, kThreads, kPiece>;

public:
    // `origin` is the tile's first element in global memory, `anchor` any readable address aligned to kPiece.
    __device__ __forceinline__ AsyncLoader(const void* anchor, const In* origin, long long ld, unsigned thread)
        : anchor_(anchor),
          row_(Cover::row(thread)),
          col_bytes_(Cover::col_bytes(thread)),
          first_offset_(Cover::first_offset(thread)),
          row_step_bytes_(ld * static_cast<long long>(Cover::kRowStep * sizeof(In))),
          source_(reinterpret_cast<const char*>(origin + row_ * ld) + col_bytes_) {}

    __device__ __forceinline__ void advance(long long bytes) { source_ += bytes; }

    // The tile lies wholly inside the matrix: no masks.
    __device__ __forceinline__ void copy_full(unsigned shared) const {
        if (Cover::idle(row_)) {
            return;
        }
        const char* row_source = source_;
#pragma unroll
        for (unsigned i = 0; i < Cover::kRowPasses; ++i) {
#pragma unroll
            for (unsigned j = 0; j < Cover::kColPasses; ++j) {
                cp_async<kPiece>(shared + Cover::offset(first_offset_, i, j), row_source + j * Cover::kSpan);
            }
            row_source += row_step_bytes_;
        }
    }

    // What does not exist becomes zero without being read.
    __device__ __forceinline__ void copy_guarded(unsigned shared, const TileExtent& extent) const {
        if (Cover::idle(row_)) {
            return;
        }
        const char* row_source = source_;
        const unsigned cols_bytes = extent.cols * static_cast<unsigned>(sizeof(In));
#pragma unroll 4
        for (unsigned i = 0; i < Cover::kRowPasses; ++i) {
            const unsigned row = row_ + i * Cover::kRowStep;
            const bool row_exists = row < extent.rows && row >= extent.first_row;
#pragma unroll
            for (unsigned j = 0; j < Cover::kColPasses; ++j) {
                const unsigned inside = count_below(cols_bytes, col_bytes_ + j * Cover::kSpan, kPiece);
                const unsigned valid = row_exists ? inside : 0;
                // An address outside the matrix is never handed to the copy, not even for a read of no bytes.
                const void* from = valid != 0 ? static_cast<const void*>(row_source + j * Cover::kSpan) : anchor_;
                cp_async_zfill<kPiece>(shared + Cover::offset(first_offset_, i, j), from, valid);
            }
            row_source += row_step_bytes_;
        }
    }

    // Zeroes the first `gone` bytes (fewer than 16) of every row of the tile at `memory`, where this thread copied them:
    // after its own wait and before the barrier that publishes the tile.
    __device__ __forceinline__ void drop_heads(unsigned char* memory, unsigned gone) const {
        static_assert(kPiece == 16, "one piece holds a row's head");
        if (col_bytes_ == 0 && !Cover::idle(row_)) {
#pragma unroll
            for (unsigned i = 0; i < Cover::kRowPasses; ++i) {
                auto* const head = reinterpret_cast<uint4*>(memory + Cover::offset(first_offset_, i, 0));
                *head = drop_first_bytes(*head, gone);
            }
        }
    }

private:
    const void* anchor_;
    unsigned row_;
    unsigned col_bytes_;
    unsigned first_offset_;
    long long row_step_bytes_;
    const char* source_;
};
