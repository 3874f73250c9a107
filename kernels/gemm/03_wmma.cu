// Rung 3: tensor cores through the portable nvcuda::wmma interface.
//
// Tiles (m x n x k, warps, warp tile): 128x128x32, 8, 64x32; 64x64x32, 4, 32x32. One stage, the next one in registers.
// Shared memory (static): [A tile | B tile], rows padded by 8 halves; then [FP16 C tile | a 16x16 FP32 scratch per warp].
// Alignment contract: none beyond 2 bytes; the load width (16, 8, 4 or 2 bytes) is picked at run time, per operand.
// Over rung 2: 16x16x16 products on the tensor cores in place of multiply-adds. wmma hides which thread holds which
// element, so results go through an FP32 scratch; and it wants 32-byte aligned tiles, so operands always go through
// shared memory, with padding (an odd number of 16-byte chunks a row) against bank conflicts.
#include <mma.h>

#include "params.cuh"
#include "tile/epilogue.cuh"
#include "tile/load_direct.cuh"
#include "tile/raster.cuh"

namespace wmma = nvcuda::wmma;

template <unsigned kM, unsigned kN, unsigned kWarpM_, unsigned kWarpN_>
struct WmmaTile {
    static constexpr unsigned kK = 32;
    static constexpr unsigned kWarpM = kWarpM_;
    static constexpr unsigned kWarpN = kWarpN_;
    static constexpr unsigned kWarpsM = kM / kWarpM;
    static constexpr unsigned kThreads = kWarpsM * (kN / kWarpN) * 32;
    static constexpr unsigned kPitchA = kK + 8;
    static constexpr unsigned kPitchB = kN + 8;
    static constexpr unsigned kPitchScratch = 16 + 4;
    static constexpr unsigned kBytesA = kM * kPitchA * 2;
    static constexpr unsigned kBytesB = kK * kPitchB * 2;
    static constexpr unsigned kScratchBytes = 16 * kPitchScratch * 4;
    static constexpr unsigned kChunksA = kM * kK / 8 / kThreads;
    static constexpr unsigned kChunksB = kK * kN / 8 / kThreads;
    using Output = StagedOutput<kM, kN, kThreads>;
    static constexpr unsigned kEpilogueBytes = Output::kBytes + kThreads / 32 * kScratchBytes;
    static constexpr unsigned kMainBytes = kBytesA + kBytesB;
    static constexpr unsigned kSharedBytes = kMainBytes > kEpilogueBytes ? kMainBytes : kEpilogueBytes;
    static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0 && kK % 16 == 0, "whole fragments");
    static_assert(kPitchA % 8 == 0 && kPitchB % 8 == 0 && kPitchScratch % 4 == 0, "wmma: strides of 16 bytes");
    static_assert(kBytesA % 32 == 0 && Output::kBytes % 32 == 0 && kScratchBytes % 32 == 0, "wmma: 32-byte tiles");
    static_assert(kM * kK / 8 % kThreads == 0 && kK * kN / 8 % kThreads == 0, "whole passes of chunks");
    static_assert(kSharedBytes <= 48 * 1024, "static shared memory");
};

// Eight results as one chunk; `finish` makes an element of C of an accumulator and of what C held.
template <class Finish>
__device__ __forceinline__ uint4 pack(float4 low, float4 high, uint4 old, Finish finish) {
    const auto pair = [&finish](float first, float second, unsigned olds) {
        const __half h0 = finish(first, __ushort_as_half(static_cast<unsigned short>(olds)));
        const __half h1 = finish(second, __ushort_as_half(static_cast<unsigned short>(olds >> 16)));
        return __half_as_ushort(h0) | static_cast<unsigned>(__half_as_ushort(h1)) << 16;
    };
    return {pair(low.x, low.y, old.x), pair(low.z, low.w, old.y), pair(high.x, high.y, old.z),
            pair(high.z, high.w, old.w)};
}

