#include "head.h"

#include "fit.h"
#include "row_basis.h"
#include "scales.h"

#define WEIGHT_ORDER 5u
#define RANK_ORDER 2u
#define GAP_ORDER 2u
#define UNIT_BITS 4u
#define SHIFT_BITS 5u
#define UP_BITS 4u

/* ---- weights: as they are without a fit, or one by one; families that this view does not have are left out */

static int has_feature(const gsz_modelled *t, unsigned feature) {
    return gsz_feature_exists(feature, t->view.matrix, t->rounds) && t->view.taps > gsz_feature_first(feature, t->view.side);
}

static int default_weights(const gsz_modelled *t) {
    const gsz_model_weights *w = &t->weights;
    gsz_model_weights usual;
    gsz_model_default_weights(w->unit_bits, gsz_is_phased(t), &usual);
    int same = w->constant == usual.constant && w->row == usual.row && w->column == usual.column;
    for (unsigned k = 0; k < t->rounds; k++) same &= w->past[k] == usual.past[k];
    for (unsigned k = 0; k < GSZ_FEATURES; k++) same &= !has_feature(t, k) || w->mean[k] == usual.mean[k];
    return same;
}

static int put_weights(gsz_bit_sink *side, const gsz_modelled *t) {
    const gsz_model_weights *w = &t->weights;
    GSZ_TRY(gsz_sink_reserve(side, (3 + GSZ_MAX_PAST + GSZ_FEATURES) * GSZ_NUMBER_BITS / 8 + 1));
    int fitted = !default_weights(t);
    gsz_bits_put(&side->bits, (uint64_t)fitted, 1);
    if (!fitted) return GSZ_OK;
    gsz_number_put(&side->bits, WEIGHT_ORDER, gsz_zigzag(w->constant));
    gsz_number_put(&side->bits, WEIGHT_ORDER, gsz_zigzag(w->row));
    gsz_number_put(&side->bits, WEIGHT_ORDER, gsz_zigzag(w->column));
    for (unsigned k = 0; k < t->rounds; k++) gsz_number_put(&side->bits, WEIGHT_ORDER, gsz_zigzag(w->past[k]));
    for (unsigned k = 0; k < GSZ_FEATURES; k++)
        if (has_feature(t, k)) gsz_number_put(&side->bits, WEIGHT_ORDER, gsz_zigzag(w->mean[k]));
    return GSZ_OK;
}

static int get_weight(gsz_bitreader *side, int32_t *weight) {
    uint32_t v;
    GSZ_CHECK(gsz_number_get(side, WEIGHT_ORDER, &v), GSZ_E_SECTION);
    *weight = gsz_zigzag_back(v);
    return GSZ_OK;
}

static int get_weights(gsz_bitreader *side, gsz_modelled *t, unsigned unit_bits) {
    gsz_model_weights *w = &t->weights;
    gsz_model_default_weights(unit_bits, gsz_is_phased(t), w);
    if (gsz_bits_get(side, 1) == 0) return GSZ_OK;
    GSZ_TRY(get_weight(side, &w->constant));
    GSZ_TRY(get_weight(side, &w->row));
    GSZ_TRY(get_weight(side, &w->column));
    for (unsigned k = 0; k < t->rounds; k++) GSZ_TRY(get_weight(side, &w->past[k]));
    for (unsigned k = 0; k < GSZ_FEATURES; k++)
        if (has_feature(t, k)) GSZ_TRY(get_weight(side, &w->mean[k]));
    return GSZ_OK;
}

/* ---- scales: that of the first live row, then of all rows as one step: the difference to the live row before, or 127 for a
 * row of zeros */
#define DEAD_ROW 127u
#define SCALE_BITS 6u

static int put_scales(gsz_segment_encoder *e, const gsz_modelled *t) {
    const size_t n = t->view.rows;
    uint16_t *tokens = gsz_segment_step(e, n);
    GSZ_CHECK(tokens != NULL, GSZ_E_MEMORY);
    unsigned before = 0, context = gsz_set_first(t->set) + gsz_set_size(t->set) - 1;
    for (size_t i = 0; i < n && before == 0; i++) before = t->scales[i];
    GSZ_TRY(gsz_sink_reserve(&e->side, 1));
    gsz_bits_put(&e->side.bits, before, SCALE_BITS);
    for (size_t i = 0; i < n; i++) {
        unsigned scale = t->scales[i], symbol = scale == 0 ? DEAD_ROW : GSZ_SYMBOL_ZERO + scale - before;
        tokens[i] = (uint16_t)(context * GSZ_RANS_SYMBOLS + symbol);
        before = scale == 0 ? before : scale;
    }
    gsz_segment_count(e, tokens, n);
    return GSZ_OK;
}

