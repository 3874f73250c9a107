// Rung 7 for BF16; gemm/07_persistent.cuh has the kernel and its description.
#include "gemm/07_persistent.cuh"

ENTRIES(bf16, Element::kBf16)
