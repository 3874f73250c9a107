// The main loop over k of a CTA's tile: feeds that bring operands into a ring of stages, and the loops around them.
#pragma once

#include "tile/load_async.cuh"
#include "tile/load_shifted.cuh"
#include "tile/mma_tile.cuh"

// One operand of a tile, as far as both kinds of feed need to know it.
template <class C, bool kIsA>
struct Operand {
    using In = typename C::In;
    using Tile = std::conditional_t<kIsA, typename C::TileA, typename C::TileB>;
    static constexpr bool kKMajor = kIsA ? !C::kTransA : C::kTransB;
    static constexpr unsigned kExtent = kIsA ? C::kM : C::kN;
    static constexpr unsigned kOffset = kIsA ? 0 : C::TileA::kBytes;

    __device__ __forceinline__ Operand(const typename C::Params& p, TileOrigin at)
        : matrix(kIsA ? p.a : p.b),
          ld(kIsA ? p.lda : p.ldb),
          extent(min((kIsA ? p.m - at.row : p.n - at.col), kExtent)),
          origin(matrix + (kKMajor ? (kIsA ? at.row : at.col) * ld : (kIsA ? at.row : at.col))) {}

    // How far the tile's source moves from one k step to the next.
    __device__ __forceinline__ long long step_bytes() const {
        return kKMajor ? static_cast<long long>(C::kK * sizeof(In)) : ld * static_cast<long long>(C::kK * sizeof(In));
    }

    // What exists of a tile with k_here of its columns (or rows) along k.
    __device__ __forceinline__ TileExtent present(unsigned k_here, unsigned k_gone) const {
        return kKMajor ? TileExtent{extent, k_here, 0} : TileExtent{k_here, extent, k_gone};
    }

    const In* matrix;
    long long ld;
    unsigned extent;
    const In* origin;
};

// Copies with cp.async of kAlign bytes.
// `skew` elements along k lie in front of the operand in its first k step: a K-major operand is read from that much before
// its rows' starts (the caller removes what it finds there), the other kind has zeros for rows there.
template <class C, bool kIsA, unsigned kAlign>
class AsyncFeed {
    using Op = Operand<C, kIsA>;

public:
    static constexpr bool kIsAsync = true;

    __device__ __forceinline__ AsyncFeed(const typename C::Params& p, TileOrigin at, unsigned skew)
        : op_(p, at),
          gone_(skew),
          loader_(Op::kKMajor ? op_.matrix - skew : op_.matrix, op_.origin - (Op::kKMajor ? skew : skew * op_.ld), op_.ld,
                  threadIdx.x),
          step_bytes_(op_.step_bytes()) {}

    // Issues the copies of the next k step, of which k_here elements along k exist. The stage must be free.
    __device__ __forceinline__ void fetch(unsigned shared, unsigned k_here) {
        if (op_.extent == Op::kExtent && k_here == C::kK && (Op::kKMajor || gone_ == 0)) {
            loader_.copy_full(shared + Op::kOffset);
        } else {
            loader_.copy_guarded(shared + Op::kOffset, op_.present(k_here, gone_));
        }
        gone_ = 0;
        loader_.advance(step_bytes_);
    }

    __device__ __forceinline__ void store(unsigned char*, unsigned) const {}

    __device__ __forceinline__ void drop_heads(unsigned char* stage, unsigned skew) const {
        loader_.drop_heads(stage + Op::kOffset, skew * static_cast<unsigned>(sizeof(typename C::In)));
    }

private:
    Op op_;
    unsigned gone_;
    AsyncLoader<typename C::In, typename Op::Tile, C::kThreads, kAlign> loader_;
    long long step_bytes_;
};

// Loads aligned granules into registers and stores them, shifted, later: any alignment.
template <class C, bool kIsA>
class ShiftedFeed {
    using Op = Operand<C, kIsA>;
    using In = typename C::In;

public:
    static constexpr bool kIsAsync = false;

    __device__ __forceinline__ ShiftedFeed(const typename C::Params& p, TileOrigin at, unsigned)
        : op_(p, at),
          end_(Op::kKMajor ? op_.matrix + (((kIsA ? p.m : p.n) - 1ll) * op_.ld + p.k)
                           : op_.matrix + ((p.k - 1ll) * op_.ld + (kIsA ? p.m : p.n))),
          next_(op_.origin),
          loader_(op_.origin, op_.ld, op_.matrix, end_, threadIdx.x) {}

