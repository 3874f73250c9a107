// Rung 8, realigning producers, for FP16; gemm/08_realign.cuh has the kernel and its description.
#include "gemm/08_realign.cuh"

ENTRIES(f16, Element::kF16)
