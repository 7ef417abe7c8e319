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
    double v[GSZ_VALUES];
    for (size_t from = 0, here; from < n; from += here) {
        here = GSZ_MIN((size_t)GSZ_VALUES, n - from);
        gsz_load_values(dtype, x, from, here, v);
        for (size_t i = 0; i < here; i++) {
            uint64_t bits = gsz_bits_of_double(gsz_abs_double(v[i]));
            if (bits >= (uint64_t)0x7ff << 52) continue;                            /* not finite */
            if (r->shift < 48 && bits >> (r->shift + DIGIT) != r->prefix) continue;
            r->counts[bits >> r->shift & (DIGITS - 1)]++;
        }
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

/* ---- the magnitudes that are kept, times a power of two `unit` */

/* Some of them, 0 for those that are not kept; in `v` the values. */
static size_t load_kept(const gsz_quantising *in, size_t from, double unit, double *v, double *kept) {
    const size_t n = GSZ_MIN((size_t)GSZ_VALUES, in->n - from);
    gsz_load_values(in->dtype, in->x, from, n, v);
    for (size_t i = 0; i < n; i++) {
        double size = gsz_abs_double(v[i]);
        kept[i] = size >= in->threshold && size <= gsz_largest(GSZ_FLOAT64) ? size * unit : 0;
    }
    return n;
}

static uint64_t find_moments(const gsz_quantising *in, double unit, double *mean, double *square) {
    double v[GSZ_VALUES], kept[GSZ_VALUES], sum = 0, squares = 0;
    uint64_t count = 0;
    for (size_t from = 0, n; from < in->n; from += n) {
        n = load_kept(in, from, unit, v, kept);
        for (size_t i = 0; i < n; i++) count += kept[i] > 0, sum += kept[i], squares += kept[i] * kept[i];
    }
    *mean = sum / (double)GSZ_MAX(count, (uint64_t)1);
    *square = squares / (double)GSZ_MAX(count, (uint64_t)1);
    return count;
}

/* ---- levels */

typedef struct { unsigned n; double level[GSZ_M22_LEVELS], threshold[GSZ_M22_LEVELS]; } codebook;      /* thresholds times unit */

/* Levels as they are sent: numbers of the dtype. */
static codebook make_codebook(const gsz_quantising *in, const gsz_density *d, double unit) {
    codebook b;
    gsz_element sent;
    memset(&b, 0, sizeof b);
    b.n = 1u << (in->settings->bits - 1);
    gsz_m22_design(d, in->settings->bits, in->settings->power, b.level);
    for (unsigned j = 0; j < b.n; j++) {
        b.level[j] /= unit;
        gsz_store_values(in->dtype, &b.level[j], 1, &sent, 0);
        gsz_load_values(in->dtype, &sent, 0, 1, &b.level[j]);
    }
    for (unsigned j = 0; j + 1 < b.n; j++) b.threshold[j] = b.level[j] * unit / 2 + b.level[j + 1] * unit / 2;
    return b;
}

#define FEW_LEVELS 4u

/* Labels: 0 where nothing is kept, else 1 and up.  Few levels: compared with all; many: a binary search without branches. */
static void find_labels(const codebook *b, const double *kept, size_t n, double *label) {
    for (size_t i = 0; i < n; i++) label[i] = kept[i] > 0 ? 1 : 0;
    for (unsigned j = 0; b->n <= FEW_LEVELS && j + 1 < b->n; j++)
        for (size_t i = 0; i < n; i++) label[i] += kept[i] > b->threshold[j] ? 1 : 0;
    for (size_t i = 0; b->n > FEW_LEVELS && i < n; i++) {
        unsigned j = 0;
        for (unsigned step = b->n / 2; step > 0; step /= 2) j += kept[i] > b->threshold[j + step - 1] ? step : 0;
        label[i] += j;
    }
}

/* Sum of |x|^M (x - x')^2. */
static double distortion(const gsz_quantising *in, const codebook *b, double unit) {
    double v[GSZ_VALUES], kept[GSZ_VALUES], label[GSZ_VALUES], sum = 0, level[GSZ_M22_LEVELS + 1] = {0};
    for (unsigned j = 0; j < b->n; j++) level[j + 1] = b->level[j] * unit;
    for (size_t from = 0, n; from < in->n; from += n) {
        n = load_kept(in, from, unit, v, kept);
        find_labels(b, kept, n, label);
        for (size_t i = 0; i < n; i++) {
            double error = kept[i] - level[(unsigned)label[i]];
            v[i] = error * error;
        }
        for (int m = 0; m < in->settings->power; m++)
            for (size_t i = 0; i < n; i++) v[i] *= kept[i];
        for (size_t i = 0; i < n; i++) sum += v[i];
    }
    return sum;
}

/* The codebook of the settings' family, or of the one that distorts less. */
static codebook choose_codebook(const gsz_quantising *in, double unit, double mean, double square) {
    const int family = in->settings->family;
    if (in->settings->shape > 0) {
        const gsz_density given = {family, in->settings->shape, in->settings->scale * unit};
        return make_codebook(in, &given, unit);
    }
    gsz_density d = gsz_density_fit(family == GSZ_FAMILY_AUTO ? GSZ_GENNORM : family, mean, square);
    const codebook first = make_codebook(in, &d, unit);
    if (family != GSZ_FAMILY_AUTO) return first;
    d = gsz_density_fit(GSZ_DWEIBULL, mean, square);
    const codebook second = make_codebook(in, &d, unit);
    return distortion(in, &second, unit) < distortion(in, &first, unit) ? second : first;
}

static void put_labels(const gsz_quantising *in, const codebook *b, double unit, void *values) {
    double v[GSZ_VALUES], kept[GSZ_VALUES], label[GSZ_VALUES];
    for (size_t from = 0, n; from < in->n; from += n) {
        n = load_kept(in, from, unit, v, kept);
        find_labels(b, kept, n, label);
        for (size_t i = 0; i < n; i++) label[i] = v[i] < 0 ? 0 - label[i] : label[i];
        gsz_store_values(in->dtype, label, n, values, from);
        gsz_copy_specials(in->dtype, in->x, from, n, v, values);
    }
}

void gsz_m22(const gsz_quantising *in, void *values, gsz_quantised *out) {
    const gsz_range range = gsz_finite_range(in->kernels, in->dtype, in->x, in->n);
    if (range.finite == 0) return;
    const double unit = gsz_safe_scale(&range);
    double mean, square;
    codebook b;
    memset(&b, 0, sizeof b);
    if (find_moments(in, unit, &mean, &square) > 0) b = choose_codebook(in, unit, mean, square);
    put_labels(in, &b, unit, values);
    out->useful = 1;
    out->mode = GSZ_MODE_LEVELS;
    out->eb = 0.5;
    out->nlevels = b.n;
    memcpy(out->levels, b.level, sizeof out->levels);
}
