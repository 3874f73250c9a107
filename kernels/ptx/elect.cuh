// elect.sync: one lane of a whole warp, chosen by the hardware and always the same.
#pragma once

__device__ __forceinline__ bool elect_one() {
    unsigned elected;
    asm volatile("{\n"
                 "    .reg .pred p;\n"
                 "    elect.sync _|p, 0xffffffff;\n"
                 "    selp.u32 %0, 1, 0, p;\n"
                 "}"
                 : "=r"(elected) :: "memory");
    return elected != 0;
}
