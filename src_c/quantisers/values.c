#include "quantisers/values.h"

/* One loop a dtype, so that compilers turn them into vector code. */
void gsz_load_values(int dtype, const void *x, size_t from, size_t n, double *v) {
    const uint16_t *halves = (const uint16_t *)x + from;
    const float *floats = (const float *)x + from;
    const double *doubles = (const double *)x + from;
    switch (dtype) {
    case GSZ_FLOAT16: for (size_t i = 0; i < n; i++) v[i] = (double)gsz_float_of_half(halves[i]); break;
    case GSZ_BFLOAT16: for (size_t i = 0; i < n; i++) v[i] = (double)gsz_float_of_bfloat(halves[i]); break;
    case GSZ_FLOAT32: for (size_t i = 0; i < n; i++) v[i] = (double)floats[i]; break;
    default: memcpy(v, doubles, n * sizeof *v);
    }
}

void gsz_store_values(int dtype, const double *v, size_t n, void *x, size_t to) {
    uint16_t *halves = (uint16_t *)x + to;
    float *floats = (float *)x + to;
    const double largest = gsz_largest(dtype);
    switch (dtype) {
    case GSZ_FLOAT16: for (size_t i = 0; i < n; i++) halves[i] = gsz_half_of_float((float)gsz_clipped(v[i], largest)); break;
    case GSZ_BFLOAT16: for (size_t i = 0; i < n; i++) halves[i] = gsz_bfloat_of_float((float)gsz_clipped(v[i], largest)); break;
    case GSZ_FLOAT32: for (size_t i = 0; i < n; i++) floats[i] = (float)gsz_clipped(v[i], largest); break;
    default: for (size_t i = 0; i < n; i++) ((double *)x + to)[i] = gsz_clipped(v[i], largest);
    }
}

void gsz_copy_specials(int dtype, const void *x, size_t from, size_t n, const double *v, void *y) {
    const size_t itemsize = gsz_itemsize(dtype);
    for (size_t i = 0; i < n; i++)
        if (!gsz_is_finite(v[i])) memcpy((uint8_t *)y + (from + i) * itemsize, (const uint8_t *)x + (from + i) * itemsize, itemsize);
}