    // Issues the loads of the next k step.
    __device__ __forceinline__ void fetch(unsigned, unsigned k_here) {
        const TileExtent here = op_.present(k_here, 0);
        ends_ = touches_ends(next_, op_.ld, here.rows, here.cols, op_.matrix, end_);
        full_ = op_.extent == Op::kExtent && k_here == C::kK && !ends_;
        if (full_) {
            loader_.fetch_full();
        } else {
            loader_.fetch_guarded(here.rows, here.cols);
        }
    }

    // Stores what was fetched last. The stage must be free.
    __device__ __forceinline__ void store(unsigned char* stage, unsigned k_here) {
        if (full_) {
            loader_.store_full(stage + Op::kOffset);
        } else {
            const TileExtent here = op_.present(k_here, 0);
            loader_.store_guarded(stage + Op::kOffset, here.rows, here.cols);
            if (ends_) {
                loader_.patch_ends(stage + Op::kOffset, here.rows, here.cols);
            }
        }
        loader_.advance(op_.step_bytes());
        next_ += Op::kKMajor ? C::kK : op_.ld * C::kK;
    }

private:
    Op op_;
    const In* end_;
    const In* next_;
    ShiftedLoader<In, typename Op::Tile, C::kThreads> loader_;
    bool ends_ = false;
    bool full_ = false;
};

template <class C, bool kIsA, unsigned kAlign>
using Feed = std::conditional_t<(kAlign >= 4), AsyncFeed<C, kIsA, kAlign>, ShiftedFeed<C, kIsA>>;

// Ring position of the next stage.
template <class C>
__device__ __forceinline__ unsigned next_stage(unsigned offset) {
    return offset + C::kStageBytes == C::kSharedBytes ? 0 : offset + C::kStageBytes;
}

// Main loop over cp.async: kStages - 1 k steps are on their way while one is multiplied. kSkewed: a K-major A was read from
// `skew` elements before its rows; these are removed before anyone looks.
template <class C, bool kSkewed, class FeedA, class FeedB>
__device__ __forceinline__ void multiply_async(WarpTile<C>& warp_tile, FeedA& feed_a, FeedB& feed_b, unsigned k,
                                               unsigned skew, unsigned char* memory, unsigned shared) {
    const unsigned k_steps = ceil_div(k, C::kK);
    unsigned k_left = k;
    const auto load = [&](unsigned stage) {
        const unsigned k_here = min(k_left, C::kK);
        feed_a.fetch(stage, k_here);
        feed_b.fetch(stage, k_here);
        k_left -= k_here;
    };

    // Fill the pipeline. Empty groups keep the count of groups in step with the count of k steps.
#pragma unroll 1
    for (unsigned stage = 0; stage < C::kStages; ++stage) {
        if (k_left != 0) {
            load(shared + stage * C::kStageBytes);
        }
        cp_async_commit();
    }
    cp_async_wait<C::kStages - 1>();
    if constexpr (kSkewed) {
        if (skew != 0 && k_steps != 0) {
            feed_a.drop_heads(memory, skew);
        }
    }
    __syncthreads();

    // Fragments are loaded half a k step ahead of their use, so that the barrier and the latency of ldmatrix hide behind
    // multiplications. The last step has nothing to load ahead: it reads its own stage again, since a branch would cost
    // more than the load.
    unsigned stage = 0;
    if (k_steps != 0) {
        warp_tile.template load<0>(shared);
    }
#pragma unroll 1
    for (unsigned step = 0; step < k_steps; ++step) {
        warp_tile.template load<1>(shared + stage);
        warp_tile.template multiply<0>();
        // The next k step has arrived, for all threads; and all have read this stage to its end: refill it.
        cp_async_wait<C::kStages - 2>();
        __syncthreads();
        if (k_left != 0) {
            load(shared + stage);
        }
        cp_async_commit();
        stage = step + 1 < k_steps ? next_stage<C>(stage) : stage;
        warp_tile.template load<0>(shared + stage);
        warp_tile.template multiply<1>();
    }
    cp_async_wait<0>();
}

