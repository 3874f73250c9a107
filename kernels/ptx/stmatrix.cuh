// stmatrix: a warp scatters four 8x8 matrices of 16-bit elements to shared memory (sm_90).
#pragma once

// Lanes 8j..8j+7 give the row addresses of matrix j. Lane l holds row l/4, columns 2(l%4) and 2(l%4)+1 of each.
__device__ __forceinline__ void stmatrix_x4(unsigned shared, uint4 in) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
                 :: "r"(shared), "r"(in.x), "r"(in.y), "r"(in.z), "r"(in.w) : "memory");
}
