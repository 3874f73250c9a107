// Types that the wrappers of sm_90's instructions share.
#pragma once

// What the 16 bits of an element mean.
enum class Element { kF16, kBf16 };

// What cuTensorMapEncodeTiled fills in: a matrix in global memory, the box that one copy moves, how it lies in shared memory.
struct alignas(64) TensorMap {
    unsigned char opaque[128];
};

// An address in the shared window, as the instructions want it.
__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}
