/* Table of the hot loops.  The portable C twins define the result; others are bit-equal.
 * One text (kernels_tmpl.h, symbols_tmpl.h) is compiled for each feature set. */
#ifndef GSZ_KERNELS_H
#define GSZ_KERNELS_H

#include "common.h"

#define GSZ_ESCAPE INT32_MIN        /* in an array of integers: stored exactly elsewhere */
#define GSZ_ESCAPE16 INT16_MIN
#define GSZ_FAR16 (INT16_MIN + 1)   /* a class that stands in a list of its own */
#define GSZ_FLOAT_TYPES 4           /* GSZ_FLOAT16 .. GSZ_FLOAT64 */

/* Largest |k|: floats hold it exactly, and sums of eight residuals stay inside int32. */
#define GSZ_MAX_K_FLOAT ((int32_t)1 << 22)
#define GSZ_MAX_K_DOUBLE ((int32_t)1 << 27)

typedef struct {
    double step;    /* of the working type: float for 16 and 32 bit types, double for float64 */
    double eb;
    double offset;  /* gradient model: added to the centre that residuals are counted from, in units */
    int aligned;    /* gradient model: bins are counted from 0, whatever the centre is */
} gsz_grid_params;

/* Finite values of an array. */
typedef struct { double min, max; size_t finite; } gsz_range;

struct gsz_bitwriter;           /* bits.h */
struct gsz_bitreader;
struct gsz_symbol_encoder;      /* symbols.h */
struct gsz_symbol_decoder;
struct gsz_rans_decoder;        /* rans.h */
struct gsz_frequencies;
struct gsz_rans_code;
struct gsz_model_row;           /* model.h */
struct gsz_model_weights;
struct gsz_row_widths;
struct gsz_dither;

#define GSZ_TURN_WIDE 16u
#define GSZ_TURN_RATIO 13u      /* bits: a column has at most twice a reflection */
#define GSZ_BASE_ROWS 4u            /* of low rank, made together */
#define GSZ_MOST_DENSE 136u        /* columns of a subspace, a multiple of 8 */
#define GSZ_STRIP ((size_t)16)      /* columns of a base, made together */
/* How floats become integers: times `scale`, cut to +-most.  So many products of one with an integer of 16 bits stay below 2^31. */
typedef struct gsz_rounding { float scale, most; unsigned terms; } gsz_rounding;
#define GSZ_MOST_TERMS 32u          /* for 11 bits; half as many for each bit more */

#define GSZ_FIT_LANES 8u
#define GSZ_FIT_MOST 5u
#define GSZ_FIT_SUMS(n) ((n) * ((n) + 1) / 2 + (n) + 1)     /* squares by rows of the lower triangle, products, the last square */

