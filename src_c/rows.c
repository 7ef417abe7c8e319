#include "rows.h"

#include "bound.h"
#include "fp.h"

#define SIDE_ORDER 4u

/* Side bits of a residual q without a symbol: 0 is an escape, whose element follows. */
GSZ_INLINE uint32_t number_of(int32_t q) { return (q < 0 ? 2 * (0u - (uint32_t)q) : 2 * (uint32_t)q + 1) + 1; }
GSZ_INLINE int32_t residual_of(uint32_t v) {        /* v >= 1 */
    v -= 1;
    return (int32_t)(v & 1 ? (v - 1) / 2 : 0u - v / 2);
}

double gsz_model_unit(int dtype, int grid, double eb, unsigned unit_bits) {
    double unit = gsz_step(dtype, grid == GSZ_GRID_SHRUNK ? eb * 0.5 : eb) / (double)((uint32_t)1 << unit_bits);     /* exact where the result is normal */
    return unit >= (dtype == GSZ_FLOAT64 ? 0x1p-1022 : 0x1p-126) ? unit : 0;
}

/* ---- arrays of a row in progress */
typedef struct {
    gsz_model_row row;
    gsz_row_widths widths;
    int16_t *log;                   /* of widths */
    uint8_t *context, *raw;         /* a lane; by tap in a matrix and where taps tell, else once a row for kernels */
    unsigned most_raw[2];
    int learns;                     /* from what was decoded before */
    int32_t same_base;              /* of the last row whose contexts were one for all lanes; 0: of none */
    gsz_dither dither;
    int32_t *mean, *y, *r;
    int32_t *own, *side, *shift;    /* centres that are no means, on which side of them they lie and how far, what is put out besides */
    uint8_t *phase;                 /* contexts by offset */
    int32_t *base;                  /* of the row, tap by tap; NULL without low rank and reference */
    int32_t *bases;                 /* of low rank: of the next rows that are not zeros, `ready` of them, of which `taken` were used */
    unsigned ready, taken;
    int32_t *reference;             /* tap by tap, in units, where there is a low-rank part besides */
    int32_t *past[GSZ_MAX_PAST];    /* the same of earlier rounds, cut to 16 bits */
    /* the step */
    const int32_t *centre, *fold;
    const uint8_t *step_context, *step_raw;
    unsigned step_most;
    uint32_t *low;
    uint8_t *symbol;
    uint32_t *escaped;              /* places in the row */
    size_t escapes;
    uint64_t *escaped_bits;
} row_work;

static int start_rows(gsz_work *work, const gsz_modelled *t, row_work *w) {
    const gsz_view *v = &t->view;
    const size_t whole = gsz_wide(v->row_length) + gsz_wide(1);                         /* the last tap in whole vectors */
    const size_t low = t->low != NULL ? GSZ_BASE_ROWS * whole : 0, reference = t->referenced ? whole : 0;
    const size_t rows = low + reference + t->rounds * whole;
    size_t state = gsz_model_row_size(v), groups = gsz_model_groups(v), stride = gsz_model_stride(v);
    memset(w, 0, sizeof *w);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->model, v->row_length * sizeof(uint64_t)
                                + (state + 7 * stride + rows + v->row_length) * sizeof(int32_t) + (2 * groups + 4) * stride));
    if (t->prior != NULL) GSZ_TRY(gsz_scratch_reserve(work->heap, &work->prior, v->row_length * gsz_itemsize(t->dtype)));
    w->escaped_bits = (uint64_t *)work->model.data;
    int32_t *p = (int32_t *)(void *)(w->escaped_bits + v->row_length);
    gsz_model_row_init(v, p, &w->row);
    p += state;
    w->mean = p, w->y = p + stride, w->r = p + 2 * stride;
    w->own = p + 3 * stride, w->side = p + 4 * stride, w->shift = p + 5 * stride;
    w->low = (uint32_t *)(p + 6 * stride);
    p += 7 * stride;
    w->bases = p;
    w->reference = p + low;
    w->base = low > 0 ? w->bases : reference > 0 ? w->reference : NULL;
    for (unsigned k = 0; k < t->rounds; k++) w->past[k] = p + low + reference + k * whole;
    w->row.rounds = t->rounds;
    w->escaped = (uint32_t *)(p + rows);
    w->log = (int16_t *)(w->escaped + v->row_length);
    w->context = (uint8_t *)(w->log + stride);
    w->raw = w->context + groups * stride;
    w->symbol = w->raw + groups * stride;
    w->phase = w->symbol + stride;
    memset(w->mean, 0, (7 * stride + rows) * sizeof *w->mean);
    memset(w->log, 0, (2 * groups + 4) * stride);
    w->learns = gsz_model_learns(&t->weights);
    w->row.relative = t->set == GSZ_SET_FACTORS;
    return GSZ_OK;
}

