/* Sparse Dithering (Albasyoni, Safaryan, Condat, Richtarik, arXiv 2010.03246): d values are rounded to multiples of
 * 2 sqrt(nu / d) times their norm.  Each is off by half a multiple at most, so the squared error is at most nu times the
 * squared norm; with random rounding it is zero on average, and at most min(nu, 2 sqrt(nu)) times. */
#include "bound.h"
#include "quantisers/quantiser.h"

typedef struct { const gsz_quantising *in; double scale; } rounding;

/* The multiple for element i. */
GSZ_INLINE double multiple_at(const rounding *r, size_t i, double magnitude) {
    double v = magnitude / r->scale;
    if (v >= 0x1p52) return v;
    if (!r->in->settings->unbiased) v += 0.5;
    uint64_t whole = (uint64_t)v;
    if (!r->in->settings->unbiased) return (double)whole;
    double chance = (double)(gsz_random_at(r->in->key, i) >> 11) * 0x1p-53;
    return (double)(whole + (chance < v - (double)whole));
}

/* The scale that leaves the least squared error: <x, k> / <k, k>. */
static double least_squares(const rounding *r, double unit) {
    const gsz_quantising *in = r->in;
    double product = 0, squares = 0;
    for (size_t i = 0; i < in->n; i++) {
        double x = gsz_abs_double(gsz_value_at(in->dtype, in->x, i));
        if (!gsz_is_finite(x)) continue;
        double k = multiple_at(r, i, x);
        product += x * unit * k;
        squares += k * k;
    }
    return squares > 0 ? product / squares / unit : r->scale;
}

/* A number of the working format; 0 where it is too small to be a normal one. */
static double working(int dtype, double v) {
    if (dtype == GSZ_FLOAT64) return v < 0x1p-1000 ? 0 : GSZ_MIN(v, gsz_largest(dtype));
    return v < 0x1p-120 ? 0 : (double)(float)GSZ_MIN(v, gsz_largest(GSZ_FLOAT32));
}

static double product(int dtype, double k, double scale) {
    return dtype == GSZ_FLOAT64 ? k * scale : (double)((float)k * (float)scale);
}

void gsz_sparse_dithering(const gsz_quantising *in, void *values, gsz_quantised *out) {
    const gsz_range range = gsz_finite_range(in->kernels, in->dtype, in->x, in->n);
    if (range.finite == 0 || (range.min == 0 && range.max == 0)) return;
    const double unit = gsz_safe_scale(&range), squares = in->kernels->sum_squares[in->dtype](in->x, in->n, unit);
    rounding r = {in, 0};
    r.scale = working(in->dtype, 2 * gsz_square_root(in->settings->target / (double)range.finite * squares) / unit);
    if (r.scale == 0) return;           /* so small that a scale would be off: bit-exact */
    const double scale = in->settings->unbiased ? r.scale : working(in->dtype, least_squares(&r, unit));
    if (scale == 0) return;
    const size_t itemsize = gsz_itemsize(in->dtype);
    for (size_t i = 0; i < in->n; i++) {
        double x = gsz_value_at(in->dtype, in->x, i);
        if (!gsz_is_finite(x)) {
            gsz_copy_value(itemsize, values, in->x, i);
            continue;
        }
        double y = gsz_rounded(in->dtype, product(in->dtype, multiple_at(&r, i, gsz_abs_double(x)), scale));
        gsz_put_value(in->dtype, values, i, x < 0 ? 0 - y : y);
    }
    out->codec = GSZ_CODEC_UNIFORM;
    out->mode = GSZ_MODE_DITHERING;
    out->eb = scale / 2;
}
