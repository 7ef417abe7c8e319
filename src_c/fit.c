#include "fit.h"

#include "fp.h"

#define LEAST_SAMPLE 2048u      /* elements, about; large tensors have a sixteenth, up to */
#define MOST_SAMPLE 16384u      /* sparse ones need that many */
#define BLOCK 16u               /* lanes sampled together */
#define WIDTHS (3u + GSZ_MAX_PAST)      /* constant, row, row x column, past */

/* ---- weighted least squares: sum ((f . w - target) * weight)^2 */
#define MOST GSZ_FIT_MOST
typedef struct { unsigned n; double square[MOST][MOST], right[MOST], total; } normal;

static void add_normal(const gsz_kernels *kernels, const float *const *f, unsigned n, const float *target, const float *weight,
                       size_t count, normal *e) {
    double sums[GSZ_FIT_SUMS(MOST)], *p = sums;
    kernels->fit_sums(f, n, target, weight, count, sums);
    e->n = n;
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j <= i; j++) e->square[i][j] += *p++;
    for (unsigned i = 0; i < n; i++) e->right[i] += *p++;
    e->total += *p;
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

#define CHUNK 256u              /* observations weighed together: a multiple of GSZ_FIT_LANES */

#define WHOLE 0.7f              /* how much of a residual is in whole bins when it is coded; where offsets tell phases none is */

enum { TARGET, ROW, COLUMN, PAST, MEAN = PAST + GSZ_MAX_PAST, ARRAYS = MEAN + GSZ_FEATURES };

typedef struct {
    const gsz_modelled *t;
    const void *x;
    int closed;                 /* features see what t->weights would decode, */
    gsz_view view;              /* of the sample */
    gsz_model_row row;
    size_t row_step, block_step;
    unsigned nmeans, mean[GSZ_FEATURES];    /* the mean features that a tensor of this kind has */
    float *seen[ARRAYS];        /* an array of observations each; targets and means in units */
    int32_t *mean_of_step, *y, *offset, *past[GSZ_MAX_PAST];
    size_t count;
} sampler;

static float part_whole(const sampler *s) { return gsz_is_phased(s->t) ? 0 : WHOLE; }

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
    for (unsigned k = 0; k < GSZ_FEATURES; k++)
        if (gsz_feature_exists(k, v->matrix, s->t->rounds)) s->mean[s->nmeans++] = k;
}

/* Values of a step's sampled lanes in units, 0 for those that are not there. */
static void sample_values(const sampler *s, const void *from_array, size_t row, unsigned tap, float *u) {
    const gsz_view *v = &s->t->view;
    const double inverse = 1 / s->t->unit;
    const float scale = (float)inverse;
    const int direct = s->t->dtype == GSZ_FLOAT32 && scale < 0x1p100f;
    const size_t n = s->view.lanes, real = gsz_view_step(v, gsz_view_row(v, row), tap), stride = v->lane_stride;
    for (size_t from = 0; from < n; from += BLOCK) {
        const size_t lane = from / BLOCK * s->block_step, wanted = GSZ_MIN((size_t)BLOCK, n - from);
        const size_t there = GSZ_MIN(wanted, real - GSZ_MIN(lane, real));
        const size_t at = row * v->row_stride + tap * v->tap_stride + lane * stride;
        const float *x = (const float *)from_array;
        for (size_t j = 0; direct && j < there; j++) u[from + j] = x[at + j * stride] * scale;
        for (size_t j = 0; !direct && j < there; j++) u[from + j] = (float)(gsz_value_at(s->t->dtype, from_array, at + j * stride) * inverse);
        for (size_t j = there; j < wanted; j++) u[from + j] = 0;
    }
}

/* Targets, and the values in whole bins that features see. */
static void sample_targets(unsigned f, size_t n, float *restrict u, int32_t *restrict y) {
    const float inverse = 1 / (float)((int32_t)1 << f);
    for (size_t j = 0; j < n; j++) {
        u[j] = u[j] < 0x1p22f && u[j] > -0x1p22f ? u[j] : 0;        /* not finite, or an outlier beyond all features */
        float whole = (u[j] * inverse + 0x1.8p23f) - 0x1.8p23f;
        y[j] = (int32_t)whole * ((int32_t)1 << f);
    }
}

