// Rung 9: absorption. A's rows may start anywhere, and nothing is shifted: 16-byte cp.async as in rung 4.
//
// Rows of A whose numbers differ by g = 8 / gcd(lda, 8) start equally far behind a 16-byte boundary, at most 8 kinds of them.
// A CTA takes all its rows from one such class: to it A is a matrix with leading dimension g * lda, a multiple of 16 bytes,
// and so is C with g * ldc. What is left is one shift for all its rows. They are read from the boundary in front of them,
// which moves A by `skew` columns; B moves along by starting its k rows as much earlier. Rows of B in front of
// its first are zeros, and so is, in the first k step, what was read in front of A's rows: 0 * NaN would be NaN.
//
// Tiles (m x n x k, warps, stages): 128x128x32, 4, 4; 64x64x32, 4, 6. Shared memory as in rung 4.
// Alignment contract: A any; suffix bN = rows of B start at multiples of N bytes. C any. Layout nn. Reads of A reach up to 14 bytes in
// front of its first element, inside the 16-byte granule of that element.
// Over rung 4: what a misaligned A costs is an index calculation, instead of registers and shifts, or of narrower copies.
#include "tile/mma_loop.cuh"

struct ResidueClass {
    unsigned first;   // its first row
    unsigned stride;  // from one of its rows to the next
    unsigned rows;
    unsigned tile;    // the CTA's number among its tiles
};

// The residue class of a CTA. Classes follow each other in the grid; the first m % stride have one row more.
template <unsigned kTileM>
__device__ __forceinline__ ResidueClass residue_class(unsigned index, unsigned m, long long lda, unsigned tiles_n) {
    const unsigned low = static_cast<unsigned>(lda) % 8;
    const unsigned stride = low == 0 ? 1 : low % 2 != 0 ? 8 : low % 4 != 0 ? 4 : 2;
    const unsigned rows = m / stride;
    const unsigned longer = m % stride;
    const unsigned tiles = ceil_div(rows, kTileM) * tiles_n;
    const unsigned tiles_longer = ceil_div(rows + 1, kTileM) * tiles_n;
    if (index < longer * tiles_longer) {
        return {index / tiles_longer, stride, rows + 1, index % tiles_longer};
    }
    const unsigned rest = index - longer * tiles_longer;
    return {longer + rest / tiles, stride, rows, rest % tiles};
}

template <class C, unsigned kAlignB>
__device__ __forceinline__ void gemm_absorb(const typename C::Params& whole) {
    extern __shared__ __align__(128) unsigned char memory[];
    const ResidueClass part = residue_class<C::kM>(blockIdx.x, whole.m, whole.lda, ceil_div(whole.n, C::kN));
    typename C::Params p = whole;
    p.a += part.first * whole.lda;
    p.c += part.first * whole.ldc;
    p.lda *= part.stride;
    p.ldc *= part.stride;
    p.m = part.rows;
    const unsigned skew = static_cast<unsigned>(reinterpret_cast<unsigned long long>(p.a)) % 16 / sizeof(typename C::In);

    const TileOrigin origin = raster_grouped<C::kGroup, C::kM, C::kN>(part.tile, p.m, p.n);
    WarpTile<C> warp_tile(threadIdx.x);
    AsyncFeed<C, true, 16> feed_a(p, origin, skew);
    AsyncFeed<C, false, kAlignB> feed_b(p, origin, skew);
    multiply_async<C, true>(warp_tile, feed_a, feed_b, p.k == 0 ? 0 : p.k + skew, skew, memory,
                            static_cast<unsigned>(__cvta_generic_to_shared(memory)));
    // All warps are done with the pipeline's shared memory: it becomes the stage for C.
    __syncthreads();
    warp_tile.write(p, origin, memory);
}

using F16Tiles128 = MmaConfig<Tiles128x128, TypeF16, LayoutNN>;
using F16Tiles64 = MmaConfig<Tiles64x64, TypeF16, LayoutNN>;
using Bf16Tiles128 = MmaConfig<Tiles128x128, TypeBf16, LayoutNN>;
using Bf16Tiles64 = MmaConfig<Tiles64x64, TypeBf16, LayoutNN>;

static_assert(F16Tiles128::kSharedBytes == 65536 && F16Tiles128::kThreads == 128, "catalog.toml");
static_assert(F16Tiles64::kSharedBytes == 49152 && F16Tiles64::kThreads == 128, "catalog.toml");

#define GEMM_ABSORB(name, Config, align_b, ctas)                      \
    extern "C" __global__ void __launch_bounds__(128, ctas)           \
        gemm_absorb_##name(const __grid_constant__ Config::Params p) { \
        gemm_absorb<Config, align_b>(p);                              \
    }

GEMM_ABSORB(128x128x32_b16_f16_nn, F16Tiles128, 16, 1)
GEMM_ABSORB(128x128x32_b8_f16_nn, F16Tiles128, 8, 1)
GEMM_ABSORB(128x128x32_b4_f16_nn, F16Tiles128, 4, 1)
GEMM_ABSORB(64x64x32_b16_f16_nn, F16Tiles64, 16, 4)
GEMM_ABSORB(128x128x32_b16_bf16_nn, Bf16Tiles128, 16, 1)
GEMM_ABSORB(64x64x32_b16_bf16_nn, Bf16Tiles64, 16, 4)
