// ldmatrix: a warp gathers four, or two, 8x8 matrices of 16-bit elements from shared memory.
#pragma once

// Lanes 8j..8j+7 give the row addresses of matrix j. Lane l receives row l/4, columns 2(l%4) and 2(l%4)+1 of each.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&out)[4], unsigned shared) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(shared) : "memory");
}

// The same with each 8x8 matrix transposed: lane l receives column l/4, rows 2(l%4) and 2(l%4)+1.
__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&out)[4], unsigned shared) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(shared) : "memory");
}

// Two matrices, addressed by lanes 0..15; what the other lanes give is not looked at.
__device__ __forceinline__ void ldmatrix_x2(unsigned& first, unsigned& second, unsigned shared) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(first), "=r"(second) : "r"(shared) : "memory");
}

__device__ __forceinline__ void ldmatrix_x2_trans(unsigned& first, unsigned& second, unsigned shared) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(first), "=r"(second) : "r"(shared) : "memory");
}
