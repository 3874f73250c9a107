// Rung 8, shared by its FP16 and BF16 files: misaligned operands by TMA, with nothing realigned.
//
// TMA asks for rows that start at multiples of 16 bytes. Of a K-major operand whose leading dimension is odd, every eighth row
// does so up to one common shift s: rows r, r+8, r+16, ... form a legal matrix with eight times the leading dimension, whose
// base is rounded down to 16 bytes and whose rows begin with s elements too many. A tile takes its rows from one such
// residue class, so that all of it is late by s along K; the partner is MN-major, where a step along K is a whole row and
// always legal, and is fetched from row k - s on. The shift is gone, and no element was moved for it. (Leading dimensions that
// are multiples of 2 or 4 elements have four or two classes; a misaligned base alone has one.)
//
// The s elements before a row are the end of another: they meet rows of the partner with negative numbers, which TMA fills
// with zeros, but 0 * NaN is NaN, so that the consumers clear them in shared memory before the first product of a tile.
// The end of a row needs no such care, as TMA clips loads at elements. A partner whose base alone is misaligned is late along
// M or N: the grid of tiles starts that much before C's first row or column, which is never stored.
//
// Layouts: nn, A in classes and B the partner; tt, B in classes and A the partner. In nn a tile's rows of C are whole rows, a
// period of classes apart. In tt its columns are, and are stored singly.
//
// Tiles, threads, shared memory and registers: as rung 7 (128x256x64, 4 stages; 128x128x64, 6; pingpong 64x128x64, 6). -c2
// runs in clusters of two CTAs of the same class, which share the partner's tile.
// Alignment contract: the K-major operand and C, none (2 bytes). The partner: leading dimension a multiple of 16 bytes, base none.
// Over rung 7: alignment stops mattering, at the price of rows that lie across 32-byte sectors, and of tiles by class.
#pragma once

#include "params.cuh"
#include "ptx/elect.cuh"
#include "ptx/named_barrier.cuh"
#include "ptx/registers.cuh"
#include "tile/pipeline.cuh"
#include "tile/raster.cuh"
#include "tile/warp_output.cuh"

// What the host finds out about the operands (src/device/cuda/route/absorb.rs). Class j holds rows j, j + period, ...
struct Absorption {
    TensorMap operand[8];  // the K-major operand by class
    TensorMap c[8];        // C by class; read only where C goes by TMA
    TensorMap partner;
    unsigned shift[8];     // how many elements too many a row of class j begins with, 0..7
    unsigned end[8];       // units of tiles in classes 0..j
    unsigned period;       // 1, 2, 4 or 8
    unsigned partner_shift;
};

template <class P_, bool kClassesAlongM_, bool kPingPong_>
struct Config {
    using P = P_;
    using Output = WarpOutput<P::kElement, P::kN>;
    static constexpr bool kClassesAlongM = kClassesAlongM_;
    static constexpr bool kPingPong = kPingPong_;
    static constexpr unsigned kConsumerWarps = 8;
    static constexpr unsigned kReaders = kPingPong ? 4 : 8;
    static constexpr unsigned kOutputOffset = P::kRingBytes;
    static constexpr unsigned kBarrierOffset = kOutputOffset + kConsumerWarps * Output::kStageBytes;
    static constexpr unsigned kSharedBytes = kBarrierOffset + P::Stages::kBytes;
    static constexpr unsigned kGroup = P::kN >= 192 ? 16 : 8;
    static constexpr unsigned kUnitM = P::kPair == Pair::kAlongM ? 2 : 1;
    static constexpr unsigned kUnitN = P::kPair == Pair::kAlongN ? 2 : 1;
    static_assert(P::kM == (kPingPong ? 64 : 128), "64 rows a warpgroup");
    static_assert(P::kPair == Pair::kNone || (P::kPair == Pair::kAlongM) == kClassesAlongM, "CTAs of a cluster share the partner");
    static_assert(!(kClassesAlongM ? P::TileA::kMnMajor : P::TileB::kMnMajor), "classes are of a K-major operand");
    static_assert(kClassesAlongM ? P::TileB::kMnMajor : P::TileA::kMnMajor, "the partner takes any shift along K");
    static_assert(kSharedBytes <= 232448, "what a CTA can have");
};

