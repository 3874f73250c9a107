// Products whose k steps are shared out over CTAs: which CTA does which, and what is summed in which order.
//
// Two plans. Split-K: every tile has `splits` CTAs, each a fixed share of the k steps. Stream-K: `stream_ctas` CTAs share the k
// steps of the first `stream_tiles` tiles evenly, wherever tiles begin and end; the other tiles have one CTA each.
// A CTA that does not see all of a tile's k leaves its FP32 accumulators in the workspace, and a second launch adds up each
// tile's parts in the order of k. Nothing depends on which CTA is faster: the same plan gives the same bits.
#pragma once

#include "tile/mma_loop.cuh"

// The second kernel parameter of both launches.
struct SplitPlan {
    float4* parts;          // kBlocks * kThreads for each slot
    unsigned splits;        // 0: stream-K
    unsigned stream_tiles;  // stream-K only, as is stream_ctas
    unsigned stream_ctas;
    unsigned reserved;
};

static_assert(sizeof(SplitPlan) == 24, "the host builds this struct byte by byte: no implicit padding");

// Part of a tile's k steps.
struct Share {
    unsigned tile;
    unsigned begin;  // k steps
    unsigned end;
    unsigned slot;   // where its accumulators go if it is not the whole
};

// The k steps of CTA `cta` among all of split-K.
__device__ __forceinline__ Share split_share(const SplitPlan& plan, unsigned tile, unsigned split, unsigned k_steps) {
    const auto bound = [&](unsigned i) {
        return static_cast<unsigned>(static_cast<unsigned long long>(i) * k_steps / plan.splits);
    };
    return {tile, bound(split), bound(split + 1), tile * plan.splits + split};
}

// First k step of a stream-K CTA, counted through all streamed tiles.
__device__ __forceinline__ unsigned long long stream_begin(const SplitPlan& plan, unsigned cta, unsigned k_steps) {
    return static_cast<unsigned long long>(plan.stream_tiles) * k_steps * cta / plan.stream_ctas;
}

// The share of the range [begin, end) that starts it. A range touches at most two tiles that it does not hold whole: one it
// starts inside of, and one it starts with and does not finish. So each CTA has two slots.
__device__ __forceinline__ Share stream_share(unsigned long long begin, unsigned long long end, unsigned cta,
                                              unsigned k_steps) {
    const auto tile = static_cast<unsigned>(begin / k_steps);
    const auto first = static_cast<unsigned>(begin % k_steps);
    const unsigned long long left = end - begin;
    const unsigned last = left < k_steps - first ? first + static_cast<unsigned>(left) : k_steps;
    return {tile, first, last, cta * 2 + (first == 0)};
}

// The problem with only the k steps of a share.
template <class C>
__device__ __forceinline__ typename C::Params cut(typename C::Params p, const Share& share) {
    const unsigned k0 = share.begin * C::kK;
    p.a += C::kTransA ? k0 * p.lda : k0;
    p.b += C::kTransB ? k0 : k0 * p.ldb;
    p.k = min(p.k - k0, (share.end - share.begin) * C::kK);
    return p;
}

template <class C>
__device__ __forceinline__ float4* part(const SplitPlan& plan, unsigned slot) {
    return plan.parts + static_cast<unsigned long long>(slot) * (WarpTile<C>::kBlocks * C::kThreads) + threadIdx.x;
}

