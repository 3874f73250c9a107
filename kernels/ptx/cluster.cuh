// Thread block clusters: CTAs that run together and reach each other's shared memory (sm_90).
#pragma once

__device__ __forceinline__ unsigned cluster_rank() {
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

// Where the CTA of this rank has what this CTA has at `shared`.
__device__ __forceinline__ unsigned cluster_address(unsigned shared, unsigned rank) {
    unsigned out;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(out) : "r"(shared), "r"(rank));
    return out;
}

// All threads of all CTAs of the cluster; what they did before is visible after. Whole warps only.
__device__ __forceinline__ void cluster_sync() {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
