#include "bound.h"

#include "fp.h"
#include "fpenv.h"
#include "uniform.h"

#define HUGEST 0x1.fffffffffffffp1023

/* |x - y| <= eb exactly.  d is the rounded difference; rounding is monotone, so d on either side of eb
 * decides, and on a tie the rounding error (Knuth's two-sum) does. */
GSZ_NOINLINE static int within_bound(double x, double y, double eb) {
    double d = x - y, size = gsz_abs_double(d);
    if (size < eb) return 1;
    if (!(size == eb) || !gsz_is_finite(d)) return 0;       /* a NaN ends here */
    double yv = x - d, xv = d + yv;
    double error = (yv - y) + (x - xv);                     /* x - y = d + error */
    return d >= 0 ? error <= 0 : error >= 0;
}

/* The arithmetic is kept apart, so that none of it moves out of the environment that it needs. */
int gsz_within(double x, double y, double eb) {
    gsz_fpenv saved = gsz_fp_enter();
    int ok = within_bound(x, y, eb);
    gsz_fp_leave(saved);
    return ok;
}

double gsz_step(int dtype, double eb) {
    double bin = eb > HUGEST / 2 ? HUGEST : 2 * eb;
    return dtype == GSZ_FLOAT64 ? bin : (double)gsz_float_not_above(bin);
}

/* a * b, not above the exact product (a, b >= 0): Dekker's product tells which way it was rounded. */
static double product_not_above(double a, double b) {
    double p = a * b;
    if (!(p <= HUGEST)) return HUGEST;
    if (p == 0) return 0;
    if (p < 0x1p-960) return gsz_double_of_bits(gsz_bits_of_double(p) - 1);     /* the error may not be representable */
    double as = a > 0x1p500 ? a * 0x1p-500 : a < 0x1p-400 ? a * 0x1p500 : a;    /* far from overflow when split */
    double bs = b > 0x1p500 ? b * 0x1p-500 : b < 0x1p-400 ? b * 0x1p500 : b;
    double ps = as * bs, ca = as * 134217729.0, cb = bs * 134217729.0;
    double ah = ca - (ca - as), al = as - ah, bh = cb - (cb - bs), bl = bs - bh;
    double error = ((ah * bh - ps) + ah * bl + al * bh) + al * bl;              /* as * bs - ps */
    return error < 0 ? gsz_double_of_bits(gsz_bits_of_double(p) - 1) : p;
}

/* max - min, not above the exact difference, finite. */
static double width_of(const gsz_range *r) {
    double d = r->max - r->min;
    if (!(d <= HUGEST)) return HUGEST;
    double minus = r->max - d, error = (minus - r->min) + (r->max - (d + minus));
    return error < 0 && d > 0 ? gsz_double_of_bits(gsz_bits_of_double(d) - 1) : d;
}

gsz_range gsz_finite_range(const gsz_kernels *kernels, int dtype, const void *x, size_t n) {
    gsz_range r = {HUGEST, -HUGEST, 0};
    kernels->range[dtype](x, n, &r);
    return r;
}

double gsz_safe_scale(const gsz_range *r) {
    double m = GSZ_MAX(gsz_abs_double(r->min), gsz_abs_double(r->max));
    int exponent = (int)(gsz_bits_of_double(m) >> 52 & 0x7ff) - 1023;
    exponent = GSZ_MAX(-1000, GSZ_MIN(1000, exponent));
    return gsz_double_of_bits((uint64_t)(1023 - exponent) << 52);
}

/* 10^-(db/10), by squaring and the series of e^y for |y| < ln 2 / 2: plain arithmetic again. */
static double power_of_decibels(double db) {
    double y = -db * 0.23025850929940457;                   /* ln(10) / 10 */
    double halvings = gsz_round_double(y * 1.4426950408889634);
    if (halvings < -1000) return 0;
    if (halvings > 1000) return HUGEST;
    y = (y - halvings * 0.6931471803691238) - halvings * 1.9082149292705877e-10;
    double sum = 1, term = 1;
    for (int i = 1; i < 20; i++) term *= y / i, sum += term;
    return sum * gsz_double_of_bits((uint64_t)(1023 + (int)halvings) << 52);
}

/* ---- bounds measured on the data */

/* Candidates: numbers with 12 significant bits, numbered in rising order. */
static double candidate(int64_t index) {
    int exponent = (int)(index >> 12);
    double m = (double)(4096 + (index & 4095));
    return m * gsz_double_of_bits((uint64_t)(exponent + 1023 - 12) << 52);
}

static int64_t candidate_not_above(double v) {
    uint64_t b = gsz_bits_of_double(v);
    return ((int64_t)(b >> 52) - 1023) * 4096 + (int64_t)(b >> 40 & 4095);
}

typedef struct {
    const gsz_kernels *kernels;
    int dtype;
    const void *x;
    size_t n;
    double scale, target;       /* of the sum of squared scaled errors */
    int32_t *k;
} measurement;

