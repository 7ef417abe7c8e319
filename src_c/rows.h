/* Rows of a tensor under the gradient model (docs/model.md): predicted, quantised and coded step by step. */
#ifndef GSZ_ROWS_H
#define GSZ_ROWS_H

#include "lowrank.h"
#include "segment.h"
#include "tensor.h"

/* A tensor under the gradient model. */
typedef struct {
    int dtype, grid;                    /* gsz_grid, not GSZ_GRID_AUTO */
    const gsz_prior *prior;             /* what both ends have; NULL: nothing */
    int referenced;                     /* whether the reference is used, and how many of the earlier rounds */
    unsigned rounds;
    unsigned set;                       /* of tables */
    uint64_t seed, index;               /* of random offsets: the message's, and the tensor's place in it */
    uint32_t slot;                      /* added to all of them, in 2^-32 bin */
    gsz_view view;
    double eb, unit;                    /* decoded values are integer multiples of `unit`, a value of the working type */
    gsz_model_weights weights;
    const uint8_t *scales;              /* index of the scale of every row, 0 for a row of zeros */
    const gsz_lowrank *low;             /* NULL: no base.  Its columns are ordered tap by tap */
    const int16_t *pairs;               /* gsz_lowrank_pairs of it */
} gsz_modelled;

/* What a look at all values finds: how many are no numbers, how many are above eb, and the sum of |x|. */
typedef struct { size_t strange, above; double sum; } gsz_values_seen;

/* Whether contexts tell where the mean lies in the middle bin: at random, or where the aligned grid left it that comes from
 * a reference.  What is decoded is mostly noise then. */
GSZ_INLINE int gsz_is_phased(const gsz_modelled *t) { return gsz_is_random(t->grid) || (t->grid == GSZ_GRID_ALIGNED && t->referenced); }

/* The unit for a bound and unit bits: bin / 2^f.  0 where that is no normal number. */
double gsz_model_unit(int dtype, int grid, double eb, unsigned unit_bits);

/* A row of round `k` before this one, tap by tap, in units, cut to 16 bits. */
int gsz_past_row(gsz_work *work, const gsz_modelled *t, unsigned k, size_t row, int32_t *out);

/* Twins: rows [from, to) of a tensor whose elements begin at x. */
int gsz_rows_put(gsz_work *work, gsz_segment_encoder *s, const gsz_modelled *t, const void *x, size_t from, size_t to);
/* x may be NULL: what is decoded is not wanted. */
int gsz_rows_get(gsz_work *work, gsz_segment_decoder *s, const gsz_modelled *t, size_t from, size_t to, void *x);

#endif
