/* The gradient model: for every element a mean and a width, both linear in integer features, before it is coded
 * (docs/model.md).  Everything here is integer arithmetic modulo 2^32, the same at both ends.
 *
 * Units.  A bin is the width of the quantiser, at most 2 eb; a unit is bin / 2^f, f the tensor's `unit_bits`; widths are in
 * 1/16 unit; weights in 1/64. */
#ifndef GSZ_MODEL_H
#define GSZ_MODEL_H

#include "view.h"

#define GSZ_MAX_UNIT_BITS 12u
#define GSZ_USUAL_UNIT_BITS 4u
#define GSZ_LEAST_RANDOM_BITS 4u        /* with random offsets */
#define GSZ_WIDTH_BITS 4u               /* widths: 1/16 unit */
#define GSZ_WEIGHT_BITS 6u
#define GSZ_MAX_REFERENCE ((int32_t)1 << 29)    /* units */
#define GSZ_MAX_D 32767                 /* features see decoded values cut to 16 bits */

/* Contexts: half octaves of the width, from 2^-7 bin on.  Wider residuals have low bits that are noise: these are stored
 * as they are, and what is above them has the contexts of the last octave, 4 to 8 bins. */
#define GSZ_WIDTH_CONTEXTS 20u
#define GSZ_NARROWEST 7u
#define GSZ_CONTEXTS (GSZ_WIDTH_CONTEXTS + 1)   /* the last one for row scales */

/* With random offsets it matters how near an offset is to the edge of its bin.  Half octaves from 2^-12 bin on: the narrow
 * ones, below 1/4 bin, have a context for each ratio of that distance to the width, the wide ones for each quarter. */
#define GSZ_NARROWEST_DITHERED 12u
#define GSZ_NARROW 20u                          /* half octaves */
#define GSZ_RATIOS 15u
#define GSZ_LEAST_RATIO 4                       /* half octaves below 1 */
#define GSZ_WIDTHS_DITHERED 30u
#define GSZ_FINE 2u                             /* widths are told in eighths of an octave before the ratio is taken */
#define GSZ_QUARTERS 4u
#define GSZ_CONTEXTS_DITHERED (GSZ_RATIOS + (GSZ_WIDTHS_DITHERED - GSZ_NARROW) * GSZ_QUARTERS + 1)
#define GSZ_SYMBOL_ZERO 64              /* residual 0; symbol 0 says that the residual stands elsewhere */
#define GSZ_LARGEST_RESIDUAL 63         /* that has a symbol */
#define GSZ_MAX_RESIDUAL (1 << 18)      /* in bins; farther elements are escaped */

/* Families of mean features (features/list.h). */
enum {
#define FEATURE(name, exists, first) GSZ_FEATURE_##name,
#include "features/list.h"
#undef FEATURE
    GSZ_FEATURES
};

/* What a build for bench/ablation.py leaves out, a bit each: mean features by number, and the others below. */
#ifndef GSZ_WITHOUT
#define GSZ_WITHOUT 0u
#endif
enum { GSZ_WITHOUT_COLUMNS = 1 << 6, GSZ_WITHOUT_ROWS = 1 << 7, GSZ_WITHOUT_INNER = 1 << 8 };

/* Whether tensors of this kind have a feature, and from which tap on. */
int gsz_feature_exists(unsigned feature, int matrix, unsigned rounds);
unsigned gsz_feature_first(unsigned feature, unsigned side);

typedef struct gsz_model_weights {
    unsigned unit_bits;
    int32_t constant, row, column;              /* width: 1/16 bin, row scale, row scale x column mean / total, */
    int32_t past[GSZ_MAX_PAST];                 /* |value| of earlier rounds */
    int32_t mean[GSZ_FEATURES];
    int by_tap;                                 /* kernels whose taps have widths of their own: */
    int8_t tap[GSZ_MAX_TAPS];                   /* how much wider, in 1/16 octave */
} gsz_model_weights;
#define GSZ_LOG_BITS 4u
#define GSZ_MOST_TAP (4 << GSZ_LOG_BITS)        /* either way */
#define GSZ_WIDEST ((int32_t)((127 + 24) << GSZ_LOG_BITS) - 1)         /* logarithm of 2^24 - 1, as the first bits of a float */

