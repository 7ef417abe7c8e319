#include "segment.h"

#include "bound.h"
#include "fp.h"

double gsz_model_unit(int dtype, double eb, unsigned unit_bits) {
    double unit = gsz_step(dtype, eb) / (double)((uint32_t)1 << unit_bits);     /* exact where the result is normal */
    return unit >= (dtype == GSZ_FLOAT64 ? 0x1p-1022 : 0x1p-126) ? unit : 0;
}

static size_t itemsize_of(int dtype) { return gsz_itemsize(dtype); }

/* ---- numbers in the side bits: Exp-Golomb codes of order 4 */
#define GOLOMB_ORDER 4u
#define GOLOMB_LONGEST 28u

static void put_golomb(gsz_bitwriter *b, uint32_t v) {          /* v < 2^28 */
    unsigned bits = (unsigned)gsz_floor_log2(v + (1u << GOLOMB_ORDER)), more = bits - GOLOMB_ORDER;
    gsz_bits_put(b, ((uint64_t)1 << more) - 1, more + 1);
    gsz_bits_put(b, (v + (1u << GOLOMB_ORDER)) & (((uint32_t)1 << bits) - 1), bits);
}

static int get_golomb(gsz_bitreader *b, uint32_t *v) {
    unsigned bits = GOLOMB_ORDER;
    while (gsz_bits_get(b, 1)) GSZ_CHECK(++bits <= GOLOMB_LONGEST, GSZ_E_SECTION);
    *v = (((uint32_t)1 << bits) | gsz_bits_get(b, bits)) - (1u << GOLOMB_ORDER);
    return GSZ_OK;
}
#define MOST_GOLOMB_BITS (2 * GOLOMB_LONGEST)

/* Side bits of a residual q without a symbol: 0 is an escape, whose element follows. */
GSZ_INLINE uint32_t number_of(int32_t q) { return (q < 0 ? 2 * (0u - (uint32_t)q) : 2 * (uint32_t)q + 1) + 1; }
GSZ_INLINE int32_t residual_of(uint32_t v) {        /* v >= 1 */
    v -= 1;
    return (int32_t)(v & 1 ? (v - 1) / 2 : 0u - v / 2);
}

/* ---- arrays of a row in progress */
typedef struct {
    gsz_model_row row;
    gsz_row_widths widths;
    uint8_t *context, *raw;         /* a lane; by tap in a matrix, once a row for kernels */
    unsigned most_raw[2];
    int32_t *mean, *y, *r;
    uint32_t *low;
    uint8_t *symbol;
    uint32_t *escaped;              /* places in the row */
    size_t escapes;
    uint64_t *escaped_bits;
} row_work;

static int start_rows(gsz_work *work, const gsz_view *v, row_work *w) {
    size_t state = gsz_model_row_size(v), groups = gsz_model_groups(v), stride = gsz_model_stride(v);
    memset(w, 0, sizeof *w);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->model, v->row_length * sizeof(uint64_t)
                                + (state + 4 * stride + v->row_length) * sizeof(int32_t) + (2 * groups + 1) * stride));
    w->escaped_bits = (uint64_t *)work->model.data;
    int32_t *p = (int32_t *)(void *)(w->escaped_bits + v->row_length);
    gsz_model_row_init(v, p, &w->row);
    p += state;
    w->mean = p, w->y = p + stride, w->r = p + 2 * stride;
    w->low = (uint32_t *)(p + 3 * stride);
    w->escaped = w->low + stride;
    w->context = (uint8_t *)(w->escaped + v->row_length);
    w->raw = w->context + groups * stride;
    w->symbol = w->raw + groups * stride;
    memset(w->low, 0, stride * sizeof *w->low);
    return GSZ_OK;
}

