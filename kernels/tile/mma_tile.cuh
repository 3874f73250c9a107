// A CTA's tile multiplied with mma.sync: its shape, and a warp's share of it in registers.
//
// Shared memory holds operands as they are stored: a K-major operand (A not transposed, B transposed) as rows of 64 bytes
// along k, the other kind as 32 rows along m or n. ldmatrix hands out the same fragments from both; the transposing form
// moves 16-bit elements only, so that operands of other types must be K-major.
#pragma once

#include "params.cuh"
#include "ptx/ldmatrix.cuh"
#include "tile/element.cuh"
#include "tile/epilogue.cuh"
#include "tile/raster.cuh"
#include "tile/swizzle.cuh"

#include <type_traits>

// The size of a CTA's tile and how it is cut up. kGroup: tile rows of a raster band. kSwapped: the tile is one of C transposed, whose
// factors are B and A transposed: its rows are columns of C, and the problem's m and n change places.
template <unsigned kM_, unsigned kN_, unsigned kWarpM_, unsigned kWarpN_, unsigned kStages_, unsigned kGroup_, bool kSwapped_ = false>
struct Tiling {
    static constexpr unsigned kM = kM_;
    static constexpr unsigned kN = kN_;
    static constexpr unsigned kWarpM = kWarpM_;
    static constexpr unsigned kWarpN = kWarpN_;
    static constexpr unsigned kStages = kStages_;
    static constexpr unsigned kGroup = kGroup_;
    static constexpr bool kSwapped = kSwapped_;
    static constexpr unsigned kWarpsM = kM / kWarpM;
    static constexpr unsigned kWarpsN = kN / kWarpN;
    static constexpr unsigned kThreads = kWarpsM * kWarpsN * 32;
    static_assert(kWarpM % 16 == 0 && (kWarpN == 8 || kWarpN % 16 == 0), "warps load B two 8-wide blocks at a time, or the only one");
};

using Tiles128x256 = Tiling<128, 256, 64, 64, 3, 16>;
using Tiles128x128 = Tiling<128, 128, 64, 64, 4, 8>;
// Smaller warp tiles, where operands on their way to the multiplier need registers of their own.
using Tiles128x128Wide = Tiling<128, 128, 64, 32, 4, 8>;
using Tiles64x64 = Tiling<64, 64, 32, 32, 6, 8>;
// For few rows: the multiplier takes no fewer than 16 on its side of A.
using Tiles16x128 = Tiling<16, 128, 16, 32, 6, 8>;
// For fewer: C transposed, so that its rows lie on the multiplier's side of B, which is 8 wide. In C: 8 rows, 128 columns.
using Tiles8x128 = Tiling<128, 8, 32, 8, 6, 8, true>;

// A tiling for one type (types.cuh) and one layout (params.cuh).
template <class T, class Type_, class Layout>
struct MmaConfig : T {
    using Type = Type_;
    using In = typename Type::In;
    using Acc = typename Type::Acc;
    using Out = typename Type::Out;
    using Params = GemmParamsT<In, Out>;
    static constexpr bool kTransA = Layout::kTransA;
    static constexpr bool kTransB = Layout::kTransB;
    // Elements along k in a k step: two fragments of 32 bytes.
    static constexpr unsigned kK = 64 / sizeof(In);
    using TileA = std::conditional_t<kTransA, SwizzledTile<kK, T::kM>, SwizzledTile<T::kM, 32>>;
    using TileB = std::conditional_t<kTransB, SwizzledTile<T::kN, 32>, SwizzledTile<kK, T::kN>>;
    static constexpr unsigned kStageBytes = TileA::kBytes + TileB::kBytes;
    static constexpr unsigned kSharedBytes = T::kStages * kStageBytes;
    static_assert(sizeof(In) == 2 || (!kTransA && kTransB), "other than 16-bit operands must be K-major");
    static_assert(!kTransA || T::kWarpM == 16 || T::kWarpM == 32 || T::kWarpM == 64, "a warp's columns of A stay inside one swizzle period");
    static_assert(T::kWarpN == 8 || T::kWarpN == 32 || T::kWarpN == 64, "a warp's columns of B stay inside one swizzle period");
    static_assert(!T::kSwapped || sizeof(Out) == 2, "32-bit elements leave straight from registers, row by row");
    static_assert(T::kM * T::kN * 2 <= kSharedBytes, "a tile of C is staged where the pipeline was");
};