/* Where the middle bins lie: at random, or on the multiple of a bin next to the reference. */
static void sample_offsets(const gsz_kernels *kernels, const sampler *s, size_t row, unsigned tap, int32_t *mean, int32_t *offset, int32_t *centre) {
    const size_t n = s->view.lanes;
    const unsigned f = s->t->weights.unit_bits;
    if (gsz_is_random(s->t->grid)) {
        gsz_dither d;
        gsz_dither_row(s->t->seed, s->t->slot, s->t->index, row, &d);
        memset(mean, 0, n * sizeof *mean);
        kernels->model_dither(&d, (size_t)tap << 16, n, f, mean, offset, centre);
        for (size_t j = 0; j < n; j++) offset[j] = ~offset[j];
        return;
    }
    float *u = s->seen[TARGET] + s->count + n;              /* room of a step behind the last one */
    sample_values(s, s->t->prior->reference, row, tap, u);
    for (size_t j = 0; j < n; j++) mean[j] = u[j] < 0x1p29f && u[j] > -0x1p29f ? (int32_t)gsz_round_double((double)u[j]) : 0;
    kernels->model_align(mean, n, f, centre);
    for (size_t j = 0; j < n; j++) offset[j] = centre[j] - mean[j];
}

/* Where contexts tell phases, features see what will be decoded: the values and the noise that the offsets add. */
static void add_noise(const gsz_kernels *kernels, const sampler *s, size_t row, unsigned tap, const float *u, int32_t *mean,
                      int32_t *offset, int32_t *y) {
    const size_t n = s->view.lanes;
    const float bin = (float)((int32_t)1 << s->t->weights.unit_bits), inverse = 1 / bin;
    sample_offsets(kernels, s, row, tap, mean, offset, y);
    for (size_t j = 0; j < n; j++) {
        float r = ((u[j] - (float)offset[j]) * inverse + 0x1.8p23f) - 0x1.8p23f;
        int32_t out = s->t->grid == GSZ_GRID_SHRUNK ? 0 : offset[j];            /* next to nothing where bins are wide */
        y[j] = out + (int32_t)r * (int32_t)bin;
    }
}

/* Earlier rounds: sizes as widths see them, in 1/16 unit, and integers for the mean. */
static void sample_past(sampler *s, size_t row, unsigned tap, int32_t *const *past) {
    const size_t n = s->view.lanes;
    for (unsigned k = 0; k < s->t->rounds; k++) {
        float *restrict size = s->seen[PAST + k] + s->count;
        sample_values(s, s->t->prior->past[k], row, tap, size);
        for (size_t j = 0; j < n; j++) {
            float v = size[j] == size[j] ? GSZ_MAX(-(float)GSZ_MAX_D, GSZ_MIN((float)GSZ_MAX_D, size[j])) : 0;
            past[k][j] = (int32_t)gsz_round_double((double)v);
            size[j] = (v < 0 ? -v : v) * (float)(1 << GSZ_WIDTH_BITS);
        }
        s->row.past[k] = past[k];
    }
}

/* Values as they would be decoded with the weights that there are: in whole bins from the mean (closed loop). */
static void decode_targets(const gsz_kernels *kernels, const sampler *s, unsigned tap, const float *restrict u, int32_t *restrict mean, int32_t *restrict y) {
    const float bin = (float)((int32_t)1 << s->t->weights.unit_bits), inverse = 1 / bin;
    kernels->model_means(&s->row, &s->t->weights, tap, s->view.lanes, NULL, mean);
    for (size_t j = 0; j < s->view.lanes; j++) {
        float r = ((u[j] - (float)mean[j]) * inverse + 0x1.8p23f) - 0x1.8p23f;
        y[j] = mean[j] + (int32_t)r * (int32_t)bin;
    }
}

static void sample_step(const gsz_kernels *kernels, sampler *s, size_t row, unsigned tap) {
    int32_t *mean = s->mean_of_step, *y = s->y;
    const size_t n = s->view.lanes;
    gsz_model_weights one;
    memset(&one, 0, sizeof one);
    sample_values(s, s->x, row, tap, s->seen[TARGET] + s->count);
    sample_targets(s->t->weights.unit_bits, n, s->seen[TARGET] + s->count, y);
    if (gsz_is_phased(s->t)) add_noise(kernels, s, row, tap, s->seen[TARGET] + s->count, mean, s->offset, y);
    sample_past(s, row, tap, s->past);
    for (unsigned k = 0; k < s->nmeans; k++) {
        float *restrict to = s->seen[MEAN + k] + s->count;
        if (tap < gsz_feature_first(s->mean[k], s->view.side)) {
            memset(to, 0, n * sizeof *to);
            continue;
        }
        one.mean[s->mean[k]] = 1 << GSZ_WEIGHT_BITS;            /* the feature itself */
        kernels->model_means(&s->row, &one, tap, n, NULL, mean);
        for (size_t j = 0; j < n; j++) to[j] = (float)mean[j];
        one.mean[s->mean[k]] = 0;
    }
    if (s->closed) decode_targets(kernels, s, tap, s->seen[TARGET] + s->count, mean, y);
    kernels->model_learn(&s->row, tap, y, NULL, n);
}

