#include "fit.h"

#include "fp.h"

#define LEAST_SAMPLE 2048u      /* elements, about; large tensors have a sixteenth, up to */
#define MOST_SAMPLE 16384u      /* sparse ones need that many */
#define BLOCK 16u               /* lanes sampled together */
#define WIDTHS 3u               /* constant, row, row x column */

/* ---- scales */

static unsigned scale_of(const gsz_kernels *kernels, const gsz_modelled *t, const void *row, size_t length) {
    size_t finite = 0, above = 0;
    double sum = kernels->sum_sizes[t->dtype](row, length, gsz_is_random(t->grid) ? 0 : t->eb, &finite, &above);
    if (above == 0) return 0;
    double mean = finite > 0 ? sum / (double)finite / t->unit * (double)(1 << GSZ_WIDTH_BITS) : 0;
    unsigned index = 1;
    if (mean >= 2) index = GSZ_MIN(3 * (unsigned)gsz_floor_log2((uint32_t)GSZ_MIN(mean, 0x1p31)), GSZ_SCALES - 1);
    while (index + 1 < GSZ_SCALES && mean * mean > (double)gsz_scale_width(index) * (double)gsz_scale_width(index + 1)) index++;
    return index;
}

int gsz_model_scales(gsz_work *work, const gsz_modelled *t, const void *x, uint8_t *scales) {
    const gsz_view *v = &t->view;
    const size_t itemsize = gsz_itemsize(t->dtype);
    const int whole = gsz_view_in_planes(v) || (v->tap_stride == 1 && v->lane_stride == v->taps);    /* a row is one piece */
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->values, v->row_length * itemsize));
    for (size_t i = 0; i < v->rows; i++) {
        const void *row = (const uint8_t *)x + i * v->row_stride * itemsize;
        const size_t length = gsz_view_row(v, i);
        if (!whole) gsz_row_gather(v, row, length, itemsize, work->values.data);
        scales[i] = (uint8_t)scale_of(work->kernels, t, whole ? row : work->values.data, length);
    }
    return GSZ_OK;
}

/* ---- weighted least squares: sum ((f . w - target) * weight)^2 */
#define MOST 4u
typedef struct { unsigned n; double square[MOST][MOST], right[MOST], total; } normal;

static void normal_of(const gsz_kernels *kernels, const float *const *f, unsigned n, const float *target, const float *weight,
                      size_t count, normal *e) {
    double sums[GSZ_FIT_SUMS(MOST)], *p = sums;
    kernels->fit_sums(f, n, target, weight, count, sums);
    e->n = n;
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j <= i; j++) e->square[i][j] = *p++;
    for (unsigned i = 0; i < n; i++) e->right[i] = *p++;
    e->total = *p;
}

/* Cholesky with a small ridge; what does not matter gets the weight 0. */
static void solve(const normal *e, float *w) {
    double l[MOST][MOST], y[MOST];
    for (unsigned i = 0; i < e->n; i++) {
        double ridge = e->square[i][i] * 1e-5;
        for (unsigned j = 0; j <= i; j++) {
            double s = e->square[i][j] + (i == j ? ridge : 0);
            for (unsigned k = 0; k < j; k++) s -= l[i][k] * l[j][k];
            if (i == j) l[i][i] = s > 1e-300 && s > ridge * 1e-3 ? gsz_square_root(s) : 0;
            else l[i][j] = l[j][j] > 0 ? s / l[j][j] : 0;
        }
        double s = e->right[i];
        for (unsigned k = 0; k < i; k++) s -= l[i][k] * y[k];
        y[i] = l[i][i] > 0 ? s / l[i][i] : 0;
    }
    for (unsigned i = e->n; i-- > 0;) {
        double s = y[i];
        for (unsigned k = i + 1; k < e->n; k++) s -= l[k][i] * y[k];
        y[i] = l[i][i] > 0 ? s / l[i][i] : 0;
        w[i] = (float)y[i];
    }
}

static int32_t rounded_weight(float w) {
    double r = gsz_round_double(GSZ_MAX(-32767.0, GSZ_MIN(32767.0, (double)w * (double)(1 << GSZ_WEIGHT_BITS))));
    return (int32_t)r;
}

/* ---- sampling: rows and blocks of lanes, spread; features from values rounded to whole bins (open loop) */

enum { TARGET, WIDTH, MEAN = WIDTH + WIDTHS, SIZE = MEAN + GSZ_FEATURES, WEIGHT, LEFT, PREDICTED, ARRAYS };

