/* Single values of any floating dtype, and random numbers. */
#ifndef GSZ_VALUES_H
#define GSZ_VALUES_H

#include "fp.h"
#include "kernels.h"

/* Room for one value. */
typedef union { uint16_t half; float single; double wide; } gsz_element;

/* Largest finite number. */
GSZ_INLINE double gsz_largest(int dtype) {
    return dtype == GSZ_FLOAT16 ? 65504 : dtype == GSZ_BFLOAT16 ? 0x1.fep127 : dtype == GSZ_FLOAT32 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023;
}

/* v to binary32 (not for float64) and then to the dtype, at most its largest finite number. */
GSZ_INLINE double gsz_rounded(int dtype, double v) {
    const double largest = gsz_largest(dtype);
    if (dtype == GSZ_FLOAT64 || gsz_abs_double(v) > largest) return gsz_abs_double(v) > largest ? (v < 0 ? -largest : largest) : v;
    const float f = (float)v;
    return dtype == GSZ_FLOAT16 ? (double)gsz_float_of_half(gsz_half_of_float(f))
         : dtype == GSZ_BFLOAT16 ? (double)gsz_float_of_bfloat(gsz_bfloat_of_float(f)) : (double)f;
}

GSZ_INLINE void gsz_put_value(int dtype, void *x, size_t i, double v) {     /* a number of the dtype */
    switch (dtype) {
    case GSZ_FLOAT16: ((uint16_t *)x)[i] = gsz_half_of_float((float)v); break;
    case GSZ_BFLOAT16: ((uint16_t *)x)[i] = gsz_bfloat_of_float((float)v); break;
    case GSZ_FLOAT32: ((float *)x)[i] = (float)v; break;
    default: ((double *)x)[i] = v;
    }
}

GSZ_INLINE void gsz_copy_value(size_t itemsize, void *to, const void *from, size_t i) {     /* bit for bit, NaNs too */
    memcpy((uint8_t *)to + i * itemsize, (const uint8_t *)from + i * itemsize, itemsize);
}

/* A hash of a key and a counter (splitmix64, format.md 7.8). */
#define GSZ_GOLDEN 0x9e3779b97f4a7c15u
GSZ_INLINE uint64_t gsz_random_at(uint64_t key, uint64_t counter) {
    uint64_t v = key + GSZ_GOLDEN * (counter + 1);
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
    v = (v ^ v >> 27) * 0x94d049bb133111ebu;
    return v ^ v >> 31;
}

#endif