/* The row's scale, and cells of its column sums as model_contexts computes them. */
static void sample_widths(sampler *s, const int32_t *sums, const gsz_row_widths *w, int32_t scale) {
    const size_t n = s->view.lanes;
    const int known = s->row.rows > 0 && !(GSZ_WITHOUT & GSZ_WITHOUT_COLUMNS);
    const float width = (float)scale;
    float *restrict row = s->seen[ROW] + s->count, *restrict column = s->seen[COLUMN] + s->count;
    for (size_t j = 0; j < n; j++) {
        uint32_t sum = (uint32_t)GSZ_MIN(sums[j] >> w->down, 32767);
        int32_t cell = (int32_t)(sum * w->ratio >> 8 << w->up);
        row[j] = width;
        column[j] = known ? (float)cell : width;
    }
}

/* Sampled lanes of a row that is shorter than the first: those before its end. */
static size_t lanes_there(const sampler *s, size_t row) {
    const size_t real = gsz_view_row(&s->t->view, row);
    size_t n = 0;
    for (size_t from = 0; from < s->view.lanes; from += BLOCK) {
        const size_t lane = from / BLOCK * s->block_step;
        n += GSZ_MIN(GSZ_MIN((size_t)BLOCK, s->view.lanes - from), real - GSZ_MIN(lane, real));
    }
    return n;
}

static void sample_row(const gsz_kernels *kernels, sampler *s, size_t i) {
    const size_t stride = s->row.stride, n = s->view.lanes, group = s->view.matrix ? stride : 0;
    const int32_t scale = gsz_scale_width(s->t->scales[i]);
    gsz_row_widths w;
    gsz_model_widths(&s->row, &s->t->weights, scale, &w);
    for (unsigned tap = 0; tap < s->view.taps; tap++) {
        sample_widths(s, s->row.sums + tap * group, &w, scale);
        sample_step(kernels, s, i, tap);
        s->count += s->t->view.shorter > 0 ? lanes_there(s, i) : n;
    }
    if (s->row.relative) {
        gsz_model_sum_relative(&s->row, scale);
        return;
    }
    for (unsigned tap = 0; tap < s->view.taps; tap++)
        s->row.total += kernels->model_sum(s->row.d + tap * stride, n, s->row.sums + tap * group);
    s->row.rows++;
}

static int take_sample(gsz_work *work, sampler *s) {
    const size_t stride = gsz_model_stride(&s->view), state = gsz_model_row_size(&s->view);
    const size_t rows = (s->t->view.rows + s->row_step - 1) / s->row_step;
    const size_t capacity = rows * s->view.lanes * s->view.taps;
    const size_t room = capacity + stride;          /* a step more than is kept */
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->model, (state + (3 + GSZ_MAX_PAST) * stride) * sizeof(int32_t)));
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->bytes, (MEAN + s->nmeans) * room * sizeof(float)));
    int32_t *memory = (int32_t *)work->model.data;
    gsz_model_row_init(&s->view, memory, &s->row);
    s->row.rounds = s->t->rounds;
    s->row.relative = s->t->set == GSZ_SET_FACTORS;
    memset(memory + state, 0, (3 + GSZ_MAX_PAST) * stride * sizeof *memory);
    s->mean_of_step = memory + state, s->y = s->mean_of_step + stride, s->offset = s->y + stride;
    for (unsigned k = 0; k < GSZ_MAX_PAST; k++) s->past[k] = s->offset + (k + 1) * stride;
    for (unsigned k = 0; k < MEAN + s->nmeans; k++) s->seen[k] = (float *)work->bytes.data + k * room;
    for (size_t i = 0; i < s->t->view.rows; i += s->row_step)
        if (s->t->scales[i] != 0) sample_row(work->kernels, s, i);
    s->count = s->count / GSZ_FIT_LANES * GSZ_FIT_LANES;
    return GSZ_OK;
}

