/* M22 (Liu, Rini, Salehkalaibar, Chen, arXiv 2301.09269): the largest magnitudes are kept (Top-K), a density is fitted to
 * those of a tensor, and each becomes the nearest of 2^bits levels that are best for it under |x|^M (x - x')^2. */
#include "bound.h"
#include "quantisers/quantiser.h"

/* ---- Top-K: the K-th largest magnitude, found 16 bits at a time */

#define DIGIT 16u
#define DIGITS ((size_t)1 << DIGIT)

typedef struct { uint64_t *counts; uint64_t prefix; unsigned shift; } radix;

/* Magnitudes whose bits above the digit are the prefix, counted by the digit. */
static void count_digits(const radix *r, int dtype, const void *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = gsz_bits_of_double(gsz_abs_double(gsz_value_at(dtype, x, i)));
        if (bits >= (uint64_t)0x7ff << 52) continue;                                /* not finite */
        if (r->shift < 48 && bits >> (r->shift + DIGIT) != r->prefix) continue;
        r->counts[bits >> r->shift & (DIGITS - 1)]++;
    }
}

/* Inputs of one quantiser, and the elements of all of them. */
static int of_quantiser(const gsz_input *in, const gsz_quantiser *q, size_t *n) {
    gsz_tensor t;
    memset(&t, 0, sizeof t);
    t.dtype = in->dtype, t.ndim = in->ndim, t.shape = in->shape;
    if (in->quantiser != q || in->dtype > GSZ_FLOAT64 || gsz_tensor_measure(&t) != GSZ_OK) return 0;
    *n = (size_t)t.elements;
    return 1;
}

static uint64_t count_to_keep(const gsz_quantiser *q, const gsz_input *in, size_t count) {
    uint64_t elements = 0;
    size_t n;
    for (size_t i = 0; i < count; i++)
        if (of_quantiser(&in[i], q, &n)) elements += n;
    uint64_t k = (uint64_t)(q->keep * (double)elements);
    return GSZ_MAX(k, (uint64_t)1);
}

int gsz_quantiser_threshold(gsz_heap *heap, const gsz_quantiser *q, const gsz_input *in, size_t count, double *threshold) {
    *threshold = q->threshold;
    if (q->scheme != GSZ_M22 || q->threshold > 0 || q->keep == 1) return GSZ_OK;
    radix r = {(uint64_t *)gsz_alloc(heap, DIGITS * sizeof(uint64_t)), 0, 64};
    GSZ_CHECK(r.counts != NULL, GSZ_E_MEMORY);
    uint64_t rank = count_to_keep(q, in, count);        /* from above, from 1, among those with the prefix */
    while (r.shift > 0) {
        size_t n, digit = DIGITS;
        r.shift -= DIGIT;
        memset(r.counts, 0, DIGITS * sizeof(uint64_t));
        for (size_t i = 0; i < count; i++)
            if (of_quantiser(&in[i], q, &n)) count_digits(&r, in[i].dtype, in[i].data, n);
        while (digit-- > 1 && r.counts[digit] < rank) rank -= r.counts[digit];
        r.prefix = r.prefix << DIGIT | digit;
    }
    gsz_release(heap, r.counts, DIGITS * sizeof(uint64_t));
    *threshold = gsz_double_of_bits(r.prefix);
    return GSZ_OK;
}

/* ---- the magnitudes that are kept */

GSZ_INLINE int is_kept(const gsz_quantising *in, double size) { return size >= in->threshold && size > 0 && gsz_is_finite(size); }

/* Means of a kept magnitude and of its square, times `unit` and its square. */
static uint64_t find_moments(const gsz_quantising *in, double unit, double *mean, double *square) {
    uint64_t kept = 0;
    double sum = 0, squares = 0;
    for (size_t i = 0; i < in->n; i++) {
        double x = gsz_abs_double(gsz_value_at(in->dtype, in->x, i));
        if (!is_kept(in, x)) continue;
        kept++;
        sum += x * unit;
        squares += x * unit * (x * unit);
    }
    *mean = sum / (double)GSZ_MAX(kept, (uint64_t)1);
    *square = squares / (double)GSZ_MAX(kept, (uint64_t)1);
    return kept;
}

