// Rung 13: few rows of C on wgmma. The product of the transposed operands, as in rung 12, on the units of rung 7.
//
// wgmma multiplies 64 rows of its A with 8 to 256 columns of its B: rung 7's narrowest tile computes 64 rows of C, of which m up to
// 16 fills a quarter. C transposed has the many columns of C as its rows of 64, and 16 rows of C as its columns. Operands are
// multiplied as they are stored, by the same TMA boxes; only C's tile is turned, in shared memory.
// Tile: 16 rows and 128 columns of C, 64 of k, 11 stages: of a large B that is read once, 200 KB are on their way for each SM.
// 384 threads: one producer thread, two consumer warpgroups of 64 columns of C each. CTAs stay and take tile after tile.
// Shared memory (dynamic): [11 stages of B tile, 16384 bytes, and A tile, 2048 bytes | C, 16 rows of 256 bytes | mbarriers].
// Registers: launched with 168 a thread; no setmaxnreg, as a consumer has 8 accumulators.
// Alignment contract: rows of A and B start at multiples of 16 bytes; C any.
#include "params.cuh"
#include "ptx/elect.cuh"
#include "ptx/named_barrier.cuh"
#include "tile/epilogue.cuh"
#include "tile/pipeline.cuh"

template <class Type_, class Layout>
struct Swapped {
    using Type = Type_;
    using Params = GemmParamsT<typename Type::In, typename Type::Out>;
    static constexpr Element kElement = std::is_same_v<Type, TypeF16> ? Element::kF16 : Element::kBf16;
    // In terms of C transposed: kM columns of C by kN rows.
    using P = Pipeline<kElement, SwappedLayout<Layout>::kTransA, SwappedLayout<Layout>::kTransB, 128, 16, 11>;
    static constexpr unsigned kConsumers = 256;
    using Output = StagedOutput<P::kN, P::kM, kConsumers, typename Type::Out>;
    static constexpr unsigned kOutputOffset = P::kRingBytes;
    static constexpr unsigned kBarrierOffset = kOutputOffset + Output::kBytes;
    static constexpr unsigned kSharedBytes = kBarrierOffset + P::Stages::kBytes;
};

// The tiles of one CTA: every gridDim-th, rows of C first, so that what several rows of tiles need of B is read from DRAM once.
class Tiles {
public:
    template <class Params>
    __device__ __forceinline__ Tiles(const Params& p, unsigned rows, unsigned columns)
        : down_(ceil_div(p.m, rows)), all_(down_ * ceil_div(p.n, columns)), rows_(rows), columns_(columns), next_(blockIdx.x) {}

    __device__ __forceinline__ bool done() const { return next_ >= all_; }

    __device__ __forceinline__ TileOrigin take() {
        const TileOrigin origin{next_ % down_ * rows_, next_ / down_ * columns_};
        next_ += gridDim.x;
        return origin;
    }

private:
    unsigned down_;
    unsigned all_;
    unsigned rows_;
    unsigned columns_;
    unsigned next_;
};

// The consumers' part of C = alpha * acc + beta * C: `columns` is the first of C's 16 that a warp has in the tile.
template <class C>
__device__ __forceinline__ void store_turned(const float (&acc)[C::P::kN / 2], const typename C::Params& p, TileOrigin origin,
                                             unsigned char* memory, unsigned columns, unsigned lane) {
    using Type = typename C::Type;
    const unsigned thread = threadIdx.x - 128;
    const typename C::Output output(memory, p, origin.row, origin.col);
    if (p.beta != 0.0f) {
        output.load(thread);
        named_barrier_sync(1, C::kConsumers);
    }
#pragma unroll
    for (unsigned i = 0; i < C::P::kN / 2; ++i) {
        auto& at = output.element(i / 4 * 8 + lane % 4 * 2 + i % 2, columns + i / 2 % 2 * 8 + lane / 4);
        at = p.beta != 0.0f ? Type::finish(acc[i], p.alpha, p.beta, at) : Type::finish(acc[i], p.alpha);
    }
    named_barrier_sync(1, C::kConsumers);
    output.store(thread);
    // The stage is free for the next tile.
    named_barrier_sync(1, C::kConsumers);
}

template <class C>
__device__ __forceinline__ void gemm_swapped(const typename C::Params& p, const TensorMap& a, const TensorMap& b) {
    using P = typename C::P;
    extern __shared__ __align__(1024) unsigned char memory[];
    const unsigned shared = shared_address(memory);
    const typename P::Stages ring{shared + C::kBarrierOffset};
    if (threadIdx.x == 0) {
        ring.init(C::kConsumers / 32);
        tma_prefetch(a);
        tma_prefetch(b);
    }
    __syncthreads();

    const Depth depth(p.k);
    const unsigned warp = threadIdx.x / 32;
    const unsigned lane = threadIdx.x % 32;
    typename P::Position at;
    if (warp == 0) {
        if (elect_one()) {
            for (Tiles tiles(p, P::kN, P::kM); !tiles.done();) {
                const TileOrigin origin = tiles.take();
                P::produce(at, ring, shared, b, a, static_cast<int>(origin.col), static_cast<int>(origin.row), depth.first,
                           depth.first, depth.blocks, 0);
            }
        }
        __syncwarp();
    } else if (warp >= 4) {
        for (Tiles tiles(p, P::kN, P::kM); !tiles.done();) {
            const TileOrigin origin = tiles.take();
            float acc[P::kN / 2];
            P::consume(acc, at, ring, shared, (warp - 4) / 4 * 64, depth.blocks, lane, [](unsigned) {});
            store_turned<C>(acc, p, origin, memory + C::kOutputOffset, (warp - 4) * 16, lane);
        }
    }
}

static_assert(Swapped<TypeF16, LayoutNN>::kSharedBytes == 207024, "catalog.toml");

#define ENTRY(type, Type, layout, Layout)                                                               \
    extern "C" __global__ void __launch_bounds__(384, 1) gemm_swap_wgmma_16x128x64_##layout##_##type(   \
        const __grid_constant__ Swapped<Type, Layout>::Params p, const __grid_constant__ TensorMap a,   \
        const __grid_constant__ TensorMap b, const __grid_constant__ TensorMap) {                       \
        gemm_swapped<Swapped<Type, Layout>>(p, a, b);                                                   \
    }
#define ENTRIES(type, Type)             \
    ENTRY(type, Type, nn, LayoutNN)     \
    ENTRY(type, Type, nt, LayoutNT)     \
    ENTRY(type, Type, tn, LayoutTN)     \
    ENTRY(type, Type, tt, LayoutTT)

ENTRIES(f16, TypeF16)
ENTRIES(bf16, TypeBf16)
