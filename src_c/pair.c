#include "pair.h"

#include "fit.h"
#include "head_fields.h"
#include "row_basis.h"
#include "scales.h"
#include "turn.h"

#define GAP_ORDER 2u
#define SHIFT_BITS 5u
#define UP_BITS 4u
#define TURN_BITS 4u

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
    GSZ_TRY(gsz_put_weights(&e->side, &f->t));
    GSZ_TRY(gsz_put_scales(e, &f->t));
    return gsz_rows_put(work, e, &f->t, f->x, 0, f->t.view.rows);
}

static int get_factor(gsz_work *work, gsz_segment_decoder *d, factor *f) {
    GSZ_TRY(gsz_get_weights(&d->side, &f->t, 0));
    GSZ_TRY(gsz_get_scales(work, d, f->t.set, f->t.view.rows, f->scales));
    return gsz_rows_get(work, d, &f->t, 0, f->t.view.rows, f->x);
}

/* An integer of a factor, at most `most` in size; anything else can only come from damage. */
static int factor_integer(float x, int32_t most, int16_t *v) {
    GSZ_CHECK(x >= (float)-most && x <= (float)most, GSZ_E_SECTION);
    *v = (int16_t)x;
    GSZ_CHECK((float)*v == x, GSZ_E_SECTION);
    return GSZ_OK;
}

