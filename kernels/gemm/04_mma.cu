// Rung 4: mma.sync m16n8k16 fed by ldmatrix from swizzled shared memory, several k steps in flight.
//
// Tiles (m x n x k, warps, stages): 128x256x32, 8, 3; 128x128x32, 4, 4; 64x64x32, 4, 6. Warp tile 64x64, or 32x32.
// Shared memory: stages of [A tile, 64-byte rows | B tile, 2*n-byte rows], XOR-swizzled, no padding; the FP16 C tile takes
// its place after the main loop. All of it dynamic, requested at launch.
// Alignment contract: suffix aN = rows of A and B start at multiples of N bytes. a16, a8 and a4 copy with cp.async of that
// size; a2 takes any operand by shifting aligned 16-byte loads in registers. C may have any alignment in all of them.
// Over rung 3: the fragment layout is used, not hidden, so that shared memory needs no padding, row-major B is transposed
// on the way to registers, and copies of later k steps overlap the multiplication of this one.
#include "params.cuh"
#include "ptx/cp_async.cuh"
#include "ptx/ldmatrix.cuh"
#include "ptx/mma.cuh"
#include "tile/epilogue.cuh"
#include "tile/load_async.cuh"
#include "tile/load_shifted.cuh"
#include "tile/raster.cuh"
#include "tile/swizzle.cuh"

template <unsigned kM_, unsigned kN_, unsigned kWarpM_, unsigned kWarpN_, unsigned kStages_, unsigned kGroup_>
struct Config {
    static constexpr unsigned kM = kM_;
    static constexpr unsigned kN = kN_;
    static constexpr unsigned kK = 32;
    static constexpr unsigned kWarpM = kWarpM_;
    static constexpr unsigned kWarpN = kWarpN_;
    static constexpr unsigned kStages = kStages_;
    static constexpr unsigned kGroup = kGroup_;
    static constexpr unsigned kWarpsM = kM / kWarpM;
    static constexpr unsigned kWarpsN = kN / kWarpN;
    static constexpr unsigned kThreads = kWarpsM * kWarpsN * 32;
    using TileA = SwizzledTile<kM, kK>;
    using TileB = SwizzledTile<kK, kN>;
    using Output = StagedOutput<kM, kN, kThreads>;
    static constexpr unsigned kStageBytes = TileA::kBytes + TileB::kBytes;
    static constexpr unsigned kSharedBytes = kStages * kStageBytes;
    static_assert(kWarpM % 16 == 0 && kWarpN % 16 == 0, "warps load B two 8-wide blocks at a time");
    static_assert(kWarpN * 2 == 64 || kWarpN * 2 == 128, "a warp's B columns stay inside one swizzle period");
    static_assert(Output::kBytes <= kSharedBytes, "the C tile is staged where the pipeline was");
};

using Large = Config<128, 256, 64, 64, 3, 16>;
using Medium = Config<128, 128, 64, 64, 4, 8>;
using Small = Config<64, 64, 32, 32, 6, 8>;

// catalog.toml asks for these amounts at launch.
static_assert(Large::kSharedBytes == 73728 && Large::kThreads == 256, "catalog.toml");
static_assert(Medium::kSharedBytes == 65536 && Medium::kThreads == 128, "catalog.toml");
static_assert(Small::kSharedBytes == 49152 && Small::kThreads == 128, "catalog.toml");

// One warp's share of the C tile: its accumulators and where it reads its fragments.
template <class C>
class WarpTile {
    static constexpr unsigned kBlocksM = C::kWarpM / 16;
    static constexpr unsigned kBlocksN = C::kWarpN / 8;

public:
    __device__ __forceinline__ explicit WarpTile(unsigned thread) {
        const unsigned warp = thread / 32;
        lane_ = thread % 32;
        row_ = warp % C::kWarpsM * C::kWarpM;
        col_ = warp / C::kWarpsM * C::kWarpN;
        // Lanes 0-15 address rows 0-15 of a 16-wide block, lanes 16-31 the same rows eight columns on: the four 8x8
        // matrices then arrive in the register order of the A fragment, and transposed in that of two B fragments.
        a_offset_ = C::TileA::offset(row_ + lane_ % 16, lane_ / 16);
        b_offset_ = C::TileA::kBytes + C::TileB::offset(lane_ % 16, col_ / 8 + lane_ / 16);
#pragma unroll
        for (unsigned i = 0; i < kBlocksM; ++i) {
#pragma unroll
            for (unsigned j = 0; j < kBlocksN; ++j) {
#pragma unroll
                for (unsigned e = 0; e < 4; ++e) {
                    acc_[i][j][e] = 0.0f;
                }
            }
        }
    }

