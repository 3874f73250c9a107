// Clusters of two blocks, one above the other: each fetches half of the tile of B that both need and sends it to both.
// Compiled to cluster.ptx beside it:
//   nvcc -ptx -arch=compute_90a -O3 -lineinfo -std=c++17 cluster.cu -o cluster.ptx     (13.0.88)
#include <cuda_fp16.h>

struct alignas(64) Map {
    char opaque[128];
};

__device__ __forceinline__ unsigned address(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }

__device__ __forceinline__ void wait(unsigned bar, unsigned parity) {
    asm volatile(
        "{\n.reg .pred done;\nAGAIN:\nmbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@done bra READY;\nbra AGAIN;\nREADY:\n}"
        ::"r"(bar), "r"(parity) : "memory");
}
__device__ __forceinline__ void load(unsigned dst, const Map *map, int x, int y, unsigned bar) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];"
                 ::"r"(dst), "l"(map), "r"(bar), "r"(x), "r"(y) : "memory");
}
__device__ __forceinline__ void load_both(unsigned dst, const Map *map, int x, int y, unsigned bar) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;"
                 ::"r"(dst), "l"(map), "r"(bar), "r"(x), "r"(y), "h"((unsigned short)3) : "memory");
}
__device__ __forceinline__ unsigned long long descriptor(unsigned at) {
    return (unsigned long long)(at >> 4 & 0x3fff) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}

extern "C" __global__ void __cluster_dims__(1, 2, 1) __launch_bounds__(128) tile_pair(const __grid_constant__ Map a, const __grid_constant__ Map b, const __grid_constant__ Map c, int k) {
    extern __shared__ __align__(1024) char smem[];
    __shared__ __align__(8) unsigned long long full[2], empty[2];
    int t = threadIdx.x, row0 = blockIdx.y * 64, col0 = blockIdx.x * 64, steps = (k + 63) / 64;
    unsigned s = address(smem), rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    if (t == 0) {
        for (int i = 0; i < 2; i++) {
            asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(address(&full[i])));
            asm volatile("mbarrier.init.shared::cta.b64 [%0], 256;" ::"r"(address(&empty[i])));
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
    auto fill = [&](int step) {
        int i = step & 1;
        wait(address(&empty[i]), (step >> 1 & 1) ^ 1);
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 16384;" ::"r"(address(&full[i])) : "memory");
        load(s + i * 16384, &a, step * 64, row0, address(&full[i]));
        load_both(s + i * 16384 + 8192 + rank * 4096, &b, col0, step * 64 + rank * 32, address(&full[i]));
    };
    if (t == 0) fill(0);
    float d[32];
    for (int i = 0; i < 32; i++) d[i] = 0;
    for (int step = 0; step < steps; step++) {
        if (t == 0 && step + 1 < steps) fill(step + 1);
        int i = step & 1;
        wait(address(&full[i]), step >> 1 & 1);
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
        for (int j = 0; j < 4; j++) {
            asm volatile(
                "{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\n"
                "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}, %32, %33, p, 1, 1, 0, 1;\n}"
                : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), "+f"(d[9]), "+f"(d[10]),
                  "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]),
                  "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
                : "l"(descriptor(s + i * 16384 + j * 32)), "l"(descriptor(s + i * 16384 + 8192 + j * 2048)), "r"(step + j));
        }
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
        // A stage is free once both blocks have read what was sent to both.
        for (int peer = 0; peer < 2; peer++)
            asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\nmbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n}"
                         ::"r"(address(&empty[i])), "r"(peer) : "memory");
    }
    // Through shared memory, rows of 128 bytes as they are, then one tensor store. Everybody has to be done with the stages.
    __syncthreads();
    for (int i = 0; i < 32; i += 2) {
        int row = t / 32 * 16 + t % 32 / 4 + (i >> 1 & 1) * 8, col = i / 4 * 8 + t % 4 * 2;
        *(__half2 *)(smem + row * 128 + col * 2) = __floats2half2_rn(d[i], d[i + 1]);
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    if (t == 0) {
        asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%2, %3}], [%1];" ::"l"(&c), "r"(s), "r"(col0), "r"(row0) : "memory");
        asm volatile("cp.async.bulk.commit_group;" ::: "memory");
        asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
    }
    // Neither may go while the other's arrivals are under way.
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
