/* Bits of the four floating types: exact conversions to a wider type, and one rounding back. */
#ifndef GSZ_FP_H
#define GSZ_FP_H

#include "common.h"

GSZ_INLINE float gsz_float_of_bits(uint32_t b) { float f; memcpy(&f, &b, 4); return f; }
GSZ_INLINE uint32_t gsz_bits_of_float(float f) { uint32_t b; memcpy(&b, &f, 4); return b; }
GSZ_INLINE double gsz_double_of_bits(uint64_t b) { double d; memcpy(&d, &b, 8); return d; }
GSZ_INLINE uint64_t gsz_bits_of_double(double d) { uint64_t b; memcpy(&b, &d, 8); return b; }

/* binary16 to float: exact.  2^-24 per subnormal unit; the exponent is rebiased by 112. */
GSZ_INLINE float gsz_float_of_half(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
    uint32_t normal = (magnitude << 13) + ((uint32_t)112 << 23);
    uint32_t special = (magnitude << 13) | 0x7f800000u;
    float subnormal = (float)(int32_t)magnitude * 0x1p-24f;
    uint32_t bits = magnitude < 0x400u ? gsz_bits_of_float(subnormal) : magnitude < 0x7c00u ? normal : special;
    return gsz_float_of_bits(bits | sign);
}

/* float to binary16: nearest, ties to even; overflow to infinity; NaN stays NaN. */
GSZ_INLINE uint16_t gsz_half_of_float(float f) {
    uint32_t b = gsz_bits_of_float(f), sign = b >> 16 & 0x8000u;
    b &= 0x7fffffffu;
    /* adding 0.5f moves a value below 2^-14 so that its unit becomes 2^-24, and rounds it on the way */
    uint32_t small = gsz_bits_of_float(gsz_float_of_bits(b) + 0.5f) - 0x3f000000u;
    uint32_t rounded = (b + 0xfffu + (b >> 13 & 1u)) >> 13;
    uint32_t h = b < 0x38800000u ? small
               : b < 0x47800000u ? rounded - ((uint32_t)112 << 10)
               : b > 0x7f800000u ? 0x7e00u : 0x7c00u;
    return (uint16_t)(h | sign);
}

GSZ_INLINE float gsz_float_of_bfloat(uint16_t h) { return gsz_float_of_bits((uint32_t)h << 16); }

/* float to bfloat16: nearest, ties to even; NaN stays NaN. */
GSZ_INLINE uint16_t gsz_bfloat_of_float(float f) {
    uint32_t b = gsz_bits_of_float(f);
    uint32_t rounded = (b + 0x7fffu + (b >> 16 & 1u)) >> 16;
    return (uint16_t)((b & 0x7fffffffu) > 0x7f800000u ? (b >> 16 | 0x40u) : rounded);
}

/* Largest float not above a non-negative double. */
GSZ_INLINE float gsz_float_not_above(double d) {
    if (d >= 0x1.fffffep127) return 0x1.fffffep127f;
    float f = (float)d;
    return (double)f > d ? gsz_float_of_bits(gsz_bits_of_float(f) - 1) : f;
}

/* Nearest integer, ties to even, of |v| < 2^51: adding 1.5 * 2^52 leaves no fraction bits. */
GSZ_INLINE double gsz_round_double(double v) { return (v + 0x1.8p52) - 0x1.8p52; }

/* Square root by Newton's iteration in plain arithmetic: the same bits everywhere without libm.
 * v is a normal number; the result is within an ulp or so. */
static inline double gsz_square_root(double v) {
    double r = gsz_double_of_bits((gsz_bits_of_double(v) >> 1) + ((uint64_t)511 << 52) + ((uint64_t)1 << 51));
    for (int i = 0; i < 6; i++) r = 0.5 * (r + v / r);
    return r;
}

GSZ_INLINE double gsz_abs_double(double v) { return gsz_double_of_bits(gsz_bits_of_double(v) & INT64_MAX); }
GSZ_INLINE int gsz_is_finite(double v) { return (gsz_bits_of_double(v) & 0x7ff0000000000000u) != 0x7ff0000000000000u; }

/* log2 of a positive normal number: the exponent, and the series of artanh for the fraction. */
GSZ_INLINE double gsz_log_2(double v) {
    uint64_t bits = gsz_bits_of_double(v);
    int exponent = (int)(bits >> 52) - 1023;
    double m = gsz_double_of_bits((bits & 0xfffffffffffffu) | (uint64_t)1023 << 52);
    if (m > 1.4142135623730951) m *= 0.5, exponent++;
    double z = (m - 1) / (m + 1), s = z * z;
    double series = 1 + s * (1.0 / 3 + s * (1.0 / 5 + s * (1.0 / 7 + s * (1.0 / 9 + s * (1.0 / 11)))));
    return (double)exponent + 2.8853900817779268 * z * series;
}

#endif