template <unsigned kM, unsigned kN, unsigned kWarpM, unsigned kWarpN>
__device__ __forceinline__ void gemm_wmma(const GemmParams& p) {
    using T = WmmaTile<kM, kN, kWarpM, kWarpN>;
    __shared__ __align__(128) unsigned char memory[T::kSharedBytes];
    __half* const a_tile = reinterpret_cast<__half*>(memory);
    __half* const b_tile = reinterpret_cast<__half*>(memory + T::kBytesA);
    const unsigned thread = threadIdx.x;
    const unsigned warp = thread / 32;
    const unsigned warp_row = warp % T::kWarpsM * kWarpM;
    const unsigned warp_col = warp / T::kWarpsM * kWarpN;
    const TileOrigin origin = raster_grouped<8, kM, kN>(blockIdx.x, p.m, p.n);

    // Loading: chunks of eight halves; a thread's chunks are a fixed number of rows apart.
    constexpr unsigned kRowChunksA = T::kK / 8;
    constexpr unsigned kRowChunksB = kN / 8;
    constexpr unsigned kRowStepA = T::kThreads / kRowChunksA;
    constexpr unsigned kRowStepB = T::kThreads / kRowChunksB;
    static_assert(T::kThreads % kRowChunksA == 0 && T::kThreads % kRowChunksB == 0, "whole rows a pass");
    const unsigned a_row = thread / kRowChunksA, a_col = thread % kRowChunksA * 8;
    const unsigned b_row = thread / kRowChunksB, b_col = thread % kRowChunksB * 8;
    const __half* a_from = p.a + (origin.row + a_row) * p.lda + a_col;
    const __half* b_from = p.b + b_row * p.ldb + origin.col + b_col;
    const unsigned a_width = widest_load(p.a, p.lda);
    const unsigned b_width = widest_load(p.b, p.ldb);
    const unsigned rows = min(p.m - origin.row, kM);
    const unsigned b_valid = count_below(p.n - origin.col, b_col, 8);
    uint4 a_next[T::kChunksA];
    uint4 b_next[T::kChunksB];

    // Elements that do not exist become zeros in both operands: one zero is not enough where the other may be NaN.
    const auto fetch = [&](unsigned k_left) {
        const unsigned a_valid = count_below(k_left, a_col, 8);
#pragma unroll
        for (unsigned i = 0; i < T::kChunksA; ++i) {
            const unsigned valid = a_row + i * kRowStepA < rows ? a_valid : 0;
            a_next[i] = load_chunk(a_from + i * kRowStepA * p.lda, valid, a_width);
        }
#pragma unroll
        for (unsigned i = 0; i < T::kChunksB; ++i) {
            const unsigned valid = b_row + i * kRowStepB < k_left ? b_valid : 0;
            b_next[i] = load_chunk(b_from + i * kRowStepB * p.ldb, valid, b_width);
        }
        a_from += T::kK;
        b_from += T::kK * p.ldb;
    };
    const auto store = [&] {
#pragma unroll
        for (unsigned i = 0; i < T::kChunksA; ++i) {
            *reinterpret_cast<uint4*>(a_tile + (a_row + i * kRowStepA) * T::kPitchA + a_col) = a_next[i];
        }
#pragma unroll
        for (unsigned i = 0; i < T::kChunksB; ++i) {
            *reinterpret_cast<uint4*>(b_tile + (b_row + i * kRowStepB) * T::kPitchB + b_col) = b_next[i];
        }
    };

    constexpr unsigned kBlocksM = kWarpM / 16;
    constexpr unsigned kBlocksN = kWarpN / 16;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> acc[kBlocksM][kBlocksN];
#pragma unroll
    for (unsigned i = 0; i < kBlocksM; ++i) {
#pragma unroll
        for (unsigned j = 0; j < kBlocksN; ++j) {
            wmma::fill_fragment(acc[i][j], 0.0f);
        }
    }

    // Main loop.
    unsigned k_left = p.k;
    if (k_left != 0) {
        fetch(k_left);
    }
    while (k_left != 0) {
        store();
        __syncthreads();
        k_left -= min(k_left, T::kK);
        if (k_left != 0) {
            fetch(k_left);
        }
#pragma unroll
        for (unsigned k = 0; k < T::kK; k += 16) {
            wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> a[kBlocksM];
            wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::row_major> b[kBlocksN];
#pragma unroll
            for (unsigned i = 0; i < kBlocksM; ++i) {
                wmma::load_matrix_sync(a[i], a_tile + (warp_row + i * 16) * T::kPitchA + k, T::kPitchA);
            }
#pragma unroll
            for (unsigned j = 0; j < kBlocksN; ++j) {
                wmma::load_matrix_sync(b[j], b_tile + k * T::kPitchB + warp_col + j * 16, T::kPitchB);
            }
#pragma unroll
            for (unsigned i = 0; i < kBlocksM; ++i) {
#pragma unroll
                for (unsigned j = 0; j < kBlocksN; ++j) {
                    wmma::mma_sync(acc[i][j], a[i], b[j], acc[i][j]);
                }
            }
        }
        // The single stage is overwritten next.
        __syncthreads();
    }

    // Epilogue: a fragment at a time through this warp's scratch, where rows and columns are known again.
    const typename T::Output output(memory, p, origin.row, origin.col);
    float* const scratch = reinterpret_cast<float*>(memory + T::Output::kBytes + warp * T::kScratchBytes);
    if (p.beta != 0.0f) {
        output.load(thread);
        __syncthreads();
    }
    // Half a row for each lane, in 16-byte pieces: eight lanes in turn read eight rows, which fall into different banks.
    const unsigned lane_row = thread % 16;
    const unsigned lane_col = thread % 32 / 16 * 8;
#pragma unroll
    for (unsigned i = 0; i < kBlocksM; ++i) {
#pragma unroll
        for (unsigned j = 0; j < kBlocksN; ++j) {
            wmma::store_matrix_sync(scratch, acc[i][j], T::kPitchScratch, wmma::mem_row_major);
            __syncwarp();
            const auto* from = reinterpret_cast<const float4*>(scratch + lane_row * T::kPitchScratch + lane_col);
            uint4& to = output.chunk(warp_row + i * 16 + lane_row, (warp_col + j * 16 + lane_col) / 8);
            if (p.beta != 0.0f) {
                const uint4 old = to;
                to = pack(from[0], from[1], old, [&](float x, __half c) { return TypeF16::finish(x, p.alpha, p.beta, c); });
            } else {
                to = pack(from[0], from[1], uint4{}, [&](float x, __half) { return TypeF16::finish(x, p.alpha); });
            }
            // All lanes have read the scratch before the next fragment lands in it.
            __syncwarp();
        }
    }
    __syncthreads();
    output.store(thread);
}

extern "C" __global__ void __launch_bounds__(256) gemm_wmma_128x128x32(const __grid_constant__ GemmParams p) {
    gemm_wmma<128, 128, 64, 32>(p);
}

extern "C" __global__ void __launch_bounds__(128) gemm_wmma_64x64x32(const __grid_constant__ GemmParams p) {
    gemm_wmma<64, 64, 32, 32>(p);
}
