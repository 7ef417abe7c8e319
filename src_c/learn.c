#include "learn.h"

#include "bound.h"
#include "fit.h"
#include "fp.h"
#include "rest.h"
#include "row_basis.h"
#include "scales.h"
#include "trial.h"

#define LARGEST_BINS 16384          /* means of rows that are larger have nothing to gain here */

/* What is looked for, in kernels and in matrices.  Kernels save less, for taps predict part of it already, but have more
 * components, for b as a product makes them cheaper.  Balanced: */
static const gsz_lowrank_options quick[2] = {
    {.max_rank = 63, .iterations = 1, .gate = 0.02, .precision = 0.1, .saving = 0.7, .sample = 8, .enough = 0.99},
    {.max_rank = 24, .iterations = 1, .gate = 0.02, .precision = 0.1, .saving = 1},
};
/* And best, which then tries. */
static const gsz_lowrank_options thorough[2] = {
    {.max_rank = 67, .iterations = 2, .precision = 0.1, .saving = 0.75},
    {.max_rank = 63, .iterations = 2, .precision = 0.1, .saving = 1},
};
#define LARGEST_MEAN 4096           /* units, of a row's values: larger features saturate */
#define COARSER 1.4
#define LARGE ((uint64_t)1 << 19)       /* elements, that one more iteration and more components pay for */
#define SURE 0.1                    /* share of all bits: low rank that is predicted to save as much need not prove itself */
/* Where no rank is predicted to pay: few components, finely rounded, sometimes do. */
#define UNPREDICTED_RANK 4u
#define UNPREDICTED_PRECISION 0.067

/* What is learned from: values, less the reference where there is one. */
typedef struct {
    gsz_work *work;
    const void *x, *rest;       /* as the tensor is */
    float *planes, *left;       /* rest in bins, row after row and tap by tap; what the base leaves of it */
    float *matrix;              /* what low rank is to stand for: the planes, less what earlier rounds tell of them */
    float *reference, *past[GSZ_MAX_PAST];      /* what both ends have in bins too, as planes */
    gsz_prior prior;                            /* the same */
    gsz_row_basis *basis;                       /* of the last round, once it is needed */
    int32_t told[GSZ_FEATURES];                 /* weights of means, of a fit without low rank */
    int low_rank, thorough;     /* whether it is looked for, and as best does; */
    unsigned way;               /* and what with earlier rounds */
} material;

/* Earlier rounds are not used; are features of means and widths beside low rank; or low rank is of what they leave. */
enum { ALONE, BESIDE, BEHIND, WAYS };

/* Offsets, at random or where a reference lies in its bin, need units much finer than the values, or they would never move
 * one across an edge: a 64th of what is usual in a row. */
static unsigned fine_unit_bits(gsz_work *work, const gsz_structure *s, const void *x) {
    const size_t n = (size_t)s->t.view.elements;
    size_t finite = 0, above = 0;
    double sum = work->kernels->sum_sizes[s->t.dtype](x, n, 0, &finite, &above);
    double size = above > 0 ? sum / (double)above : 0, bin = gsz_model_unit(s->t.dtype, s->t.grid, s->t.eb, 0);
    unsigned bits = GSZ_LEAST_RANDOM_BITS;
    while (bits < GSZ_MAX_UNIT_BITS && bin > size * (double)((uint32_t)1 << bits) / 64) bits++;
    return bits;
}

/* Whether decoded values are exact multiples of the unit, near a reference. */
static int reference_fits(gsz_work *work, const gsz_modelled *t, const void *x) {
    const gsz_range range = gsz_finite_range(work->kernels, t->dtype, x, (size_t)t->view.elements);
    const double most = t->dtype == GSZ_FLOAT64 ? (double)GSZ_MAX_REFERENCE : 0x1p23;
    return range.finite == 0 || GSZ_MAX(-range.min, range.max) / t->unit < most;
}

