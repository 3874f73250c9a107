// Pack: row-major to row-major, rows realigned to 16 bytes.
//
// A CTA of 8 warps copies 32 rows x 512 bytes: each warp four rows, each lane one 16-byte chunk of each. A lane loads the one
// aligned granule that its chunk starts in, takes the next from its neighbour (the last lane loads that, too) and
// funnel-shifts both into place, so that every global access is an aligned 16 bytes. Single elements are read in the
// granules of the matrix's very first and last element only, and never written: the chunk that holds a row's end is
// filled up with zeros, and chunks behind it are left alone.
// Shared memory: none. Grid: blocks of 512 bytes of a row, times blocks of 32 rows, in x; columns run fastest.
#include "pack/params.cuh"
#include "tile/raster.cuh"
#include "tile/span.cuh"

template <unsigned kSize>
__device__ __forceinline__ void restride(const PackParams& p) {
    constexpr unsigned kRowsPerWarp = 4;
    const unsigned lane = threadIdx.x % 32;
    const unsigned blocks_across = ceil_div(p.cols, 512 / kSize);
    const unsigned first_row = blockIdx.x / blocks_across * 32 + threadIdx.x / 32 * kRowsPerWarp;
    const long long skipped = blockIdx.x % blocks_across * 512ll;
    const long long bytes = p.cols * static_cast<long long>(kSize) - skipped;
    const Span<kSize> span(p.from, p.ld_from, p.rows, p.cols);
    uint4 chunks[kRowsPerWarp];
#pragma unroll
    for (unsigned i = 0; i < kRowsPerWarp; ++i) {
        const unsigned row = first_row + i;
        const char* const first = static_cast<const char*>(p.from) + row * p.ld_from * static_cast<long long>(kSize);
        chunks[i] = load_row_chunk<32>(span, row_start(first + skipped), lane, bytes, row < p.rows);
    }
#pragma unroll
    for (unsigned i = 0; i < kRowsPerWarp; ++i) {
        const unsigned row = first_row + i;
        if (row < p.rows && lane * 16 < bytes) {
            char* const to = static_cast<char*>(p.to) + row * p.ld_to * static_cast<long long>(kSize) + skipped;
            *reinterpret_cast<uint4*>(to + lane * 16) = chunks[i];
        }
    }
}

extern "C" __global__ void __launch_bounds__(256) pack_restride_8(const __grid_constant__ PackParams p) { restride<1>(p); }
extern "C" __global__ void __launch_bounds__(256) pack_restride_16(const __grid_constant__ PackParams p) { restride<2>(p); }
extern "C" __global__ void __launch_bounds__(256) pack_restride_32(const __grid_constant__ PackParams p) { restride<4>(p); }
