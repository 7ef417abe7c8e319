/* Low-rank part of the gradient model: a matrix as a sum of few outer products of small integers.
 *
 * Both ends make the base of row i from the factors (format.md), in units of bin / 2^f:
 *
 *   base[c] = (sum over k of a[k][i] * b[k][c] + 2^(shift - 1)) >> shift      modulo 2^32, as int32
 *
 * with |a| and |b| at most 32767 and shift in 1..30.  a is sent as integers to be shifted, or turned (turn.h).  Of kernels b, as a
 * matrix of lanes x (component and tap), may be such a sum itself: both channels of a convolution span few dimensions (the
 * Tucker-2 decomposition).
 *
 * Everything else here is the encoder's: a randomised subspace iteration, a rank chosen by predicted bits, and rounding.  It uses + - * / in a fixed order only, so
 * that the same input gives the same factors everywhere. */
#ifndef GSZ_LOWRANK_H
#define GSZ_LOWRANK_H

#include "work.h"

#define GSZ_MAX_RANK 127u

typedef struct {
    unsigned max_rank;      /* up to GSZ_MAX_RANK */
    unsigned iterations;    /* power iterations: 1 as a rule, 2 for wide spectra; each is two products with the matrix */
    double saving;          /* share of the predicted saving that other means would not have had: 0.65 for convolutions */
    double gate;            /* a first look must predict at least this share of all bits; 0 = no first look */
    double precision;       /* rms error that rounding the factors may add, in bins: 0.1 as a rule */
    unsigned unit_bits;     /* f */
    unsigned taps;          /* of a row, one after another; above 1, b may be a product */
    unsigned sample;        /* a is found by so many columns for each of the subspace; 0 = all of them */
    int turns;              /* a may be turned: every row has it */
    double enough;          /* share of the largest gain: the least rank with so much of it is taken, which is faster; 0 = all */
} gsz_lowrank_options;

/* Leading components of a matrix, best first.  The components of a lower rank are the first ones of a higher.
 * Refers to the matrix. */
typedef struct {
    const float *x;
    gsz_rounding how;       /* what is looked at: x as integers, outliers clipped */
    size_t rows, cols;
    unsigned taps, iterations;
    int turns;
    unsigned count;         /* components; 0 = none worth having */
    float *left;            /* count x rows: orthonormal columns */
    double *energy;         /* of each component, bins^2, falling */
    double *row_energy;     /* sum of squares of each row */
    double bits;            /* predicted, of all values without low rank */
    double saving, enough;
    void *memory;
    size_t memory_size;
} gsz_lowrank_space;

/* Factors: component k is a[k * rows ..] and b[k * cols ..].  rank 0 = none. */
typedef struct gsz_lowrank {
    unsigned rank, shift;
    uint8_t up[GSZ_MAX_RANK];
    unsigned turn;                      /* 1 + the fraction of a turned a (turn.h); 0: a is sent << up */
    int16_t *sent, *a, *b;              /* sent: what stands for a; decoders have it in the place of a */
    size_t rows, cols;
    struct gsz_lowrank *inner;          /* whose sum b is, or is near; NULL = b stands for itself */
    uint32_t *basis;                    /* of an inner one: rows of the round before that its b is, so that the sum is near; or NULL */
    double bits_saved, bits_cost;       /* predicted */
    void *memory;
    size_t memory_size;
} gsz_lowrank;

/* x: rows x cols values in bins, all finite.  It must outlive the space.  max_rank, iterations, saving, gate. */
int gsz_lowrank_decompose(gsz_work *work, const float *x, size_t rows, size_t cols,
                          const gsz_lowrank_options *options, gsz_lowrank_space *space);

/* The rank of most predicted net bits, 0 when none pays; *net = those bits. */
int gsz_lowrank_rank(gsz_work *work, const gsz_lowrank_space *space, unsigned max_rank, double precision,
                     unsigned *rank, double *net);

/* The better of two precisions, that of the options and a coarser one, with the rank for it; 0 when none pays. */
typedef struct { unsigned rank; double precision, net; } gsz_lowrank_choice;
int gsz_lowrank_choose(gsz_work *work, const gsz_lowrank_space *space, const gsz_lowrank_options *options, gsz_lowrank_choice *choice);

/* Integer factors of the first `rank` components.  Their rank may be less: a component that rounds to nothing is dropped.
 * inner: the most components of b as a product; 0 = b for itself. */
int gsz_lowrank_factors(gsz_work *work, const gsz_lowrank_space *space, unsigned rank, double precision,
                        unsigned unit_bits, unsigned inner, gsz_lowrank *out);

/* The three above: factors of the best rank. */
int gsz_lowrank_find(gsz_work *work, const float *x, size_t rows, size_t cols,
                     const gsz_lowrank_options *options, gsz_lowrank *out);

/* The space of a matrix that has been multiplied in place by `by`. */
void gsz_lowrank_scale(gsz_lowrank_space *space, double by);

/* Floats (n x p, rows `stride` apart) as integers for the kernel lowrank_times, each column times its scale; odd n: a row of
 * zeros is added. */
#define GSZ_TIMES_INTEGERS(n, p) ((((n) + 1) & ~(size_t)1) * (p))
void gsz_lowrank_integers(const float *m, size_t stride, size_t n, size_t p, const float *scale, int16_t *to);
/* Scales that make each column as large as integers can be. */
void gsz_lowrank_column_scales(const float *m, size_t stride, size_t n, size_t p, float *scale);

void gsz_lowrank_space_release(gsz_heap *heap, gsz_lowrank_space *space);
void gsz_lowrank_release(gsz_heap *heap, gsz_lowrank *lowrank);

/* Memory for factors, all of it zeros, with what is sent beside a or in its place; and for an inner pair, which has none yet. */
int gsz_lowrank_reserve(gsz_heap *heap, gsz_lowrank *lowrank, unsigned rank, size_t rows, size_t cols, int beside);
int gsz_lowrank_reserve_inner(gsz_heap *heap, gsz_lowrank *lowrank);
void gsz_lowrank_release_inner(gsz_heap *heap, gsz_lowrank *lowrank);
/* a from what is sent. */
int gsz_lowrank_make_left(gsz_work *work, gsz_lowrank *lowrank);
/* For the numbers of GSZ_MAX_RANK rows. */
int gsz_lowrank_reserve_basis(gsz_heap *heap, gsz_lowrank *lowrank);
/* b from the sum that `inner` is, of lanes x (rank * taps); what is beyond its integers becomes the last of them. */
int gsz_lowrank_expand(gsz_work *work, gsz_lowrank *lowrank);

/* b as the kernel lowrank_rows takes it: strips of GSZ_STRIP columns, the last one perhaps narrower, each with its components in
 * pairs, the last one perhaps with zeros: GSZ_LOWRANK_PAIRS(rank) * 2 * cols integers. */
#define GSZ_LOWRANK_PAIRS(rank) (((rank) + 1) / 2)
void gsz_lowrank_pairs(const gsz_lowrank *l, int16_t *b);

/* n rows of the sum, 1 to GSZ_BASE_ROWS, by their numbers; `base` has room for GSZ_BASE_ROWS of them, `stride` apart. */
void gsz_lowrank_rows(const gsz_kernels *kernels, const gsz_lowrank *l, const int16_t *pairs, const size_t *row, unsigned n,
                      int32_t *base, size_t stride);

/* What the sum leaves of rows x cols values in bins of which a unit is `unit`: rest may be x. */
int gsz_lowrank_subtract(gsz_work *work, const gsz_lowrank *l, const int16_t *pairs, const float *x, float unit, float *rest);

#endif