/* ---- levels */

typedef struct { unsigned n; double level[GSZ_M22_LEVELS], threshold[GSZ_M22_LEVELS]; } codebook;

/* Levels as they are sent: of the dtype, finite. */
static codebook make_codebook(const gsz_quantising *in, const gsz_density *d, double unit) {
    codebook b;
    memset(&b, 0, sizeof b);
    b.n = 1u << (in->settings->bits - 1);
    gsz_m22_design(d, in->settings->bits, in->settings->power, b.level);
    for (unsigned j = 0; j < b.n; j++) {
        double level = b.level[j] / unit;
        if (in->dtype != GSZ_FLOAT64 && level > gsz_largest(GSZ_FLOAT32)) level = gsz_largest(GSZ_FLOAT32);
        b.level[j] = gsz_rounded(in->dtype, in->dtype == GSZ_FLOAT64 ? level : (double)(float)level);
    }
    for (unsigned j = 0; j + 1 < b.n; j++) b.threshold[j] = b.level[j] / 2 + b.level[j + 1] / 2;
    return b;
}

/* Index of the nearest level. */
GSZ_INLINE unsigned nearest(const codebook *b, double size) {
    unsigned j = 0;
    for (unsigned step = b->n / 2; step > 0; step /= 2) j += size > b->threshold[j + step - 1] ? step : 0;
    return j;
}

static double distortion(const gsz_quantising *in, const codebook *b, double unit) {
    double sum = 0;
    for (size_t i = 0; i < in->n; i++) {
        double x = gsz_abs_double(gsz_value_at(in->dtype, in->x, i));
        if (!is_kept(in, x)) continue;
        double error = (x - b->level[nearest(b, x)]) * unit, weight = error * error;
        for (int m = 0; m < in->settings->power; m++) weight *= x * unit;
        sum += weight;
    }
    return sum;
}

/* The codebook of the settings' family, or of the one that distorts less. */
static codebook choose_codebook(const gsz_quantising *in, double unit, double mean, double square) {
    const int family = in->settings->family;
    if (in->settings->shape > 0) {
        gsz_density given = {family, in->settings->shape, in->settings->scale * unit};
        return make_codebook(in, &given, unit);
    }
    gsz_density d = gsz_density_fit(family == GSZ_FAMILY_AUTO ? GSZ_GENNORM : family, mean, square);
    codebook first = make_codebook(in, &d, unit);
    if (family != GSZ_FAMILY_AUTO) return first;
    d = gsz_density_fit(GSZ_DWEIBULL, mean, square);
    codebook second = make_codebook(in, &d, unit);
    return distortion(in, &second, unit) < distortion(in, &first, unit) ? second : first;
}

void gsz_m22(const gsz_quantising *in, void *values, gsz_quantised *out) {
    const gsz_range range = gsz_finite_range(in->kernels, in->dtype, in->x, in->n);
    if (range.finite == 0) return;
    const double unit = gsz_safe_scale(&range);
    const size_t itemsize = gsz_itemsize(in->dtype);
    double mean, square;
    codebook b;
    memset(&b, 0, sizeof b);
    if (find_moments(in, unit, &mean, &square) > 0) b = choose_codebook(in, unit, mean, square);
    for (size_t i = 0; i < in->n; i++) {
        double x = gsz_value_at(in->dtype, in->x, i), size = gsz_abs_double(x);
        if (!gsz_is_finite(x)) {
            gsz_copy_value(itemsize, values, in->x, i);
            continue;
        }
        double label = is_kept(in, size) ? (double)(nearest(&b, size) + 1) : 0;
        gsz_put_value(in->dtype, values, i, x < 0 && label > 0 ? -label : label);
    }
    out->codec = GSZ_CODEC_UNIFORM;
    out->mode = GSZ_MODE_LEVELS;
    out->eb = 0.5;
    out->nlevels = b.n;
    memcpy(out->levels, b.level, sizeof out->levels);
}
