// Rung 2: block and register tiling on the FP32 units.
//
// Tiles (m x n x k, threads, elements of C per thread): 128x128x16, 256, 8x8; 64x64x16, 256, 4x4. Two stages.
// Shared memory (static): 2 x [A tile, k-major, FP32, rows padded by 4 | B tile, FP32]; then the FP16 C tile in its place.
// Alignment contract: none beyond 2 bytes; global loads are single halves, widened once on the way in.
// Over rung 1: an element that was loaded is used by a whole row or column of threads from shared memory, and by 8 (4)
// multiply-adds from a register; the next tile is loaded into registers while this one is multiplied.
#include "params.cuh"
#include "tile/epilogue.cuh"
#include "tile/raster.cuh"

template <unsigned kM, unsigned kN, unsigned kPerThread>
struct SimtTile {
    static constexpr unsigned kK = 16;
    static constexpr unsigned kThreadsN = kN / kPerThread;
    static constexpr unsigned kThreads = kM / kPerThread * kThreadsN;
    // Threads own groups of 4 neighbouring elements, so that a warp reads shared memory in 16-byte pieces without gaps.
    static constexpr unsigned kGroups = kPerThread / 4;
    // A is stored transposed; the padding spreads the 16 k rows that one row of A is scattered over.
    static constexpr unsigned kPitchA = kM + 4;
    static constexpr unsigned kStageFloats = kK * kPitchA + kK * kN;
    static constexpr unsigned kLoadsA = kM * kK / kThreads;
    static constexpr unsigned kLoadsB = kK * kN / kThreads;
    using Output = StagedOutput<kM, kN, kThreads>;
    static constexpr unsigned kSharedBytes = 2 * kStageFloats * 4;
    static_assert(kPerThread % 4 == 0 && kPitchA % 4 == 0, "16-byte reads of shared memory");
    static_assert(kThreads % kK == 0 && kThreads % kN == 0, "a thread loads one column of A and one of B");
    static_assert(Output::kBytes <= kSharedBytes, "the C tile is staged where the operands were");
    static_assert(kSharedBytes <= 48 * 1024, "static shared memory");
};