/* What a step may know: this row so far, and column sums of the rows before. */
typedef struct gsz_model_row {
    size_t lanes, stride;                       /* a step's array takes `stride` elements, at least one more than lanes */
    unsigned taps, side;
    int matrix;
    int32_t *d;                                 /* taps x stride: decoded less base, cut to 16 bits */
    int32_t *earlier;                           /* sum over the taps so far */
    const int32_t *past[GSZ_MAX_PAST];          /* of the step: values of earlier rounds, cut to 16 bits */
    unsigned rounds;
    int32_t *sums;                              /* column sums of |d|: one array for kernels, one a tap for matrices */
    uint64_t total;                             /* of all sums */
    size_t rows;                                /* summed up */
    int relative;                               /* sums are of |d| as parts of the row's scale, and fade */
} gsz_model_row;

/* Lanes in whole vectors: what loops over a step really do, and what its arrays have room for. */
GSZ_INLINE size_t gsz_wide(size_t lanes) { return (lanes + 7) & ~(size_t)7; }

GSZ_INLINE int32_t gsz_wrap_add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
GSZ_INLINE int32_t gsz_wrap_mul(int32_t a, int32_t b) { return (int32_t)((uint32_t)a * (uint32_t)b); }

/* Width of a row scale: 2^(index / 3) / 256 of ... 1/16 units; index 0 is a row of zeros. */
#define GSZ_SCALES 64u
int32_t gsz_scale_width(unsigned index);

/* One row's widths as loops want them: s = (base + column * cell + sum of past * 16 |value|) >> 6, cell = min(sum >> down, 32767) * ratio >> 8 << up. */
typedef struct gsz_row_widths {
    int32_t base, column;
    uint32_t ratio;
    unsigned down, up, unit_bits, narrowest, widths, fine, rounds;      /* fine: more bits of a context than a half octave */
    int32_t tap;                                /* of the step: added to the logarithm, in 1/16 octave */
    int32_t past[GSZ_MAX_PAST];
} gsz_row_widths;
/* Logarithm of the first context, in the parts that contexts have. */
GSZ_INLINE int32_t gsz_first_width(const gsz_row_widths *w) {
    return (254 + 2 * (int32_t)(w->unit_bits + GSZ_WIDTH_BITS) - 2 * (int32_t)w->narrowest) * (1 << w->fine);
}
void gsz_model_widths(const gsz_model_row *row, const gsz_model_weights *w, int32_t scale, gsz_row_widths *out);

/* Random offsets (format.md 7.8): of bins, in units, from what is drawn for a lane of a row. */
typedef struct gsz_dither { uint32_t first, second, slot; } gsz_dither;
void gsz_dither_row(uint64_t seed, uint32_t slot, uint64_t tensor, uint64_t row, gsz_dither *dither);

/* Weights without a fit. */
void gsz_model_default_weights(unsigned unit_bits, int phased, gsz_model_weights *w);

/* Whether means or widths depend on what was decoded before. */
int gsz_model_learns(const gsz_model_weights *w);

/* Length of a step's arrays, arrays of column sums, and the int32 that a row state takes with their placement there. */
size_t gsz_model_stride(const gsz_view *view);
size_t gsz_model_groups(const gsz_view *view);
size_t gsz_model_row_size(const gsz_view *view);
/* The row's |d| in relative sums. */
void gsz_model_sum_relative(gsz_model_row *row, int32_t scale);
void gsz_model_row_init(const gsz_view *view, int32_t *memory, gsz_model_row *row);

#endif