/* Unit and scales.  Fewer unit bits where values span so many bins that features would not fit. */
static int measure(gsz_work *work, gsz_structure *s, const void *x, int *possible) {
    unsigned most = 0;
    const int phased = gsz_is_phased(&s->t);
    for (unsigned f = phased ? fine_unit_bits(work, s, x) : GSZ_USUAL_UNIT_BITS;; f = 0) {
        s->t.unit = gsz_model_unit(s->t.dtype, s->t.grid, s->t.eb, f);
        *possible = s->t.unit > 0;
        if (!*possible) return GSZ_OK;
        gsz_model_default_weights(f, phased, &s->t.weights);
        GSZ_TRY(gsz_scales_measure(work, &s->t, x, s->scales, &s->seen));
        for (size_t i = 0; i < s->t.view.rows; i++) most = GSZ_MAX(most, s->scales[i]);
        int32_t mean = gsz_scale_width(most) >> GSZ_WIDTH_BITS;
        *possible = phased ? mean >> f <= LARGEST_BINS >> 4 : f > 0 || mean <= LARGEST_BINS;
        if (phased || f == 0 || mean <= LARGEST_MEAN) return GSZ_OK;
        most = 0;
    }
}

/* ---- low rank */

GSZ_INLINE float in_bins(float v) { return v <= 0x1p100f && v >= -0x1p100f ? v : 0; }      /* NaN too becomes 0 */

/* Values in bins, row after row and tap by tap. */
static int gather_planes(gsz_work *work, const gsz_modelled *t, const void *x, float *to) {
    const gsz_view *v = &t->view;
    const size_t n = v->row_length, itemsize = gsz_itemsize(t->dtype);
    const double inverse = 1 / (t->unit * (double)((uint32_t)1 << t->weights.unit_bits));
    const float scale = (float)inverse;
    const int direct = t->dtype == GSZ_FLOAT32 && scale < 0x1p100f;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->values, n * itemsize));
    for (size_t i = 0; i < v->rows; i++, to += n) {
        const uint8_t *row = (const uint8_t *)x + i * v->row_stride * itemsize;
        gsz_row_gather(work->kernels, v, row, n, itemsize, direct ? (void *)to : work->values.data);
        for (size_t j = 0; direct && j < n; j++) to[j] = in_bins(to[j] * scale);
        for (size_t j = 0; !direct && j < n; j++) to[j] = in_bins((float)(gsz_value_at(t->dtype, work->values.data, j) * inverse));
    }
    return GSZ_OK;
}

/* Values, less the mean by earlier rounds where low rank is to be behind them. */
static void make_matrix(const material *m, const gsz_modelled *t) {
    static const unsigned feature[GSZ_MAX_PAST] = {GSZ_FEATURE_last_round, GSZ_FEATURE_round_before};
    const size_t n = (size_t)t->view.elements;
    if (m->matrix != m->planes) memcpy(m->matrix, m->planes, n * sizeof *m->matrix);
    for (unsigned k = 0; m->way == BEHIND && k < t->rounds; k++) {
        const float weight = (float)m->told[feature[k]] * (1.0f / (1 << GSZ_WEIGHT_BITS));
        for (size_t j = 0; j < n; j++) m->matrix[j] -= weight * m->past[k][j];
    }
}

static int gather_all(const material *m, const gsz_modelled *t) {
    GSZ_TRY(gather_planes(m->work, t, m->rest, m->planes));
    if (t->referenced) GSZ_TRY(gather_planes(m->work, t, t->prior->reference, m->reference));
    for (unsigned k = 0; k < t->rounds; k++) GSZ_TRY(gather_planes(m->work, t, t->prior->past[k], m->past[k]));
    make_matrix(m, t);
    gsz_row_basis_release(m->work->heap, m->basis);
    return GSZ_OK;
}

/* What the base leaves, in bins, and a tensor that has it in place of its values. */
static int make_rest(const material *m, const gsz_structure *s, gsz_modelled *rest) {
    *rest = s->t;
    gsz_rest_view(&s->t.view, m->thorough || s->t.referenced || s->t.rounds > 0, &rest->view);
    rest->dtype = GSZ_FLOAT32;
    rest->low = NULL;
    rest->prior = &m->prior;
    rest->eb = 0.5;
    rest->unit = 1 / (double)((uint32_t)1 << s->t.weights.unit_bits);
    return gsz_rest_make(m->work, s, &rest->view, m->planes, m->left);
}