/* A row of an array that both ends have, in units, tap by tap. */
static void prior_row(gsz_work *work, const gsz_modelled *t, const void *array, size_t i, size_t length, int32_t most, int32_t *out) {
    const gsz_view *v = &t->view;
    const size_t itemsize = gsz_itemsize(t->dtype);
    const void *row = (const uint8_t *)array + i * v->row_stride * itemsize;
    if (!gsz_view_in_planes(v)) {
        gsz_row_gather(work->kernels, v, row, length, itemsize, work->prior.data);
        row = work->prior.data;
    }
    work->kernels->in_units[t->dtype](row, length, t->unit, most, out);
}

int gsz_past_row(gsz_work *work, const gsz_modelled *t, unsigned k, size_t row, int32_t *out) {
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->prior, t->view.row_length * gsz_itemsize(t->dtype)));
    prior_row(work, t, t->prior->past[k], row, t->view.row_length, GSZ_MAX_D, out);
    return GSZ_OK;
}

/* The base of low rank of row i, made together with those of the rows after it. */
static void next_base(const gsz_kernels *kernels, row_work *w, const gsz_modelled *t, size_t i) {
    const size_t whole = gsz_wide(t->view.row_length) + gsz_wide(1);
    if (w->taken == w->ready) {
        size_t row[GSZ_BASE_ROWS];
        w->ready = w->taken = 0;
        for (; i < t->view.rows && w->ready < GSZ_BASE_ROWS; i++)
            if (t->scales[i] != 0) row[w->ready++] = i;
        gsz_lowrank_rows(kernels, t->low, t->pairs, row, w->ready, w->bases, whole);
    }
    w->base = w->bases + w->taken++ * whole;
}

static void set_base(gsz_work *work, row_work *w, const gsz_modelled *t, size_t i, size_t length) {
    if (t->low != NULL) next_base(work->kernels, w, t, i);
    if (t->referenced) prior_row(work, t, t->prior->reference, i, length, GSZ_MAX_REFERENCE, w->reference);
    for (size_t j = 0; t->low != NULL && t->referenced && j < length; j++) w->base[j] = gsz_wrap_add(w->base[j], w->reference[j]);
    for (unsigned k = 0; k < t->rounds; k++) prior_row(work, t, t->prior->past[k], i, length, GSZ_MAX_D, w->past[k]);
}

static void set_logs(const gsz_kernels *kernels, row_work *w, unsigned group, size_t n) {
    kernels->model_logs(&w->widths, w->row.sums + group * w->row.stride, w->row.past, n, w->log);
}

static void set_contexts(const gsz_kernels *kernels, row_work *w, unsigned group, size_t n) {
    const size_t at = group * w->row.stride;
    w->most_raw[group] = kernels->model_contexts(&w->widths, w->log, n, w->context + at, w->raw + at);
}

/* Where widths depend on the row alone: one context for all, as a rule that of the row before. */
static int set_same_context(const gsz_kernels *kernels, row_work *w, unsigned groups) {
    if (w->widths.column != 0) return 0;
    if (w->same_base != 0 && w->widths.base == w->same_base) return 1;
    w->same_base = 0;
    set_logs(kernels, w, 0, 1);
    set_contexts(kernels, w, 0, 1);
    if (w->most_raw[0] > 0) return 0;
    w->same_base = w->widths.base;
    memset(w->context, w->context[0], groups * w->row.stride);
    memset(w->raw, 0, groups * w->row.stride);
    w->most_raw[1] = 0;
    return 1;
}