typedef struct {
    const gsz_modelled *t;
    const void *x;
    gsz_view view;              /* of the sample */
    gsz_model_row row;
    size_t row_step, block_step;
    float *seen[ARRAYS];        /* an array of observations each; targets and means in units */
    size_t count;
} sampler;

static void choose_sample(sampler *s) {
    const gsz_view *v = &s->t->view;
    size_t sample = (size_t)GSZ_MAX(LEAST_SAMPLE, GSZ_MIN(MOST_SAMPLE, v->elements / 16));
    size_t lanes = sample / (GSZ_MIN(v->rows, (size_t)64) * v->taps);       /* rather many rows than many lanes */
    s->view = *v;
    lanes = GSZ_MIN(GSZ_MAX(lanes, (size_t)2 * BLOCK), v->lanes);
    if (lanes > BLOCK) lanes = lanes / BLOCK * BLOCK;
    s->view.lanes = lanes;
    size_t rows = GSZ_MAX(sample / (lanes * v->taps), (size_t)1);
    s->row_step = GSZ_MAX(v->rows / rows, (size_t)1);
    s->block_step = lanes > BLOCK ? (v->lanes - BLOCK) / GSZ_MAX(lanes / BLOCK - 1, (size_t)1) : 0;
}

static size_t lane_of(const sampler *s, size_t j) { return j / BLOCK * s->block_step + j % BLOCK; }

static void sample_step(const gsz_kernels *kernels, sampler *s, size_t row, unsigned tap, const int32_t *cells, int32_t scale,
                        int32_t *mean, int32_t *y) {
    const gsz_view *v = &s->t->view;
    const unsigned f = s->t->weights.unit_bits;
    const double inverse = 1 / s->t->unit;
    const size_t n = s->view.lanes, real = gsz_view_step(v, gsz_view_row(v, row), tap);
    gsz_model_weights one;
    float *seen[ARRAYS];
    for (unsigned k = 0; k < ARRAYS; k++) seen[k] = s->seen[k] + s->count;
    for (size_t j = 0; j < n; j++) {
        size_t lane = lane_of(s, j);
        double u = lane < real ? gsz_value_at(s->t->dtype, s->x, row * v->row_stride + tap * v->tap_stride + lane * v->lane_stride) * inverse : 0;
        u = gsz_abs_double(u) < 0x1p22 ? u : 0;             /* not finite, or an outlier beyond all features */
        seen[TARGET][j] = (float)u;
        seen[WIDTH][j] = (float)((int32_t)1 << f);
        seen[WIDTH + 1][j] = (float)scale;
        seen[WIDTH + 2][j] = (float)cells[j];
        y[j] = (int32_t)gsz_round_double(u / (double)((int32_t)1 << f)) * ((int32_t)1 << f);
    }
    for (unsigned k = 0; k < GSZ_FEATURES; k++) {
        memset(&one, 0, sizeof one);
        one.mean[k] = 1 << GSZ_WEIGHT_BITS;                 /* the feature itself */
        kernels->model_means(&s->row, &one, tap, n, NULL, mean);
        for (size_t j = 0; j < n; j++) seen[MEAN + k][j] = (float)mean[j];
    }
    kernels->model_learn(&s->row, tap, y, NULL, n);
    s->count += n;
}

/* Cells of a row's column sums, as model_contexts computes them. */
static void cells_of(const gsz_row_widths *w, const int32_t *sums, size_t n, int32_t scale, int known, int32_t *cells) {
    for (size_t j = 0; j < n; j++) {
        uint32_t sum = (uint32_t)GSZ_MIN(sums[j] >> w->down, 32767);
        cells[j] = known ? (int32_t)(sum * w->ratio >> 8 << w->up) : scale;
    }
}

static int take_sample(gsz_work *work, sampler *s) {
    const uint8_t *scales = s->t->scales;
    const size_t stride = gsz_model_stride(&s->view), groups = gsz_model_groups(&s->view), n = s->view.lanes;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->model, (gsz_model_row_size(&s->view) + 3 * stride) * sizeof(int32_t)));
    int32_t *memory = (int32_t *)work->model.data, *cells = memory + gsz_model_row_size(&s->view), *mean = cells + stride, *y = mean + stride;
    gsz_model_row_init(&s->view, memory, &s->row);
    size_t rows = (s->t->view.rows + s->row_step - 1) / s->row_step;
    const size_t capacity = rows * n * s->view.taps + GSZ_FIT_LANES;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->bytes, ARRAYS * capacity * sizeof(float)));
    for (unsigned k = 0; k < ARRAYS; k++) s->seen[k] = (float *)work->bytes.data + k * capacity;
    for (size_t i = 0; i < s->t->view.rows; i += s->row_step) {
        gsz_row_widths w;
        if (scales[i] == 0) continue;
        int32_t scale = gsz_scale_width(scales[i]);
        gsz_model_widths(&s->row, &s->t->weights, scale, &w);
        for (unsigned tap = 0; tap < s->view.taps; tap++) {
            size_t group = groups > 1 ? tap * stride : 0;
            cells_of(&w, s->row.sums + group, n, scale, s->row.rows > 0, cells);
            sample_step(work->kernels, s, i, tap, cells, scale, mean, y);
        }
        for (unsigned tap = 0; tap < s->view.taps; tap++)
            s->row.total += work->kernels->model_sum(s->row.d + tap * stride, n, s->row.sums + (groups > 1 ? tap * stride : 0));
        s->row.rows++;
    }
    return GSZ_OK;
}