/* Scales and weights of what is left; a row that was not zero stays so. */
static int fit_rest(const material *m, gsz_structure *s) {
    gsz_work *work = m->work;
    gsz_modelled t;
    const size_t rows = s->t.view.rows;
    GSZ_TRY(make_rest(m, s, &t));
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->scales, rows));
    uint8_t *scales = (uint8_t *)work->scales.data;
    GSZ_TRY(gsz_scales_measure(work, &t, m->left, scales, NULL));
    for (size_t i = 0; i < rows; i++)
        if (s->scales[i] != 0) s->scales[i] = GSZ_MAX(scales[i], (uint8_t)1);
    GSZ_TRY(gsz_model_fit(work, &t, m->left));
    s->t.weights = t.weights;
    return GSZ_OK;
}

/* The structure with the factors in s->low, or without low rank where there are none. */
static int fit_around(const material *m, gsz_structure *s) {
    if (s->low.rank == 0) return gsz_model_fit(m->work, &s->t, m->rest);
    GSZ_TRY(gsz_structure_link(m->work->heap, s));
    return fit_rest(m, s);
}

/* B in s->low by rows of the last round, where that pays. */
static int use_basis(const material *m, gsz_structure *s) {
    const gsz_view *v = &s->t.view;
    if (s->t.rounds == 0 || s->low.rank == 0 || s->low.inner != NULL) return GSZ_OK;
    if (m->basis->triangle == NULL) GSZ_TRY(gsz_row_basis_choose(m->work, m->past[0], v->rows, v->row_length, m->basis));
    return gsz_row_basis_use(m->work, m->basis, &s->t, &s->low);
}

static gsz_lowrank_options options_for(const gsz_structure *s, const gsz_lowrank_options usual[2]) {
    const gsz_view *v = &s->t.view;
    gsz_lowrank_options o = usual[v->matrix != 0];
    o.unit_bits = s->t.weights.unit_bits;
    o.taps = v->matrix ? 1 : v->taps;
    o.turns = memchr(s->scales, 0, v->rows) == NULL;
    if (usual != thorough || v->elements < LARGE) return o;
    o.iterations++;
    if (!v->matrix) o.max_rank = GSZ_MAX_RANK;
    return o;
}

/* ---- balanced: the rank of most predicted bits */

static int predict(const material *m, gsz_structure *s) {
    if (!m->low_rank) return gsz_model_fit(m->work, &s->t, m->rest);
    const gsz_lowrank_options o = options_for(s, quick);
    GSZ_TRY(gsz_lowrank_find(m->work, m->matrix, s->t.view.rows, s->t.view.row_length, &o, &s->low));
    GSZ_TRY(use_basis(m, s));
    return fit_around(m, s);
}

/* ---- best: ranks and precisions by the bits that they really take */

typedef struct {
    const material *m;
    gsz_structure *s;           /* unit and scales; no low rank */
    gsz_lowrank_space space;
    gsz_structure best;
    unsigned rank;              /* asked for, of the best; 0 = no low rank */
    double bits, precision;     /* of the best */
} search;

/* Tries a rank; *better = 1 where it is the best so far. */
static int try_rank(search *q, unsigned rank, double precision, int *better) {
    gsz_work *work = q->m->work;
    gsz_structure s;
    double bits;
    GSZ_TRY(gsz_structure_copy(work->heap, q->s, &s));
    int status = rank == 0 ? GSZ_OK : gsz_lowrank_factors(work, &q->space, rank, precision, s.t.weights.unit_bits, GSZ_MAX_RANK, &s.low);
    if (status == GSZ_OK) status = use_basis(q->m, &s);
    if (status == GSZ_OK) status = fit_around(q->m, &s);
    if (status == GSZ_OK) status = gsz_trial_model(work, &s, q->m->x, &bits);
    *better = status == GSZ_OK && bits < q->bits;
    if (*better) {
        gsz_structure_release(work->heap, &q->best);
        gsz_structure_move(&s, &q->best);
        q->bits = bits, q->rank = rank, q->precision = precision;
    }
    gsz_structure_release(work->heap, &s);
    return status;
}

