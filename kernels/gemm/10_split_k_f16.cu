// Rung 10 for FP16; gemm/10_split_k.cuh has the kernel and its description.
#include "gemm/10_split_k.cuh"

ENTRIES(f16, TypeF16)