template <unsigned kM, unsigned kN, unsigned kPerThread>
__device__ __forceinline__ void gemm_tiled(const GemmParams& p) {
    using T = SimtTile<kM, kN, kPerThread>;
    __shared__ __align__(16) unsigned char memory[T::kSharedBytes];
    float* const stages = reinterpret_cast<float*>(memory);
    const unsigned thread = threadIdx.x;
    const TileOrigin origin = raster_grouped<8, kM, kN>(blockIdx.x, p.m, p.n);

    // Loading: this thread's column of A and of B, and the first of its rows in each.
    constexpr unsigned kRowStepA = T::kThreads / T::kK;
    constexpr unsigned kRowStepB = T::kThreads / kN;
    const unsigned a_row = thread / T::kK, a_col = thread % T::kK;
    const unsigned b_row = thread / kN, b_col = thread % kN;
    const __half* a_from = p.a + (origin.row + a_row) * p.lda + a_col;
    const __half* b_from = p.b + b_row * p.ldb + origin.col + b_col;
    const unsigned rows = min(p.m - origin.row, kM);
    const bool b_col_exists = b_col < p.n - origin.col;
    __half a_next[T::kLoadsA];
    __half b_next[T::kLoadsB];

    // Elements that do not exist become zeros in both operands: one zero is not enough where the other may be NaN.
    const auto fetch = [&](unsigned k_left) {
#pragma unroll
        for (unsigned i = 0; i < T::kLoadsA; ++i) {
            const bool exists = a_col < k_left && a_row + i * kRowStepA < rows;
            a_next[i] = exists ? a_from[i * kRowStepA * p.lda] : __ushort_as_half(0);
        }
#pragma unroll
        for (unsigned i = 0; i < T::kLoadsB; ++i) {
            const bool exists = b_col_exists && b_row + i * kRowStepB < k_left;
            b_next[i] = exists ? b_from[i * kRowStepB * p.ldb] : __ushort_as_half(0);
        }
        a_from += T::kK;
        b_from += T::kK * p.ldb;
    };
    const auto store = [&](float* stage) {
#pragma unroll
        for (unsigned i = 0; i < T::kLoadsA; ++i) {
            stage[a_col * T::kPitchA + a_row + i * kRowStepA] = __half2float(a_next[i]);
        }
#pragma unroll
        for (unsigned i = 0; i < T::kLoadsB; ++i) {
            stage[T::kK * T::kPitchA + (b_row + i * kRowStepB) * kN + b_col] = __half2float(b_next[i]);
        }
    };

    // Multiplying: this thread's rows are y * 4 + (0..3) and the same kM / kGroups further on; columns likewise.
    constexpr unsigned kGroupStepM = kM / T::kGroups;
    constexpr unsigned kGroupStepN = kN / T::kGroups;
    const unsigned x = thread % T::kThreadsN, y = thread / T::kThreadsN;
    float acc[kPerThread][kPerThread] = {};
    const auto multiply = [&](const float* stage) {
#pragma unroll
        for (unsigned k = 0; k < T::kK; ++k) {
            float4 a[T::kGroups], b[T::kGroups];
#pragma unroll
            for (unsigned g = 0; g < T::kGroups; ++g) {
                a[g] = *reinterpret_cast<const float4*>(stage + k * T::kPitchA + g * kGroupStepM + y * 4);
                b[g] = *reinterpret_cast<const float4*>(stage + T::kK * T::kPitchA + k * kN + g * kGroupStepN + x * 4);
            }
#pragma unroll
            for (unsigned i = 0; i < kPerThread; ++i) {
                const float4 av = a[i / 4];
                const float ai = i % 4 == 0 ? av.x : i % 4 == 1 ? av.y : i % 4 == 2 ? av.z : av.w;
#pragma unroll
                for (unsigned g = 0; g < T::kGroups; ++g) {
                    acc[i][g * 4 + 0] = __fmaf_rn(ai, b[g].x, acc[i][g * 4 + 0]);
                    acc[i][g * 4 + 1] = __fmaf_rn(ai, b[g].y, acc[i][g * 4 + 1]);
                    acc[i][g * 4 + 2] = __fmaf_rn(ai, b[g].z, acc[i][g * 4 + 2]);
                    acc[i][g * 4 + 3] = __fmaf_rn(ai, b[g].w, acc[i][g * 4 + 3]);
                }
            }
        }
    };

    // Main loop: one barrier a k step, since the two stages alternate between being read and being written.
    unsigned k_left = p.k;
    unsigned reading = 0;
    if (k_left != 0) {
        fetch(k_left);
        store(stages);
    }
    __syncthreads();
    while (k_left != 0) {
        k_left -= min(k_left, T::kK);
        if (k_left != 0) {
            fetch(k_left);
        }
        multiply(stages + reading * T::kStageFloats);
        reading ^= 1;
        if (k_left != 0) {
            store(stages + reading * T::kStageFloats);
        }
        __syncthreads();
    }

    // Epilogue: the last barrier above freed the operands' shared memory.
    const typename T::Output output(memory, p, origin.row, origin.col);
    if (p.beta != 0.0f) {
        output.load(thread);
        __syncthreads();
    }
#pragma unroll
    for (unsigned i = 0; i < kPerThread; ++i) {
#pragma unroll
        for (unsigned j = 0; j < kPerThread; j += 2) {
            unsigned& to = output.pair(i / 4 * kGroupStepM + y * 4 + i % 4, j / 4 * kGroupStepN + x * 4 + j % 4);
            to = p.beta != 0.0f ? finish_pair<TypeF16>(acc[i][j], acc[i][j + 1], p.alpha, p.beta, to)
                                : finish_pair<TypeF16>(acc[i][j], acc[i][j + 1], p.alpha);
        }
    }
    __syncthreads();
    output.store(thread);
}

extern "C" __global__ void __launch_bounds__(256) gemm_tiled_128x128x16(const __grid_constant__ GemmParams p) {
    gemm_tiled<128, 128, 8>(p);
}

extern "C" __global__ void __launch_bounds__(256) gemm_tiled_64x64x16(const __grid_constant__ GemmParams p) {
    gemm_tiled<64, 64, 4>(p);
}
