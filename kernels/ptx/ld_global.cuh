// Wide read-only global loads.
#pragma once

// 16 bytes through the read-only path, or zeros without any access where `wanted` is false.
// Volatile keeps the load where it is written: the shifted loader issues it one k step ahead of its use.
__device__ __forceinline__ uint4 ld_global_nc_16_if(const void* global, bool wanted) {
    uint4 out;
    asm volatile("{\n"
                 "    .reg .pred p;\n"
                 "    setp.ne.u32 p, %5, 0;\n"
                 "    mov.u32 %0, 0;\n"
                 "    mov.u32 %1, 0;\n"
                 "    mov.u32 %2, 0;\n"
                 "    mov.u32 %3, 0;\n"
                 "    @p ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];\n"
                 "}"
                 : "=&r"(out.x), "=&r"(out.y), "=&r"(out.z), "=&r"(out.w)
                 : "l"(__cvta_generic_to_global(global)), "r"(static_cast<unsigned>(wanted)));
    return out;
}

__device__ __forceinline__ uint4 ld_global_nc_16(const void* global) {
    uint4 out;
    asm volatile("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out.x), "=r"(out.y), "=r"(out.z), "=r"(out.w) : "l"(__cvta_generic_to_global(global)));
    return out;
}