static void begin_row(const gsz_kernels *kernels, row_work *w, const gsz_modelled *t, unsigned scale, size_t length) {
    const gsz_view *v = &t->view;
    gsz_model_widths(&w->row, &t->weights, gsz_scale_width(scale), &w->widths);
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

/* ---- encoding */

static int sink_reserve(gsz_bit_sink *s, size_t bytes) {
    s->bytes.size = s->bits.p == NULL ? 0 : (size_t)(s->bits.p - s->bytes.data);
    GSZ_TRY(gsz_writer_reserve(&s->bytes, bytes + 16));
    s->bits.p = s->bytes.data + s->bytes.size;
    return GSZ_OK;
}

int gsz_segment_start(gsz_work *work, gsz_segment_encoder *s) {
    memset(s, 0, sizeof *s);
    gsz_writer_init(&s->tokens, work->heap);
    gsz_writer_init(&s->steps, work->heap);
    gsz_writer_init(&s->low.bytes, work->heap);
    gsz_writer_init(&s->side.bytes, work->heap);
    s->counts = (uint32_t (*)[GSZ_RANS_SYMBOLS])gsz_alloc(work->heap, GSZ_CONTEXTS * sizeof *s->counts);
    GSZ_CHECK(s->counts != NULL, GSZ_E_MEMORY);
    memset(s->counts, 0, GSZ_CONTEXTS * sizeof *s->counts);
    GSZ_TRY(sink_reserve(&s->low, 0));
    return sink_reserve(&s->side, 0);
}

void gsz_segment_release(gsz_segment_encoder *s) {
    if (s->tokens.heap == NULL) return;
    gsz_release(s->tokens.heap, s->counts, GSZ_CONTEXTS * sizeof *s->counts);
    gsz_writer_release(&s->tokens);
    gsz_writer_release(&s->steps);
    gsz_writer_release(&s->low.bytes);
    gsz_writer_release(&s->side.bytes);
    memset(s, 0, sizeof *s);
}

/* Room for a step of n tokens; NULL without memory. */
static uint16_t *add_step(gsz_segment_encoder *s, size_t n) {
    uint32_t length = (uint32_t)n;
    if (gsz_put_bytes(&s->steps, &length, sizeof length) != GSZ_OK) return NULL;
    if (gsz_writer_reserve(&s->tokens, n * sizeof(uint16_t)) != GSZ_OK) return NULL;
    uint16_t *tokens = (uint16_t *)(void *)(s->tokens.data + s->tokens.size);
    s->tokens.size += n * sizeof(uint16_t);
    return tokens;
}

static void count_tokens(gsz_segment_encoder *s, const uint16_t *tokens, size_t n) {
    uint32_t *counts = s->counts[0];
    for (size_t i = 0; i < n; i++) counts[tokens[i]]++;
}

/* Index of a row's scale: mean |x| in thirds of an octave; 0 where all of the row may come back as 0. */
static unsigned scale_of(const gsz_kernels *kernels, const gsz_modelled *t, const void *x, size_t length) {
    const gsz_view *v = &t->view;
    const int whole = v->tap_stride == 1 && v->lane_stride == v->taps;      /* the row is one piece of memory */
    size_t finite = 0, above = 0;
    double sum = 0;
    for (unsigned tap = 0; tap < (whole ? 1 : v->taps); tap++)
        sum += kernels->sum_sizes[t->dtype]((const uint8_t *)x + tap * v->tap_stride * itemsize_of(t->dtype), whole ? 1 : v->lane_stride,
                                            whole ? length : gsz_view_step(v, length, tap), t->eb, &finite, &above);
    if (above == 0) return 0;
    double mean = finite > 0 ? sum / (double)finite / t->unit * (double)(1 << GSZ_WIDTH_BITS) : 0;
    unsigned index = 1;
    while (index + 1 < GSZ_SCALES && mean * mean > (double)gsz_scale_width(index) * (double)gsz_scale_width(index + 1)) index++;
    return index;
}

void gsz_model_scales(const gsz_kernels *kernels, const gsz_modelled *t, const void *x, uint8_t *scales) {
    for (size_t i = 0; i < t->view.rows; i++)
        scales[i] = (uint8_t)scale_of(kernels, t, (const uint8_t *)x + i * t->view.row_stride * itemsize_of(t->dtype),
                                      gsz_view_row(&t->view, i));
}

/* Scales of rows as one step: the difference to the live row before, or 127 for a row of zeros. */
#define DEAD_ROW 127u
static int put_scales(gsz_segment_encoder *s, const uint8_t *scales, size_t n) {
    uint16_t *tokens = add_step(s, n);
    GSZ_CHECK(tokens != NULL, GSZ_E_MEMORY);
    unsigned before = 1;
    for (size_t i = 0; i < n; i++) {
        unsigned symbol = scales[i] == 0 ? DEAD_ROW : GSZ_SYMBOL_ZERO + scales[i] - before;
        tokens[i] = (uint16_t)(GSZ_CONTEXT_SCALE * GSZ_RANS_SYMBOLS + symbol);
        before = scales[i] == 0 ? before : scales[i];
    }
    count_tokens(s, tokens, n);
    return GSZ_OK;
}

static int32_t centre_of(const gsz_modelled *t, int32_t mean) {
    unsigned f = t->weights.unit_bits;
    return t->aligned ? gsz_wrap_add(mean, (int32_t)1 << f >> 1) & -((int32_t)1 << f) : mean;
}

/* Lanes whose bound the loop could not be sure of: the neighbouring bins too, tested exactly. */
static void settle_lanes(const gsz_modelled *t, const void *x, size_t stride, size_t n, const int32_t *mean, int32_t *r, int32_t *y) {
    const unsigned f = t->weights.unit_bits;
    for (size_t j = 0; j < n; j++) {
        if (r[j] != GSZ_ESCAPE) continue;
        double v = gsz_value_at(t->dtype, x, j * stride);
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
static int put_others(gsz_segment_encoder *s, const gsz_modelled *t, const void *x, size_t stride, size_t n,
                      const row_work *w, const uint16_t *tokens, const uint8_t *raw, size_t others) {
    const size_t itemsize = itemsize_of(t->dtype);
    GSZ_TRY(sink_reserve(&s->side, others * ((MOST_GOLOMB_BITS + 64) / 8 + 2)));
    for (size_t j = 0; j < n; j++) {
        if (tokens[j] % GSZ_RANS_SYMBOLS != 0) continue;
        if (w->r[j] != GSZ_ESCAPE) {
            put_golomb(&s->side.bits, number_of((w->mean[j] < 0 ? -w->r[j] : w->r[j]) >> raw[j]));
            continue;
        }
        uint64_t bits = element_bits((const uint8_t *)x + j * stride * itemsize, itemsize);
        put_golomb(&s->side.bits, 0);
        gsz_bits_put(&s->side.bits, bits & 0xffffffff, (unsigned)(itemsize == 2 ? 16 : 32));
        if (itemsize == 8) gsz_bits_put(&s->side.bits, bits >> 32, 32);
    }
    return GSZ_OK;
}

static int put_step(const gsz_kernels *kernels, gsz_segment_encoder *s, const gsz_modelled *t, row_work *w, const void *x,
                    unsigned tap, size_t n) {
    const size_t group = t->view.matrix ? tap * w->row.stride : 0, stride = t->view.lane_stride;
    const uint8_t *context = w->context + group, *raw = w->raw + group;
    const gsz_grid_params grid = {t->unit, t->eb};
    kernels->model_means(&w->row, &t->weights, tap, n, NULL, w->mean);
    if (kernels->model_quantise[t->dtype](x, stride, n, &grid, t->weights.unit_bits, t->aligned, w->mean, w->r, w->y) > 0)
        settle_lanes(t, x, stride, n, w->mean, w->r, w->y);
    uint16_t *tokens = add_step(s, n);
    GSZ_CHECK(tokens != NULL, GSZ_E_MEMORY);
    size_t others = kernels->model_split(w->r, w->mean, context, raw, n, tokens, w->low);
    count_tokens(s, tokens, n);
    if (w->most_raw[t->view.matrix ? tap : 0] > 0) {
        GSZ_TRY(sink_reserve(&s->low, n * 3));
        for (size_t j = 0; j < n; j++) gsz_bits_put(&s->low.bits, w->r[j] == GSZ_ESCAPE ? 0 : w->low[j], raw[j]);
    }
    if (others > 0) GSZ_TRY(put_others(s, t, x, stride, n, w, tokens, raw, others));
    kernels->model_learn(&w->row, tap, w->y, NULL, n);
    return GSZ_OK;
}

int gsz_segment_put_rows(gsz_work *work, gsz_segment_encoder *s, const gsz_modelled *t, const void *x,
                         const uint8_t *scales, size_t from, size_t to) {
    const gsz_view *v = &t->view;
    row_work w;
    GSZ_TRY(put_scales(s, scales + from, to - from));
    GSZ_TRY(start_rows(work, v, &w));
    for (size_t i = from; i < to; i++) {
        size_t length = gsz_view_row(v, i);
        if (scales[i] == 0) continue;
        begin_row(work->kernels, &w, t, scales[i], length);
        for (unsigned tap = 0; tap < v->taps; tap++) {
            const uint8_t *first = (const uint8_t *)x + (i * v->row_stride + tap * v->tap_stride) * itemsize_of(t->dtype);
            GSZ_TRY(put_step(work->kernels, s, t, &w, first, tap, gsz_view_step(v, length, tap)));
        }
        end_row(work->kernels, &w, v, length);
    }
    return GSZ_OK;
}

/* States by size: each costs about three bytes, sixteen of them decode side by side. */
static unsigned choose_states(size_t tokens) { return tokens >= 32768 ? 2 : tokens >= 1024 ? 1 : 0; }

int gsz_segment_write(gsz_work *work, gsz_segment_encoder *s, const gsz_rans_code *codes, gsz_writer *out) {
    size_t ntokens = s->tokens.size / sizeof(uint16_t), nsteps = s->steps.size / sizeof(uint32_t);
    unsigned log4 = choose_states(ntokens), states = 1u << 2 * log4;
    size_t room = 2 * ntokens + 4 * states + 2;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->bytes, room));
    uint8_t *end = (uint8_t *)work->bytes.data + room;
    uint8_t *start = gsz_rans_encode(codes, (const uint16_t *)(void *)s->tokens.data, (const uint32_t *)(void *)s->steps.data,
                                     nsteps, states, end);
    size_t low = (size_t)(gsz_bits_flush(&s->low.bits) - s->low.bytes.data);
    size_t side = (size_t)(gsz_bits_flush(&s->side.bits) - s->side.bytes.data);
    GSZ_TRY(gsz_put_u8(out, log4));
    GSZ_TRY(gsz_put_varint(out, low));
    GSZ_TRY(gsz_put_varint(out, side));
    GSZ_TRY(gsz_put_bytes(out, start, (size_t)(end - start)));
    GSZ_TRY(gsz_put_bytes(out, s->low.bytes.data, low));
    return gsz_put_bytes(out, s->side.bytes.data, side);
}

/* ---- decoding */

int gsz_segment_open(gsz_segment_decoder *s, gsz_reader in, const uint32_t *slots) {
    unsigned log4;
    uint64_t low, side;
    gsz_reader symbols, part;
    GSZ_CHECK(gsz_get_u8(&in, &log4) && gsz_get_varint(&in, &low) == 1 && gsz_get_varint(&in, &side) == 1, GSZ_E_SECTION);
    GSZ_CHECK(log4 <= 2, GSZ_E_RESERVED);
    GSZ_CHECK(low <= gsz_left(&in) && side <= gsz_left(&in) - low, GSZ_E_SECTION);
    GSZ_CHECK(gsz_get_reader(&in, gsz_left(&in) - low - side, &symbols), GSZ_E_SECTION);
    GSZ_CHECK(gsz_get_reader(&in, low, &part), GSZ_E_SECTION);
    gsz_bits_init(&s->low, part.p, part.end);
    gsz_bits_init(&s->side, in.p, in.end);
    return gsz_rans_begin(&s->symbols, symbols, 1u << 2 * log4, slots);
}

int gsz_segment_close(gsz_segment_decoder *s) {
    GSZ_TRY(gsz_rans_finish(&s->symbols));
    GSZ_CHECK(gsz_bits_end(&s->low) && gsz_bits_end(&s->side), GSZ_E_SECTION);
    return GSZ_OK;
}

static int get_scales(gsz_work *work, gsz_segment_decoder *s, size_t rows) {
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->scales, 2 * rows));
    uint8_t *scales = (uint8_t *)work->scales.data, *contexts = scales + rows;
    memset(contexts, GSZ_CONTEXT_SCALE, rows);
    work->kernels->rans_decode(&s->symbols, contexts, rows, scales);
    unsigned before = 1;
    for (size_t i = 0; i < rows; i++) {
        if (scales[i] == DEAD_ROW) {
            scales[i] = 0;
            continue;
        }
        unsigned scale = before + scales[i] - GSZ_SYMBOL_ZERO;
        GSZ_CHECK(scale >= 1 && scale < GSZ_SCALES, GSZ_E_SECTION);
        before = scales[i] = (uint8_t)scale;
    }
    return GSZ_OK;
}

