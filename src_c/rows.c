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

double gsz_model_unit(int dtype, double eb, unsigned unit_bits) {
    double unit = gsz_step(dtype, eb) / (double)((uint32_t)1 << unit_bits);     /* exact where the result is normal */
    return unit >= (dtype == GSZ_FLOAT64 ? 0x1p-1022 : 0x1p-126) ? unit : 0;
}

void gsz_rows_base(const gsz_kernels *kernels, const gsz_modelled *t, size_t row, int32_t *base) {
    int16_t a[GSZ_MAX_RANK + 1];
    gsz_lowrank_gather(t->low, row, a);
    kernels->lowrank_row(a, GSZ_LOWRANK_PAIRS(t->low->rank), t->pairs, t->low->cols, t->low->shift, base);
}

/* ---- arrays of a row in progress */
typedef struct {
    gsz_model_row row;
    gsz_row_widths widths;
    uint8_t *context, *raw;         /* a lane; by tap in a matrix, once a row for kernels */
    unsigned most_raw[2];
    int32_t *mean, *y, *r;
    int32_t *base;                  /* of the row, tap by tap; NULL without low rank */
    uint32_t *low;
    uint8_t *symbol;
    uint32_t *escaped;              /* places in the row */
    size_t escapes;
    uint64_t *escaped_bits;
} row_work;

static int start_rows(gsz_work *work, const gsz_modelled *t, row_work *w) {
    const gsz_view *v = &t->view;
    const size_t base = t->low != NULL ? v->row_length : 0;
    size_t state = gsz_model_row_size(v), groups = gsz_model_groups(v), stride = gsz_model_stride(v);
    memset(w, 0, sizeof *w);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->model, v->row_length * sizeof(uint64_t)
                                + (state + 4 * stride + base + v->row_length) * sizeof(int32_t) + (2 * groups + 1) * stride));
    w->escaped_bits = (uint64_t *)work->model.data;
    int32_t *p = (int32_t *)(void *)(w->escaped_bits + v->row_length);
    gsz_model_row_init(v, p, &w->row);
    p += state;
    w->mean = p, w->y = p + stride, w->r = p + 2 * stride;
    w->low = (uint32_t *)(p + 3 * stride);
    w->base = base > 0 ? p + 4 * stride : NULL;
    w->escaped = (uint32_t *)(p + 4 * stride + base);
    w->context = (uint8_t *)(w->escaped + v->row_length);
    w->raw = w->context + groups * stride;
    w->symbol = w->raw + groups * stride;
    memset(w->low, 0, stride * sizeof *w->low);
    return GSZ_OK;
}

static void begin_row(const gsz_kernels *kernels, row_work *w, const gsz_modelled *t, size_t i, size_t length) {
    const gsz_view *v = &t->view;
    if (w->base != NULL) gsz_rows_base(kernels, t, i, w->base);
    gsz_model_widths(&w->row, &t->weights, gsz_scale_width(t->scales[i]), &w->widths);
    for (unsigned g = 0; g < gsz_model_groups(v); g++)
        w->most_raw[g] = kernels->model_contexts(&w->widths, w->row.sums + g * w->row.stride, gsz_view_step(v, length, g),
                                                 w->context + g * w->row.stride, w->raw + g * w->row.stride);
}

static void end_row(const gsz_kernels *kernels, row_work *w, const gsz_view *v, size_t length) {
    for (unsigned tap = 0; tap < v->taps; tap++)
        w->row.total += kernels->model_sum(w->row.d + tap * w->row.stride, gsz_view_step(v, length, tap),
                                           w->row.sums + (v->matrix ? tap : 0) * w->row.stride);
    w->row.rows++;
}

/* Base of a step: columns stand tap by tap. */
static const int32_t *base_of(const row_work *w, size_t plane) { return w->base == NULL ? NULL : w->base + plane; }

/* ---- encoding */