/* ---- the fit */

/* Widths of |target - mean|; relative to the widths of `before` (the third feature, where there are none yet). */
static void fit_widths(const gsz_kernels *kernels, sampler *s, const float *before, const float *v, float floor, float *w) {
    const float bin = (float)((int32_t)1 << s->t->weights.unit_bits);
    const float *const *f = (const float *const *)s->seen;
    normal e;
    kernels->fit_dot(f + MEAN, GSZ_FEATURES, v, s->count, s->seen[PREDICTED]);
    kernels->fit_left(f[TARGET], f[PREDICTED], bin, s->count, s->seen[LEFT]);
    if (before != NULL) kernels->fit_dot(f + WIDTH, WIDTHS, before, s->count, s->seen[SIZE]);
    kernels->fit_weights(before != NULL ? f[SIZE] : f[WIDTH + 2], f[WIDTH], floor, s->count, s->seen[WEIGHT]);
    normal_of(kernels, f + WIDTH, WIDTHS, f[LEFT], f[WEIGHT], s->count, &e);
    solve(&e, w);
}

static void fit_means(const gsz_kernels *kernels, sampler *s, const float *w, float floor, float *v) {
    const float *const *f = (const float *const *)s->seen;
    normal e;
    double better = 0;
    kernels->fit_dot(f + WIDTH, WIDTHS, w, s->count, s->seen[SIZE]);
    kernels->fit_weights(f[SIZE], f[WIDTH], floor, s->count, s->seen[WEIGHT]);
    normal_of(kernels, f + MEAN, GSZ_FEATURES, f[TARGET], f[WEIGHT], s->count, &e);
    solve(&e, v);
    for (unsigned k = 0; k < GSZ_FEATURES; k++) better += (double)v[k] * e.right[k];
    if (!(better > 0.002 * e.total)) memset(v, 0, GSZ_FEATURES * sizeof *v);
}

/* Observations that are not there, to a multiple of the lanes. */
static void pad_sample(sampler *s) {
    while (s->count % GSZ_FIT_LANES != 0) {
        for (unsigned k = 0; k < ARRAYS; k++) s->seen[k][s->count] = 0;
        s->count++;
    }
}

GSZ_STATIC_ASSERT(fit_features, WIDTHS == 3 && GSZ_FEATURES == 4);      /* what fit_sums knows */

int gsz_model_fit(gsz_work *work, gsz_modelled *t, const void *x) {
    sampler s;
    float first[WIDTHS], w[WIDTHS], v[GSZ_FEATURES] = {0};
    double sum = 0;
    memset(&s, 0, sizeof s);
    s.t = t;
    s.x = x;
    gsz_model_default_weights(t->weights.unit_bits, &t->weights);
    if (t->view.elements < 1024) return GSZ_OK;
    choose_sample(&s);
    GSZ_TRY(take_sample(work, &s));
    if (s.count < 256) return GSZ_OK;
    for (size_t i = 0; i < s.count; i++) sum += gsz_abs_double((double)s.seen[TARGET][i]);
    const float floor = (float)(0.2 * sum / (double)s.count * (double)(1 << GSZ_WIDTH_BITS) + 1);
    pad_sample(&s);
    fit_widths(work->kernels, &s, NULL, v, floor, first);
    fit_means(work->kernels, &s, first, floor, v);
    fit_widths(work->kernels, &s, first, v, floor, w);
    t->weights.constant = rounded_weight(w[0]);
    t->weights.row = rounded_weight(w[1]);
    t->weights.column = rounded_weight(w[2]);
    for (unsigned k = 0; k < GSZ_FEATURES; k++) t->weights.mean[k] = rounded_weight(v[k]);
    return GSZ_OK;
}