// One warp's share of the C tile: its accumulators and where it reads its fragments.
template <class C>
class WarpTile {
    static constexpr unsigned kBlocksM = C::kWarpM / 16;
    static constexpr unsigned kBlocksN = C::kWarpN / 8;
    static constexpr unsigned kPairsN = (kBlocksN + 1) / 2;
    using Type = typename C::Type;
    using Acc = typename C::Acc;
    using Out = typename C::Out;

public:
    __device__ __forceinline__ explicit WarpTile(unsigned thread) {
        const unsigned warp = thread / 32;
        lane_ = thread % 32;
        row_ = warp % C::kWarpsM * C::kWarpM;
        col_ = warp / C::kWarpsM * C::kWarpN;
        // Each group of eight lanes addresses one 8x8 matrix. For A they come in the order (rows 0, k 0), (8, 0), (0, 8),
        // (8, 8) of a 16x16 block, for B in the order (k 0, cols 0), (8, 0), (0, 8), (8, 8): that of the registers.
        // Of a single block of columns there are two matrices, in the order of k.
        const unsigned upper = lane_ / 16;
        const unsigned upper_b = kBlocksN == 1 ? 0 : upper;
        const unsigned odd = lane_ / 8 % 2;
        const unsigned within = lane_ % 8;
        if constexpr (C::kTransA) {
            a_offset_ = C::TileA::offset(upper * 8 + within, row_ / 8 + odd);
        } else {
            a_offset_ = C::TileA::offset(row_ + odd * 8 + within, upper);
        }
        if constexpr (C::kTransB) {
            b_offset_ = C::TileA::kBytes + C::TileB::offset(col_ + upper_b * 8 + within, odd);
        } else {
            b_offset_ = C::TileA::kBytes + C::TileB::offset(odd * 8 + within, col_ / 8 + upper_b);
        }
        clear();
    }

    __device__ __forceinline__ void clear() {
        for_each_block([](unsigned, Acc(&acc)[4]) {
#pragma unroll
            for (unsigned e = 0; e < 4; ++e) {
                acc[e] = 0;
            }
        });
    }

    // Fragments of the 32 bytes along k that start at 32 * kStep in the stage at `shared`.
    template <unsigned kStep>
    __device__ __forceinline__ void load(unsigned shared) {
        // Steps inside a swizzle period flip bits of the offset; rows and whole periods add to it.
#pragma unroll
        for (unsigned i = 0; i < kBlocksM; ++i) {
            if constexpr (C::kTransA) {
                ldmatrix_x4_trans(a_[kStep][i], shared + (a_offset_ ^ i * 32) + kStep * 16 * C::TileA::kPitch);
            } else {
                ldmatrix_x4(a_[kStep][i], shared + (a_offset_ ^ kStep * 32) + i * 16 * C::TileA::kPitch);
            }
        }
        if constexpr (kBlocksN == 1) {
            unsigned(&b)[4] = b_[kStep][0];
            if constexpr (C::kTransB) {
                ldmatrix_x2(b[0], b[1], shared + (b_offset_ ^ kStep * 32));
            } else {
                ldmatrix_x2_trans(b[0], b[1], shared + b_offset_ + kStep * 16 * C::TileB::kPitch);
            }
        } else {
#pragma unroll
            for (unsigned j = 0; j < kPairsN; ++j) {
                if constexpr (C::kTransB) {
                    ldmatrix_x4(b_[kStep][j], shared + (b_offset_ ^ kStep * 32) + j * 16 * C::TileB::kPitch);
                } else {
                    ldmatrix_x4_trans(b_[kStep][j], shared + (b_offset_ ^ j * 32) + kStep * 16 * C::TileB::kPitch);
                }
            }
        }
    }

    // acc += A * B for the fragments loaded last for kStep.
    template <unsigned kStep>
    __device__ __forceinline__ void multiply() {
#pragma unroll
        for (unsigned i = 0; i < kBlocksM; ++i) {
#pragma unroll
            for (unsigned j = 0; j < kBlocksN; ++j) {
                const unsigned* b = b_[kStep][j / 2] + j % 2 * 2;
                mma<Type>(acc_[i][j], a_[kStep][i], b[0], b[1]);
            }
        }
    }

    // C = alpha * acc + beta * C for this warp's part of the tile at `origin`. All warps call it, when all are done with
    // the shared memory at `memory`; it ends with reads of that memory.
    __device__ __forceinline__ void write(const typename C::Params& p, TileOrigin origin, unsigned char* memory) const {
        if constexpr (C::kSwapped) {
            write_transposed(p, origin, memory);
        } else if constexpr (sizeof(Out) == 2) {
            write_staged(p, origin, memory);
        } else {
            write_direct(p, origin);
        }
    }

    // Calls body(index, four accumulators), in an order that is the same for all threads and layouts.
    template <class Body>
    __device__ __forceinline__ void for_each_block(Body body) {
#pragma unroll
        for (unsigned i = 0; i < kBlocksM; ++i) {
#pragma unroll
            for (unsigned j = 0; j < kBlocksN; ++j) {
                body(i * kBlocksN + j, acc_[i][j]);
            }
        }
    }

