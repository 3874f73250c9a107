// Rung 8 for BF16; gemm/08_absorb.cuh has the kernel and its description.
#include "gemm/08_absorb.cuh"

ENTRIES(bf16, Element::kBf16)
