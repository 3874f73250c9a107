// Rung 11: products with at most 8 rows or 8 columns. No tensor cores: all is in reading the large operand once, and wide.
//
// The large operand X has R rows or columns that count, the small one Y up to 8 vectors along k. Two shapes of X:
//   dot:  X is K-major. A warp takes 4 of its rows, a lane 16 bytes of each, and lanes are summed up at the end.
//   axpy: X is MN-major. 8 lanes take 128 bytes of a row of X, and a CTA 32 rows at a time; sums stay in place until the end.
// A CTA: 256 threads; 32 rows of X (dot) or 64 columns (axpy), and the k of one split.
// Shared memory: Y's 8 vectors as stored, one after the other, 1024 elements along k (dot, 16 KiB) or 512 (axpy, 8 KiB, and behind
// them the same in FP32, 8 vectors of one k together, 16 KiB; in the end 24 KiB of sums of 8 warps in the place of both).
// Alignment contract: none. X and Y are read in aligned 16-byte granules and funnel-shifted, X's between lanes, so that each is
// read once; single elements only in the granules of a matrix's first and last element.
// With several splits of k, partial sums go through a workspace and a second launch adds them in the order of k.
#include "params.cuh"
#include "tile/element.cuh"
#include "tile/raster.cuh"
#include "tile/span.cuh"

// The second kernel parameter of both launches.
struct GemvPlan {
    float* parts;        // splits x vectors x R, only where splits > 1
    unsigned splits;
    unsigned k_split;    // elements along k in each split, a multiple of 1024
    unsigned small_m;    // 1: A is the small operand, else B
    unsigned y_along_k;  // 1: the small operand is K-major
};

static_assert(sizeof(GemvPlan) == 24, "the host builds this struct byte by byte: no implicit padding");

// Who is who. Strides are in elements.
template <class Type>
struct Sides {
    using In = typename Type::In;
    using Out = typename Type::Out;
    using Params = GemmParamsT<In, Out>;

    __device__ __forceinline__ Sides(const Params& p, const GemvPlan& plan)
        : x(plan.small_m ? p.b : p.a),
          y(plan.small_m ? p.a : p.b),
          ld_x(plan.small_m ? p.ldb : p.lda),
          ld_y(plan.small_m ? p.lda : p.ldb),
          rows(plan.small_m ? p.n : p.m),
          vectors(plan.small_m ? p.m : p.n),
          k(p.k),
          // A single vector without gaps is K-major however it is called.
          y_k_major(plan.y_along_k || (vectors == 1 && ld_y == 1)) {}

    const In* x;
    const In* y;
    long long ld_x;
    long long ld_y;
    unsigned rows;
    unsigned vectors;
    unsigned k;
    bool y_k_major;
};

template <class Type>
__device__ __forceinline__ void finish_c(const typename Sides<Type>::Params& p, const GemvPlan& plan, unsigned row,
                                         unsigned vector, float sum) {
    auto* const to = p.c + (plan.small_m ? vector * p.ldc + row : row * p.ldc + vector);
    *to = p.beta != 0.0f ? Type::finish(sum, p.alpha, p.beta, *to) : Type::finish(sum, p.alpha);
}

// A sum goes to C, or to the workspace.
template <class Type>
__device__ __forceinline__ void put(const typename Sides<Type>::Params& p, const GemvPlan& plan, unsigned split,
                                    const Sides<Type>& in, unsigned row, unsigned vector, float sum) {
    if (plan.splits > 1) {
        plan.parts[(static_cast<unsigned long long>(split) * in.vectors + vector) * in.rows + row] = sum;
    } else {
        finish_c<Type>(p, plan, row, vector, sum);
    }
}

template <class Type>
__device__ __forceinline__ void widen(uint4 chunk, float (&out)[8]) {
    const unsigned words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
        out[i * 2] = Type::load(unpack_low<typename Type::In>(words[i]));
        out[i * 2 + 1] = Type::load(unpack_low<typename Type::In>(words[i] >> 16));
    }
}