    static constexpr unsigned kBlocks = kBlocksM * kBlocksN;

private:
    // Calls body(row, col, first, second) for pairs of neighbouring elements of the tile.
    template <class Body>
    __device__ __forceinline__ void for_each_output(Body body) const {
#pragma unroll
        for (unsigned i = 0; i < kBlocksM; ++i) {
#pragma unroll
            for (unsigned j = 0; j < kBlocksN; ++j) {
#pragma unroll
                for (unsigned half = 0; half < 2; ++half) {
                    body(row_ + i * 16 + half * 8 + lane_ / 4, col_ + j * 8 + lane_ % 4 * 2, acc_[i][j][half * 2],
                         acc_[i][j][half * 2 + 1]);
                }
            }
        }
    }

    // 16-bit elements: through shared memory, so that whole rows leave in 16-byte pieces. Each pair belongs to one thread.
    __device__ __forceinline__ void write_staged(const typename C::Params& p, TileOrigin origin,
                                                 unsigned char* memory) const {
        const StagedOutput<C::kM, C::kN, C::kThreads, Out> output(memory, p, origin.row, origin.col);
        if (p.beta != 0.0f) {
            output.load(threadIdx.x);
            __syncthreads();
            for_each_output([&](unsigned row, unsigned col, Acc first, Acc second) {
                unsigned& to = output.pair(row, col);
                to = finish_pair<Type>(first, second, p.alpha, p.beta, to);
            });
        } else {
            for_each_output([&](unsigned row, unsigned col, Acc first, Acc second) {
                output.pair(row, col) = finish_pair<Type>(first, second, p.alpha);
            });
        }
        __syncthreads();
        output.store(threadIdx.x);
    }

    // The same for a tile of C transposed: a pair is of one column of C. Four lanes' pairs lie in rows of C of different chunks.
    __device__ __forceinline__ void write_transposed(const typename C::Params& p, TileOrigin origin,
                                                     unsigned char* memory) const {
        const StagedOutput<C::kN, C::kM, C::kThreads, Out> output(memory, swap_operands(p), origin.col, origin.row);
        if (p.beta != 0.0f) {
            output.load(threadIdx.x);
            __syncthreads();
            for_each_output([&](unsigned row, unsigned col, Acc first, Acc second) {
                Out& one = output.element(col, row);
                Out& other = output.element(col + 1, row);
                one = Type::finish(first, p.alpha, p.beta, one);
                other = Type::finish(second, p.alpha, p.beta, other);
            });
        } else {
            for_each_output([&](unsigned row, unsigned col, Acc first, Acc second) {
                output.element(col, row) = Type::finish(first, p.alpha);
                output.element(col + 1, row) = Type::finish(second, p.alpha);
            });
        }
        __syncthreads();
        output.store(threadIdx.x);
    }

    // 32-bit elements: four lanes own 32 bytes of a row, a whole sector where C is aligned, so nothing is staged.
    __device__ __forceinline__ void write_direct(const typename C::Params& p, TileOrigin origin) const {
        const unsigned rows = p.m - origin.row;
        const unsigned cols = p.n - origin.col;
        Out* const tile = p.c + (origin.row * p.ldc + origin.col);
        const bool pairs = reinterpret_cast<unsigned long long>(tile) % 8 == 0 && p.ldc % 2 == 0;
        for_each_output([&](unsigned row, unsigned col, Acc first, Acc second) {
            if (row < rows && col < cols) {
                Out* const to = tile + (row * p.ldc + col);
                const bool both = col + 1 < cols;
                if (both && pairs) {
                    store_pair(to, first, second, p.alpha, p.beta);
                } else {
                    *to = finish(first, p.alpha, p.beta, to);
                    if (both) {
                        to[1] = finish(second, p.alpha, p.beta, to + 1);
                    }
                }
            }
        });
    }

    __device__ __forceinline__ static Out finish(Acc acc, float alpha, float beta, const Out* old) {
        return beta != 0.0f ? Type::finish(acc, alpha, beta, *old) : Type::finish(acc, alpha);
    }

    __device__ __forceinline__ static void store_pair(Out* to, Acc first, Acc second, float alpha, float beta) {
        using Pair = std::conditional_t<std::is_same_v<Out, float>, float2, int2>;
        Pair out;
        if (beta != 0.0f) {
            const Pair old = *reinterpret_cast<const Pair*>(to);
            out = {Type::finish(first, alpha, beta, old.x), Type::finish(second, alpha, beta, old.y)};
        } else {
            out = {Type::finish(first, alpha), Type::finish(second, alpha)};
        }
        *reinterpret_cast<Pair*>(to) = out;
    }

    Acc acc_[kBlocksM][kBlocksN][4];
    unsigned a_[2][kBlocksM][4];
    unsigned b_[2][kPairsN][4];
    unsigned lane_;
    unsigned row_;
    unsigned col_;
    unsigned a_offset_;
    unsigned b_offset_;
};