    // Fragments of the 16 columns of A and rows of B that start at 16 * kStep in the stage at `shared`.
    template <unsigned kStep>
    __device__ __forceinline__ void load(unsigned shared) {
        // Steps inside a swizzle period flip bits of the offset; rows and whole periods add to it.
#pragma unroll
        for (unsigned i = 0; i < kBlocksM; ++i) {
            ldmatrix_x4(a_[kStep][i], shared + (a_offset_ ^ kStep * 32) + i * 16 * C::TileA::kPitch);
        }
#pragma unroll
        for (unsigned j = 0; j < kBlocksN / 2; ++j) {
            ldmatrix_x4_trans(b_[kStep][j], shared + (b_offset_ ^ j * 32) + kStep * 16 * C::TileB::kPitch);
        }
    }

    // acc += A * B for the fragments loaded last for kStep.
    template <unsigned kStep>
    __device__ __forceinline__ void multiply() {
#pragma unroll
        for (unsigned i = 0; i < kBlocksM; ++i) {
#pragma unroll
            for (unsigned j = 0; j < kBlocksN; ++j) {
                const unsigned* b = b_[kStep][j / 2] + j % 2 * 2;
                mma_m16n8k16(acc_[i][j], a_[kStep][i], b[0], b[1]);
            }
        }
    }

    // Puts alpha * acc (+ beta * what is staged there) into the staged C tile. Each pair belongs to one thread.
    template <bool kBlend>
    __device__ __forceinline__ void stage(const typename C::Output& output, float alpha, float beta) const {
#pragma unroll
        for (unsigned i = 0; i < kBlocksM; ++i) {
#pragma unroll
            for (unsigned j = 0; j < kBlocksN; ++j) {
#pragma unroll
                for (unsigned half = 0; half < 2; ++half) {
                    const float first = acc_[i][j][half * 2];
                    const float second = acc_[i][j][half * 2 + 1];
                    __half2& to = output.pair(row_ + i * 16 + half * 8 + lane_ / 4, col_ + j * 8 + lane_ % 4 * 2);
                    if constexpr (kBlend) {
                        const __half2 old = to;
                        to = __halves2half2(blend(first, alpha, beta, __low2half(old)),
                                            blend(second, alpha, beta, __high2half(old)));
                    } else {
                        to = __halves2half2(scale(first, alpha), scale(second, alpha));
                    }
                }
            }
        }
    }

private:
    float acc_[kBlocksM][kBlocksN][4];
    unsigned a_[2][kBlocksM][4];
    unsigned b_[2][kBlocksN / 2][4];
    unsigned lane_;
    unsigned row_;
    unsigned col_;
    unsigned a_offset_;
    unsigned b_offset_;
};

// Where the CTA's operands lie and how much of them is left: shared by both main loops.
template <class C>
struct Operands {
    __device__ __forceinline__ Operands(const GemmParams& p, TileOrigin origin)
        : a(p.a + origin.row * p.lda),
          b(p.b + origin.col),
          rows(min(p.m - origin.row, C::kM)),
          cols(min(p.n - origin.col, C::kN)),
          k_steps(ceil_div(p.k, C::kK)) {}

    const __half* a;
    const __half* b;
    unsigned rows;
    unsigned cols;
    unsigned k_steps;
};

// Ring position of the next stage.
template <class C>
__device__ __forceinline__ unsigned next_stage(unsigned offset) {
    return offset + C::kStageBytes == C::kSharedBytes ? 0 : offset + C::kStageBytes;
}

