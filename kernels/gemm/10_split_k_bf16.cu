// Rung 10 for BF16; gemm/10_split_k.cuh has the kernel and its description.
#include "gemm/10_split_k.cuh"

ENTRIES(bf16, TypeBf16)
