// Rung 8 for FP16; gemm/08_absorb.cuh has the kernel and its description.
#include "gemm/08_absorb.cuh"

ENTRIES(f16, Element::kF16)