// The first launch. Grid: tiles * splits, or stream_ctas + the tiles that are not streamed.
template <class C, unsigned kAlignA, unsigned kAlignB>
__device__ __forceinline__ void gemm_split(const typename C::Params& p, const SplitPlan& plan) {
    extern __shared__ __align__(128) unsigned char memory[];
    const unsigned k_steps = ceil_div(p.k, C::kK);
    const bool streams = plan.splits == 0 && blockIdx.x < plan.stream_ctas;
    // Both plans and the whole tiles run through one loop, so that the product is in the code once.
    unsigned long long begin = 0;
    unsigned long long end = 1;
    if (streams) {
        begin = stream_begin(plan, blockIdx.x, k_steps);
        end = stream_begin(plan, blockIdx.x + 1, k_steps);
    }
    WarpTile<C> warp_tile(threadIdx.x);
#pragma unroll 1
    while (begin < end) {
        Share share;
        if (streams) {
            share = stream_share(begin, end, blockIdx.x, k_steps);
            begin += share.end - share.begin;
        } else {
            begin = end;
            if (plan.splits != 0) {
                share = split_share(plan, blockIdx.x / plan.splits, blockIdx.x % plan.splits, k_steps);
            } else {
                share = {blockIdx.x - plan.stream_ctas + plan.stream_tiles, 0, k_steps, 0};
            }
        }
        const TileOrigin origin = raster_grouped<C::kGroup, C::kM, C::kN>(share.tile, p.m, p.n);
        multiply_tile<C, kAlignA, kAlignB>(warp_tile, cut<C>(p, share), origin, memory);
        // All warps are done with the pipeline's shared memory.
        __syncthreads();
        if (plan.splits == 0 && share.end - share.begin == k_steps) {
            warp_tile.write(p, origin, memory);
            __syncthreads();
        } else {
            float4* const to = part<C>(plan, share.slot);
            warp_tile.for_each_block([&](unsigned i, float(&acc)[4]) {
                to[i * C::kThreads] = {acc[0], acc[1], acc[2], acc[3]};
            });
        }
        warp_tile.clear();
    }
}

__device__ __forceinline__ void add_to(float (&acc)[4], float4 more) {
    acc[0] += more.x;
    acc[1] += more.y;
    acc[2] += more.z;
    acc[3] += more.w;
}

// The second launch: one CTA for each tile that has parts. A tile that stream-K left whole is done already.
template <class C>
__device__ __forceinline__ void reduce_split(const typename C::Params& p, const SplitPlan& plan) {
    extern __shared__ __align__(128) unsigned char memory[];
    const unsigned k_steps = ceil_div(p.k, C::kK);
    WarpTile<C> warp_tile(threadIdx.x);
    const auto add = [&](unsigned slot) {
        const float4* const from = part<C>(plan, slot);
        warp_tile.for_each_block([&](unsigned i, float(&acc)[4]) { add_to(acc, from[i * C::kThreads]); });
    };
    const unsigned tile = blockIdx.x;
    if (plan.splits != 0) {
        // A tile's parts lie one after the other. Several are on their way at a time: waiting for each would take as long as
        // the product where there are many.
        constexpr unsigned kBlocks = WarpTile<C>::kBlocks;
        constexpr unsigned kAhead = kBlocks < 16 ? 16 / kBlocks : 1;
#pragma unroll 1
        for (unsigned split = 0; split < plan.splits; split += kAhead) {
            float4 more[kAhead][kBlocks];
            const unsigned there = min(plan.splits - split, kAhead);
#pragma unroll
            for (unsigned j = 0; j < kAhead; ++j) {
                const float4* const from = part<C>(plan, tile * plan.splits + split + j);
#pragma unroll
                for (unsigned i = 0; i < kBlocks; ++i) {
                    if (j < there) {
                        more[j][i] = from[i * C::kThreads];
                    }
                }
            }
#pragma unroll
            for (unsigned j = 0; j < kAhead; ++j) {
                if (j < there) {
                    warp_tile.for_each_block([&](unsigned i, float(&acc)[4]) { add_to(acc, more[j][i]); });
                }
            }
        }
    } else {
        // The CTA whose range holds the tile's first k step, and those after it.
        const unsigned long long all = static_cast<unsigned long long>(plan.stream_tiles) * k_steps;
        unsigned long long at = static_cast<unsigned long long>(tile) * k_steps;
        const unsigned long long tile_end = at + k_steps;
        auto cta = static_cast<unsigned>(((at + 1) * plan.stream_ctas - 1) / all);
#pragma unroll 1
        while (at < tile_end) {
            const unsigned long long end = stream_begin(plan, cta + 1, k_steps);
            const Share share = stream_share(at, end, cta, k_steps);
            if (share.end - share.begin == k_steps) {
                return;
            }
            add(share.slot);
            at += share.end - share.begin;
            ++cta;
        }
    }
    warp_tile.write(p, raster_grouped<C::kGroup, C::kM, C::kN>(tile, p.m, p.n), memory);
}
