// Fences between the two ways to shared memory.
#pragma once

// What this thread wrote to shared memory becomes visible to TMA and wgmma. Each writing thread runs it, before the barrier
// that tells the issuing thread.
__device__ __forceinline__ void fence_async_shared() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