// Main loop where registers carry at least one operand: loads for a later k step are issued before a half of this one is
// multiplied and stored to shared memory after it. A goes with the first half and B with the second, so that one set of
// registers is live at a time. An operand that is aligned still comes by cp.async, a stage at a time with the other.
template <class C, class FeedA, class FeedB>
__device__ __forceinline__ void multiply_shifted(WarpTile<C>& warp_tile, FeedA& feed_a, FeedB& feed_b, unsigned k,
                                                 unsigned char* memory, unsigned shared) {
    constexpr bool kAnyAsync = FeedA::kIsAsync || FeedB::kIsAsync;
    const unsigned k_steps = ceil_div(k, C::kK);
    unsigned k_left = k;

    // Fill the pipeline.
#pragma unroll 1
    for (unsigned stage = 0; stage < C::kStages - 1; ++stage) {
        if (k_left != 0) {
            const unsigned at = stage * C::kStageBytes;
            const unsigned k_here = min(k_left, C::kK);
            feed_a.fetch(shared + at, k_here);
            feed_b.fetch(shared + at, k_here);
            feed_a.store(memory + at, k_here);
            feed_b.store(memory + at, k_here);
            k_left -= k_here;
        }
        if constexpr (kAnyAsync) {
            cp_async_commit();
        }
    }

    // No fragments are loaded ahead here: the staged operands need those registers.
    unsigned reading = 0;
    unsigned writing = (C::kStages - 1) * C::kStageBytes;
#pragma unroll 1
    for (unsigned step = 0; step < k_steps; ++step) {
        // This k step is stored, by all threads; and all have left the stage that is written next.
        if constexpr (kAnyAsync) {
            cp_async_wait<C::kStages - 2>();
        }
        __syncthreads();
        const bool more = k_left != 0;
        const unsigned k_here = min(k_left, C::kK);
        if (more) {
            feed_a.fetch(shared + writing, k_here);
        }
        warp_tile.template load<0>(shared + reading);
        warp_tile.template multiply<0>();
        if (more) {
            feed_a.store(memory + writing, k_here);
            feed_b.fetch(shared + writing, k_here);
        }
        warp_tile.template load<1>(shared + reading);
        warp_tile.template multiply<1>();
        if (more) {
            feed_b.store(memory + writing, k_here);
            k_left -= k_here;
        }
        if constexpr (kAnyAsync) {
            cp_async_commit();
        }
        reading = next_stage<C>(reading);
        writing = next_stage<C>(writing);
    }
    if constexpr (kAnyAsync) {
        cp_async_wait<0>();
    }
}

// acc += A * B for the tile at `origin`. Ends with all copies done, but no barrier.
template <class C, unsigned kAlignA, unsigned kAlignB>
__device__ __forceinline__ void multiply_tile(WarpTile<C>& warp_tile, const typename C::Params& p, TileOrigin origin,
                                              unsigned char* memory) {
    const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(memory));
    Feed<C, true, kAlignA> feed_a(p, origin, 0);
    Feed<C, false, kAlignB> feed_b(p, origin, 0);
    if constexpr (decltype(feed_a)::kIsAsync && decltype(feed_b)::kIsAsync) {
        multiply_async<C, false>(warp_tile, feed_a, feed_b, p.k, 0, memory, shared);
    } else {
        multiply_shifted<C>(warp_tile, feed_a, feed_b, p.k, memory, shared);
    }
}

// The whole of a kernel with one tile for each CTA.
template <class C, unsigned kAlignA, unsigned kAlignB>
__device__ __forceinline__ void gemm_mma(const typename C::Params& p) {
    extern __shared__ __align__(128) unsigned char memory[];
    const TileOrigin origin = raster_grouped<C::kGroup, C::kM, C::kN>(blockIdx.x, p.m, p.n);
    WarpTile<C> warp_tile(threadIdx.x);
    multiply_tile<C, kAlignA, kAlignB>(warp_tile, p, origin, memory);
    // All warps are done with the pipeline's shared memory: it becomes the stage for C.
    __syncthreads();
    warp_tile.write(p, origin, memory);
}