constexpr unsigned kDepthDot = 1024;
constexpr unsigned kDepthAxpy = 512;
// Sums of one warp: for each vector and each of a lane's 8 columns those of 8 lanes, spread over the banks.
constexpr unsigned kSumPitch = 12;
constexpr unsigned kSharedBytes = 8 * 8 * 8 * kSumPitch * 4 + 128;
static_assert(kDepthDot * 8 * 2 <= kSharedBytes, "one buffer for all");

// From vector to vector of axpy's Y: a row of chunks and a gap, so that the vectors of one k lie in different banks.
template <unsigned kVectors>
constexpr unsigned kPitchAxpy = kDepthAxpy + (kVectors > 2 ? 8 : 16);
static_assert(kPitchAxpy<8> * 8 * 2 + kDepthAxpy * 8 * 4 <= kSharedBytes, "both forms of Y");

// Elements k0 .. k0+depth-1 of Y's vectors, as they are stored, at `to`: vector v from v * kPitch on. Zeros behind them, up to the
// next multiple of 256 or `padded`, and for vectors that do not exist.
template <class Type, unsigned kVectors, unsigned kPitch>
__device__ __forceinline__ void stage_y(const Sides<Type>& in, unsigned k0, unsigned depth, unsigned padded,
                                        typename Type::In* to) {
    using In = typename Type::In;
    if (in.y_k_major) {
        // A warp takes 256 elements of a vector at a time.
        const Span<sizeof(In)> span(in.y, in.ld_y, in.vectors, in.k);
        const unsigned lane = threadIdx.x % 32;
        const unsigned blocks = ceil_div(depth, 256);
#pragma unroll 1
        for (unsigned i = threadIdx.x / 32; i < blocks * kVectors; i += 8) {
            const unsigned v = i / blocks;
            const unsigned k = i % blocks * 256;
            const char* const first = reinterpret_cast<const char*>(in.y + v * in.ld_y + k0 + k);
            *reinterpret_cast<uint4*>(to + v * kPitch + k + lane * 8) =
                load_row_chunk<32>(span, row_start(first), lane, (depth - k) * 2ll, v < in.vectors);
        }
    } else {
        // A thread takes the up to 8 neighbours of one k.
        const Span<sizeof(In)> span(in.y, in.ld_y, in.k, in.vectors);
        const unsigned bytes = in.vectors * static_cast<unsigned>(sizeof(In));
#pragma unroll 1
        for (unsigned k = threadIdx.x; k < padded; k += 256) {
            const bool exists = k < depth;
            const RowStart start = row_start(reinterpret_cast<const char*>(in.y + (k0 + k) * in.ld_y));
            const uint4 low = span.granule(start.granule, exists);
            const uint4 high = span.granule(start.granule + 16, exists && start.shift + bytes > 16);
            const uint4 chunk = keep_first_bytes(realign_bytes(low, high, start.shift), bytes);
            const unsigned words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
            for (unsigned v = 0; v < kVectors; ++v) {
                to[v * kPitch + k] = unpack_low<In>(words[v / 2] >> v % 2 * 16);
            }
        }
    }
}