gsz_view gsz_view_of_row(size_t lanes, unsigned taps, unsigned side) {
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

static int is_live(const gsz_pair_shape *p, size_t row) { return p->live == NULL || p->live[row] != 0; }

/* b as a pair, of kernels: of lanes, and of taps of all components. */
static gsz_pair_shape inner_shape(const gsz_pair_shape *outer, unsigned rank) {
    return (gsz_pair_shape){NULL, gsz_view_of_row(outer->right.lanes, 1, 1), gsz_view_of_row(rank, outer->right.taps, outer->right.side), 0, NULL};
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
    gsz_number_put(&e->side.bits, GSZ_RANK_ORDER, l->rank);
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

/* Only where every row has a. */
static int may_turn(const gsz_pair_shape *shape, unsigned rank, size_t rows) { return shape->left.lanes == rows && gsz_may_turn(rank, rows); }

static int put_left(gsz_work *work, gsz_segment_encoder *e, const gsz_lowrank *l, const gsz_pair_shape *shape) {
    factor f;
    GSZ_TRY(start_factor(work, &f, &shape->left, l->rank, 0));
    f.t.view.shorter = l->turn > 0;
    for (size_t k = 0, j = 0; k < l->rank; k++)
        for (size_t i = 0; i < l->rows; i++)
            if (is_live(shape, i)) f.x[j++] = (float)l->sent[k * l->rows + i];
    return put_factor(work, e, &f, f.x);
}

static int get_left(gsz_work *work, gsz_segment_decoder *d, gsz_lowrank *l, const gsz_pair_shape *shape) {
    factor f;
    GSZ_TRY(start_factor(work, &f, &shape->left, l->rank, 0));
    f.t.view.shorter = l->turn > 0;
    memset(f.x, 0, (size_t)f.t.view.elements * sizeof *f.x);
    GSZ_TRY(get_factor(work, d, &f));
    for (size_t k = 0, j = 0; k < l->rank; k++)
        for (size_t i = 0; i < l->rows; i++)
            if (is_live(shape, i)) GSZ_TRY(factor_integer(f.x[j++], 32767 >> l->up[k], &l->sent[k * l->rows + i]));
    return gsz_lowrank_make_left(work, l);
}

/* ---- b for itself, near the sum of an inner pair that has a basis, or that sum */

enum { FOR_ITSELF, NEAR_ROWS, SPLIT };

static int kind_of_right(const gsz_lowrank *l) { return l->inner == NULL ? FOR_ITSELF : l->inner->basis != NULL ? NEAR_ROWS : SPLIT; }

static void put_kind(gsz_bitwriter *side, const gsz_pair_shape *shape, int kind) {
    if (shape->splits) gsz_bits_put(side, kind == SPLIT, 1);
    if (shape->kept != NULL && kind != SPLIT) gsz_bits_put(side, kind == NEAR_ROWS, 1);
}

static int get_kind(gsz_bitreader *side, const gsz_pair_shape *shape) {
    if (shape->splits && gsz_bits_get(side, 1) != 0) return SPLIT;
    return shape->kept != NULL && gsz_bits_get(side, 1) != 0 ? NEAR_ROWS : FOR_ITSELF;
}

/* An inner pair that has a basis: coefficients, a row of the tensor each, and the rows' numbers. */
static gsz_pair_shape basis_shape(unsigned rank) {
    gsz_pair_shape p = {NULL, gsz_view_of_row(rank, 1, 1), {0}, 0, NULL};
    return p;
}

static int put_basis(gsz_work *work, gsz_segment_encoder *e, const gsz_lowrank *inner) {
    const gsz_pair_shape shape = basis_shape((unsigned)inner->rows);
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
    const gsz_pair_shape shape = basis_shape(l->rank);
    uint32_t count;
    GSZ_CHECK(gsz_number_get(&d->side, GSZ_RANK_ORDER, &count), GSZ_E_SECTION);
    GSZ_CHECK(count > 0 && count <= GSZ_MIN((size_t)GSZ_MAX_RANK, t->view.rows), GSZ_E_SECTION);
    GSZ_TRY(gsz_lowrank_reserve_inner(work->heap, l));
    GSZ_TRY(gsz_lowrank_reserve(work->heap, l->inner, count, l->rank, l->cols, 0));
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

static int put_right(gsz_work *work, gsz_segment_encoder *e, const gsz_lowrank *l, const gsz_pair_shape *shape) {
    factor f;
    right_base base;
    float *rest;
    GSZ_TRY(start_factor(work, &f, &shape->right, l->rank, l->inner != NULL));
    rest = l->inner == NULL ? f.x : f.x + f.t.view.elements;
    for (size_t i = 0; i < l->rank * l->cols; i++) f.x[i] = (float)l->b[i];
    GSZ_TRY(start_base(work, &f, l->inner, &base));
    int status = l->inner == NULL ? GSZ_OK : gsz_lowrank_subtract(work, l->inner, base.pairs, f.x, 1, rest);
    if (status == GSZ_OK) status = put_factor(work, e, &f, rest);
    gsz_release(work->heap, base.pairs, base.size);
    return status;
}

static int get_right(gsz_work *work, gsz_segment_decoder *d, gsz_lowrank *l, const gsz_pair_shape *shape) {
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

int gsz_pair_put(gsz_work *work, gsz_segment_encoder *e, const gsz_lowrank *l, const gsz_pair_shape *shape) {
    const int kind = kind_of_right(l);
    const gsz_pair_shape inner = inner_shape(shape, l->rank);
    GSZ_TRY(put_shifts(e, l));
    if (may_turn(shape, l->rank, l->rows)) gsz_bits_put(&e->side.bits, l->turn, TURN_BITS);
    put_kind(&e->side.bits, shape, kind);
    GSZ_TRY(put_left(work, e, l, shape));
    if (kind == SPLIT) return gsz_pair_put(work, e, l->inner, &inner);
    if (kind == NEAR_ROWS) GSZ_TRY(put_basis(work, e, l->inner));
    return put_right(work, e, l, shape);
}

int gsz_pair_get(gsz_work *work, gsz_segment_decoder *d, gsz_lowrank *l, size_t rows, size_t cols, uint32_t rank, const gsz_pair_shape *shape) {
    GSZ_CHECK(rank > 0 && rank <= GSZ_MIN((size_t)GSZ_MAX_RANK, GSZ_MIN(rows, cols)), GSZ_E_SECTION);
    GSZ_TRY(gsz_lowrank_reserve(work->heap, l, rank, rows, cols, 0));
    l->rank = rank;
    GSZ_TRY(get_shifts(&d->side, l));
    if (may_turn(shape, l->rank, rows)) l->turn = gsz_bits_get(&d->side, TURN_BITS);
    const int kind = get_kind(&d->side, shape);
    GSZ_TRY(get_left(work, d, l, shape));
    if (kind == SPLIT) {
        const gsz_pair_shape inner = inner_shape(shape, rank);
        uint32_t inner_rank;
        GSZ_CHECK(gsz_number_get(&d->side, GSZ_RANK_ORDER, &inner_rank), GSZ_E_SECTION);
        GSZ_TRY(gsz_lowrank_reserve_inner(work->heap, l));
        GSZ_TRY(gsz_pair_get(work, d, l->inner, shape->right.lanes, (size_t)rank * shape->right.taps, inner_rank, &inner));
        return gsz_lowrank_expand(work, l);
    }
    if (kind == NEAR_ROWS) GSZ_TRY(get_basis(work, d, l, shape->kept));
    return get_right(work, d, l, shape);
}
