// Global -> shared tile copies for operands whose rows are 16-, 8- or 4-byte aligned: cp.async of that size.
#pragma once

#include "ptx/cp_async.cuh"
#include "tile/realign.cuh"
#include "tile/swizzle.cuh"

template <class Tile, unsigned kThreads, unsigned kPiece>
class AsyncLoader {
    using Cover = TileCover<Tile, kThreads, kPiece>;

public:
    // `origin` is the tile's first element in global memory, `anchor` any readable address aligned to kPiece.
    __device__ __forceinline__ AsyncLoader(const __half* anchor, const __half* origin, long long ld, unsigned thread)
        : anchor_(anchor),
          row_(Cover::row(thread)),
          col_(Cover::col(thread)),
          first_offset_(Cover::first_offset(thread)),
          row_step_bytes_(ld * (Cover::kRowStep * 2)),
          source_(reinterpret_cast<const char*>(origin + row_ * ld + col_)) {}

    __device__ __forceinline__ void advance(long long bytes) { source_ += bytes; }

    // The tile lies wholly inside the matrix: no masks.
    __device__ __forceinline__ void copy_full(unsigned shared) const {
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

    // Only the first `rows` rows and `cols` columns of the tile exist; everything else becomes zero without being read.
    __device__ __forceinline__ void copy_guarded(unsigned shared, unsigned rows, unsigned cols) const {
        const char* row_source = source_;
#pragma unroll 4
        for (unsigned i = 0; i < Cover::kRowPasses; ++i) {
            const bool row_exists = row_ + i * Cover::kRowStep < rows;
#pragma unroll
            for (unsigned j = 0; j < Cover::kColPasses; ++j) {
                const unsigned halves = count_below(cols, col_ + j * Cover::kColStep, kPiece / 2);
                const unsigned valid = row_exists ? halves * 2 : 0;
                // An address outside the matrix is never handed to the copy, not even for a read of no bytes.
                const void* from = valid != 0 ? static_cast<const void*>(row_source + j * Cover::kSpan) : anchor_;
                cp_async_zfill<kPiece>(shared + Cover::offset(first_offset_, i, j), from, valid);
            }
            row_source += row_step_bytes_;
        }
    }

private:
    const void* anchor_;
    unsigned row_;
    unsigned col_;
    unsigned first_offset_;
    long long row_step_bytes_;
    const char* source_;
};
