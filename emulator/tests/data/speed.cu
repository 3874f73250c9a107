// A plain product for the speed benchmark: 128x128 tiles of C, 32 deep, two stages filled by cp.async, ldmatrix and mma.sync.
// All extents are multiples of the tile. Compiled to speed.ptx beside it:
//   nvcc -ptx -arch=compute_80 -O3 -lineinfo -std=c++17 speed.cu -o speed.ptx     (13.0.88)
#include <cuda_fp16.h>

__device__ __forceinline__ unsigned address(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void copy(unsigned to, const void *from) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
}

// Row-major A (m x k), B (k x n) and C (m x n); 256 threads, eight warps of 64x32.
extern "C" __global__ void __launch_bounds__(256) product(const __half *a, const __half *b, __half *c, int n, int k) {
    __shared__ __align__(128) __half sa[2][128][40], sb[2][32][136];
    int t = threadIdx.x, warp = t / 32, lane = t % 32, row0 = blockIdx.y * 128, col0 = blockIdx.x * 128;
    int wm = warp / 4 * 64, wn = warp % 4 * 32;
    auto fill = [&](int stage, int k0) {
        for (int i = t; i < 512; i += 256) {
            copy(address(&sa[stage][i / 4][i % 4 * 8]), a + (size_t)(row0 + i / 4) * k + k0 + i % 4 * 8);
            copy(address(&sb[stage][i / 16][i % 16 * 8]), b + (size_t)(k0 + i / 16) * n + col0 + i % 16 * 8);
        }
        asm volatile("cp.async.commit_group;" ::: "memory");
    };
    float acc[4][4][4] = {};
    fill(0, 0);
    for (int k0 = 0, s = 0; k0 < k; k0 += 32, s ^= 1) {
        if (k0 + 32 < k) {
            fill(s ^ 1, k0 + 32);
            asm volatile("cp.async.wait_group 1;" ::: "memory");
        } else {
            asm volatile("cp.async.wait_group 0;" ::: "memory");
        }
        __syncthreads();
#pragma unroll
        for (int kk = 0; kk < 32; kk += 16) {
            unsigned fa[4][4], fb[4][2];
            for (int i = 0; i < 4; i++)
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                             : "=r"(fa[i][0]), "=r"(fa[i][1]), "=r"(fa[i][2]), "=r"(fa[i][3])
                             : "r"(address(&sa[s][wm + 16 * i + lane % 16][kk + lane / 16 * 8])));
            for (int j = 0; j < 4; j += 2)
                asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                             : "=r"(fb[j][0]), "=r"(fb[j][1]), "=r"(fb[j + 1][0]), "=r"(fb[j + 1][1])
                             : "r"(address(&sb[s][kk + lane % 16][wn + 8 * j + lane / 16 * 8])));
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++)
                    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                                 : "+f"(acc[i][j][0]), "+f"(acc[i][j][1]), "+f"(acc[i][j][2]), "+f"(acc[i][j][3])
                                 : "r"(fa[i][0]), "r"(fa[i][1]), "r"(fa[i][2]), "r"(fa[i][3]), "r"(fb[j][0]), "r"(fb[j][1]));
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            for (int h = 0; h < 2; h++)
                *(__half2 *)(c + (size_t)(row0 + wm + 16 * i + lane / 4 + 8 * h) * n + col0 + wn + 8 * j + lane % 4 * 2) =
                    __floats2half2_rn(acc[i][j][2 * h], acc[i][j][2 * h + 1]);
}
