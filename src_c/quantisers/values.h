/* Values of any floating dtype as doubles and back, some hundred at a time, and random numbers. */
#ifndef GSZ_VALUES_H
#define GSZ_VALUES_H

#include "fp.h"

#define GSZ_VALUES 512u                 /* worked on together */

/* n values from index `from` on; exact. */
void gsz_load_values(int dtype, const void *x, size_t from, size_t n, double *v);
/* Rounded to the dtype (to binary32 first, for all but float64), and at most its largest finite number; NaNs stay NaNs. */
void gsz_store_values(int dtype, const double *v, size_t n, void *x, size_t to);
/* Those of v that are not finite bit for bit from x to y. */
void gsz_copy_specials(int dtype, const void *x, size_t from, size_t n, const double *v, void *y);

/* Room for one value. */
typedef union { uint16_t half; float single; double wide; } gsz_element;

/* Largest finite number. */
GSZ_INLINE double gsz_largest(int dtype) {
    return dtype == GSZ_FLOAT16 ? 65504 : dtype == GSZ_BFLOAT16 ? 0x1.fep127 : dtype == GSZ_FLOAT32 ? 0x1.fffffep127 : 0x1.fffffffffffffp1023;
}

GSZ_INLINE double gsz_clipped(double v, double largest) { return v > largest ? largest : v < -largest ? -largest : v; }

/* A hash of a key and a counter (splitmix64, format.md 7.8). */
#define GSZ_GOLDEN 0x9e3779b97f4a7c15u
GSZ_INLINE uint64_t gsz_random_at(uint64_t key, uint64_t counter) {
    uint64_t v = key + GSZ_GOLDEN * (counter + 1);
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
    v = (v ^ v >> 27) * 0x94d049bb133111ebu;
    return v ^ v >> 31;
}

#endif