// Main loop over cp.async: kStages - 1 k steps are on their way while one is multiplied.
template <class C, unsigned kAlign>
__device__ __forceinline__ void multiply_async(WarpTile<C>& warp_tile, const GemmParams& p, const Operands<C>& in,
                                               unsigned shared) {
    AsyncLoader<typename C::TileA, C::kThreads, kAlign> loader_a(p.a, in.a, p.lda, threadIdx.x);
    AsyncLoader<typename C::TileB, C::kThreads, kAlign> loader_b(p.b, in.b, p.ldb, threadIdx.x);
    const long long b_step = p.ldb * (C::kK * 2);
    const bool all_rows = in.rows == C::kM;
    const bool all_cols = in.cols == C::kN;
    unsigned k_left = p.k;

    // The predicated copies cost issue slots, so whole tiles take a path without them. The choice is uniform.
    const auto load = [&](unsigned stage) {
        if (all_rows && k_left >= C::kK) {
            loader_a.copy_full(stage);
        } else {
            loader_a.copy_guarded(stage, in.rows, min(k_left, C::kK));
        }
        if (all_cols && k_left >= C::kK) {
            loader_b.copy_full(stage + C::TileA::kBytes);
        } else {
            loader_b.copy_guarded(stage + C::TileA::kBytes, min(k_left, C::kK), in.cols);
        }
        k_left -= min(k_left, C::kK);
        loader_a.advance(C::kK * 2);
        loader_b.advance(b_step);
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
    __syncthreads();

    // Fragments are loaded half a k step ahead of their use, so that the barrier and the latency of ldmatrix hide behind
    // multiplications. The last step has nothing to load ahead: it reads its own stage again, since a branch would cost
    // more than the load.
    unsigned stage = 0;
    if (in.k_steps != 0) {
        warp_tile.template load<0>(shared);
    }
#pragma unroll 1
    for (unsigned step = 0; step < in.k_steps; ++step) {
        warp_tile.template load<1>(shared + stage);
        warp_tile.template multiply<0>();
        // The next k step has arrived, for all threads; and all have read this stage to its end: refill it.
        cp_async_wait<C::kStages - 2>();
        __syncthreads();
        if (k_left != 0) {
            load(shared + stage);
        }
        cp_async_commit();
        stage = step + 1 < in.k_steps ? next_stage<C>(stage) : stage;
        warp_tile.template load<0>(shared + stage);
        warp_tile.template multiply<1>();
    }
    cp_async_wait<0>();
}

// Main loop over registers: loads for a later k step are issued before a half of this one is multiplied and stored to
// shared memory after it. A goes with the first half and B with the second, so that one set of registers is live at a time.
template <class C>
__device__ __forceinline__ void multiply_shifted(WarpTile<C>& warp_tile, const GemmParams& p, const Operands<C>& in,
                                                 unsigned char* memory, unsigned shared) {
    const __half* a_end = p.a + ((p.m - 1ll) * p.lda + p.k);
    const __half* b_end = p.b + ((p.k - 1ll) * p.ldb + p.n);
    ShiftedLoader<typename C::TileA, C::kThreads> loader_a(in.a, p.lda, p.a, a_end, threadIdx.x);
    ShiftedLoader<typename C::TileB, C::kThreads> loader_b(in.b, p.ldb, p.b, b_end, threadIdx.x);
    const long long b_step = p.ldb * (C::kK * 2);
    const bool all_rows = in.rows == C::kM;
    const bool all_cols = in.cols == C::kN;
    const __half* a_next = in.a;
    const __half* b_next = in.b;
    unsigned k_left = p.k;
    bool a_full = false, a_ends = false, b_full = false, b_ends = false;

    const auto fetch_a = [&] {
        const unsigned k_here = min(k_left, C::kK);
        a_ends = touches_ends(a_next, p.lda, in.rows, k_here, p.a, a_end);
        a_full = all_rows && k_here == C::kK && !a_ends;
        if (a_full) {
            loader_a.fetch_full();
        } else {
            loader_a.fetch_guarded(in.rows, k_here);
        }
    };
    const auto store_a = [&](unsigned stage) {
        const unsigned k_here = min(k_left, C::kK);
        if (a_full) {
            loader_a.store_full(memory + stage);
        } else {
            loader_a.store_guarded(memory + stage, in.rows, k_here);
            if (a_ends) {
                loader_a.patch_ends(memory + stage, in.rows, k_here);
            }
        }
        loader_a.advance(C::kK * 2);
        a_next += C::kK;
    };
    const auto fetch_b = [&] {
        const unsigned k_here = min(k_left, C::kK);
        b_ends = touches_ends(b_next, p.ldb, k_here, in.cols, p.b, b_end);
        b_full = all_cols && k_here == C::kK && !b_ends;
        if (b_full) {
            loader_b.fetch_full();
        } else {
            loader_b.fetch_guarded(k_here, in.cols);
        }
    };
    const auto store_b = [&](unsigned stage) {
        const unsigned k_here = min(k_left, C::kK);
        if (b_full) {
            loader_b.store_full(memory + stage + C::TileA::kBytes);
        } else {
            loader_b.store_guarded(memory + stage + C::TileA::kBytes, k_here, in.cols);
            if (b_ends) {
                loader_b.patch_ends(memory + stage + C::TileA::kBytes, k_here, in.cols);
            }
        }
        loader_b.advance(b_step);
        b_next += p.ldb * C::kK;
        k_left -= k_here;
    };

    // Fill the pipeline.
#pragma unroll 1
    for (unsigned stage = 0; stage < C::kStages - 1 && k_left != 0; ++stage) {
        fetch_a();
        fetch_b();
        store_a(stage * C::kStageBytes);
        store_b(stage * C::kStageBytes);
    }


    // No fragments are loaded ahead here: the staged operands need those registers.
    unsigned reading = 0;
    unsigned writing = (C::kStages - 1) * C::kStageBytes;
#pragma unroll 1
    for (unsigned step = 0; step < in.k_steps; ++step) {
        // This k step is stored, by all threads; and all have left the stage that is written next.
        __syncthreads();
        const bool more = k_left != 0;
        if (more) {
            fetch_a();
        }
        warp_tile.template load<0>(shared + reading);
        warp_tile.template multiply<0>();
        if (more) {
            store_a(writing);
            fetch_b();
        }
        warp_tile.template load<1>(shared + reading);
        warp_tile.template multiply<1>();
        if (more) {
            store_b(writing);
        }
        reading = next_stage<C>(reading);
        writing = next_stage<C>(writing);
    }
}

template <class C, unsigned kAlign>
__device__ __forceinline__ void gemm_mma(const GemmParams& p) {
    extern __shared__ __align__(128) unsigned char memory[];
    const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(memory));
    const TileOrigin origin = raster_grouped<C::kGroup, C::kM, C::kN>(blockIdx.x, p.m, p.n);
    const Operands<C> in(p, origin);
    WarpTile<C> warp_tile(threadIdx.x);

    if constexpr (kAlign == 2) {
        multiply_shifted<C>(warp_tile, p, in, memory, shared);
    } else {
        multiply_async<C, kAlign>(warp_tile, p, in, shared);
    }

    // All warps are done with the pipeline's shared memory: it becomes the stage for C.
    __syncthreads();
    const typename C::Output output(memory, p, origin.row, origin.col);
    if (p.beta != 0.0f) {
        output.load(threadIdx.x);
        __syncthreads();
        warp_tile.template stage<true>(output, p.alpha, p.beta);
    } else {
        warp_tile.template stage<false>(output, p.alpha, p.beta);
    }
    __syncthreads();
    output.store(threadIdx.x);
}