static int meets_target(const measurement *m, int64_t index) {
    double sum = 0;
    gsz_uniform u = {m->dtype, candidate(index), 0, {0, 0, 0}};
    u.step = gsz_step(m->dtype, u.eb);
    if (!(u.step > 0)) return 1;                            /* bit-exact */
    size_t itemsize = gsz_itemsize(m->dtype);
    for (size_t i = 0; i < m->n; i += GSZ_CHUNK) {
        size_t count = GSZ_MIN(GSZ_CHUNK, m->n - i);
        const void *x = (const uint8_t *)m->x + i * itemsize;
        (void)gsz_uniform_quantise(m->kernels, &u, x, count, m->k);
        sum += m->kernels->sum_errors[m->dtype](x, m->k, count, u.step, m->scale);
    }
    return sum * (1 + 0x1p-30) <= m->target;                /* the sum itself is rounded */
}

/* Largest candidate in [least, most] found to meet the target, by doubling steps and bisection; `from` is the
 * first guess.  least - 1 when none does. */
static int64_t search(const measurement *m, int64_t from, int64_t least, int64_t most) {
    int64_t good, bad, step = 64;
    from = GSZ_MAX(least, GSZ_MIN(most, from));
    if (meets_target(m, from)) {
        for (good = from, bad = most + 1; good + step < bad; step *= 4) {
            if (!meets_target(m, good + step)) bad = good + step;
            else good += step;
        }
    } else {
        for (good = least - 1, bad = from; bad - step > good; step *= 4) {
            if (meets_target(m, bad - step)) good = bad - step;
            else bad -= step;
        }
    }
    while (good + 1 < bad) {
        int64_t middle = good + (bad - good) / 2;
        if (meets_target(m, middle)) good = middle;
        else bad = middle;
    }
    return good;
}

static double measured_bound(measurement *m, const gsz_range *r) {
    double largest = GSZ_MAX(gsz_abs_double(r->min), gsz_abs_double(r->max));
    if (!(m->target > 0) || !(largest > 0)) return 0;
    if (m->k == NULL) return gsz_square_root(m->target / (double)r->finite) / m->scale * (1 - 0x1p-30);    /* all errors at their largest */
    /* error uniform in [-eb, eb] has a mean square of eb^2 / 3 */
    double guess = gsz_square_root(3 * m->target / (double)r->finite) / m->scale;
    int64_t least = (int64_t)-1000 * 4096, most = candidate_not_above(GSZ_MAX(largest, 0x1p-1000));
    int64_t from = guess > candidate(least) ? candidate_not_above(GSZ_MIN(guess, largest)) : least;
    int64_t best = search(m, from, least, most);
    return best < least ? 0 : candidate(best);
}

int gsz_resolve_bound(const gsz_kernels *kernels, int dtype, const void *x, size_t n,
                      int mode, double bound, int32_t *k, double *eb) {
    *eb = bound;
    if (mode != GSZ_ABS && bound > 0) {
        gsz_range r = gsz_finite_range(kernels, dtype, x, n);
        *eb = 0;
        if (r.finite == 0 || (r.min == 0 && r.max == 0)) return GSZ_OK;
        measurement m = {kernels, dtype, x, n, gsz_safe_scale(&r), 0, k};
        double squares = mode == GSZ_REL ? 0 : kernels->sum_squares[dtype](x, n, m.scale);
        double width = width_of(&r);
        if (mode == GSZ_REL) {
            *eb = product_not_above(bound, width);
        } else if (mode == GSZ_RMS) {
            *eb = product_not_above(bound, gsz_square_root(squares / (double)r.finite) / m.scale);
        } else if (mode == GSZ_L2) {
            m.target = bound >= 0x1p60 ? HUGEST : bound * bound * squares * (1 - 0x1p-30);
            *eb = measured_bound(&m, &r);
        } else {
            double peak = width * m.scale;
            m.target = power_of_decibels(bound) * peak * peak * (double)r.finite * (1 - 0x1p-30);
            *eb = measured_bound(&m, &r);
        }
    }
    if (!(gsz_step(dtype, *eb) > 0)) *eb = 0;
    return GSZ_OK;
}

/* ---- several tensors */

gsz_spread gsz_joint_spread(const gsz_kernels *kernels, const gsz_values *tensors, size_t count) {
    gsz_range r = {HUGEST, -HUGEST, 0};
    gsz_spread spread = {0, 0};
    double squares = 0;
    for (size_t i = 0; i < count; i++) kernels->range[tensors[i].dtype](tensors[i].x, tensors[i].n, &r);
    if (r.finite == 0 || (r.min == 0 && r.max == 0)) return spread;
    const double scale = gsz_safe_scale(&r);
    for (size_t i = 0; i < count; i++) squares += kernels->sum_squares[tensors[i].dtype](tensors[i].x, tensors[i].n, scale);
    spread.width = width_of(&r);
    spread.rms = gsz_square_root(squares / (double)r.finite) / scale;
    return spread;
}

double gsz_joint_bound(int dtype, const gsz_spread *spread, int mode, double bound) {
    double eb = mode == GSZ_ABS ? bound : product_not_above(bound, mode == GSZ_REL ? spread->width : spread->rms);
    if (mode != GSZ_ABS && eb >= 0x1p-1000) eb = gsz_double_of_bits(gsz_bits_of_double(eb) & ~(uint64_t)0 << 40);
    return gsz_step(dtype, eb) > 0 ? eb : 0;
}
