// The way out of a wgmma: a warp owns 16 rows of the accumulators and stores them without any other warp.
//
// Two ways. By TMA, where C's rows are whole multiples of 16 bytes: the copy runs while the warp goes on. Else by rows:
// staged in shared memory, read back in 16-byte granules that are shifted to C's own alignment, so that a row is one partial
// granule, whole 16-byte stores, one partial granule. Nothing outside the segment is read or written, and C is not read
// at all where beta is 0.
#pragma once

#include "ptx/fence.cuh"
#include "ptx/ldmatrix.cuh"
#include "ptx/stmatrix.cuh"
#include "ptx/tma.cuh"
#include "tile/convert.cuh"
#include "tile/realign.cuh"

// Where a warp's rows go.
struct WarpRows {
    char* first;          // C at the warp's first row and the tile's first column, which may lie left of C's
    long long row_bytes;  // from row to row
    unsigned rows;        // how many of the 16 exist, those before first_row included
    int begin;            // columns begin..end-1 of the tile exist
    int end;
    unsigned first_row = 0;  // the first that exists
};

// Where a warp's columns go that are not neighbours in C.
struct WarpColumns {
    char* first;            // C at the warp's first row, which may lie above C's, and the tile's first column
    long long row_bytes;    // from row to row
    unsigned column_bytes;  // from column to column
    int begin;              // rows begin..end-1 of the 16 exist
    int end;
    unsigned columns;       // how many columns exist
};

// Accumulators of 16 rows x kN columns, in wgmma's order: acc[4 (column/8) + 2 (row/8) + column%2].
template <Element kElement, unsigned kN>
class WarpOutput {
public:
    // For each warp, 1024-byte aligned: two buffers of 16 rows x 64 columns.
    static constexpr unsigned kStageBytes = 4096;
    // Columns of the box of a TMA store; its 16 rows are under the swizzle of that width.
    static constexpr unsigned kBox = kN % 64 == 0 ? 64 : kN % 32 == 0 ? 32 : 16;

    __device__ __forceinline__ WarpOutput(unsigned char* stage, unsigned lane)
        : stage_(stage), shared_(shared_address(stage)), lane_(lane) {}

    // C = alpha * acc, by TMA. The copies are still running on return.
    __device__ __forceinline__ void store_tma(const float (&acc)[kN / 2], const TensorMap& map, unsigned row, unsigned col,
                                              unsigned m, unsigned n, float alpha) const {
#pragma unroll
        for (unsigned c = 0; c < kN; c += 64) {
            const unsigned buffer = shared_ + c / 64 % 2 * 2048;
            constexpr unsigned kColumns = kN < 64 ? kN : 64;
            constexpr bool kOdd = (kN + 63) / 64 % 2 == 1;
            // The copy before the last read this buffer; where tiles have an odd number of copies, so did the last tile's last.
            if (lane_ == 0) {
                if (kOdd && c == 0) {
                    tma_store_wait_read<0>();
                } else {
                    tma_store_wait_read<1>();
                }
            }
            __syncwarp();
#pragma unroll
            for (unsigned j = 0; j < kColumns && c + j < kN; j += 16) {
                const unsigned box = j / kBox;
                stmatrix_x4(buffer + box * (kBox * 32) + box_offset((j % kBox) / 8), packed(acc, c + j, alpha));
            }
            fence_async_shared();
            __syncwarp();
            if (lane_ == 0) {
#pragma unroll
                for (unsigned j = 0; j < kColumns && c + j < kN; j += kBox) {
                    if (row < m && col + c + j < n) {
                        tma_store(map, static_cast<int>(col + c + j), static_cast<int>(row), buffer + j * 32);
                    }
                }
                tma_store_commit();
            }
        }
    }

    // C = alpha * acc + beta * C, by rows of any alignment.
    __device__ __forceinline__ void store_rows(const float (&acc)[kN / 2], const WarpRows& to, float alpha,
                                               float beta) const {
#pragma unroll
        for (unsigned c = 0; c < kN; c += kSpan) {
            constexpr int kMost = kN < kSpan ? kN : kSpan;
            const int columns = min(static_cast<int>(kN - c), kMost);
            const Segment segment{to.first + c * 2, to.row_bytes, to.first_row, to.rows, max(to.begin - static_cast<int>(c), 0),
                                  min(to.end - static_cast<int>(c), columns)};
            if (segment.begin >= segment.end || segment.rows == 0) {
                continue;
            }
            if (beta != 0.0f) {
                load_old(segment, columns);
                __syncwarp();
            }
            stage_span(acc, c, alpha, beta);
            __syncwarp();
            store_body(segment);
            store_ends(segment, columns);
            __syncwarp();
        }
    }