template <class Type, unsigned kVectors>
__device__ __forceinline__ void dot(const typename Sides<Type>::Params& p, const GemvPlan& plan, const Sides<Type>& in,
                                 unsigned char* memory) {
    using In = typename Type::In;
    constexpr unsigned kRows = 4;
    const unsigned lane = threadIdx.x % 32;
    const unsigned row0 = blockIdx.x / plan.splits * 32 + threadIdx.x / 32 * kRows;
    const unsigned split = blockIdx.x % plan.splits;
    const unsigned k_begin = min(split * plan.k_split, in.k);
    const unsigned k_end = in.k - k_begin < plan.k_split ? in.k : k_begin + plan.k_split;
    In* const y = reinterpret_cast<In*>(memory);
    const Span<sizeof(In)> span(in.x, in.ld_x, in.rows, in.k);
    float acc[kRows][kVectors] = {};

#pragma unroll 1
    for (unsigned k0 = k_begin; k0 < k_end; k0 += kDepthDot) {
        const unsigned depth = min(k_end - k0, kDepthDot);
        const unsigned padded = (depth + 255) & ~255u;
        __syncthreads();
        stage_y<Type, kVectors, kDepthDot>(in, k0, depth, padded, y);
        __syncthreads();
#pragma unroll 1
        for (unsigned k = 0; k < depth; k += 256) {
            uint4 chunks[kRows];
#pragma unroll
            for (unsigned i = 0; i < kRows; ++i) {
                const char* const first = reinterpret_cast<const char*>(in.x + (row0 + i) * in.ld_x + k0 + k);
                chunks[i] = load_row_chunk<32>(span, row_start(first), lane, (depth - k) * 2ll, row0 + i < in.rows);
            }
            float x[kRows][8];
#pragma unroll
            for (unsigned i = 0; i < kRows; ++i) {
                widen<Type>(chunks[i], x[i]);
            }
#pragma unroll
            for (unsigned v = 0; v < kVectors; ++v) {
                float factor[8];
                widen<Type>(*reinterpret_cast<const uint4*>(y + v * kDepthDot + k + lane * 8), factor);
#pragma unroll
                for (unsigned i = 0; i < kRows; ++i) {
#pragma unroll
                    for (unsigned e = 0; e < 8; ++e) {
                        acc[i][v] = __fmaf_rn(x[i][e], factor[e], acc[i][v]);
                    }
                }
            }
        }
    }

    // Lanes, in a tree. Lane i * kVectors + v keeps the sum of row i and vector v.
    float mine = 0.0f;
#pragma unroll
    for (unsigned i = 0; i < kRows; ++i) {
#pragma unroll
        for (unsigned v = 0; v < kVectors; ++v) {
#pragma unroll
            for (unsigned step = 16; step != 0; step /= 2) {
                acc[i][v] += __shfl_xor_sync(~0u, acc[i][v], step);
            }
            mine = lane == i * kVectors + v ? acc[i][v] : mine;
        }
    }
    const unsigned row = row0 + lane / kVectors;
    const unsigned vector = lane % kVectors;
    if (lane < kRows * kVectors && row < in.rows && vector < in.vectors) {
        put<Type>(p, plan, split, in, row, vector, mine);
    }
}

template <class Type, unsigned kVectors>
__device__ __forceinline__ void axpy(const typename Sides<Type>::Params& p, const GemvPlan& plan, const Sides<Type>& in,
                                 unsigned char* memory) {
    using In = typename Type::In;
    // Chunks of a lane that are on their way. Sums of 8 vectors leave registers for two of them where an SM has two CTAs.
    constexpr unsigned kPasses = kVectors > 4 ? 2 : 4;
    const unsigned lane = threadIdx.x % 8;
    const unsigned row0 = blockIdx.x / plan.splits * 64;
    const unsigned split = blockIdx.x % plan.splits;
    const unsigned k_begin = min(split * plan.k_split, in.k);
    const unsigned k_end = in.k - k_begin < plan.k_split ? in.k : k_begin + plan.k_split;
    constexpr unsigned kPitch = kPitchAxpy<kVectors>;
    In* const stored = reinterpret_cast<In*>(memory);
    float* const shared = reinterpret_cast<float*>(memory + kPitch * kVectors * sizeof(In));
    const Span<sizeof(In)> span(in.x, in.ld_x, in.k, in.rows);
    float acc[kVectors][8] = {};

#pragma unroll 1
    for (unsigned k0 = k_begin; k0 < k_end; k0 += kDepthAxpy) {
        const unsigned depth = min(k_end - k0, kDepthAxpy);
        const unsigned padded = (depth + 127) & ~127u;
        __syncthreads();
        stage_y<Type, kVectors, kPitch>(in, k0, depth, padded, stored);
        __syncthreads();
        for (unsigned i = threadIdx.x; i < padded * kVectors; i += 256) {
            const unsigned k = i / kVectors;
            const unsigned v = i % kVectors;
            shared[i] = Type::load(stored[v * kPitch + k]);
        }
        __syncthreads();
#pragma unroll 1
        for (unsigned k = threadIdx.x / 8; k < padded; k += 32 * kPasses) {
            uint4 chunks[kPasses];
#pragma unroll
            for (unsigned i = 0; i < kPasses; ++i) {
                const unsigned here = k + i * 32;
                const char* const first = reinterpret_cast<const char*>(in.x + (k0 + here) * in.ld_x + row0);
                chunks[i] = load_row_chunk<8>(span, row_start(first), lane, (in.rows - row0) * 2ll, here < depth);
            }
#pragma unroll
            for (unsigned i = 0; i < kPasses; ++i) {
                float x[8];
                widen<Type>(chunks[i], x);
                const float* const y = shared + (k + i * 32) * kVectors;
#pragma unroll
                for (unsigned v = 0; v < kVectors; ++v) {
#pragma unroll
                    for (unsigned e = 0; e < 8; ++e) {
                        acc[v][e] = __fmaf_rn(x[e], y[v], acc[v][e]);
                    }
                }
            }
        }
    }

    // The four rows of a warp, then the warps in their order.
    __syncthreads();
    float* const all_sums = reinterpret_cast<float*>(memory);
    float* const sums = all_sums + threadIdx.x / 32 * (kVectors * 8 * kSumPitch);
#pragma unroll
    for (unsigned v = 0; v < kVectors; ++v) {
#pragma unroll
        for (unsigned e = 0; e < 8; ++e) {
            float sum = acc[v][e];
            sum += __shfl_xor_sync(~0u, sum, 8);
            sum += __shfl_xor_sync(~0u, sum, 16);
            if (threadIdx.x % 32 < 8) {
                sums[(v * 8 + e) * kSumPitch + lane] = sum;
            }
        }
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < kVectors * 64; i += 256) {
        const unsigned v = i / 64;
        const unsigned row = i % 64;
        float sum = 0.0f;
#pragma unroll
        for (unsigned warp = 0; warp < 8; ++warp) {
            sum += all_sums[((warp * kVectors + v) * 8 + row % 8) * kSumPitch + row / 8];
        }
        if (row0 + row < in.rows && v < in.vectors) {
            put<Type>(p, plan, split, in, row0 + row, v, sum);
        }
    }
}