// A tile: where its operands begin in their maps.
struct ClassTile {
    unsigned index;     // of the class
    unsigned shift;
    unsigned operand;   // first row in the class's map
    unsigned partner;   // first row or column in the partner's map
};

// The tiles of one CTA: every gridDim-th, in units of a cluster's pair.
template <class C>
class Schedule {
    using P = typename C::P;

public:
    __device__ __forceinline__ Schedule(const GemmParams& p, const Absorption& x, unsigned rank) : rank_(rank) {
        const unsigned classes = x.end[7];
        const unsigned partner = C::kClassesAlongM ? ceil_div(p.n + x.partner_shift, P::kN * C::kUnitN)
                                                   : ceil_div(p.m + x.partner_shift, P::kM * C::kUnitM);
        units_m_ = C::kClassesAlongM ? classes : partner;
        units_n_ = C::kClassesAlongM ? partner : classes;
        next_ = blockIdx.x / P::kCluster;
        const unsigned group = p.reserved >> 8 & 0xff;
        group_ = (group == 0 ? C::kGroup : group) / C::kUnitM;
        group_ = group_ == 0 ? 1 : group_;
    }

    __device__ __forceinline__ bool done() const { return next_ >= units_m_ * units_n_; }

    __device__ __forceinline__ ClassTile take(const Absorption& x) {
        const uint2 unit = raster_bands(next_, units_m_, units_n_, group_);
        next_ += gridDim.x / P::kCluster;
        const unsigned along = C::kClassesAlongM ? unit.x : unit.y;
        const unsigned across = C::kClassesAlongM ? unit.y : unit.x;
        unsigned index = 0;
        unsigned begin = 0;
#pragma unroll
        for (unsigned j = 0; j < 7; ++j) {
            if (along >= x.end[j]) {
                index = j + 1;
                begin = x.end[j];
            }
        }
        constexpr unsigned kUnit = C::kClassesAlongM ? C::kUnitM : C::kUnitN;
        constexpr unsigned kAlong = C::kClassesAlongM ? P::kM : P::kN;
        constexpr unsigned kAcross = C::kClassesAlongM ? P::kN : P::kM;
        return {index, x.shift[index], ((along - begin) * kUnit + (kUnit == 2 ? rank_ : 0)) * kAlong, across * kAcross};
    }

private:
    unsigned units_m_;
    unsigned units_n_;
    unsigned rank_;
    unsigned next_;
    unsigned group_;
};

// Rows of a class begin `shift` elements early. An empty sum stays empty.
__device__ __forceinline__ Depth shifted_depth(unsigned k, unsigned shift) {
    return Depth(k == 0 ? 0 : k + shift);
}

template <class C>
__device__ __forceinline__ void produce_all(const GemmParams& p, const Absorption& x, typename C::P::Stages ring,
                                            unsigned shared, unsigned rank) {
    using P = typename C::P;
    typename P::Position at;
    for (Schedule<C> schedule(p, x, rank); !schedule.done();) {
        const ClassTile tile = schedule.take(x);
        const Depth depth = shifted_depth(p.k, tile.shift);
        const int k_partner = depth.first - static_cast<int>(tile.shift);
        const TensorMap& operand = x.operand[tile.index];
        const auto along = static_cast<int>(tile.operand);
        const auto across = static_cast<int>(tile.partner);
        if constexpr (C::kClassesAlongM) {
            P::produce(at, ring, shared, operand, x.partner, along, across, depth.first, k_partner, depth.blocks, rank);
        } else {
            P::produce(at, ring, shared, x.partner, operand, across, along, k_partner, depth.first, depth.blocks, rank);
        }
    }
}

