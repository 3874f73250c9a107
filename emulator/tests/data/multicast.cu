// Two blocks of a cluster that share B: each loads half of a tile of B and has it sent to both. One warp loads, two warpgroups multiply, and
// one thread of each tells both blocks that a stage is free. C = A B^T, tiles of 128x64, a depth of 64.
// Compiled to multicast.ptx beside it:
//   nvcc -ptx -arch=compute_90a -O3 -lineinfo -std=c++17 multicast.cu -o multicast.ptx     (13.0.88)

struct alignas(64) Map {
    char opaque[128];
};
typedef unsigned long long u64;

__device__ __forceinline__ unsigned address(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }

__device__ __forceinline__ void wait(const u64 *bar, unsigned parity) {
    asm volatile(
        "{\n.reg .pred done;\nAGAIN:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@done bra READY;\nbra AGAIN;\nREADY:\n}"
        ::"r"(address(bar)), "r"(parity) : "memory");
}
__device__ __forceinline__ void arrive(const u64 *bar, unsigned rank) {
    asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];\n}"
                 ::"r"(address(bar)), "r"(rank) : "memory");
}
__device__ __forceinline__ u64 descriptor(const void *p) {
    return (u64)(address(p) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}
__device__ __forceinline__ void multiply(float (&d)[32], u64 a, u64 b, int add) {
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, %34, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, %32, %33, add, 1, 1, 0, 0;\n}"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]),
          "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]),
          "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]),
          "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
        : "l"(a), "l"(b), "r"(add));
}

constexpr int kStages = 3;

extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(384, 1)
    multicast(const __grid_constant__ Map map_a, const __grid_constant__ Map map_b, float *c, int n, int k) {
    extern __shared__ __align__(1024) unsigned char shared[];
    unsigned char *a = shared, *b = shared + kStages * 16384;
    __shared__ __align__(8) u64 full[kStages], empty[kStages];
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    const int group = threadIdx.x / 128, t = threadIdx.x % 128, steps = k / 64;
    if (threadIdx.x == 0) {
        for (int i = 0; i < kStages; i++) {
            asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(address(full + i)) : "memory");
            asm volatile("mbarrier.init.shared::cta.b64 [%0], 4;" ::"r"(address(empty + i)) : "memory");
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
    const int m0 = blockIdx.x * 128, n0 = blockIdx.y * 64;
    if (group == 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x == 0) {
            for (int i = 0; i < steps; i++) {
                const int s = i % kStages;
                wait(empty + s, i / kStages % 2 ^ 1);
                asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 24576;" ::"r"(address(full + s)) : "memory");
                asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
                             ::"r"(address(a + s * 16384)), "l"(&map_a), "r"(address(full + s)), "r"(i * 64), "r"(m0) : "memory");
                asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
                             "[%0], [%1, {%3, %4}], [%2], %5;"
                             ::"r"(address(b + s * 8192 + rank * 4096)), "l"(&map_b), "r"(address(full + s)), "r"(i * 64),
                             "r"(n0 + (int)rank * 32), "h"((short)3) : "memory");
            }
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        float d[32];
        for (int i = 0; i < steps; i++) {
            const int s = i % kStages;
            wait(full + s, i / kStages % 2);
            asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
            for (int j = 0; j < 4; j++)
                multiply(d, descriptor(a + s * 16384 + (group - 1) * 8192 + 32 * j), descriptor(b + s * 8192 + 32 * j), i | j);
            asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
            asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
            if (t < 2) arrive(empty + s, t);
        }
        const int row = m0 + (group - 1) * 64 + t / 32 * 16 + t % 32 / 4;
        for (int j = 0; j < 8; j++) {
            float *to = c + (long long)row * n + n0 + 8 * j + t % 4 * 2;
            *reinterpret_cast<float2 *>(to) = make_float2(d[4 * j], d[4 * j + 1]);
            *reinterpret_cast<float2 *>(to + 8 * n) = make_float2(d[4 * j + 2], d[4 * j + 3]);
        }
    }
    asm volatile("barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}