template <class Type, bool kDot>
__device__ __forceinline__ void gemv(const typename Sides<Type>::Params& p, const GemvPlan& plan) {
    __shared__ __align__(16) unsigned char memory[kSharedBytes];
    const Sides<Type> in(p, plan);
    const auto run = [&](auto vectors) {
        constexpr unsigned kVectors = decltype(vectors)::value;
        if constexpr (kDot) {
            dot<Type, kVectors>(p, plan, in, memory);
        } else {
            axpy<Type, kVectors>(p, plan, in, memory);
        }
    };
    if (in.vectors > 4) {
        run(std::integral_constant<unsigned, 8>());
    } else if (in.vectors > 2) {
        run(std::integral_constant<unsigned, 4>());
    } else if (in.vectors == 2) {
        run(std::integral_constant<unsigned, 2>());
    } else {
        run(std::integral_constant<unsigned, 1>());
    }
}

// One thread for an element of C adds its partial sums.
template <class Type>
__device__ __forceinline__ void gemv_sum(const typename Sides<Type>::Params& p, const GemvPlan& plan) {
    const Sides<Type> in(p, plan);
    const unsigned long long stride = static_cast<unsigned long long>(in.rows) * in.vectors;
    const unsigned long long i = blockIdx.x * 256ull + threadIdx.x;
    if (i >= stride) {
        return;
    }
    float sum = 0.0f;
    for (unsigned split = 0; split < plan.splits; ++split) {
        sum += plan.parts[split * stride + i];
    }
    finish_c<Type>(p, plan, static_cast<unsigned>(i % in.rows), static_cast<unsigned>(i / in.rows), sum);
}

#define GEMV(name, type, body)                                                              \
    extern "C" __global__ void __launch_bounds__(256, 2) gemv_##name(                       \
        const __grid_constant__ Sides<type>::Params p, const __grid_constant__ GemvPlan plan) { \
        body(p, plan);                                                                      \
    }

GEMV(dot_f16, TypeF16, (gemv<TypeF16, true>))
GEMV(axpy_f16, TypeF16, (gemv<TypeF16, false>))
GEMV(sum_f16, TypeF16, gemv_sum<TypeF16>)
GEMV(dot_bf16, TypeBf16, (gemv<TypeBf16, true>))
GEMV(axpy_bf16, TypeBf16, (gemv<TypeBf16, false>))
GEMV(sum_bf16, TypeBf16, gemv_sum<TypeBf16>)