static int get_scales(gsz_work *work, gsz_segment_decoder *d, unsigned set, size_t n, uint8_t *scales) {
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->scales, n));
    memset(work->scales.data, (int)gsz_set_size(set) - 1, n);
    GSZ_TRY(gsz_segment_use(d, set));
    gsz_segment_symbols(work->kernels, d, (const uint8_t *)work->scales.data, n, scales);
    unsigned before = gsz_bits_get(&d->side, SCALE_BITS);
    for (size_t i = 0; i < n; i++) {
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

/* ---- factors: matrices of integers, a row a component, under the model themselves (bins and units of 1) */

typedef struct { gsz_modelled t; uint8_t scales[GSZ_MAX_RANK]; float *x; } factor;

/* With rows as those of a view. */
static void factor_of(factor *f, const gsz_view *rows, unsigned rank) {
    memset(f, 0, sizeof *f);
    gsz_view *v = &f->t.view;
    *v = *rows;
    v->rows = rank;
    v->elements = (uint64_t)rank * v->row_length;
    f->t.dtype = GSZ_FLOAT32;
    f->t.grid = GSZ_GRID_CENTRED;
    f->t.set = GSZ_SET_FACTORS;
    f->t.eb = 0.5;
    f->t.unit = 1;
    f->t.scales = f->scales;
}

/* rest: the values less their base, of which there is something in every row; the values themselves without one. */
static int put_factor(gsz_work *work, gsz_segment_encoder *e, factor *f, const float *rest) {
    gsz_model_default_weights(0, 0, &f->t.weights);
    GSZ_TRY(gsz_scales_measure(work, &f->t, rest, f->scales, NULL));
    for (size_t k = 0; rest != f->x && k < f->t.view.rows; k++) f->scales[k] = GSZ_MAX(f->scales[k], (uint8_t)1);
    GSZ_TRY(gsz_model_fit(work, &f->t, rest));
    GSZ_TRY(put_weights(&e->side, &f->t));
    GSZ_TRY(put_scales(e, &f->t));
    return gsz_rows_put(work, e, &f->t, f->x, 0, f->t.view.rows);
}

static int get_factor(gsz_work *work, gsz_segment_decoder *d, factor *f) {
    GSZ_TRY(get_weights(&d->side, &f->t, 0));
    GSZ_TRY(get_scales(work, d, f->t.set, f->t.view.rows, f->scales));
    return gsz_rows_get(work, d, &f->t, 0, f->t.view.rows, f->x);
}

/* An integer of a factor, at most `most` in size; anything else can only come from damage. */
static int factor_integer(float x, int32_t most, int16_t *v) {
    GSZ_CHECK(x >= (float)-most && x <= (float)most, GSZ_E_SECTION);
    *v = (int16_t)x;
    GSZ_CHECK((float)*v == x, GSZ_E_SECTION);
    return GSZ_OK;
}

/* How a pair of factors is written: rows of the left one that are there (NULL: all), the views of both, and the tensor of
 * whose last round the right one may take rows (NULL: none). */
typedef struct { const uint8_t *live; gsz_view left, right; const gsz_modelled *kept; } pair_shape;

static gsz_view view_of_row(size_t lanes, unsigned taps, unsigned side) {
    gsz_view v;
    memset(&v, 0, sizeof v);
    v.lanes = lanes;
    v.taps = taps;
    v.side = side;
    v.row_length = v.row_stride = lanes * taps;
    v.lane_stride = taps;
    v.tap_stride = 1;
    return v;
}

static int is_live(const pair_shape *p, size_t row) { return p->live == NULL || p->live[row] != 0; }

/* a by live rows; b as the rows of the tensor are. */
static pair_shape outer_shape(const gsz_structure *s) {
    pair_shape p = {s->scales, {0}, {0}, s->t.rounds > 0 ? &s->t : NULL};
    size_t live = 0;
    for (size_t i = 0; i < s->t.view.rows; i++) if (is_live(&p, i)) live++;
    p.left = view_of_row(live, 1, 1);
    gsz_plane_view(&s->t.view, &p.right);
    return p;
}

/* b as a pair: of kernels, a component's taps each with all lanes. */
static int may_split(const pair_shape *p) { return !p->right.matrix && p->right.taps > 1; }

static pair_shape inner_shape(const pair_shape *outer, unsigned rank) {
    return (pair_shape){NULL, view_of_row(rank, outer->right.taps, outer->right.side), view_of_row(outer->right.lanes, 1, 1), NULL};
}

/* Memory for the values of a factor, and as many more where it will have a rest. */
static int start_factor(gsz_work *work, factor *f, const gsz_view *view, unsigned rank, int has_rest) {
    factor_of(f, view, rank);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->factors, (has_rest ? 2 : 1) * (size_t)f->t.view.elements * sizeof(float)));
    f->x = (float *)work->factors.data;
    return GSZ_OK;
}