    // C = alpha * acc + beta * C, element by element, by columns that lie apart.
    __device__ __forceinline__ void store_columns(const float (&acc)[kN / 2], const WarpColumns& to, float alpha,
                                                  float beta) const {
#pragma unroll
        for (unsigned c = 0; c < kN; c += kSpan) {
            const unsigned columns = to.columns > c ? min(kSpan, to.columns - c) : 0;
            if (columns == 0 || to.begin >= to.end) {
                continue;
            }
            const auto at = [&](int row, unsigned col) {
                return reinterpret_cast<unsigned short*>(to.first + row * to.row_bytes +
                                                         static_cast<long long>(c + col) * to.column_bytes);
            };
            if (beta != 0.0f) {
#pragma unroll 1
                for (int row = 0; row < 16; ++row) {
#pragma unroll 1
                    for (unsigned col = lane_; col < kSpan; col += 32) {
                        const bool exists = row >= to.begin && row < to.end && col < columns;
                        element(row, col) = exists ? *at(row, col) : 0;
                    }
                }
                __syncwarp();
            }
            stage_span(acc, c, alpha, beta);
            __syncwarp();
#pragma unroll 1
            for (int row = to.begin; row < to.end; ++row) {
#pragma unroll 1
                for (unsigned col = lane_; col < columns; col += 32) {
                    *at(row, col) = element(row, col);
                }
            }
            __syncwarp();
        }
    }

private:
    static constexpr unsigned kSpan = 128;

    // A warp's rows, and of one span of columns those that exist.
    struct Segment {
        char* first;
        long long row_bytes;
        unsigned first_row;
        unsigned rows;
        int begin;
        int end;

        __device__ __forceinline__ char* row(unsigned index) const { return first + index * row_bytes; }
        __device__ __forceinline__ bool has(unsigned index) const { return index >= first_row && index < rows; }
    };

    // How many elements after a 16-byte boundary a row starts.
    __device__ __forceinline__ static int residue(const char* row) {
        return static_cast<int>(reinterpret_cast<unsigned long long>(row) / 2 % 8);
    }

    // For the lane's address in the box of a TMA store: row lane%16, 16-byte chunk `chunk` or the next.
    __device__ __forceinline__ unsigned box_offset(unsigned chunk) const {
        constexpr unsigned kPitch = kBox * 2;
        const unsigned row = lane_ % 16;
        const unsigned swizzle = row * kPitch / 128 % (kPitch / 16);
        return row * kPitch + (((chunk + lane_ / 16) ^ swizzle) << 4);
    }

    // Spans are staged as two blocks of 64 columns under the 128-byte swizzle.
    __device__ __forceinline__ static unsigned span_offset(unsigned row, unsigned chunk) {
        return chunk / 8 * 2048 + row * 128 + ((chunk % 8 ^ row % 8) << 4);
    }

    __device__ __forceinline__ unsigned short& element(unsigned row, unsigned col) const {
        return *reinterpret_cast<unsigned short*>(stage_ + span_offset(row, col / 8) + col % 8 * 2);
    }

    __device__ __forceinline__ uint4& chunk(unsigned row, unsigned index) const {
        return *reinterpret_cast<uint4*>(stage_ + span_offset(row, index));
    }

    // Puts alpha * acc + beta * (what is staged) for a span of columns from `c` on in its place.
    __device__ __forceinline__ void stage_span(const float (&acc)[kN / 2], unsigned c, float alpha, float beta) const {
#pragma unroll
        for (unsigned j = 0; j < kSpan && c + j < kN; j += 16) {
            const unsigned at = shared_ + span_offset(lane_ % 16, j / 8 + lane_ / 16);
            if (beta != 0.0f) {
                unsigned old[4];
                ldmatrix_x4(old, at);
                stmatrix_x4(at, blended(acc, c + j, alpha, beta, old));
            } else {
                stmatrix_x4(at, packed(acc, c + j, alpha));
            }
        }
    }

    // What a lane gives to stmatrix for 16 columns from `col` on.
    __device__ __forceinline__ static uint4 packed(const float (&acc)[kN / 2], unsigned col, float alpha) {
        const auto word = [&](unsigned i) {
            return pack<kElement>(alpha * acc[col / 2 + 2 * i], alpha * acc[col / 2 + 2 * i + 1]);
        };
        return {word(0), word(1), word(2), word(3)};
    }

