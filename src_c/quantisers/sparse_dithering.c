/* Sparse Dithering (Albasyoni, Safaryan, Condat, Richtarik, arXiv 2010.03246): d values are rounded to multiples of
 * 2 sqrt(nu / d) times their norm.  Each is off by half a multiple at most, so the squared error is at most nu times the
 * squared norm; with random rounding it is zero on average, and at most min(nu, 2 sqrt(nu)) times. */
#include "bound.h"
#include "quantisers/quantiser.h"

#define WHOLE 0x1p51                /* beyond, every number counts as a multiple */

/* Multiples nearest to v. */
static void round_to_nearest(double *v, size_t n) {
    for (size_t i = 0; i < n; i++) v[i] = gsz_abs_double(v[i]) < WHOLE ? gsz_round_double(v[i]) : v[i];
}

/* The multiple below or above, at random: v on average. */
static void round_at_random(double *v, size_t n, uint64_t key, uint64_t first) {
    for (size_t i = 0; i < n; i++) {
        double nearest = gsz_round_double(v[i]), below = nearest > v[i] ? nearest - 1 : nearest;
        double chance = (double)(gsz_random_at(key, first + i) >> 11) * 0x1p-53;
        if (gsz_abs_double(v[i]) < WHOLE) v[i] = below + (chance < v[i] - below ? 1 : 0);
    }
}

/* Some values and their multiples of the scale. */
static size_t find_multiples(const gsz_quantising *in, double scale, size_t from, double *x, double *k) {
    const size_t n = GSZ_MIN((size_t)GSZ_VALUES, in->n - from);
    gsz_load_values(in->dtype, in->x, from, n, x);
    for (size_t i = 0; i < n; i++) k[i] = x[i] / scale;
    if (in->settings->unbiased) round_at_random(k, n, in->key, from);
    else round_to_nearest(k, n);
    return n;
}

/* The scale that leaves the least squared error: <x, k> / <k, k>. */
static double least_squares(const gsz_quantising *in, double scale, double unit) {
    double x[GSZ_VALUES], k[GSZ_VALUES], product = 0, squares = 0;
    for (size_t from = 0, n; from < in->n; from += n) {
        n = find_multiples(in, scale, from, x, k);
        for (size_t i = 0; i < n; i++) {
            int finite = gsz_is_finite(x[i]);
            product += finite ? x[i] * unit * k[i] : 0;
            squares += finite ? k[i] * k[i] : 0;
        }
    }
    return squares > 0 ? product / squares / unit : scale;
}

/* A number of the working format; 0 where it is too small to be a normal one. */
static double working(int dtype, double v) {
    if (dtype == GSZ_FLOAT64) return v < 0x1p-1000 ? 0 : GSZ_MIN(v, gsz_largest(dtype));
    return v < 0x1p-120 ? 0 : (double)(float)GSZ_MIN(v, gsz_largest(GSZ_FLOAT32));
}

/* k times the scale, in the working format. */
static void multiply(int dtype, double *k, size_t n, double scale) {
    const float single = dtype == GSZ_FLOAT64 ? 0 : (float)scale;
    if (dtype == GSZ_FLOAT64)
        for (size_t i = 0; i < n; i++) k[i] *= scale;
    else
        for (size_t i = 0; i < n; i++) k[i] = (double)((float)k[i] * single);
}

void gsz_sparse_dithering(const gsz_quantising *in, void *values, gsz_quantised *out) {
    const gsz_range range = gsz_finite_range(in->kernels, in->dtype, in->x, in->n);
    if (range.finite == 0 || (range.min == 0 && range.max == 0)) return;
    const double unit = gsz_safe_scale(&range), squares = in->kernels->sum_squares[in->dtype](in->x, in->n, unit);
    const double rounded = working(in->dtype, 2 * gsz_square_root(in->settings->target / (double)range.finite * squares) / unit);
    if (rounded == 0) return;           /* so small that a scale would be off: bit-exact */
    const double scale = in->settings->unbiased ? rounded : working(in->dtype, least_squares(in, rounded, unit));
    if (scale == 0) return;
    double x[GSZ_VALUES], k[GSZ_VALUES];
    for (size_t from = 0, n; from < in->n; from += n) {
        n = find_multiples(in, rounded, from, x, k);
        multiply(in->dtype, k, n, scale);
        gsz_store_values(in->dtype, k, n, values, from);
        gsz_copy_specials(in->dtype, in->x, from, n, x, values);
    }
    out->useful = 1;
    out->mode = GSZ_MODE_DITHERING;
    out->eb = scale / 2;
}