static int32_t centre_of(const gsz_modelled *t, int32_t mean) {
    unsigned f = t->weights.unit_bits;
    return t->aligned ? gsz_wrap_add(mean, (int32_t)1 << f >> 1) & -((int32_t)1 << f) : mean;
}

/* Lanes whose bound the loop could not be sure of: the neighbouring bins too, tested exactly. */
static void settle_lanes(const gsz_modelled *t, const void *x, size_t n, const int32_t *mean, int32_t *r, int32_t *y) {
    const unsigned f = t->weights.unit_bits;
    for (size_t j = 0; j < n; j++) {
        if (r[j] != GSZ_ESCAPE) continue;
        double v = gsz_value_at(t->dtype, x, j);
        int32_t centre = centre_of(t, mean[j]);
        double q = (v / t->unit - (double)centre) / (double)((int32_t)1 << f);
        if (!(gsz_abs_double(q) <= (double)(1 << 18))) continue;
        for (int32_t k = (int32_t)gsz_round_double(q) - 1, last = k + 2; k <= last && r[j] == GSZ_ESCAPE; k++) {
            int32_t to = gsz_wrap_add(centre, gsz_wrap_mul(k, (int32_t)1 << f));
            if (gsz_within(v, gsz_decoded_value(t->dtype, to, t->unit), t->eb)) r[j] = k, y[j] = to;
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
                      const row_work *w, const uint16_t *tokens, const uint8_t *raw, size_t others) {
    const size_t itemsize = gsz_itemsize(t->dtype);
    GSZ_TRY(gsz_sink_reserve(&s->side, others * ((GSZ_NUMBER_BITS + 64) / 8 + 2)));
    for (size_t j = 0; j < n; j++) {
        if (tokens[j] % GSZ_RANS_SYMBOLS != 0) continue;
        if (w->r[j] != GSZ_ESCAPE) {
            gsz_number_put(&s->side.bits, SIDE_ORDER, number_of((w->mean[j] < 0 ? -w->r[j] : w->r[j]) >> raw[j]));
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
                    unsigned tap, size_t n, const int32_t *base) {
    const size_t group = t->view.matrix ? tap * w->row.stride : 0;
    const uint8_t *context = w->context + group, *raw = w->raw + group;
    const gsz_grid_params grid = {t->unit, t->eb};
    kernels->model_means(&w->row, &t->weights, tap, n, base, w->mean);
    if (kernels->model_quantise[t->dtype](x, n, &grid, t->weights.unit_bits, t->aligned, w->mean, w->r, w->y) > 0)
        settle_lanes(t, x, n, w->mean, w->r, w->y);
    uint16_t *tokens = gsz_segment_step(s, n);
    GSZ_CHECK(tokens != NULL, GSZ_E_MEMORY);
    size_t others = kernels->model_split(w->r, w->mean, context, raw, n, tokens, w->low);
    for (size_t j = 0; t->set > 0 && j < n; j++) tokens[j] = (uint16_t)(tokens[j] + t->set * GSZ_CONTEXTS * GSZ_RANS_SYMBOLS);
    gsz_segment_count(s, tokens, n);
    const unsigned most = w->most_raw[t->view.matrix ? tap : 0];
    if (most > 0) {
        GSZ_TRY(gsz_sink_reserve(&s->low, n * 3));
        gsz_bits_put_fields(&s->low.bits, w->low, raw, n, most);
    }
    if (others > 0) GSZ_TRY(put_others(s, t, x, n, w, tokens, raw, others));
    kernels->model_learn(&w->row, tap, w->y, base, n);
    return GSZ_OK;
}

static int put_row(gsz_work *work, gsz_segment_encoder *s, const gsz_modelled *t, row_work *w, const uint8_t *row, size_t i) {
    const gsz_view *v = &t->view;
    const size_t length = gsz_view_row(v, i), itemsize = gsz_itemsize(t->dtype);
    if (!gsz_view_in_planes(v)) {
        gsz_row_gather(v, row, length, itemsize, work->values.data);
        row = (const uint8_t *)work->values.data;
    }
    begin_row(work->kernels, w, t, i, length);
    for (unsigned tap = 0; tap < v->taps; tap++) {
        size_t plane = gsz_view_plane(v, length, tap);
        GSZ_TRY(put_step(work->kernels, s, t, w, row + plane * itemsize, tap, gsz_view_step(v, length, tap), base_of(w, plane)));
    }
    end_row(work->kernels, w, v, length);
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
static int get_others(gsz_segment_decoder *s, const gsz_modelled *t, row_work *w, const uint8_t *raw, unsigned tap, size_t n) {
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
            int32_t r = (int32_t)((uint32_t)residual_of(v) << raw[j] | (raw[j] > 0 ? w->low[j] : 0));
            r = w->mean[j] < 0 ? (int32_t)(0u - (uint32_t)r) : r;
            w->y[j] = gsz_wrap_add(centre_of(t, w->mean[j]), gsz_wrap_mul(r, (int32_t)1 << f));
        }
        GSZ_CHECK(s->side.overrun == 0, GSZ_E_SECTION);
    }
    return GSZ_OK;
}

static int get_step(gsz_work *work, gsz_segment_decoder *s, const gsz_modelled *t, row_work *w, void *x, unsigned tap, size_t n,
                    const int32_t *base) {
    const gsz_kernels *kernels = work->kernels;
    const size_t group = t->view.matrix ? tap * w->row.stride : 0;
    const uint8_t *context = w->context + group, *raw = w->raw + group;
    const unsigned f = t->weights.unit_bits;
    kernels->rans_decode(&s->symbols, context, n, w->symbol);
    kernels->model_means(&w->row, &t->weights, tap, n, base, w->mean);
    const unsigned most = w->most_raw[t->view.matrix ? tap : 0];
    if (most > 0) {
        gsz_bits_get_fields(&s->low, raw, n, most, w->low);
        GSZ_CHECK(s->low.overrun == 0, GSZ_E_SECTION);
        kernels->model_join(w->symbol, w->low, raw, w->mean, n, f, t->aligned, w->y);
    } else {
        kernels->model_join_narrow(w->symbol, w->mean, n, f, t->aligned, w->y);
    }
    if (memchr(w->symbol, 0, n) != NULL) GSZ_TRY(get_others(s, t, w, raw, tap, n));
    kernels->model_learn(&w->row, tap, w->y, base, n);
    if (x != NULL) kernels->dequantise32[t->dtype](w->y, n, t->unit, x);
    return GSZ_OK;
}

static void zero_row(const gsz_view *v, void *x, size_t itemsize, size_t length) {
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
    begin_row(work->kernels, w, t, i, length);
    for (unsigned tap = 0; tap < v->taps; tap++) {
        size_t plane = gsz_view_plane(v, length, tap);
        GSZ_TRY(get_step(work, s, t, w, row == NULL ? NULL : planes + plane * itemsize, tap, gsz_view_step(v, length, tap), base_of(w, plane)));
    }
    if (row != NULL && !in_planes) gsz_row_scatter(v, planes, length, itemsize, row);
    if (row != NULL) restore_escapes(w, row, itemsize);
    end_row(work->kernels, w, v, length);
    return GSZ_OK;
}

int gsz_rows_get(gsz_work *work, gsz_segment_decoder *s, const gsz_modelled *t, size_t from, size_t to, void *x) {
    const gsz_view *v = &t->view;
    const size_t itemsize = gsz_itemsize(t->dtype);
    row_work w;
    gsz_segment_use(s, t->set);
    GSZ_TRY(start_rows(work, t, &w));
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->values, v->row_length * itemsize));
    for (size_t i = from; i < to; i++) {
        uint8_t *row = x == NULL ? NULL : (uint8_t *)x + i * v->row_stride * itemsize;
        if (t->scales[i] != 0) GSZ_TRY(get_row(work, s, t, &w, row, i));
        else if (row != NULL) zero_row(v, row, itemsize, gsz_view_row(v, i));
    }
    return GSZ_OK;
}
