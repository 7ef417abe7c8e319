#include "cpu.h"

unsigned gsz_cpu_features(void) {
    unsigned mask = 0;
#if GSZ_X86
    __builtin_cpu_init();
    /* everything that the AVX2 twins are compiled for; an emulated machine may lack a part of it */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")
        && __builtin_cpu_supports("popcnt"))
        mask |= GSZ_CPU_AVX2;
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul")) mask |= GSZ_CPU_SSE42;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512vnni"))
        mask |= GSZ_CPU_VNNI;
#endif
    return mask;
}