static void begin_row(gsz_work *work, row_work *w, const gsz_modelled *t, size_t i, size_t length) {
    const gsz_kernels *kernels = work->kernels;
    const gsz_view *v = &t->view;
    set_base(work, w, t, i, length);
    gsz_model_widths(&w->row, &t->weights, gsz_scale_width(t->scales[i]), &w->widths);
    if (gsz_is_random(t->grid)) {
        gsz_dither_row(t->seed, t->slot, t->index, i, &w->dither);
    }
    if (gsz_is_phased(t)) {
        w->widths.narrowest = GSZ_NARROWEST_DITHERED;
        w->widths.widths = GSZ_WIDTHS_DITHERED;
        w->widths.fine = GSZ_FINE;
    }
    if (t->rounds > 0) return;                                  /* every tap has a past of its own */
    if (t->weights.by_tap) set_logs(kernels, w, 0, gsz_view_step(v, length, 0));
    else if (!set_same_context(kernels, w, (unsigned)gsz_model_groups(v)))
        for (unsigned g = 0; g < gsz_model_groups(v); g++) {
            set_logs(kernels, w, g, gsz_view_step(v, length, g));
            set_contexts(kernels, w, g, gsz_view_step(v, length, g));
        }
}

static void end_row(const gsz_kernels *kernels, row_work *w, const gsz_modelled *t, size_t i, size_t length) {
    const gsz_view *v = &t->view;
    if (w->row.relative) {
        if (w->learns) gsz_model_sum_relative(&w->row, gsz_scale_width(t->scales[i]));
        return;
    }
    for (unsigned tap = 0; w->learns && tap < v->taps; tap++)
        w->row.total += kernels->model_sum(w->row.d + tap * w->row.stride, gsz_view_step(v, length, tap),
                                           w->row.sums + (v->matrix ? tap : 0) * w->row.stride);
    w->row.rows++;
}

/* A step before anything of it is coded: means, where the bins lie, which residuals are folded, contexts. */
static void begin_step(const gsz_kernels *kernels, row_work *w, const gsz_modelled *t, unsigned tap, size_t n, size_t plane) {
    const unsigned g = t->view.matrix ? tap : 0, f = t->weights.unit_bits;
    const size_t group = g * w->row.stride;
    for (unsigned k = 0; k < t->rounds; k++) w->row.past[k] = w->past[k] + plane;
    w->widths.tap = t->weights.tap[tap];
    if (t->rounds > 0) set_logs(kernels, w, g, n);
    if (t->rounds > 0 || t->weights.by_tap) set_contexts(kernels, w, g, n);
    if (w->learns || w->base != NULL)                           /* else they stay 0 */
        kernels->model_means(&w->row, &t->weights, tap, n, w->base == NULL ? NULL : w->base + plane, w->mean);
    w->centre = w->fold = w->mean;
    w->step_context = w->context + group;
    w->step_raw = w->raw + group;
    w->step_most = w->most_raw[g];
    if (t->grid == GSZ_GRID_ALIGNED) kernels->model_align(w->mean, n, f, w->own);
    if (t->grid != GSZ_GRID_CENTRED) w->centre = w->own;
    if (!gsz_is_phased(t)) return;
    w->fold = w->side;                                          /* what lies where the mean is in the bin's lower half rounds down */
    if (gsz_is_random(t->grid)) kernels->model_dither(&w->dither, plane, n, f, w->mean, w->side, w->own);
    else for (size_t j = 0; j < n; j++) w->side[j] = (int32_t)((uint32_t)w->mean[j] - (uint32_t)w->own[j]);        /* within half a bin */
    kernels->model_phases(w->step_context, w->side, n, f, w->phase);
    if (t->grid == GSZ_GRID_SHRUNK) kernels->model_shrink(w->step_context, w->side, n, f, w->shift);
    w->step_context = w->phase;
}