static int put_shifts(gsz_segment_encoder *e, const gsz_lowrank *l) {
    GSZ_TRY(gsz_sink_reserve(&e->side, GSZ_MAX_RANK + 32));
    gsz_number_put(&e->side.bits, RANK_ORDER, l->rank);
    gsz_bits_put(&e->side.bits, l->shift, SHIFT_BITS);
    for (unsigned k = 0; k < l->rank; k++) gsz_bits_put(&e->side.bits, l->up[k], UP_BITS);
    return GSZ_OK;
}

static int get_shifts(gsz_bitreader *side, gsz_lowrank *l) {
    l->shift = gsz_bits_get(side, SHIFT_BITS);
    GSZ_CHECK(l->shift >= 1 && l->shift <= 30, GSZ_E_SECTION);
    for (unsigned k = 0; k < l->rank; k++) {
        l->up[k] = (uint8_t)gsz_bits_get(side, UP_BITS);
        GSZ_CHECK(l->up[k] <= 14, GSZ_E_SECTION);
    }
    return GSZ_OK;
}

static int put_left(gsz_work *work, gsz_segment_encoder *e, const gsz_lowrank *l, const pair_shape *shape) {
    factor f;
    GSZ_TRY(start_factor(work, &f, &shape->left, l->rank, 0));
    for (size_t k = 0, j = 0; k < l->rank; k++)
        for (size_t i = 0; i < l->rows; i++)
            if (is_live(shape, i)) f.x[j++] = (float)l->a[k * l->rows + i];
    return put_factor(work, e, &f, f.x);
}

static int get_left(gsz_work *work, gsz_segment_decoder *d, gsz_lowrank *l, const pair_shape *shape) {
    factor f;
    GSZ_TRY(start_factor(work, &f, &shape->left, l->rank, 0));
    GSZ_TRY(get_factor(work, d, &f));
    for (size_t k = 0, j = 0; k < l->rank; k++)
        for (size_t i = 0; i < l->rows; i++)
            if (is_live(shape, i)) GSZ_TRY(factor_integer(f.x[j++], 32767 >> l->up[k], &l->a[k * l->rows + i]));
    return GSZ_OK;
}

/* ---- b for itself, near the sum of an inner pair that has a basis, or that sum */

enum { FOR_ITSELF, NEAR_ROWS, SPLIT };

static int kind_of_right(const gsz_lowrank *l) { return l->inner == NULL ? FOR_ITSELF : l->inner->basis != NULL ? NEAR_ROWS : SPLIT; }

static void put_kind(gsz_bitwriter *side, const pair_shape *shape, int kind) {
    if (may_split(shape)) gsz_bits_put(side, kind == SPLIT, 1);
    if (shape->kept != NULL && kind != SPLIT) gsz_bits_put(side, kind == NEAR_ROWS, 1);
}

static int get_kind(gsz_bitreader *side, const pair_shape *shape) {
    if (may_split(shape) && gsz_bits_get(side, 1) != 0) return SPLIT;
    return shape->kept != NULL && gsz_bits_get(side, 1) != 0 ? NEAR_ROWS : FOR_ITSELF;
}

/* An inner pair that has a basis: coefficients, a row of the tensor each, and the rows' numbers. */
static pair_shape basis_shape(unsigned rank) {
    pair_shape p = {NULL, view_of_row(rank, 1, 1), {0}, NULL};
    return p;
}

static int put_basis(gsz_work *work, gsz_segment_encoder *e, const gsz_lowrank *inner) {
    const pair_shape shape = basis_shape((unsigned)inner->rows);
    GSZ_TRY(put_shifts(e, inner));
    GSZ_TRY(gsz_sink_reserve(&e->side, GSZ_MAX_RANK * GSZ_NUMBER_BITS / 8 + 1));
    for (unsigned k = 0; k < inner->rank; k++) gsz_number_put(&e->side.bits, GAP_ORDER, k == 0 ? inner->basis[0] : inner->basis[k] - inner->basis[k - 1] - 1);
    return put_left(work, e, inner, &shape);
}