/* Where steps of a third are many components, and one of 1.4 many bits: half as far either way. */
#define MANY 64u
#define FINER 1.18
static int refine(search *q) {
    int better;
    GSZ_TRY(try_rank(q, GSZ_MIN(q->rank + q->rank / 6, q->space.count), q->precision, &better));
    if (!better) GSZ_TRY(try_rank(q, q->rank - q->rank / 6, q->precision, &better));
    GSZ_TRY(try_rank(q, q->rank, q->precision * FINER, &better));
    return better ? GSZ_OK : try_rank(q, q->rank, q->precision / FINER, &better);
}

/* From a rank, larger ones as long as that pays, or smaller ones; then finer and coarser factors.  With random offsets bits are predicted
 * too badly for one rank that does not pay to be the end: factors of more components are rounded more finely. */
static int climb(search *q, unsigned rank, double precision) {
    int better, larger = 0;
    GSZ_TRY(try_rank(q, rank, precision, &better));
    int patience = better ? gsz_is_random(q->s->t.grid) ? 2 : 1 : 0;
    for (unsigned next = rank, tried = rank; patience > 0 && tried < q->space.count;) {
        next += next / 3 + 1, tried = GSZ_MIN(next, q->space.count);
        GSZ_TRY(try_rank(q, tried, precision, &better));
        larger |= better;
        if (!better) patience--;
    }
    better = !larger;
    for (unsigned next = rank - (rank + 2) / 3; better && next > 0; next -= (next + 2) / 3) GSZ_TRY(try_rank(q, next, precision, &better));
    if (q->rank == 0) return GSZ_OK;
    GSZ_TRY(try_rank(q, q->rank, q->precision * COARSER, &better));
    if (q->rank >= MANY) return refine(q);
    if (better || !q->s->t.view.matrix) return GSZ_OK;          /* finer ones hardly ever pay for kernels */
    return try_rank(q, q->rank, q->precision / COARSER, &better);
}

static int search_ranks(search *q) {
    const gsz_lowrank_options o = options_for(q->s, thorough);
    const gsz_view *v = &q->s->t.view;
    gsz_lowrank_choice c;
    int better;
    GSZ_TRY(gsz_lowrank_decompose(q->m->work, q->m->matrix, v->rows, v->row_length, &o, &q->space));
    GSZ_TRY(gsz_lowrank_choose(q->m->work, &q->space, &o, &c));
    if (c.net <= SURE * q->space.bits) GSZ_TRY(try_rank(q, 0, 0, &better));
    if (c.rank > 0) return climb(q, c.rank, c.precision);
    return q->space.count == 0 ? GSZ_OK : climb(q, GSZ_MIN(UNPREDICTED_RANK, q->space.count), UNPREDICTED_PRECISION);
}

/* Bins that are a little narrower than they might be, so that the mean squared error is below what SZ3 leaves: 0.306 to
 * 0.326 eb^2 at fine bounds, where it would be eb^2 / 3.  Where few bits are left it is far below anyway. */
#define NARROW_FROM 1.9             /* bits an element */
static double narrower(double bits) {
    double part = bits < NARROW_FROM ? 0 : 0.0145 + 0.0036 * bits;
    return 1 - GSZ_MIN(part, 0.042);
}

