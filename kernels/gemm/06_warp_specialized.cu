// Rung 6: warps with different jobs. A producer keeps a ring of stages full, two consumer warpgroups multiply.
//
// Tiles (m x n x k, stages): 128x256x64, 4; 128x128x64, 6. 384 threads: warpgroup 0 produces (one thread of it), warpgroups 1
// and 2 multiply 64 rows each. One tile a CTA.
// Shared memory (dynamic): [stages of A tile, B tile | C rows of the 8 consumer warps, 4 KiB each | mbarriers].
// Registers: launched with 168 a thread; the producer goes down to 40 so that the consumers can go up to 232.
// Alignment contract: rows of A and B start at multiples of 16 bytes. C may have any alignment.
// Over rung 5: copies of later k blocks run while this one is multiplied, without any barrier of the CTA in the main
// loop; a tile of 128x256 reads a quarter less per product than 128x128.
#include "params.cuh"
#include "ptx/registers.cuh"
#include "ptx/elect.cuh"
#include "tile/pipeline.cuh"
#include "tile/raster.cuh"
#include "tile/warp_output.cuh"

template <class P>
struct Config {
    using Output = WarpOutput<P::kElement, P::kN>;
    static constexpr unsigned kConsumerWarps = 8;
    static constexpr unsigned kThreads = 384;
    static constexpr unsigned kOutputOffset = P::kRingBytes;
    static constexpr unsigned kBarrierOffset = kOutputOffset + kConsumerWarps * Output::kStageBytes;
    static constexpr unsigned kSharedBytes = kBarrierOffset + P::Stages::kBytes;
    static constexpr unsigned kGroup = P::kN == 256 ? 16 : 8;
};

template <class P>
__device__ __forceinline__ void gemm_specialized(const GemmParams& p, const TensorMap& map_a, const TensorMap& map_b) {
    using C = Config<P>;
    extern __shared__ __align__(1024) unsigned char memory[];
    const unsigned shared = shared_address(memory);
    const typename P::Stages ring{shared + C::kBarrierOffset};
    if (threadIdx.x == 0) {
        ring.init(C::kConsumerWarps);
    }
    __syncthreads();

    const TileOrigin origin = raster_grouped<C::kGroup, P::kM, P::kN>(blockIdx.x, p.m, p.n);
    const Depth depth(p.k);
    const unsigned warp = threadIdx.x / 32;
    typename P::Position at;
    if (warp < 4) {
        registers_decrease<40>();
        if (warp == 0 && elect_one()) {
            P::produce(at, ring, shared, map_a, map_b, static_cast<int>(origin.row), static_cast<int>(origin.col),
                       depth.first, depth.first, depth.blocks, 0);
        }
    } else {
        registers_increase<232>();
        const unsigned consumer = warp - 4;
        const unsigned lane = threadIdx.x % 32;
        float acc[P::kN / 2];
        P::consume(acc, at, ring, shared, consumer / 4 * 64, depth.blocks, lane, [](unsigned) {});

        const unsigned row = origin.row + consumer * 16;
        const WarpRows to{reinterpret_cast<char*>(p.c) + (row * p.ldc + origin.col) * 2, p.ldc * 2,
                          row < p.m ? min(p.m - row, 16u) : 0, 0, static_cast<int>(min(p.n - origin.col, P::kN))};
        const typename C::Output output(memory + C::kOutputOffset + consumer * C::Output::kStageBytes, lane);
        output.store_rows(acc, to, p.alpha, p.beta);
    }
}

// catalog.toml asks for these amounts at launch.
template <bool kTransA, bool kTransB>
using Wide = Pipeline<Element::kF16, kTransA, kTransB, 128, 256, 4>;
template <bool kTransA, bool kTransB>
using Square = Pipeline<Element::kF16, kTransA, kTransB, 128, 128, 6>;
static_assert(Config<Wide<false, false>>::kSharedBytes == 229440, "catalog.toml");
static_assert(Config<Square<false, false>>::kSharedBytes == 229472, "catalog.toml");

#define ENTRY(tile, type, layout, trans_a, trans_b)                                                             \
    extern "C" __global__ void __launch_bounds__(384, 1) gemm_specialized_##tile##_##layout(                    \
        const __grid_constant__ GemmParams p, const __grid_constant__ TensorMap a,                              \
        const __grid_constant__ TensorMap b, const __grid_constant__ TensorMap c) {                             \
        gemm_specialized<type<trans_a, trans_b>>(p, a, b);                                                      \
    }

ENTRY(128x256x64, Wide, nn, false, false)
ENTRY(128x256x64, Wide, nt, false, true)
ENTRY(128x256x64, Wide, tn, true, false)
ENTRY(128x256x64, Wide, tt, true, true)
ENTRY(128x128x64, Square, nn, false, false)
ENTRY(128x128x64, Square, nt, false, true)
ENTRY(128x128x64, Square, tn, true, false)
ENTRY(128x128x64, Square, tt, true, true)