static int get_rows(gsz_bitreader *side, gsz_lowrank *inner, size_t rows) {
    uint32_t gap;
    uint64_t next = 0;
    for (unsigned k = 0; k < inner->rank; k++) {
        GSZ_CHECK(gsz_number_get(side, GAP_ORDER, &gap), GSZ_E_SECTION);
        next += gap;
        GSZ_CHECK(next < rows, GSZ_E_SECTION);
        inner->basis[k] = (uint32_t)next++;
    }
    return GSZ_OK;
}

static int get_basis(gsz_work *work, gsz_segment_decoder *d, gsz_lowrank *l, const gsz_modelled *t) {
    const pair_shape shape = basis_shape(l->rank);
    uint32_t count;
    GSZ_CHECK(gsz_number_get(&d->side, RANK_ORDER, &count), GSZ_E_SECTION);
    GSZ_CHECK(count > 0 && count <= GSZ_MIN((size_t)GSZ_MAX_RANK, t->view.rows), GSZ_E_SECTION);
    GSZ_TRY(gsz_lowrank_reserve_inner(work->heap, l));
    GSZ_TRY(gsz_lowrank_reserve(work->heap, l->inner, count, l->rank, l->cols));
    GSZ_TRY(gsz_lowrank_reserve_basis(work->heap, l->inner));
    l->inner->rank = count;
    GSZ_TRY(get_shifts(&d->side, l->inner));
    GSZ_TRY(get_rows(&d->side, l->inner, t->view.rows));
    GSZ_TRY(get_left(work, d, l->inner, &shape));
    return gsz_row_basis_fill(work, t, l->inner);
}

/* The base that a factor has from an inner pair, or none. */
typedef struct { int16_t *pairs; size_t size; } right_base;

static int start_base(gsz_work *work, factor *f, const gsz_lowrank *inner, right_base *base) {
    memset(base, 0, sizeof *base);
    if (inner == NULL) return GSZ_OK;
    base->size = GSZ_LOWRANK_PAIRS(inner->rank) * 2 * inner->cols * sizeof(int16_t);
    base->pairs = (int16_t *)gsz_alloc(work->heap, base->size);
    GSZ_CHECK(base->pairs != NULL, GSZ_E_MEMORY);
    gsz_lowrank_pairs(inner, base->pairs);
    f->t.low = inner;
    f->t.pairs = base->pairs;
    return GSZ_OK;
}

/* The values less the base; in the memory behind them. */
static int subtract_base(gsz_work *work, const factor *f, const float **rest) {
    const size_t n = f->t.view.row_length;
    float *to = f->x + f->t.view.elements;
    *rest = f->x;
    if (f->t.low == NULL) return GSZ_OK;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->values, GSZ_BASE_ROWS * n * sizeof(int32_t)));
    int32_t *sum = (int32_t *)work->values.data;
    *rest = to;
    for (size_t i = 0; i < f->t.view.rows; i++) {
        gsz_lowrank_rows(work->kernels, f->t.low, f->t.pairs, &i, 1, sum, n);
        for (size_t j = 0; j < n; j++) to[i * n + j] = f->x[i * n + j] - (float)sum[j];
    }
    return GSZ_OK;
}

static int put_right(gsz_work *work, gsz_segment_encoder *e, const gsz_lowrank *l, const pair_shape *shape) {
    factor f;
    right_base base;
    const float *rest;
    GSZ_TRY(start_factor(work, &f, &shape->right, l->rank, l->inner != NULL));
    for (size_t i = 0; i < l->rank * l->cols; i++) f.x[i] = (float)l->b[i];
    GSZ_TRY(start_base(work, &f, l->inner, &base));
    int status = subtract_base(work, &f, &rest);
    if (status == GSZ_OK) status = put_factor(work, e, &f, rest);
    gsz_release(work->heap, base.pairs, base.size);
    return status;
}

static int get_right(gsz_work *work, gsz_segment_decoder *d, gsz_lowrank *l, const pair_shape *shape) {
    factor f;
    right_base base;
    GSZ_TRY(start_factor(work, &f, &shape->right, l->rank, 0));
    GSZ_TRY(start_base(work, &f, l->inner, &base));
    int status = get_factor(work, d, &f);
    gsz_release(work->heap, base.pairs, base.size);
    GSZ_TRY(status);
    gsz_lowrank_release_inner(work->heap, l);           /* of no use any more */
    for (size_t i = 0; i < l->rank * l->cols; i++) GSZ_TRY(factor_integer(f.x[i], 32767, &l->b[i]));
    return GSZ_OK;
}