static int narrow_bins(search *q) {
    const material *m = q->m;
    const double part = narrower(q->bits);
    gsz_structure *s = &q->best;
    double eb = gsz_double_of_bits(gsz_bits_of_double(s->t.eb * part) & ~(uint64_t)0 << 40);        /* few bytes in the table */
    double unit = gsz_model_unit(s->t.dtype, s->t.grid, eb, s->t.weights.unit_bits);
    if (s->t.grid != GSZ_GRID_CENTRED || part == 1 || !(unit > 0)) return GSZ_OK;
    s->t.eb = q->s->t.eb = eb;
    s->t.unit = q->s->t.unit = unit;
    GSZ_TRY(gsz_scales_measure(m->work, &q->s->t, m->rest, q->s->scales, NULL));
    memcpy(s->scales, q->s->scales, s->t.view.rows);
    if (q->rank == 0) return gsz_model_fit(m->work, &s->t, m->rest);
    GSZ_TRY(gather_all(m, &s->t));
    gsz_lowrank_scale(&q->space, 1 / part);
    gsz_structure_unlink(m->work->heap, s);
    GSZ_TRY(gsz_lowrank_factors(m->work, &q->space, q->rank, q->precision, s->t.weights.unit_bits, GSZ_MAX_RANK, &s->low));
    GSZ_TRY(use_basis(m, s));
    return fit_around(m, s);
}

/* Weights once more, in closed loop, where they take fewer bits: kernels of which little is left, whose means matter most. */
#define REFIT_BELOW 0.3         /* bits an element */
static int refit(search *q) {
    const material *m = q->m;
    gsz_structure *s = &q->best;
    const gsz_model_weights open = s->t.weights;
    gsz_modelled t = s->t;
    double before, after;
    if (s->t.view.matrix || q->bits >= REFIT_BELOW) return GSZ_OK;
    if (s->low.rank > 0) GSZ_TRY(make_rest(m, s, &t));
    GSZ_TRY(gsz_model_refit(m->work, &t, s->low.rank > 0 ? (const void *)m->left : m->rest));
    if (memcmp(&t.weights, &open, sizeof open) == 0) return GSZ_OK;
    GSZ_TRY(gsz_trial_model(m->work, s, m->x, &before));
    s->t.weights = t.weights;
    GSZ_TRY(gsz_trial_model(m->work, s, m->x, &after));
    if (after >= before) s->t.weights = open;
    return GSZ_OK;
}

/* s becomes the best; *bits as tried. */
static int find_best(const material *m, gsz_structure *s, double *bits) {
    gsz_heap *heap = m->work->heap;
    search q;
    memset(&q, 0, sizeof q);
    q.m = m, q.s = s, q.bits = 1e300;
    int status = search_ranks(&q);
    *bits = q.bits;
    if (status == GSZ_OK) status = narrow_bins(&q);
    if (status == GSZ_OK) status = refit(&q);
    gsz_lowrank_space_release(heap, &q.space);
    if (status == GSZ_OK) {
        gsz_structure_release(heap, s);
        gsz_structure_move(&q.best, s);
    }
    gsz_structure_release(heap, &q.best);
    return status;
}

/* ---- earlier rounds: only where they pay */

#define LEAST_GAIN 0.996        /* part of the bits: telling of rounds takes some, and what a sample promises is not always kept */

/* The best way as balanced would have it, by the bits that a trial takes; s is not changed, *found is as predicted. */
static int choose_way(material *m, const gsz_structure *s, gsz_structure *found) {
    double least = 1e300;
    unsigned chosen = ALONE;
    memset(found, 0, sizeof *found);
    for (unsigned way = ALONE; way < WAYS; way++) {
        gsz_structure one;
        double bits = 0;
        if (way == BEHIND && !m->low_rank) continue;
        GSZ_TRY(gsz_structure_copy(m->work->heap, s, &one));
        if (way == ALONE) gsz_structure_know(&one, s->t.referenced, 0);
        m->way = way;
        if (m->low_rank) make_matrix(m, &one.t);
        int status = predict(m, &one);
        if (status == GSZ_OK) status = gsz_trial_model(m->work, &one, m->x, &bits);
        if (status == GSZ_OK && bits < least * (least < 1e300 && chosen == ALONE ? LEAST_GAIN : 1)) {
            gsz_structure_release(m->work->heap, found);
            gsz_structure_move(&one, found);
            least = bits, chosen = way;
        }
        gsz_structure_release(m->work->heap, &one);
        GSZ_TRY(status);
    }
    m->way = chosen;
    return GSZ_OK;
}

/* ---- what both ends have */