// Clears the first `shift` elements of each of `rows` rows of a K-major tile, for the async proxy to see.
__device__ __forceinline__ void clear_heads(unsigned char* tile, unsigned rows, unsigned shift, unsigned thread,
                                            unsigned threads) {
    for (unsigned row = thread; row < rows; row += threads) {
        auto* const head = reinterpret_cast<uint4*>(tile + row * 128 + (row % 8 << 4));
        *head = keep_from(*head, shift);
    }
    fence_async_shared();
}

template <class C>
__device__ __forceinline__ void consume_all(const GemmParams& p, const Absorption& x, typename C::P::Stages ring,
                                            unsigned char* memory, unsigned shared, unsigned rank, unsigned consumer,
                                            unsigned lane) {
    using P = typename C::P;
    typename P::Position at;
    const typename C::Output output(memory + C::kOutputOffset + consumer * C::Output::kStageBytes, lane);
    const unsigned warpgroup = consumer / 4;
    const unsigned first_row = C::kPingPong ? 0 : warpgroup * 64;
    const bool by_tma = (p.reserved & 1) != 0 && p.beta == 0.0f;
    unsigned index = 0;
    for (Schedule<C> schedule(p, x, rank); !schedule.done(); ++index) {
        const ClassTile tile = schedule.take(x);
        const Depth depth = shifted_depth(p.k, tile.shift);
        if constexpr (C::kPingPong) {
            if (index % 2 != warpgroup) {
                at.advance(depth.blocks);
                continue;
            }
            if (index != 0) {
                named_barrier_sync(1 + warpgroup, 256);
            }
        }
        // Whoever reads rows clears them: of A a warpgroup's own 64, of B all, by all who read the stage.
        const auto clear = [&](unsigned stage) {
            if (tile.shift == 0) {
                return;
            }
            unsigned char* const at_stage = memory + (stage - shared);
            const unsigned thread = threadIdx.x % 128;
            if constexpr (C::kClassesAlongM) {
                clear_heads(at_stage + first_row * 128, 64, tile.shift, thread, 128);
                named_barrier_sync(3 + warpgroup, 128);
            } else if constexpr (C::kPingPong) {
                clear_heads(at_stage + P::TileA::kBytes, P::kN, tile.shift, thread, 128);
                named_barrier_sync(3 + warpgroup, 128);
            } else {
                clear_heads(at_stage + P::TileA::kBytes, P::kN, tile.shift, threadIdx.x - 128, 256);
                named_barrier_sync(3, 256);
            }
        };
        float acc[P::kN / 2];
        P::consume(acc, at, ring, shared, first_row, depth.blocks, lane, clear);
        if constexpr (C::kPingPong) {
            if (!schedule.done()) {
                named_barrier_arrive(2 - warpgroup, 256);
            }
        }

        const unsigned warp_row = first_row + consumer % 4 * 16;
        const int across = static_cast<int>(tile.partner) - static_cast<int>(x.partner_shift);
        const unsigned extent = C::kClassesAlongM ? p.m : p.n;
        const unsigned in_class = extent > tile.index ? ceil_div(extent - tile.index, x.period) : 0;
        if constexpr (C::kClassesAlongM) {
            const unsigned row = tile.operand + warp_row;
            const unsigned rows = row < in_class ? min(in_class - row, 16u) : 0;
            if (by_tma) {
                output.store_tma(acc, x.c[tile.index], row, across, in_class, p.n, p.alpha);
            } else {
                const long long first = tile.index + static_cast<long long>(row) * x.period;
                const WarpRows to{reinterpret_cast<char*>(p.c) + (first * p.ldc + across) * 2, p.ldc * x.period * 2, rows,
                                  max(-across, 0), min(static_cast<int>(p.n) - across, static_cast<int>(P::kN))};
                output.store_rows(acc, to, p.alpha, p.beta);
            }
        } else {
            const int row = across + static_cast<int>(warp_row);
            const unsigned columns = tile.operand < in_class ? min(in_class - tile.operand, P::kN) : 0;
            const long long column = tile.index + static_cast<long long>(tile.operand) * x.period;
            char* const first = reinterpret_cast<char*>(p.c) + (row * p.ldc + column) * 2;
            const int begin = max(-row, 0);
            const int end = min(static_cast<int>(p.m) - row, 16);
            if (x.period == 1) {
                // One class: its columns are neighbours.
                const WarpRows to{first, p.ldc * 2, static_cast<unsigned>(max(end, 0)), 0, static_cast<int>(columns),
                                  static_cast<unsigned>(begin)};
                output.store_rows(acc, to, p.alpha, p.beta);
                continue;
            }
            const WarpColumns to{first, p.ldc * 2, x.period * 2, begin, end, columns};
            output.store_columns(acc, to, p.alpha, p.beta);
        }
    }
    if (by_tma && lane == 0) {
        tma_store_wait<0>();
    }
}