static void end_step(const gsz_kernels *kernels, row_work *w, unsigned tap, size_t n, size_t plane) {
    if (w->learns) kernels->model_learn(&w->row, tap, w->y, w->base == NULL ? NULL : w->base + plane, n);
}

/* ---- encoding */

/* Lanes whose bound the loop could not be sure of: the neighbouring bins too, tested exactly. */
static void settle_lanes(const gsz_modelled *t, const void *x, size_t n, const row_work *w) {
    const unsigned f = t->weights.unit_bits;
    for (size_t j = 0; j < n; j++) {
        if (w->r[j] != GSZ_ESCAPE) continue;
        double v = gsz_value_at(t->dtype, x, j);
        double q = (v / t->unit - (double)w->centre[j]) / (double)((int32_t)1 << f);
        if (!(gsz_abs_double(q) <= (double)GSZ_MAX_RESIDUAL)) continue;
        for (int32_t k = (int32_t)gsz_round_double(q) - 1, last = k + 2; k <= last && w->r[j] == GSZ_ESCAPE; k++) {
            int32_t to = gsz_wrap_add(gsz_wrap_add(w->centre[j], w->shift[j]), gsz_wrap_mul(k, (int32_t)1 << f));
            if (gsz_within(v, gsz_decoded_value(t->dtype, to, t->unit), t->eb)) w->r[j] = k, w->y[j] = to;
        }
    }
}

static uint64_t element_bits(const void *x, size_t itemsize) {
    uint64_t bits = 0;
    if (itemsize == 2) { uint16_t v; memcpy(&v, x, 2); bits = v; }
    if (itemsize == 4) { uint32_t v; memcpy(&v, x, 4); bits = v; }
    if (itemsize == 8) memcpy(&bits, x, 8);
    return bits;
}

/* Residuals that have no symbol, and escaped elements. */
static int put_others(gsz_segment_encoder *s, const gsz_modelled *t, const void *x, size_t n,
                      const row_work *w, const uint16_t *tokens, size_t others) {
    const size_t itemsize = gsz_itemsize(t->dtype);
    GSZ_TRY(gsz_sink_reserve(&s->side, others * ((GSZ_NUMBER_BITS + 64) / 8 + 2)));
    for (size_t j = 0; j < n; j++) {
        if (tokens[j] % GSZ_RANS_SYMBOLS != 0) continue;
        if (w->r[j] != GSZ_ESCAPE) {
            gsz_number_put(&s->side.bits, SIDE_ORDER, number_of((w->fold[j] < 0 ? -w->r[j] : w->r[j]) >> w->step_raw[j]));
            continue;
        }
        uint64_t bits = element_bits((const uint8_t *)x + j * itemsize, itemsize);
        gsz_number_put(&s->side.bits, SIDE_ORDER, 0);
        gsz_bits_put(&s->side.bits, bits & 0xffffffff, (unsigned)(itemsize == 2 ? 16 : 32));
        if (itemsize == 8) gsz_bits_put(&s->side.bits, bits >> 32, 32);
    }
    return GSZ_OK;
}

static int put_step(const gsz_kernels *kernels, gsz_segment_encoder *s, const gsz_modelled *t, row_work *w, const void *x,
                    size_t n) {
    const gsz_grid_params grid = {t->unit, t->eb, t->grid == GSZ_GRID_SHRUNK ? 0.5 : 0, t->grid == GSZ_GRID_ALIGNED};     /* what is put out is symmetric about u + 1/2 */
    if (kernels->model_quantise[t->dtype](x, n, &grid, t->weights.unit_bits, w->centre, w->shift, w->r, w->y) > 0)
        settle_lanes(t, x, n, w);
    uint16_t *tokens = gsz_segment_step(s, n);
    GSZ_CHECK(tokens != NULL, GSZ_E_MEMORY);
    size_t others = kernels->model_split(w->r, w->fold, w->step_context, w->step_raw, n, tokens, w->low);
    const unsigned first = gsz_set_first(t->set) * GSZ_RANS_SYMBOLS;
    for (size_t j = 0; first > 0 && j < n; j++) tokens[j] = (uint16_t)(tokens[j] + first);
    gsz_segment_count(s, tokens, n);
    if (w->step_most > 0) {
        GSZ_TRY(gsz_sink_reserve(&s->low, n * 3));
        kernels->put_fields(&s->low.bits, w->low, w->step_raw, n, w->step_most);
    }
    return others > 0 ? put_others(s, t, x, n, w, tokens, others) : GSZ_OK;
}

