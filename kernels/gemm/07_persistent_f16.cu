// Rung 7 for FP16; gemm/07_persistent.cuh has the kernel and its description.
#include "gemm/07_persistent.cuh"

ENTRIES(f16, Element::kF16)
