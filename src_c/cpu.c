#include "cpu.h"

unsigned gsz_cpu_detect(void) {
    unsigned mask = 0;
#if GSZ_X86
    __builtin_cpu_init();
    /* the AVX2 twins also use BMI2 shifts and F16C conversions; every AVX2 machine has them */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("f16c"))
        mask |= GSZ_CPU_AVX2;
    if (__builtin_cpu_supports("sse4.2")) mask |= GSZ_CPU_SSE42;
#endif
    return mask;
}

unsigned gsz_cpu_features(void) { return gsz_cpu_detect(); }