static int subtract_reference(gsz_work *work, const gsz_modelled *t, const void *x, const void **rest) {
    const size_t n = (size_t)t->view.elements;
    *rest = x;
    if (!t->referenced) return GSZ_OK;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->rest, n * gsz_itemsize(t->dtype)));
    work->kernels->differences[t->dtype](x, t->prior->reference, n, work->rest.data);
    *rest = work->rest.data;
    return GSZ_OK;
}

/* Memory for planes: of the rest, of what is left of it where that is another array, and of what both ends have. */
static int take_planes(gsz_work *work, const gsz_modelled *t, int both, material *m) {
    const size_t n = (size_t)t->view.elements;
    const unsigned arrays = 1 + (both ? 1u : 0u) + (t->referenced ? 1u : 0u) + t->rounds + (t->rounds > 0 ? 1u : 0u);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->bins, arrays * n * sizeof(float)));
    float *next = (float *)work->bins.data;
    m->planes = m->left = m->matrix = next;
    if (both) m->left = next += n;
    if (t->rounds > 0) m->matrix = next += n;
    if (t->referenced) m->prior.reference = m->reference = next += n;
    for (unsigned k = 0; k < t->rounds; k++) m->prior.past[k] = m->past[k] = next += n;
    return gather_all(m, t);
}

/* What balanced takes. */
static int find_quickly(material *m, gsz_structure *s) {
    gsz_structure found;
    if (s->t.rounds == 0) return predict(m, s);
    int status = choose_way(m, s, &found);
    if (status == GSZ_OK) {
        gsz_structure_release(m->work->heap, s);
        gsz_structure_move(&found, s);
    }
    gsz_structure_release(m->work->heap, &found);
    return status;
}

/* And best: a search in the way that balanced would go, and one without earlier rounds, which has to be worse. */
static int find_thoroughly(material *m, gsz_structure *s) {
    gsz_heap *heap = m->work->heap;
    gsz_structure other;
    double with, without;
    if (s->t.rounds == 0) return find_best(m, s, &without);
    GSZ_TRY(choose_way(m, s, &other));
    gsz_structure_release(heap, &other);
    const unsigned way = m->way;
    GSZ_TRY(gsz_structure_copy(heap, s, &other));
    m->way = ALONE;
    gsz_structure_know(s, s->t.referenced, 0);
    int status = gather_all(m, &other.t);
    if (status == GSZ_OK) status = find_best(m, s, &without);
    m->way = way;
    if (status == GSZ_OK) status = way == ALONE ? GSZ_OK : gather_all(m, &other.t);
    if (status == GSZ_OK && way != ALONE) {
        status = find_best(m, &other, &with);
        if (status == GSZ_OK && with < without * LEAST_GAIN) {
            gsz_structure_release(heap, s);
            gsz_structure_move(&other, s);
        }
    }
    gsz_structure_release(heap, &other);
    return status;
}

static int learn(material *m, gsz_structure *s, int thoroughly) {
    if (m->low_rank) GSZ_TRY(take_planes(m->work, &s->t, thoroughly || s->t.rounds > 0, m));
    return thoroughly && m->low_rank ? find_thoroughly(m, s) : find_quickly(m, s);
}

int gsz_structure_learn(gsz_work *work, gsz_structure *s, const void *x, int low_rank, int thoroughly, int *possible) {
    material m;
    gsz_row_basis basis;
    memset(&m, 0, sizeof m);
    memset(&basis, 0, sizeof basis);
    m.work = work, m.x = x, m.basis = &basis, m.low_rank = low_rank && gsz_lowrank_possible(&s->t.view), m.thorough = thoroughly;
    GSZ_TRY(subtract_reference(work, &s->t, x, &m.rest));
    GSZ_TRY(measure(work, s, m.rest, possible));
    if (*possible && s->t.referenced) *possible = reference_fits(work, &s->t, x);
    if (!*possible) return GSZ_OK;
    if (s->t.rounds > 0) GSZ_TRY(gsz_model_fit(work, &s->t, m.rest));
    memcpy(m.told, s->t.weights.mean, sizeof m.told);
    int status = learn(&m, s, thoroughly);
    gsz_row_basis_release(work->heap, &basis);
    return status;
}