/* Lanes without a symbol of their own; escaped elements are kept until the row is written. */
static int get_others(gsz_segment_decoder *s, const gsz_modelled *t, row_work *w, const uint8_t *raw, unsigned tap, size_t n) {
    const unsigned f = t->weights.unit_bits, width = 8 * (unsigned)itemsize_of(t->dtype);
    for (size_t j = 0; j < n; j++) {
        uint32_t v;
        if (w->symbol[j] != 0) continue;
        GSZ_TRY(get_golomb(&s->side, &v));
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

static void store_strided(void *x, size_t stride, const void *values, size_t n, size_t itemsize) {
    uint8_t *to = (uint8_t *)x;
    const uint8_t *from = (const uint8_t *)values;
    if (itemsize == 4)
        for (size_t j = 0; j < n; j++) memcpy(to + j * stride * 4, from + j * 4, 4);
    else
        for (size_t j = 0; j < n; j++) memcpy(to + j * stride * itemsize, from + j * itemsize, itemsize);
}

static int get_step(gsz_work *work, gsz_segment_decoder *s, const gsz_modelled *t, row_work *w, void *x, unsigned tap, size_t n) {
    const gsz_kernels *kernels = work->kernels;
    const size_t group = t->view.matrix ? tap * w->row.stride : 0;
    const uint8_t *context = w->context + group, *raw = w->raw + group;
    const unsigned f = t->weights.unit_bits;
    kernels->rans_decode(&s->symbols, context, n, w->symbol);
    kernels->model_means(&w->row, &t->weights, tap, n, NULL, w->mean);
    if (w->most_raw[t->view.matrix ? tap : 0] > 0) {
        for (size_t j = 0; j < n; j++) w->low[j] = gsz_bits_get(&s->low, raw[j]);
        GSZ_CHECK(s->low.overrun == 0, GSZ_E_SECTION);
        kernels->model_join(w->symbol, w->low, raw, w->mean, n, f, t->aligned, w->y);
    } else {
        kernels->model_join_narrow(w->symbol, w->mean, n, f, t->aligned, w->y);
    }
    if (memchr(w->symbol, 0, n) != NULL) GSZ_TRY(get_others(s, t, w, raw, tap, n));
    kernels->model_learn(&w->row, tap, w->y, NULL, n);
    kernels->dequantise32[t->dtype](w->y, n, t->unit, work->values.data);
    store_strided(x, t->view.lane_stride, work->values.data, n, itemsize_of(t->dtype));
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

int gsz_segment_get_rows(gsz_work *work, gsz_segment_decoder *s, const gsz_modelled *t, size_t from, size_t to, void *x) {
    const gsz_view *v = &t->view;
    const size_t itemsize = itemsize_of(t->dtype);
    row_work w;
    GSZ_TRY(get_scales(work, s, to - from));
    GSZ_TRY(start_rows(work, v, &w));
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->values, v->lanes * itemsize));
    const uint8_t *scales = (const uint8_t *)work->scales.data;
    for (size_t i = from; i < to; i++) {
        size_t length = gsz_view_row(v, i);
        uint8_t *row = (uint8_t *)x + i * v->row_stride * itemsize;
        if (scales[i - from] == 0) {
            zero_row(v, row, itemsize, length);
            continue;
        }
        w.escapes = 0;
        begin_row(work->kernels, &w, t, scales[i - from], length);
        for (unsigned tap = 0; tap < v->taps; tap++)
            GSZ_TRY(get_step(work, s, t, &w, row + tap * v->tap_stride * itemsize, tap, gsz_view_step(v, length, tap)));
        restore_escapes(&w, row, itemsize);
        end_row(work->kernels, &w, v, length);
    }
    return GSZ_OK;
}