static int put_row(gsz_work *work, gsz_segment_encoder *s, const gsz_modelled *t, row_work *w, const uint8_t *row, size_t i) {
    const gsz_view *v = &t->view;
    const size_t length = gsz_view_row(v, i), itemsize = gsz_itemsize(t->dtype);
    if (!gsz_view_in_planes(v)) {
        gsz_row_gather(work->kernels, v, row, length, itemsize, work->values.data);
        row = (const uint8_t *)work->values.data;
    }
    begin_row(work, w, t, i, length);
    for (unsigned tap = 0; tap < v->taps; tap++) {
        const size_t plane = gsz_view_plane(v, length, tap), n = gsz_view_step(v, length, tap);
        begin_step(work->kernels, w, t, tap, n, plane);
        GSZ_TRY(put_step(work->kernels, s, t, w, row + plane * itemsize, n));
        end_step(work->kernels, w, tap, n, plane);
    }
    end_row(work->kernels, w, t, i, length);
    return GSZ_OK;
}

int gsz_rows_put(gsz_work *work, gsz_segment_encoder *s, const gsz_modelled *t, const void *x, size_t from, size_t to) {
    const size_t itemsize = gsz_itemsize(t->dtype);
    row_work w;
    GSZ_TRY(start_rows(work, t, &w));
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->values, t->view.row_length * itemsize));
    for (size_t i = from; i < to; i++)
        if (t->scales[i] != 0) GSZ_TRY(put_row(work, s, t, &w, (const uint8_t *)x + i * t->view.row_stride * itemsize, i));
    return GSZ_OK;
}

/* ---- decoding */

/* Lanes without a symbol of their own; escaped elements are kept until the row is written. */
static int get_others(gsz_segment_decoder *s, const gsz_modelled *t, row_work *w, unsigned tap, size_t n) {
    const unsigned f = t->weights.unit_bits, width = 8 * (unsigned)gsz_itemsize(t->dtype);
    for (size_t j = 0; j < n; j++) {
        uint32_t v;
        if (w->symbol[j] != 0) continue;
        GSZ_CHECK(gsz_number_get(&s->side, SIDE_ORDER, &v), GSZ_E_SECTION);
        if (v == 0) {
            uint64_t bits = gsz_bits_get(&s->side, GSZ_MIN(width, 32u));
            if (width == 64) bits |= (uint64_t)gsz_bits_get(&s->side, 32) << 32;
            w->escaped_bits[w->escapes] = bits;
            w->escaped[w->escapes++] = (uint32_t)(j * t->view.lane_stride + tap * t->view.tap_stride);
        } else {
            int32_t r = (int32_t)((uint32_t)residual_of(v) << w->step_raw[j] | (w->step_raw[j] > 0 ? w->low[j] : 0));
            r = w->fold[j] < 0 ? (int32_t)(0u - (uint32_t)r) : r;
            w->y[j] = gsz_wrap_add(w->centre[j], gsz_wrap_mul(r, (int32_t)1 << f));
        }
        GSZ_CHECK(s->side.overrun == 0, GSZ_E_SECTION);
    }
    return GSZ_OK;
}

