// setmaxnreg: warpgroups of a CTA trade registers (sm_90a). All warps of the warpgroup run it.
#pragma once

template <unsigned kRegisters>
__device__ __forceinline__ void registers_increase() {
    static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256, "what setmaxnreg takes");
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(kRegisters));
}

template <unsigned kRegisters>
__device__ __forceinline__ void registers_decrease() {
    static_assert(kRegisters % 8 == 0 && kRegisters >= 24 && kRegisters <= 256, "what setmaxnreg takes");
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(kRegisters));
}
