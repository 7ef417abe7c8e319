/* Roots and powers by plain arithmetic in place of a library, the same everywhere. */
#ifndef GSZ_ROOTS_H
#define GSZ_ROOTS_H

#include "fp.h"

/* v^(-1/2) for 1e-290 < v < 1e290 by Halley's iteration: two steps leave an error of 1e-11, three an ulp or two. */
GSZ_INLINE double inverse_root_in(double v, int steps) {
    double r = gsz_double_of_bits(0x5fe6eb50c7b537a9u - (gsz_bits_of_double(v) >> 1));
    for (int i = 0; i < steps; i++) {
        double e = 1 - v * r * r;
        r += r * e * (0.5 + 0.375 * e);
    }
    return r;
}

GSZ_INLINE double inverse_root(double v) { return inverse_root_in(v, 3); }

GSZ_INLINE double root(double v) { return v > 1e-290 ? v * inverse_root(v) : 0; }

GSZ_INLINE double power_of_two(int n) { return gsz_double_of_bits((uint64_t)(1023 + n) << 52); }

#endif