static int get_step(gsz_work *work, gsz_segment_decoder *s, const gsz_modelled *t, row_work *w, void *x, unsigned tap, size_t n) {
    const gsz_kernels *kernels = work->kernels;
    const unsigned f = t->weights.unit_bits;
    gsz_segment_symbols(kernels, s, w->step_context, n, w->symbol);
    if (w->step_most > 0) {
        kernels->get_fields(&s->low, w->step_raw, n, w->step_most, w->low);
        GSZ_CHECK(s->low.overrun == 0, GSZ_E_SECTION);
        kernels->model_join(w->symbol, w->low, w->step_raw, w->centre, w->fold, n, f, w->y);
    } else {
        kernels->model_join_narrow(w->symbol, w->centre, w->fold, n, f, w->y);
    }
    if (memchr(w->symbol, 0, n) != NULL) GSZ_TRY(get_others(s, t, w, tap, n));
    for (size_t j = 0; t->grid == GSZ_GRID_SHRUNK && j < n; j++) w->y[j] = gsz_wrap_add(w->y[j], w->shift[j]);
    if (x != NULL) kernels->dequantise32[t->dtype](w->y, n, t->unit, x);
    return GSZ_OK;
}

static void zero_row(const gsz_view *v, void *x, size_t itemsize, size_t length) {
    if (gsz_view_whole(v)) {
        memset(x, 0, length * itemsize);
        return;
    }
    for (size_t j = 0; j < length; j++)
        memset((uint8_t *)x + (j / v->taps * v->lane_stride + j % v->taps * v->tap_stride) * itemsize, 0, itemsize);
}

static void restore_escapes(const row_work *w, void *x, size_t itemsize) {
    for (size_t i = 0; i < w->escapes; i++) {
        uint8_t *to = (uint8_t *)x + w->escaped[i] * itemsize;
        uint16_t v16 = (uint16_t)w->escaped_bits[i];
        uint32_t v32 = (uint32_t)w->escaped_bits[i];
        if (itemsize == 2) memcpy(to, &v16, 2);
        else if (itemsize == 4) memcpy(to, &v32, 4);
        else memcpy(to, &w->escaped_bits[i], 8);
    }
}

/* row: NULL where it is not wanted. */
static int get_row(gsz_work *work, gsz_segment_decoder *s, const gsz_modelled *t, row_work *w, uint8_t *row, size_t i) {
    const gsz_view *v = &t->view;
    const size_t length = gsz_view_row(v, i), itemsize = gsz_itemsize(t->dtype);
    const int in_planes = gsz_view_in_planes(v);
    uint8_t *planes = row == NULL || in_planes ? row : (uint8_t *)work->values.data;
    w->escapes = 0;
    begin_row(work, w, t, i, length);
    for (unsigned tap = 0; tap < v->taps; tap++) {
        const size_t plane = gsz_view_plane(v, length, tap), n = gsz_view_step(v, length, tap);
        begin_step(work->kernels, w, t, tap, n, plane);
        GSZ_TRY(get_step(work, s, t, w, row == NULL ? NULL : planes + plane * itemsize, tap, n));
        end_step(work->kernels, w, tap, n, plane);
    }
    if (row != NULL && !in_planes) gsz_row_scatter(work->kernels, v, planes, length, itemsize, row);
    if (row != NULL) restore_escapes(w, row, itemsize);
    end_row(work->kernels, w, t, i, length);
    return GSZ_OK;
}

int gsz_rows_get(gsz_work *work, gsz_segment_decoder *s, const gsz_modelled *t, size_t from, size_t to, void *x) {
    const gsz_view *v = &t->view;
    const size_t itemsize = gsz_itemsize(t->dtype);
    row_work w;
    GSZ_TRY(gsz_segment_use(s, t->set));
    GSZ_TRY(start_rows(work, t, &w));
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->values, v->row_length * itemsize));
    for (size_t i = from; i < to; i++) {
        uint8_t *row = x == NULL ? NULL : (uint8_t *)x + i * v->row_stride * itemsize;
        if (t->scales[i] != 0) GSZ_TRY(get_row(work, s, t, &w, row, i));
        else if (row != NULL) zero_row(v, row, itemsize, gsz_view_row(v, i));
    }
    return GSZ_OK;
}