/* ---- pairs */

static int put_pair(gsz_work *work, gsz_segment_encoder *e, const gsz_lowrank *l, const pair_shape *shape) {
    const int kind = kind_of_right(l);
    const pair_shape inner = inner_shape(shape, l->rank);
    GSZ_TRY(put_shifts(e, l));
    put_kind(&e->side.bits, shape, kind);
    GSZ_TRY(put_left(work, e, l, shape));
    if (kind == SPLIT) return put_pair(work, e, l->inner, &inner);
    if (kind == NEAR_ROWS) GSZ_TRY(put_basis(work, e, l->inner));
    return put_right(work, e, l, shape);
}

static int get_pair(gsz_work *work, gsz_segment_decoder *d, gsz_lowrank *l, size_t rows, size_t cols, uint32_t rank, const pair_shape *shape) {
    GSZ_CHECK(rank > 0 && rank <= GSZ_MIN((size_t)GSZ_MAX_RANK, GSZ_MIN(rows, cols)), GSZ_E_SECTION);
    GSZ_TRY(gsz_lowrank_reserve(work->heap, l, rank, rows, cols));
    l->rank = rank;
    GSZ_TRY(get_shifts(&d->side, l));
    const int kind = get_kind(&d->side, shape);
    GSZ_TRY(get_left(work, d, l, shape));
    if (kind == SPLIT) {
        const pair_shape inner = inner_shape(shape, rank);
        uint32_t inner_rank;
        GSZ_CHECK(gsz_number_get(&d->side, RANK_ORDER, &inner_rank), GSZ_E_SECTION);
        GSZ_TRY(gsz_lowrank_reserve_inner(work->heap, l));
        GSZ_TRY(get_pair(work, d, l->inner, (size_t)rank * shape->right.taps, shape->right.lanes, inner_rank, &inner));
        return gsz_lowrank_expand(work, l);
    }
    if (kind == NEAR_ROWS) GSZ_TRY(get_basis(work, d, l, shape->kept));
    return get_right(work, d, l, shape);
}

static int get_lowrank(gsz_work *work, gsz_segment_decoder *d, gsz_structure *s, uint32_t rank) {
    const pair_shape shape = outer_shape(s);
    GSZ_CHECK(gsz_lowrank_possible(&s->t.view) && shape.left.lanes > 0, GSZ_E_SECTION);
    GSZ_TRY(get_pair(work, d, &s->low, s->t.view.rows, s->t.view.row_length, rank, &shape));
    return gsz_structure_link(work->heap, s);
}

/* ---- the head */

int gsz_head_put(gsz_work *work, gsz_segment_encoder *e, const gsz_structure *s) {
    GSZ_TRY(gsz_sink_reserve(&e->side, 1));
    gsz_bits_put(&e->side.bits, s->t.weights.unit_bits, UNIT_BITS);
    GSZ_TRY(put_weights(&e->side, &s->t));
    GSZ_TRY(put_scales(e, &s->t));
    if (s->low.rank > 0) {
        const pair_shape shape = outer_shape(s);
        return put_pair(work, e, &s->low, &shape);
    }
    GSZ_TRY(gsz_sink_reserve(&e->side, GSZ_NUMBER_BITS / 8 + 1));
    gsz_number_put(&e->side.bits, RANK_ORDER, 0);
    return GSZ_OK;
}

int gsz_head_get(gsz_work *work, gsz_segment_decoder *d, gsz_structure *s) {
    uint32_t rank;
    unsigned unit_bits = gsz_bits_get(&d->side, UNIT_BITS);
    GSZ_CHECK(unit_bits <= GSZ_MAX_UNIT_BITS && (unit_bits >= GSZ_LEAST_RANDOM_BITS || !gsz_is_phased(&s->t)), GSZ_E_SECTION);
    s->t.unit = gsz_model_unit(s->t.dtype, s->t.grid, s->t.eb, unit_bits);
    GSZ_CHECK(s->t.unit > 0, GSZ_E_SECTION);
    GSZ_TRY(get_weights(&d->side, &s->t, unit_bits));
    GSZ_TRY(get_scales(work, d, s->t.set, s->t.view.rows, s->scales));
    GSZ_CHECK(gsz_number_get(&d->side, RANK_ORDER, &rank), GSZ_E_SECTION);
    GSZ_CHECK(d->side.overrun == 0, GSZ_E_SECTION);
    return rank > 0 ? get_lowrank(work, d, s, rank) : GSZ_OK;
}