typedef struct gsz_kernels {
    unsigned mask;

    /* k[i] = number of steps nearest to x[i] where the decoder's value passes a sufficient test of the
     * bound, GSZ_ESCAPE where that is not certain.  Returns how many are not certain. */
    size_t (*quantise[GSZ_FLOAT_TYPES])(const void *x, size_t n, const gsz_grid_params *g, int32_t *k);

    /* y[i] = value of k[i] steps; for escapes anything. */
    void (*dequantise16[GSZ_FLOAT_TYPES])(const int16_t *k, size_t n, double step, void *y);
    void (*dequantise32[GSZ_FLOAT_TYPES])(const int32_t *k, size_t n, double step, void *y);

    /* Range of the finite values, joined to *range. */
    void (*range[GSZ_FLOAT_TYPES])(const void *x, size_t n, gsz_range *range);

    /* Sum of (x * scale)^2 over the finite values, in a fixed order. */
    double (*sum_squares[GSZ_FLOAT_TYPES])(const void *x, size_t n, double scale);

    /* Sum of ((x - value of k) * scale)^2 over what is no escape, in the same order. */
    double (*sum_errors[GSZ_FLOAT_TYPES])(const void *x, const int32_t *k, size_t n, double step, double scale);

    /* How many integers are not zero; *largest has every bit that some |v| has (as v ^ v >> 31, no escapes). */
    size_t (*survey)(const int32_t *v, size_t n, uint32_t *largest);

    /* Positions and values of the non-zero integers, in order; both arrays have room for n + 8. */
    size_t (*compact)(const int32_t *v, size_t n, uint32_t *positions, int32_t *values);

    /* Words of compacted integers (see gsz_symbol_encoder), for `low` raw bits and classes up to `classes`;
     * positions[-1] is the position before the first run.  Returns how many are not simple. */
    size_t (*name_tokens)(const uint32_t *positions, const int32_t *values, size_t count, unsigned low,
                          uint32_t classes, uint32_t *tokens);

    /* Raw low bits of compacted integers, none for 0 bits; escapes have zeros.  Twins: join_low gives symbols from
     * classes and fields of `low` bits, one for every class that is not 0, and returns the bits of all fields; beyond
     * `size` bytes fields are 0. */
    void (*put_low)(const int32_t *values, size_t count, unsigned low, struct gsz_bitwriter *out);
    uint64_t (*join_low)(const int16_t *classes, size_t n, unsigned low, const uint8_t *fields, size_t size, int32_t *v);

    /* Twins: bit fields of several widths, each at most `most`, and values that fit them. */
    void (*put_fields)(struct gsz_bitwriter *b, const uint32_t *v, const uint8_t *width, size_t n, unsigned most);
    void (*get_fields)(struct gsz_bitreader *b, const uint8_t *width, size_t n, unsigned most, uint32_t *v);

    /* v[i] = v[0] + ... + v[i], modulo 2^32. */
    void (*running_sum)(int32_t *v, size_t n);

    /* Positions of a value; returns how many. */
    size_t (*find16)(const int16_t *v, size_t n, int16_t value, uint32_t *positions);
    size_t (*find32)(const int32_t *v, size_t n, int32_t value, uint32_t *positions);

    /* The streams' hot loops; see symbols_tmpl.h. */
    void (*encode_streams)(struct gsz_symbol_encoder *e);
    void (*decode_streams)(struct gsz_symbol_decoder *d);

    /* Tokens of a step, the last first, into memory that ends at p and has 16 bytes more than their words take; returns
     * where the words begin. */
    uint8_t *(*rans_encode)(const struct gsz_rans_code *codes, const uint16_t *tokens, size_t n, unsigned states,
                            uint32_t *state, uint8_t *p);

    /* Symbols of a step (see rans.h), each by the table of its context; words that are missing read as zero. */
    void (*rans_slots)(const struct gsz_frequencies *f, uint32_t *slots);
    void (*rans_decode)(struct gsz_rans_decoder *d, const uint8_t *context, size_t n, uint8_t *symbol);

    /* The gradient model's loops over the lanes of a step; see model_tmpl.h. */
    void (*model_logs)(const struct gsz_row_widths *w, const int32_t *sums, const int32_t *const *past, size_t n, int16_t *log);
    unsigned (*model_contexts)(const struct gsz_row_widths *w, const int16_t *log, size_t n, uint8_t *context, uint8_t *raw);
    void (*model_means)(const struct gsz_model_row *row, const struct gsz_model_weights *w, unsigned tap, size_t n,
                        const int32_t *base, int32_t *mean);
    void (*model_align)(const int32_t *mean, size_t n, unsigned unit_bits, int32_t *centre);
    void (*model_dither)(const struct gsz_dither *d, size_t lane, size_t n, unsigned unit_bits, const int32_t *mean, int32_t *fold, int32_t *centre);
    void (*model_phases)(const uint8_t *width, const int32_t *fold, size_t n, unsigned unit_bits, uint8_t *context);
    void (*model_shrink)(const uint8_t *width, const int32_t *fold, size_t n, unsigned unit_bits, int32_t *shift);
    void (*model_join)(const uint8_t *symbol, const uint32_t *low, const uint8_t *raw, const int32_t *centre, const int32_t *fold,
                       size_t n, unsigned unit_bits, int32_t *y);
    void (*model_join_narrow)(const uint8_t *symbol, const int32_t *centre, const int32_t *fold, size_t n, unsigned unit_bits, int32_t *y);
    size_t (*model_split)(const int32_t *r, const int32_t *fold, const uint8_t *context, const uint8_t *raw, size_t n,
                          uint16_t *token, uint32_t *low);
    void (*model_learn)(struct gsz_model_row *row, unsigned tap, const int32_t *y, const int32_t *base, size_t n);
    uint64_t (*model_sum)(const int32_t *d, size_t n, int32_t *sums);

    /* Residuals of n elements in bins from the centre, and the decoded values y = centre + shift + bins in units of `step`;
     * GSZ_ESCAPE where the bound is not certain, with y = centre + shift.  Returns how many are not certain. */
    size_t (*model_quantise[GSZ_FLOAT_TYPES])(const void *x, size_t n, const gsz_grid_params *g, unsigned unit_bits,
                                              const int32_t *centre, const int32_t *shift, int32_t *r, int32_t *y);

    /* Elements in units, rounded to integers and cut to +-most; 0 for no numbers.  And differences x - y. */
    void (*in_units[GSZ_FLOAT_TYPES])(const void *x, size_t n, double unit, int32_t most, int32_t *out);
    void (*differences[GSZ_FLOAT_TYPES])(const void *x, const void *y, size_t n, void *out);

    /* Twins: elements of 4 bytes, the taps of each lane next to each other, to planes of `lanes` and back. */
    void (*gather_taps)(const void *row, size_t lanes, unsigned taps, void *planes);
    void (*scatter_taps)(const void *planes, size_t lanes, unsigned taps, void *row);

    /* Least squares (fit_tmpl.h): arrays of a multiple of GSZ_FIT_LANES observations; n is up to GSZ_FIT_MOST. */
    void (*fit_sums)(const float *const *f, unsigned n, const float *target, const float *weight, size_t count, double *sums);
    void (*fit_dot)(const float *const *f, unsigned n, const float *w, size_t count, float *out);
    void (*fit_weights)(const float *size, const float *counts, float floor, size_t count, float *weight);
    void (*fit_left)(const float *target, const float *mean, float bin, float part, size_t count, float *left);

    /* Low rank (lowrank_tmpl.h).  Product: c (rows x n) = a (rows x depth, any strides) * b (depth x n).  Gram:
     * g (p x p, upper triangle) = y^T y, p a multiple of 8 up to GSZ_MOST_DENSE.  Rows: the base of GSZ_BASE_ROWS rows from pairs of
     * components, those of all rows together, and b as gsz_lowrank_pairs lays it out. */
    void (*lowrank_product)(const float *a, size_t a_row, size_t a_col, const float *b, size_t b_row,
                            size_t rows, size_t depth, size_t n, float *c, size_t c_row);
    /* Times: the same for x as integers, one of its strides 1, and b of integers, pairs of rows interleaved, n a multiple of 8; exact over
     * `terms` terms, in float over these.  Energy: the sum of squares of such integers. */
    void (*lowrank_times)(const float *x, size_t x_row, size_t x_col, const gsz_rounding *how, const int16_t *b,
                          size_t rows, size_t depth, size_t n, float *c, size_t c_row);
    uint64_t (*lowrank_energy)(const float *x, size_t n, const gsz_rounding *how);
    void (*lowrank_gram)(const float *y, size_t rows, size_t p, double *g);
    void (*lowrank_rows)(const int16_t *a, unsigned pairs, const int16_t *b, size_t cols, unsigned shift, int32_t *base, size_t stride);

    /* Small matrices (dense_tmpl.h).  Orthogonalise: m (n x n, lower) with m g m^T = 1 for the rows that are kept: those of columns that
     * depend on earlier ones, to `tolerance` of their energy, are zeros.  Uses up g, of which the upper triangle is read.  Returns the
     * least ratio kept: what was left of a column after the earlier ones, as a share of its energy.  Eigenvectors: eigenvalues d and
     * eigenvectors (rows of v) of g, which is used up, as is q; every number is at most about 1. */
    double (*orthogonalise)(double *g, size_t n, double tolerance, double *m);
    void (*eigenvectors)(double *g, size_t n, double *d, double *v, double *q);

    /* Turned factors (turn_tmpl.h): sum of products modulo 2^32, and y less ratio / 2^GSZ_TURN_RATIO of v, cut to +-32767; n is a
     * multiple of GSZ_TURN_WIDE.  Away: x of n + 1 lanes, whose part along v, `last` on lane n, is taken twice; scale = 2 / v^T v. */
    uint32_t (*turn_dot)(const int16_t *v, const int16_t *y, size_t n);
    void (*turn_subtract)(const int16_t *v, size_t n, int32_t ratio, int16_t *y);
    void (*turn_away)(const float *v, size_t n, float last, float scale, float *x);

    /* Sum of |x| over the finite ones of n values; adds how many are finite, and how many are
     * above eb or no numbers. */
    double (*sum_sizes[GSZ_FLOAT_TYPES])(const void *x, size_t n, double eb, size_t *finite, size_t *above);

    uint32_t (*crc32c)(uint32_t crc, const uint8_t *p, size_t n);
} gsz_kernels;

/* The best table for a feature mask (already limited to what the machine has). */
const gsz_kernels *gsz_kernels_for(unsigned mask);

extern const gsz_kernels gsz_kernels_portable;
extern const gsz_kernels gsz_kernels_avx2;
extern const gsz_kernels gsz_kernels_vnni;

/* One value, for the careful path and the tests: what the decoder makes of k, and x as a double. */
double gsz_decoded_value(int dtype, int32_t k, double step);
double gsz_value_at(int dtype, const void *x, size_t i);
int32_t gsz_max_k(int dtype);

#endif