/* ---- the fit: passes over all observations, a chunk at a time */

typedef struct {
    const float *f[ARRAYS], *widths[WIDTHS];    /* arrays from the chunk on */
    float bins[CHUNK];                          /* the constant width */
    float predicted[CHUNK], left[CHUNK], size[CHUNK], weight[CHUNK];
    size_t n;
} chunk;

static void set_chunk(const sampler *s, size_t from, chunk *c) {
    c->n = GSZ_MIN((size_t)CHUNK, s->count - from);
    for (unsigned k = 0; k < MEAN + s->nmeans; k++) c->f[k] = s->seen[k] + from;
    c->widths[0] = c->bins, c->widths[1] = c->f[ROW], c->widths[2] = c->f[COLUMN];
    for (unsigned k = 0; k < GSZ_MAX_PAST; k++) c->widths[3 + k] = c->f[PAST + k];
}

static void begin_fit(const sampler *s, chunk *c, normal *e) {
    memset(c, 0, sizeof *c);
    memset(e, 0, sizeof *e);
    for (size_t j = 0; j < CHUNK; j++) c->bins[j] = (float)((int32_t)1 << s->t->weights.unit_bits);
}

/* Widths of |target - mean|; relative to the widths of `before` (the third feature, where there are none yet). */
static void fit_widths(const gsz_kernels *kernels, const sampler *s, const float *before, const float *v, float floor, float *w) {
    chunk c;
    normal e;
    begin_fit(s, &c, &e);
    for (size_t from = 0; from < s->count; from += CHUNK) {
        set_chunk(s, from, &c);
        kernels->fit_dot(c.f + MEAN, s->nmeans, v, c.n, c.predicted);
        kernels->fit_left(c.f[TARGET], c.predicted, c.bins[0], part_whole(s), c.n, c.left);
        if (before != NULL) kernels->fit_dot(c.widths, 3 + s->t->rounds, before, c.n, c.size);
        kernels->fit_weights(before != NULL ? c.size : c.f[COLUMN], c.bins, floor, c.n, c.weight);
        add_normal(kernels, c.widths, 3 + s->t->rounds, c.left, c.weight, c.n, &e);
    }
    solve(&e, w);
}

static void fit_means(const gsz_kernels *kernels, const sampler *s, const float *w, float floor, float *v) {
    chunk c;
    normal e;
    double better = 0;
    begin_fit(s, &c, &e);
    for (size_t from = 0; from < s->count; from += CHUNK) {
        set_chunk(s, from, &c);
        kernels->fit_dot(c.widths, 3 + s->t->rounds, w, c.n, c.size);
        kernels->fit_weights(c.size, c.bins, floor, c.n, c.weight);
        add_normal(kernels, c.f + MEAN, s->nmeans, c.f[TARGET], c.weight, c.n, &e);
    }
    solve(&e, v);
    for (unsigned k = 0; k < s->nmeans; k++) better += (double)v[k] * e.right[k];
    if (!(better > 0.002 * e.total)) memset(v, 0, s->nmeans * sizeof *v);
}

GSZ_STATIC_ASSERT(fit_features, WIDTHS <= GSZ_FIT_MOST && GSZ_FEATURES - 1 <= GSZ_FIT_MOST);       /* matrices have one of their own, kernels three */
GSZ_STATIC_ASSERT(fit_chunk, CHUNK % GSZ_FIT_LANES == 0);

/* With random offsets what is decoded tells the less, the wider bins are: weights of their own must save more than they cost. */
#define LEAST_RESIDUALS 50.0    /* not 0, times a value's mean size in bins */
#define LEAST_OF_MATRIX 0.25    /* bins: matrices have nothing but column sums and neighbours */
static int too_noisy(const sampler *s, double sum) {
    const double bin = (double)((uint32_t)1 << s->t->weights.unit_bits), size = sum / bin / (double)s->count;
    return size * size * (double)s->t->view.elements < LEAST_RESIDUALS || (s->t->view.matrix && size < LEAST_OF_MATRIX);
}

/* ---- widths of taps: what the others leave of them, where that is worth its bits */

#define TAP_GAIN 0.32          /* bits that a width off by an octave wastes, squared and for a value that is worth any */
#define TAP_COST 30           /* bits */

static double worth_of(double width) { return width < 0.1 ? 5 * width : 0.45 + 0.55 * GSZ_MIN(width, 1.0); }

