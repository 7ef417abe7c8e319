/* The portable kernel table, the choice of a table, and single values for the careful path. */
#include "checksum.h"
#include "cpu.h"

#define SUFFIX portable
#include "kernels_impl.h"

const gsz_kernels gsz_kernels_portable = KERNEL_TABLE(0, gsz_crc32c_portable);

#if GSZ_X86
static const gsz_kernels kernels_sse42 = KERNEL_TABLE(GSZ_CPU_SSE42, gsz_crc32c_sse42);
#endif

const gsz_kernels *gsz_kernels_for(unsigned mask) {
#if GSZ_X86
    const unsigned vectors = GSZ_CPU_AVX2 | GSZ_CPU_SSE42;
    if ((mask & (vectors | GSZ_CPU_VNNI)) == (vectors | GSZ_CPU_VNNI)) return &gsz_kernels_vnni;
    if ((mask & vectors) == vectors) return &gsz_kernels_avx2;
    if (mask & GSZ_CPU_SSE42) return &kernels_sse42;
#endif
    (void)mask;
    return &gsz_kernels_portable;
}

int32_t gsz_max_k(int dtype) { return dtype == GSZ_FLOAT64 ? GSZ_MAX_K_DOUBLE : GSZ_MAX_K_FLOAT; }

double gsz_decoded_value(int dtype, int32_t k, double step) {
    if (dtype == GSZ_FLOAT64) return (double)k * step;
    float y = (float)k * (float)step;
    if (dtype == GSZ_FLOAT16) y = gsz_float_of_half(gsz_half_of_float(y));
    if (dtype == GSZ_BFLOAT16) y = gsz_float_of_bfloat(gsz_bfloat_of_float(y));
    return (double)y;
}

double gsz_value_at(int dtype, const void *x, size_t i) {
    switch (dtype) {
    case GSZ_FLOAT16: return (double)gsz_float_of_half(((const uint16_t *)x)[i]);
    case GSZ_BFLOAT16: return (double)gsz_float_of_bfloat(((const uint16_t *)x)[i]);
    case GSZ_FLOAT32: return (double)((const float *)x)[i];
    default: return ((const double *)x)[i];
    }
}
