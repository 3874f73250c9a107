// Pack: a matrix to its transpose, rows realigned to 16 bytes.
//
// A CTA of 4 warps moves a tile of 128 bytes x as many rows as make 128 bytes of the result (64x64 16-bit elements) through
// shared memory. In: aligned 16-byte loads, shifted into place as in restride.cu, stored as 16-byte chunks. Out: a lane
// reads words (2 columns of 16-bit elements) of the rows that make one 16-byte chunk of the result, sorts their elements by
// byte permutation and stores whole chunks, eight lanes a 128-byte row of the result.
// Shared memory: the tile, 128-byte rows. Chunk c of row r lies at c ^ (r / rows of a chunk) % 8: the eight lanes which read
// the same word of eight chunks of the result then hit eight bank groups. Both sides are free of conflicts.
// Grid: tiles of the source in x; its columns run fastest.
#include "pack/params.cuh"
#include "ptx/prmt.cuh"
#include "tile/raster.cuh"
#include "tile/span.cuh"

// Elements i of `rows` words, packed into 16 bytes, for each i that a word holds.
__device__ __forceinline__ void sort_elements(const unsigned (&rows)[4], uint4 (&out)[1]) {
    out[0] = {rows[0], rows[1], rows[2], rows[3]};
}

__device__ __forceinline__ void sort_elements(const unsigned (&rows)[8], uint4 (&out)[2]) {
    constexpr unsigned kLow = 0x5410, kHigh = 0x7632;
    out[0] = {permute_bytes<kLow>(rows[0], rows[1]), permute_bytes<kLow>(rows[2], rows[3]),
              permute_bytes<kLow>(rows[4], rows[5]), permute_bytes<kLow>(rows[6], rows[7])};
    out[1] = {permute_bytes<kHigh>(rows[0], rows[1]), permute_bytes<kHigh>(rows[2], rows[3]),
              permute_bytes<kHigh>(rows[4], rows[5]), permute_bytes<kHigh>(rows[6], rows[7])};
}

__device__ __forceinline__ void sort_elements(const unsigned (&rows)[16], uint4 (&out)[4]) {
    unsigned words[4][4];
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
        // Bytes 0 and 1 of four rows, then bytes 2 and 3, interleaved by row pairs.
        const unsigned* four = rows + i * 4;
        const unsigned low01 = permute_bytes<0x5140>(four[0], four[1]);
        const unsigned low23 = permute_bytes<0x5140>(four[2], four[3]);
        const unsigned high01 = permute_bytes<0x7362>(four[0], four[1]);
        const unsigned high23 = permute_bytes<0x7362>(four[2], four[3]);
        words[0][i] = permute_bytes<0x5410>(low01, low23);
        words[1][i] = permute_bytes<0x7632>(low01, low23);
        words[2][i] = permute_bytes<0x5410>(high01, high23);
        words[3][i] = permute_bytes<0x7632>(high01, high23);
    }
#pragma unroll
    for (unsigned j = 0; j < 4; ++j) {
        out[j] = {words[j][0], words[j][1], words[j][2], words[j][3]};
    }
}

template <unsigned kSize>
__device__ __forceinline__ void transpose(const PackParams& p) {
    constexpr unsigned kPerChunk = 16 / kSize;
    constexpr unsigned kPerWord = 4 / kSize;
    constexpr unsigned kSide = 128 / kSize;  // rows and columns of a tile
    __shared__ __align__(128) unsigned char tile[kSide * 128];
    const auto at = [](unsigned row, unsigned chunk) { return tile + row * 128 + ((chunk ^ row / kPerChunk % 8) << 4); };

    const unsigned tiles_across = ceil_div(p.cols, kSide);
    const unsigned row0 = blockIdx.x / tiles_across * kSide;
    const unsigned col0 = blockIdx.x % tiles_across * kSide;
    const long long skipped = col0 * static_cast<long long>(kSize);
    const long long bytes = p.cols * static_cast<long long>(kSize) - skipped;
    const Span<kSize> span(p.from, p.ld_from, p.rows, p.cols);
    const unsigned lane = threadIdx.x % 8;
    // Four passes at a time: that many loads are on their way.
#pragma unroll 4
    for (unsigned row = threadIdx.x / 8; row < kSide; row += 16) {
        const char* const first = static_cast<const char*>(p.from) + (row0 + row) * p.ld_from * static_cast<long long>(kSize);
        *reinterpret_cast<uint4*>(at(row, lane)) =
            load_row_chunk<8>(span, row_start(first + skipped), lane, bytes, row0 + row < p.rows);
    }
    __syncthreads();

    // A warp takes 16 bytes of columns at a time: four words, each by eight lanes for the eight chunks of the result's rows.
    const unsigned chunk = threadIdx.x % 8;
    const unsigned word = threadIdx.x / 8 % 4;
    char* const to = static_cast<char*>(p.to) + (row0 + chunk * kPerChunk) * static_cast<long long>(kSize);
#pragma unroll
    for (unsigned pass = 0; pass < 2; ++pass) {
        const unsigned columns = threadIdx.x / 32 + pass * 4;
        unsigned rows[kPerChunk];
#pragma unroll
        for (unsigned i = 0; i < kPerChunk; ++i) {
            rows[i] = *reinterpret_cast<const unsigned*>(at(chunk * kPerChunk + i, columns) + word * 4);
        }
        uint4 out[kPerWord];
        sort_elements(rows, out);
#pragma unroll
        for (unsigned j = 0; j < kPerWord; ++j) {
            const unsigned col = col0 + columns * kPerChunk + word * kPerWord + j;
            if (col < p.cols && row0 + chunk * kPerChunk < p.rows) {
                *reinterpret_cast<uint4*>(to + col * p.ld_to * static_cast<long long>(kSize)) = out[j];
            }
        }
    }
}

extern "C" __global__ void __launch_bounds__(128) pack_transpose_8(const __grid_constant__ PackParams p) { transpose<1>(p); }
extern "C" __global__ void __launch_bounds__(128) pack_transpose_16(const __grid_constant__ PackParams p) { transpose<2>(p); }
extern "C" __global__ void __launch_bounds__(128) pack_transpose_32(const __grid_constant__ PackParams p) { transpose<4>(p); }