    // FP32 all the way: the product is not rounded before beta * C is added.
    __device__ __forceinline__ static uint4 blended(const float (&acc)[kN / 2], unsigned col, float alpha, float beta,
                                                    const unsigned (&old)[4]) {
        const auto word = [&](unsigned i) {
            const float2 was = unpack<kElement>(old[i]);
            return pack<kElement>(__fmaf_rn(beta, was.x, alpha * acc[col / 2 + 2 * i]),
                                  __fmaf_rn(beta, was.y, alpha * acc[col / 2 + 2 * i + 1]));
        };
        return {word(0), word(1), word(2), word(3)};
    }

    // Columns q..q+7 as they are staged; those outside the span are arbitrary.
    __device__ __forceinline__ uint4 staged(unsigned row, int q, int columns) const {
        const int low = q >> 3;
        const uint4 zero = {0, 0, 0, 0};
        return realign(low >= 0 ? chunk(row, low) : zero, (q & 7) != 0 && low + 1 < columns / 8 ? chunk(row, low + 1) : zero,
                       q & 7);
    }

    // Whole granules: half a warp takes a row, so that its stores are one run of up to 256 bytes.
    __device__ __forceinline__ void store_body(const Segment& to) const {
#pragma unroll 2
        for (unsigned row = lane_ / 16; row < 16; row += 2) {
            char* const at = to.row(row);
            const int q = static_cast<int>(lane_ % 16 * 8) - residue(at);
            if (to.has(row) && q >= to.begin && q + 8 <= to.end) {
                *reinterpret_cast<uint4*>(at + q * 2) = staged(row, q, static_cast<int>(kSpan));
            }
        }
    }

    // The granules that hold a row's first and last column, where those are not whole: lanes 0-15 and 16-31.
    __device__ __forceinline__ void store_ends(const Segment& to, int columns) const {
        const unsigned row = lane_ % 16;
        char* const at = to.row(row);
        const int shift = residue(at);
        const int head = (to.begin + shift) / 8 * 8 - shift;
        const int tail = (to.end - 1 + shift) / 8 * 8 - shift;
        const int q = lane_ < 16 ? head : tail;
        if (to.has(row) && (q < to.begin || q + 8 > to.end) && (lane_ < 16 || head != tail)) {
            const uint4 granule = staged(row, q, columns);
            const auto put = [&](unsigned word, int col) {
                const bool low = col >= to.begin && col < to.end;
                const bool high = col + 1 >= to.begin && col + 1 < to.end;
                if (low && high) {
                    *reinterpret_cast<unsigned*>(at + col * 2) = word;
                } else if (low) {
                    *reinterpret_cast<unsigned short*>(at + col * 2) = static_cast<unsigned short>(word);
                } else if (high) {
                    *reinterpret_cast<unsigned short*>(at + col * 2 + 2) = static_cast<unsigned short>(word >> 16);
                }
            };
            put(granule.x, q);
            put(granule.y, q + 2);
            put(granule.z, q + 4);
            put(granule.w, q + 6);
        }
    }

    // What of columns q..q+7 exists in C, zeros for the rest. What is next to the segment belongs to other warps and CTAs,
    // which may be writing it.
    __device__ __forceinline__ static uint4 old_granule(const Segment& from, const char* row, int q) {
        if (q >= from.begin && q + 8 <= from.end) {
            return *reinterpret_cast<const uint4*>(row + q * 2);
        }
        const auto get = [&](int col) -> unsigned {
            const bool low = col >= from.begin && col < from.end;
            const bool high = col + 1 >= from.begin && col + 1 < from.end;
            if (low && high) {
                return *reinterpret_cast<const unsigned*>(row + col * 2);
            }
            if (low) {
                return *reinterpret_cast<const unsigned short*>(row + col * 2);
            }
            return high ? static_cast<unsigned>(*reinterpret_cast<const unsigned short*>(row + col * 2 + 2)) << 16 : 0;
        };
        return {get(q), get(q + 2), get(q + 4), get(q + 6)};
    }

    // Stages C as it is, for blending.
    __device__ __forceinline__ void load_old(const Segment& from, int columns) const {
#pragma unroll 1
        for (unsigned row = lane_ / 16; row < 16; row += 2) {
            const unsigned index = lane_ % 16;
            if (static_cast<int>(index * 8) >= columns) {
                continue;
            }
            uint4 old = {0, 0, 0, 0};
            if (from.has(row)) {
                const char* const at = from.row(row);
                const int shift = residue(at);
                const int q = static_cast<int>(index * 8) - shift;
                const uint4 low = old_granule(from, at, q);
                old = shift == 0 ? low : realign(low, old_granule(from, at, q + 8), shift);
            }
            chunk(row, index) = old;
        }
    }

    unsigned char* stage_;
    unsigned shared_;
    unsigned lane_;
};
