#include "scales.h"

/* ---- as they are */

static unsigned scale_of(const gsz_kernels *kernels, const gsz_modelled *t, const void *row, size_t length, gsz_values_seen *seen) {
    size_t finite = 0, above = 0;
    double sum = kernels->sum_sizes[t->dtype](row, length, gsz_is_phased(t) ? 0 : t->eb, &finite, &above);
    seen->strange += length - finite;
    seen->above += above;
    seen->sum += sum;
    if (above == 0) return t->referenced ? 1 : 0;           /* a row of zeros would not be the reference */
    double mean = finite > 0 ? sum / (double)finite / t->unit * (double)(1 << GSZ_WIDTH_BITS) : 0;
    unsigned index = 1;
    if (mean >= 2) index = GSZ_MIN(3 * (unsigned)gsz_floor_log2((uint32_t)GSZ_MIN(mean, 0x1p31)), GSZ_SCALES - 1);
    while (index + 1 < GSZ_SCALES && mean * mean > (double)gsz_scale_width(index) * (double)gsz_scale_width(index + 1)) index++;
    return index;
}

static int measure(gsz_work *work, const gsz_modelled *t, const void *x, uint8_t *scales, gsz_values_seen *seen) {
    const gsz_view *v = &t->view;
    const size_t itemsize = gsz_itemsize(t->dtype);
    const int whole = gsz_view_whole(v);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->values, v->row_length * itemsize));
    memset(seen, 0, sizeof *seen);
    for (size_t i = 0; i < v->rows; i++) {
        const void *row = (const uint8_t *)x + i * v->row_stride * itemsize;
        const size_t length = gsz_view_row(v, i);
        if (!whole) gsz_row_gather(work->kernels, v, row, length, itemsize, work->values.data);
        scales[i] = (uint8_t)scale_of(work->kernels, t, whole ? row : work->values.data, length, seen);
    }
    return GSZ_OK;
}

/* ---- smoothed: a width that is off by d thirds of an octave wastes about d^2 / 28 bits a value that is worth any, and a
 * scale that differs from the one before it takes bits too.  The cheapest path through the scales of all live rows (Viterbi). */
#define WASTE (1 / 28.0)
#define CHANGE 2.5              /* bits */
#define THIRD 0.4               /* and for each third of an octave */

/* Bits that a row wastes for d = 1: d^2 / 28 a value of a wide row; of a narrow one, with bins at random, as many as are not
 * zero, and elsewhere what measures say. */
static double worth_of(const gsz_modelled *t, unsigned scale) {
    const double bin = (double)((uint32_t)1 << (t->weights.unit_bits + GSZ_WIDTH_BITS));
    double width = GSZ_MIN((double)gsz_scale_width(scale) / bin, 1.0);
    double part = gsz_is_phased(t) ? 1.2 * width : width < 0.1 ? 5 * width : 0.45 + 0.55 * width;
    return gsz_view_row_worth(&t->view) * part * WASTE;
}

/* Scales that live rows have; 0 where no change of them could pay. */
static int range_of(const gsz_modelled *t, const uint8_t *scales, unsigned *least, unsigned *most) {
    *least = GSZ_SCALES, *most = 0;
    for (size_t i = 0; i < t->view.rows; i++) {
        if (scales[i] == 0) continue;
        *least = GSZ_MIN(*least, scales[i]);
        *most = GSZ_MAX(*most, scales[i]);
    }
    return *least < *most && worth_of(t, *least) < 2 * (CHANGE + THIRD);
}

/* The cheapest way to each scale from one on the side where k comes from: cost[k] and from[k], where that is less. */
static void arrive(const double *before, unsigned n, int downwards, double *cost, uint8_t *from) {
    double best = 1e300;
    unsigned at = 0;
    for (unsigned i = 0; i < n; i++) {
        const unsigned k = downwards ? n - 1 - i : i;
        if (best < cost[k]) cost[k] = best, from[k] = (uint8_t)at;
        if (before[k] + CHANGE < best) best = before[k] + CHANGE, at = k;
        best += THIRD;
    }
}

static int smooth(gsz_work *work, const gsz_modelled *t, uint8_t *scales) {
    unsigned least, most, at = 0;
    double before[GSZ_SCALES], cost[GSZ_SCALES] = {0};
    if (!range_of(t, scales, &least, &most)) return GSZ_OK;
    const unsigned n = most - least + 1;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->bytes, t->view.rows * n));
    uint8_t *from = (uint8_t *)work->bytes.data;
    for (size_t i = 0; i < t->view.rows; i++, from += n) {
        if (scales[i] == 0) continue;
        memcpy(before, cost, n * sizeof *cost);
        for (unsigned k = 0; k < n; k++) from[k] = (uint8_t)k;
        arrive(before, n, 0, cost, from);
        arrive(before, n, 1, cost, from);
        const double worth = worth_of(t, scales[i]), own = (double)scales[i] - (double)least;
        for (unsigned k = 0; k < n; k++) cost[k] += ((double)k - own) * ((double)k - own) * worth;
    }
    for (unsigned k = 1; k < n; k++)
        if (cost[k] < cost[at]) at = k;
    for (size_t i = t->view.rows; i-- > 0;) {
        from -= n;
        if (scales[i] == 0) continue;
        scales[i] = (uint8_t)(at + least);
        at = from[at];
    }
    return GSZ_OK;
}

/* One scale for all rows that are not zeros. */
static void level(uint8_t *scales, size_t n) {
    size_t sum = 0, live = 0;
    for (size_t i = 0; i < n; i++) sum += scales[i], live += scales[i] != 0;
    for (size_t i = 0; i < n; i++)
        if (scales[i] != 0) scales[i] = (uint8_t)((sum + live / 2) / live);
}

int gsz_scales_measure(gsz_work *work, const gsz_modelled *t, const void *x, uint8_t *scales, gsz_values_seen *seen) {
    gsz_values_seen none;
    GSZ_TRY(measure(work, t, x, scales, seen != NULL ? seen : &none));
    if (GSZ_WITHOUT & GSZ_WITHOUT_ROWS) level(scales, t->view.rows);
    return smooth(work, t, scales);
}
