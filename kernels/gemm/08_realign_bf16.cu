// Rung 8, realigning producers, for BF16; gemm/08_realign.cuh has the kernel and its description.
#include "gemm/08_realign.cuh"

ENTRIES(bf16, Element::kBf16)