extern "C" __global__ void __launch_bounds__(256) gemm_mma_128x256x32_a16(const __grid_constant__ GemmParams p) {
    gemm_mma<Large, 16>(p);
}
extern "C" __global__ void __launch_bounds__(256) gemm_mma_128x256x32_a8(const __grid_constant__ GemmParams p) {
    gemm_mma<Large, 8>(p);
}
extern "C" __global__ void __launch_bounds__(256) gemm_mma_128x256x32_a4(const __grid_constant__ GemmParams p) {
    gemm_mma<Large, 4>(p);
}
extern "C" __global__ void __launch_bounds__(256) gemm_mma_128x256x32_a2(const __grid_constant__ GemmParams p) {
    gemm_mma<Large, 2>(p);
}

extern "C" __global__ void __launch_bounds__(128) gemm_mma_128x128x32_a16(const __grid_constant__ GemmParams p) {
    gemm_mma<Medium, 16>(p);
}
extern "C" __global__ void __launch_bounds__(128) gemm_mma_128x128x32_a8(const __grid_constant__ GemmParams p) {
    gemm_mma<Medium, 8>(p);
}
extern "C" __global__ void __launch_bounds__(128) gemm_mma_128x128x32_a4(const __grid_constant__ GemmParams p) {
    gemm_mma<Medium, 4>(p);
}
extern "C" __global__ void __launch_bounds__(128) gemm_mma_128x128x32_a2(const __grid_constant__ GemmParams p) {
    gemm_mma<Medium, 2>(p);
}

extern "C" __global__ void __launch_bounds__(128, 4) gemm_mma_64x64x32_a16(const __grid_constant__ GemmParams p) {
    gemm_mma<Small, 16>(p);
}
extern "C" __global__ void __launch_bounds__(128, 4) gemm_mma_64x64x32_a8(const __grid_constant__ GemmParams p) {
    gemm_mma<Small, 8>(p);
}
extern "C" __global__ void __launch_bounds__(128, 4) gemm_mma_64x64x32_a4(const __grid_constant__ GemmParams p) {
    gemm_mma<Small, 4>(p);
}
extern "C" __global__ void __launch_bounds__(128, 4) gemm_mma_64x64x32_a2(const __grid_constant__ GemmParams p) {
    gemm_mma<Small, 2>(p);
}
