#include "learn.h"

#include "bound.h"
#include "fit.h"
#include "fp.h"

#define USUAL_UNIT_BITS 4u
#define LARGEST_MEAN 4096           /* units, of a row's values: larger features saturate */
#define LARGEST_BINS 16384          /* means of rows that are larger have nothing to gain here */

/* What balanced looks for. */
static const gsz_lowrank_options quick = {
    .max_rank = 24, .iterations = 1, .gate = 0.02, .precision = 0.1,
};
#define SAVING_KERNELS 0.65         /* taps predict part of it already */
#define SAVING_MATRICES 1.0

/* Unit and scales.  Fewer unit bits where values span so many bins that features would not fit. */
static int measure(gsz_work *work, gsz_structure *s, const void *x, int *possible) {
    unsigned most = 0;
    for (unsigned f = USUAL_UNIT_BITS;; f = 0) {
        s->t.unit = gsz_model_unit(s->t.dtype, s->t.eb, f);
        *possible = s->t.unit > 0;
        if (!*possible) return GSZ_OK;
        gsz_model_default_weights(f, &s->t.weights);
        GSZ_TRY(gsz_model_scales(work, &s->t, x, s->scales));
        for (size_t i = 0; i < s->t.view.rows; i++) most = GSZ_MAX(most, s->scales[i]);
        int32_t mean = gsz_scale_width(most) >> GSZ_WIDTH_BITS;
        *possible = f > 0 || mean <= LARGEST_BINS;
        if (f == 0 || mean <= LARGEST_MEAN) return GSZ_OK;
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
        gsz_row_gather(v, row, n, itemsize, direct ? (void *)to : work->values.data);
        for (size_t j = 0; direct && j < n; j++) to[j] = in_bins(to[j] * scale);
        for (size_t j = 0; !direct && j < n; j++) to[j] = in_bins((float)(gsz_value_at(t->dtype, work->values.data, j) * inverse));
    }
    return GSZ_OK;
}

/* What the base leaves, in bins, in place. */
static int subtract_base(gsz_work *work, const gsz_structure *s, float *planes) {
    const float unit = 1 / (float)((uint32_t)1 << s->t.weights.unit_bits);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->values, s->low.cols * sizeof(int32_t)));
    int32_t *base = (int32_t *)work->values.data;
    for (size_t i = 0; i < s->low.rows; i++, planes += s->low.cols) {
        gsz_rows_base(work->kernels, &s->t, i, base);
        for (size_t j = 0; j < s->low.cols; j++) planes[j] -= (float)base[j] * unit;
    }
    return GSZ_OK;
}

/* Scales and weights of what is left; a row that was not zero stays so. */
static int fit_rest(gsz_work *work, gsz_structure *s, const float *planes) {
    gsz_modelled rest = s->t;
    const size_t rows = s->t.view.rows;
    gsz_plane_view(&s->t.view, &rest.view);
    rest.dtype = GSZ_FLOAT32;
    rest.low = NULL;
    rest.eb = 0.5;
    rest.unit = 1 / (double)((uint32_t)1 << rest.weights.unit_bits);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->scales, rows));
    uint8_t *scales = (uint8_t *)work->scales.data;
    GSZ_TRY(gsz_model_scales(work, &rest, planes, scales));
    for (size_t i = 0; i < rows; i++)
        if (s->scales[i] != 0) s->scales[i] = GSZ_MAX(scales[i], (uint8_t)1);
    GSZ_TRY(gsz_model_fit(work, &rest, planes));
    s->t.weights = rest.weights;
    return GSZ_OK;
}

static int with_lowrank(gsz_work *work, gsz_structure *s, const void *x, float *planes) {
    gsz_lowrank_options o = quick;
    o.saving = s->t.view.matrix ? SAVING_MATRICES : SAVING_KERNELS;
    o.unit_bits = s->t.weights.unit_bits;
    GSZ_TRY(gather_planes(work, &s->t, x, planes));
    GSZ_TRY(gsz_lowrank_find(work, planes, s->t.view.rows, s->t.view.row_length, &o, &s->low));
    if (s->low.rank == 0) return gsz_model_fit(work, &s->t, x);
    GSZ_TRY(gsz_structure_link(work->heap, s));
    GSZ_TRY(subtract_base(work, s, planes));
    return fit_rest(work, s, planes);
}

int gsz_structure_learn(gsz_work *work, gsz_structure *s, const void *x, int low_rank, int *possible) {
    GSZ_TRY(measure(work, s, x, possible));
    if (!*possible) return GSZ_OK;
    if (!low_rank || !gsz_lowrank_possible(&s->t.view)) return gsz_model_fit(work, &s->t, x);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->bins, (size_t)s->t.view.elements * sizeof(float)));
    return with_lowrank(work, s, x, (float *)work->bins.data);
}