template <class C>
__device__ __forceinline__ void gemm_absorb(const GemmParams& p, const Absorption& x) {
    using P = typename C::P;
    extern __shared__ __align__(1024) unsigned char memory[];
    const unsigned shared = shared_address(memory);
    const typename P::Stages ring{shared + C::kBarrierOffset};
    const unsigned rank = P::kCluster > 1 ? cluster_rank() : 0;
    if (threadIdx.x == 0) {
        ring.init(C::kReaders);
        tma_prefetch(x.partner);
    }
    if constexpr (P::kCluster > 1) {
        cluster_sync();
    } else {
        __syncthreads();
    }

    const unsigned warp = threadIdx.x / 32;
    if (warp < 4) {
        registers_decrease<40>();
        if (warp == 0) {
            if (elect_one()) {
                produce_all<C>(p, x, ring, shared, rank);
            }
            __syncwarp();
        }
    } else {
        registers_increase<232>();
        consume_all<C>(p, x, ring, memory, shared, rank, warp - 4, threadIdx.x % 32);
    }
    if constexpr (P::kCluster > 1) {
        // The peer may still copy into this CTA's shared memory, or arrive there.
        cluster_sync();
    }
}

template <Element kElement, unsigned kM, unsigned kN, unsigned kStages, bool kPaired = false>
using ClassesOfA = Config<Pipeline<kElement, false, false, kM, kN, kStages, kPaired ? Pair::kAlongM : Pair::kNone>, true, kM == 64>;
template <Element kElement, unsigned kM, unsigned kN, unsigned kStages, bool kPaired = false>
using ClassesOfB = Config<Pipeline<kElement, true, true, kM, kN, kStages, kPaired ? Pair::kAlongN : Pair::kNone>, false, kM == 64>;

#define ENTRY(name, cluster, ...)                                                                               \
    extern "C" __global__ void __launch_bounds__(384, 1) cluster name(                                          \
        const __grid_constant__ GemmParams p, const __grid_constant__ Absorption x) {                           \
        gemm_absorb<__VA_ARGS__>(p, x);                                                                         \
    }

#define ENTRIES_OF_LAYOUT(type, element, layout, classes, paired)                                               \
    ENTRY(gemm_absorb_128x256x64_##layout##_##type, , classes<element, 128, 256, 4>)                            \
    ENTRY(gemm_absorb_128x256x64_##paired##_##layout##_##type, __cluster_dims__(2, 1, 1),                       \
          classes<element, 128, 256, 4, true>)                                                                  \
    ENTRY(gemm_absorb_128x128x64_##layout##_##type, , classes<element, 128, 128, 6>)                            \
    ENTRY(gemm_absorb_64x128x64_pp_##layout##_##type, , classes<element, 64, 128, 6>)

#define ENTRIES(type, element)                                                                                  \
    ENTRIES_OF_LAYOUT(type, element, nn, ClassesOfA, c2m)                                                       \
    ENTRIES_OF_LAYOUT(type, element, tt, ClassesOfB, c2n)