/* Observed and predicted widths of each tap, by the weights that the fit had. */
static void sum_taps(const gsz_kernels *kernels, const sampler *s, const float *v, float floor, const float *w, double *seen, double *told) {
    chunk c;
    normal unused;
    begin_fit(s, &c, &unused);
    const size_t n = s->view.lanes;
    for (size_t from = 0; from < s->count; from += CHUNK) {
        set_chunk(s, from, &c);
        kernels->fit_dot(c.f + MEAN, s->nmeans, v, c.n, c.predicted);
        kernels->fit_left(c.f[TARGET], c.predicted, c.bins[0], part_whole(s), c.n, c.left);
        kernels->fit_dot(c.widths, 3 + s->t->rounds, w, c.n, c.size);
        kernels->fit_weights(c.size, c.bins, floor, c.n, c.weight);
        for (size_t j = 0; j < c.n; j++) {
            const size_t tap = (from + j) / n % s->view.taps;
            seen[tap] += (double)c.left[j] * (double)c.weight[j];
            told[tap] += (double)c.size[j] * (double)c.weight[j];
        }
    }
}

static void fit_taps(const gsz_kernels *kernels, const sampler *s, const float *v, float floor, const float *w, double width, gsz_model_weights *out) {
    double seen[GSZ_MAX_TAPS] = {0}, told[GSZ_MAX_TAPS] = {0}, gain = 0;
    const unsigned taps = s->view.taps;
    const double values = gsz_view_worth(&s->t->view) / (double)taps * worth_of(width) * TAP_GAIN;
    if (s->view.matrix || taps == 1) return;
    sum_taps(kernels, s, v, floor, w, seen, told);
    for (unsigned tap = 0; tap < taps; tap++) {
        const double octaves = seen[tap] > 0 && told[tap] > 0 ? gsz_log_2(seen[tap] / told[tap]) : 0;
        const double whole = gsz_round_double(octaves * (1 << GSZ_LOG_BITS));
        out->tap[tap] = (int8_t)GSZ_MAX(-GSZ_MOST_TAP, GSZ_MIN(whole, GSZ_MOST_TAP));
        gain += octaves * octaves * values - TAP_COST;
    }
    out->by_tap = gain > 0;
    if (!out->by_tap) memset(out->tap, 0, sizeof out->tap);
}

static int fit(gsz_work *work, gsz_modelled *t, const void *x, int closed) {
    sampler s;
    float first[WIDTHS], w[WIDTHS], v[GSZ_FEATURES] = {0};
    double sum = 0;
    memset(&s, 0, sizeof s);
    s.t = t;
    s.x = x;
    s.closed = closed;
    if (t->view.elements < 1024) return GSZ_OK;
    choose_sample(&s);
    GSZ_TRY(take_sample(work, &s));
    if (s.count < 256) return GSZ_OK;
    for (size_t i = 0; i < s.count; i++) sum += gsz_abs_double((double)s.seen[TARGET][i]);
    if (gsz_is_phased(t) && t->rounds == 0 && too_noisy(&s, sum)) return GSZ_OK;
    const float floor = (float)(0.2 * sum / (double)s.count * (double)(1 << GSZ_WIDTH_BITS) + 1);
    fit_widths(work->kernels, &s, NULL, v, floor, first);
    if (s.nmeans > 0) fit_means(work->kernels, &s, first, floor, v);
    fit_widths(work->kernels, &s, first, v, floor, w);
    t->weights.constant = rounded_weight(w[0]);
    t->weights.row = rounded_weight(w[1]);
    t->weights.column = rounded_weight(w[2]);
    for (unsigned k = 0; k < t->rounds; k++) t->weights.past[k] = rounded_weight(w[3 + k]);
    memset(t->weights.mean, 0, sizeof t->weights.mean);
    for (unsigned k = 0; k < s.nmeans; k++) t->weights.mean[s.mean[k]] = rounded_weight(v[k]);
    const double bin = (double)((uint32_t)1 << t->weights.unit_bits);
    fit_taps(work->kernels, &s, v, floor, w, sum / bin / (double)s.count, &t->weights);
    return GSZ_OK;
}

int gsz_model_fit(gsz_work *work, gsz_modelled *t, const void *x) {
    gsz_model_default_weights(t->weights.unit_bits, gsz_is_phased(t), &t->weights);
    return fit(work, t, x, 0);
}

int gsz_model_refit(gsz_work *work, gsz_modelled *t, const void *x) { return gsz_is_phased(t) ? GSZ_OK : fit(work, t, x, 1); }
