// Special registers: where and when this thread runs. All volatile: two reads may differ.
#pragma once

__device__ __forceinline__ unsigned long long read_globaltimer() {
    unsigned long long ns;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(ns) :: "memory");
    return ns;
}

__device__ __forceinline__ unsigned long long read_clock64() {
    unsigned long long ticks;
    asm volatile("mov.u64 %0, %%clock64;" : "=l"(ticks) :: "memory");
    return ticks;
}

__device__ __forceinline__ unsigned read_smid() {
    unsigned smid;
    asm volatile("mov.u32 %0, %%smid;" : "=r"(smid));
    return smid;
}
