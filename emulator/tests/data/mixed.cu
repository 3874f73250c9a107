// A bit of everything that nvcc emits for sm_80. Compiled to mixed.ptx beside it:
//   nvcc -ptx -arch=compute_80 -O3 -lineinfo -std=c++17 mixed.cu -o mixed.ptx     (13.0.88)
// then paths of the toolkit shortened and the debug section cut off.
#include <cassert>
#include <cuda_fp16.h>
#include <mma.h>
using namespace nvcuda;

struct Params {
    const half *a, *b;
    half *c;
    long long lda, ldb, ldc;
    unsigned m, n, k;
    float alpha, beta;
    unsigned reserved;
};

extern "C" __global__ void naive(const __grid_constant__ Params p) {
    unsigned across = (p.n + 15) / 16;
    unsigned r = blockIdx.x / across * 16 + threadIdx.x / 16, c = blockIdx.x % across * 16 + threadIdx.x % 16;
    if (r >= p.m || c >= p.n) return;
    float s = 0;
    for (unsigned i = 0; i < p.k; i++) s += __half2float(p.a[r * p.lda + i]) * __half2float(p.b[i * p.ldb + c]);
    float v = p.alpha * s;
    if (p.beta != 0.f) v += p.beta * __half2float(p.c[r * p.ldc + c]);
    p.c[r * p.ldc + c] = __float2half_rn(v);
}

// One warp, one 16x16 tile, any multiple of 16 as depth.
extern "C" __global__ void tile_wmma(const half *a, const half *b, float *c, int k) {
    wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> fa;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::row_major> fb;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> acc;
    wmma::fill_fragment(acc, 0.f);
    for (int i = 0; i < k; i += 16) {
        wmma::load_matrix_sync(fa, a + i, k);
        wmma::load_matrix_sync(fb, b + i * 16, 16);
        wmma::mma_sync(acc, fa, fb, acc);
    }
    for (int i = 0; i < acc.num_elements; i++) acc.x[i] *= 2.f;
    wmma::store_matrix_sync(c, acc, 16, wmma::mem_row_major);
}

__device__ __noinline__ float helper(float x, int *y) {
    *y += 1;
    return x > 4.f ? x * 2.f : sinf(x);
}
__constant__ float table[4] = {1, 2, 3, 4};
__device__ int global_words[3] = {10, 20, 30};

extern "C" __global__ void scalars(double *d, float *f, int *i, unsigned long long *u, int n) {
    __shared__ float tile[32][33];
    __shared__ int count;
    int t = threadIdx.x;
    if (t == 0) count = 0;
    d[t] = fma(d[t], 2.0, 1.0) / (d[t] + 3.0) + sqrt(d[t]);
    f[t] = f[t] / 3.f + __expf(f[t] * 0.125f) + rsqrtf(f[t] + 1.f) + fabsf(f[t]) + floorf(f[t]) + rintf(f[t]);
    i[t] = __popc(i[t]) + __clz(i[t]) + __brev(i[t]) + i[t] / n + i[t] % n + __mulhi(i[t], n) + abs(i[t]) + __byte_perm(i[t], n, 0x3210) + __funnelshift_r(i[t], n, t);
    u[t] = u[t] / n + u[t] % 7 + __umul64hi(u[t], n) + __popcll(u[t]) + (u[t] >> n);
    f[t] += __shfl_xor_sync(~0u, f[t], 1) + __shfl_down_sync(~0u, f[t], 2);
    i[t] += __ballot_sync(~0u, i[t] > 0) + __match_any_sync(~0u, i[t] & 3) + __reduce_add_sync(~0u, i[t]);
    int y = n;
    f[t] += helper(f[t], &y);
    tile[t][n] = table[t & 3] + global_words[t % 3] + y;
    __syncthreads();
    atomicAdd(&count, t);
    __syncthreads();
    f[t] += tile[31 - t][n] + count;
    i[t] += __syncthreads_count(i[t] > 0);
    switch (n) {
        case 0: i[t] = 3; break;
        case 1: i[t] *= 5; break;
        case 2: i[t] -= 9; break;
        case 3: f[t] = 2; break;
        case 4: i[t] += 11; break;
        case 5: i[t] ^= 77; break;
        case 6: u[t] = 4;
    }
    assert(n != 99);
    int loc[32];
    for (int q = 0; q < 32; q++) loc[(q * n) & 31] = q * n;
    i[t] += loc[n * 3 & 31];
}

// cp.async, ldmatrix and mma for one 16x8x16 product.
extern "C" __global__ void tile_mma(const half *a, const half *b, float *c, int rows) {
    extern __shared__ __align__(128) char smem[];
    unsigned s = (unsigned)__cvta_generic_to_shared(smem), t = threadIdx.x;
    int bytes = (int)(t / 2) < rows ? 16 : 0;
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(s + t * 16), "l"(a + t * 8), "r"(bytes));
    if (t < 16) asm volatile("cp.async.ca.shared.global [%0], [%1], 16;" ::"r"(s + 512 + t * 16), "l"(b + t * 8));
    asm volatile("cp.async.commit_group;\ncp.async.wait_group 0;" ::: "memory");
    __syncthreads();
    unsigned r[4], q[2];
    float f[4] = {};
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(s + t % 16 * 32 + t / 16 * 16));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(q[0]), "=r"(q[1]) : "r"(s + 512 + t % 16 * 16));
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(f[0]), "+f"(f[1]), "+f"(f[2]), "+f"(f[3])
                 : "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]), "r"(q[0]), "r"(q[1]));
    unsigned row = t / 4, col = t % 4 * 2;
    *(float2 *)(c + row * 8 + col) = make_float2(f[0], f[1]);
    *(float2 *)(c + (row + 8) * 8 + col) = make_float2(f[2], f[3]);
}
