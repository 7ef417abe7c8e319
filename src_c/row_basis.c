#include "row_basis.h"

#include "lowrank_bits.h"

#define CANDIDATES ((size_t)512)        /* rows looked at, spread over all */
#define BLOCK 8u                        /* rows chosen together: what the kernel multiplies at once */
#define LEAST_ENERGY 1e-3               /* of an element of a row, in bins^2: what is below tells nothing */
#define LEAST_LEFT 1e-3                 /* share of its energy that a row must add to the ones before */
#define PRECISION 0.25                  /* rms error that rounding the coefficients may add, in units of b */
#define LEAST_GAIN 0.97                 /* part of the bits of b for itself */

/* ---- the rows */

typedef struct {
    const float *past;
    size_t cols, step, count;           /* candidates: count rows, step apart */
    size_t most;                        /* rows of the basis, in eights */
    double *left;                       /* of each candidate: energy that the basis does not have; 0: not to be chosen */
    double *energy;
    double *factor;                     /* count x most: in the orthonormal basis */
    float *few, *products;              /* cols x BLOCK, count x BLOCK */
} choosing;

static int reserve_choosing(gsz_work *work, choosing *c) {
    const size_t doubles = c->count * (2 + c->most), floats = (c->cols + c->count) * BLOCK;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->lowrank, doubles * sizeof(double) + floats * sizeof(float)));
    c->left = (double *)work->lowrank.data;
    c->energy = c->left + c->count;
    c->factor = c->energy + c->count;
    c->few = (float *)(c->factor + c->count * c->most);
    c->products = c->few + c->cols * BLOCK;
    for (size_t i = 0; i < c->count; i++)
        c->energy[i] = c->left[i] = work->kernels->sum_squares[GSZ_FLOAT32](c->past + i * c->step * c->cols, c->cols, 1);
    return GSZ_OK;
}

/* The candidate that the basis has least of, or count where none is worth it. */
static size_t most_left(const choosing *c, const unsigned *among, unsigned n) {
    size_t most = c->count;
    double least = LEAST_ENERGY * (double)c->cols;
    for (size_t k = 0; k < (among == NULL ? c->count : n); k++) {
        const size_t i = among == NULL ? k : among[k];
        if (c->left[i] > least && c->left[i] > LEAST_LEFT * c->energy[i]) least = c->left[i], most = i;
    }
    return most;
}

/* Candidates of a block, as columns, and their products with all others. */
static unsigned take_block(gsz_work *work, choosing *c, unsigned *chosen) {
    double kept[BLOCK];
    unsigned n = 0;
    for (size_t i; n < BLOCK && (i = most_left(c, NULL, 0)) < c->count; n++) {
        chosen[n] = (unsigned)i;
        kept[n] = c->left[i];
        c->left[i] = 0;
    }
    for (unsigned k = 0; k < n; k++) c->left[chosen[k]] = kept[k];
    if (n == 0) return 0;
    for (unsigned k = 0; k < BLOCK; k++) {
        const float *row = c->past + chosen[GSZ_MIN(k, n - 1)] * c->step * c->cols;
        for (size_t j = 0; j < c->cols; j++) c->few[j * BLOCK + k] = row[j];
    }
    work->kernels->lowrank_product(c->past, c->step * c->cols, 1, c->few, BLOCK, c->count, c->cols, BLOCK, c->products, BLOCK);
    return n;
}

/* Candidate `at`, number `column` of its block, as the next row of the basis: a column of the Cholesky factor. */
static void take_row(choosing *c, gsz_row_basis *basis, size_t at, unsigned column) {
    const unsigned k = basis->count++;
    const double *own = c->factor + at * c->most;
    const double scale = inverse_root(c->left[at]);
    for (size_t i = 0; i < c->count; i++) {
        double *row = c->factor + i * c->most, sum = (double)c->products[i * BLOCK + column];
        for (unsigned j = 0; j < k; j++) sum -= row[j] * own[j];
        row[k] = sum * scale;
        c->left[i] = i == at ? 0 : GSZ_MAX(c->left[i] - row[k] * row[k], 0.0);
    }
    basis->row[k] = (uint32_t)(at * c->step);
    memcpy(basis->triangle + k * c->most, own, (k + 1) * sizeof *own);
    for (size_t j = 0; j < c->cols; j++) basis->turned[j * c->most + k] = c->few[j * BLOCK + column];
}

static int reserve_basis(gsz_heap *heap, size_t cols, size_t most, gsz_row_basis *basis) {
    basis->most = most;
    basis->memory_size = most * most * sizeof(double) + cols * most * sizeof(float);
    basis->triangle = (double *)gsz_alloc(heap, basis->memory_size);
    GSZ_CHECK(basis->triangle != NULL, GSZ_E_MEMORY);
    memset(basis->triangle, 0, basis->memory_size);
    basis->turned = (float *)(basis->triangle + most * most);
    return GSZ_OK;
}

int gsz_row_basis_choose(gsz_work *work, const float *past, size_t rows, size_t cols, gsz_row_basis *basis) {
    const size_t step = (rows + CANDIDATES - 1) / CANDIDATES, wanted = GSZ_MIN((size_t)GSZ_MAX_BASIS, GSZ_MIN(rows, cols) / 2);
    choosing c = {past, cols, step, (rows + step - 1) / step, ROUND_UP(wanted), NULL, NULL, NULL, NULL, NULL};
    gsz_row_basis_release(work->heap, basis);
    GSZ_TRY(reserve_choosing(work, &c));
    GSZ_TRY(reserve_basis(work->heap, cols, c.most, basis));
    for (unsigned chosen[BLOCK], n = BLOCK; n == BLOCK && basis->count < wanted;) {
        n = take_block(work, &c, chosen);
        for (size_t at; basis->count < wanted && (at = most_left(&c, chosen, n)) < c.count;) {
            unsigned column = 0;
            while (chosen[column] != at) column++;
            take_row(&c, basis, at, column);
        }
    }
    return GSZ_OK;
}

void gsz_row_basis_release(gsz_heap *heap, gsz_row_basis *basis) {
    gsz_release(heap, basis->triangle, basis->memory_size);
    memset(basis, 0, sizeof *basis);
}

/* ---- B by the rows: least squares, in units of b and bins */

typedef struct {
    const gsz_row_basis *basis;
    gsz_lowrank *l;
    double *parts;                      /* rank x basis->most: b in the orthonormal basis, then its coefficients */
    double *left;                       /* energy of each component */
    float *b, *products;                /* rank x cols, rank x basis->most */
} solving;

static double size_of(double energy, size_t n) { return root(energy / (double)n); }

/* Bits of b for itself. */
static double direct_bits(const gsz_lowrank *l, const double *energy) {
    double sum = 0;
    for (unsigned k = 0; k < l->rank; k++) sum += factor_bits(size_of(energy[k], l->cols));
    return sum * (double)l->cols;
}

static int project(gsz_work *work, solving *s) {
    const gsz_lowrank *l = s->l;
    const size_t n = s->basis->count, most = s->basis->most, doubles = l->rank * (most + 1), floats = l->rank * (l->cols + most);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->lowrank, doubles * sizeof(double) + floats * sizeof(float)));
    s->parts = (double *)work->lowrank.data;
    s->left = s->parts + l->rank * most;
    s->b = (float *)(s->left + l->rank);
    s->products = s->b + l->rank * l->cols;
    for (size_t j = 0; j < l->rank * l->cols; j++) s->b[j] = (float)l->b[j];
    work->kernels->lowrank_product(s->b, l->cols, 1, s->basis->turned, most, l->rank, l->cols, most, s->products, most);
    for (unsigned k = 0; k < l->rank; k++) {
        double *p = s->parts + k * most;
        s->left[k] = work->kernels->sum_squares[GSZ_FLOAT32](s->b + k * l->cols, l->cols, 1);
        for (unsigned j = 0; j < n; j++) {
            const double *t = s->basis->triangle + j * most;
            double sum = (double)s->products[k * most + j];
            for (unsigned m = 0; m < j; m++) sum -= p[m] * t[m];
            p[j] = sum / t[j];
        }
    }
    return GSZ_OK;
}

/* Bits with the first n rows of the basis. */
static double bits_with(const solving *s, unsigned n) {
    const gsz_lowrank *l = s->l;
    const double step = PRECISION * root(12.0 * (double)l->cols / (double)n);
    double sum = GSZ_COMPONENT_BITS * (double)n;
    for (unsigned k = 0; k < l->rank; k++) {
        double energy = 0;
        for (unsigned j = 0; j < n; j++) energy += s->parts[k * s->basis->most + j] * s->parts[k * s->basis->most + j];
        double left = GSZ_MAX(s->left[k] - energy, 0.0) / (double)l->cols;
        sum += (double)n * factor_bits(size_of(energy, n) / step) + (double)l->cols * factor_bits(root(left + PRECISION * PRECISION));
    }
    return sum;
}

/* Rows to take of the basis; 0: none. */
static unsigned best_count(const solving *s) {
    unsigned best = 0;
    double least = LEAST_GAIN * direct_bits(s->l, s->left);
    for (unsigned n = 0; n < s->basis->count;) {
        n = GSZ_MIN(n + BLOCK, s->basis->count);
        double bits = bits_with(s, n);
        if (bits < least) least = bits, best = n;
    }
    return best;
}

/* Coefficients of the rows themselves, from those in the orthonormal basis. */
static void turn_parts(const solving *s, unsigned n) {
    for (unsigned k = 0; k < s->l->rank; k++) {
        double *p = s->parts + k * s->basis->most;
        for (unsigned j = n; j-- > 0;) {
            for (unsigned m = j + 1; m < n; m++) p[j] -= p[m] * s->basis->triangle[m * s->basis->most + j];
            p[j] /= s->basis->triangle[j * s->basis->most + j];
        }
    }
}

/* Step of the coefficients of a row, 2^exponent, for values in units. */
static int exponent_of(const solving *s, unsigned j, unsigned n, unsigned unit_bits) {
    double energy = 0;
    for (unsigned m = 0; m <= j; m++) energy += s->basis->triangle[j * s->basis->most + m] * s->basis->triangle[j * s->basis->most + m];
    double step = PRECISION * root(12.0 / (double)n) / size_of(energy, s->l->cols);
    return (int)gsz_round_double(gsz_log_2(step)) - (int)unit_bits;
}

/* The coefficients as integers, rows in the order of the tensor; 0 when they leave int16. */
static int round_parts(const solving *s, unsigned n, unsigned unit_bits, gsz_lowrank *inner) {
    unsigned order[GSZ_MAX_BASIS];
    int exponent[GSZ_MAX_BASIS], least = 0;
    for (unsigned k = 0; k < n; k++) {
        unsigned at = k;
        for (; at > 0 && s->basis->row[order[at - 1]] > s->basis->row[k]; at--) order[at] = order[at - 1];
        order[at] = k;
        exponent[k] = exponent_of(s, k, n, unit_bits);
        least = GSZ_MIN(least, exponent[k]);
    }
    inner->shift = (unsigned)GSZ_MAX(1, -least);
    if (inner->shift > 30) return 0;
    for (unsigned k = 0; k < n; k++) {
        const unsigned from = order[k];
        const int up = exponent[from] + (int)inner->shift;
        const double inverse = power_of_two(-exponent[from] - (int)unit_bits);
        if (up > 14) return 0;
        inner->up[k] = (uint8_t)up;
        inner->basis[k] = s->basis->row[from];
        for (unsigned i = 0; i < s->l->rank; i++) {
            double v = gsz_round_double(s->parts[i * s->basis->most + from] * inverse);
            if (!(gsz_abs_double(v) * (double)(1 << up) <= 32767)) return 0;
            inner->sent[k * inner->rows + i] = (int16_t)v;
        }
    }
    inner->rank = n;
    return 1;
}

/* Whether what is really left of b, and the coefficients, are less; b becomes what is left. */
static int compare(gsz_work *work, const solving *s, const int16_t *pairs, int *good) {
    const gsz_lowrank *l = s->l, *inner = l->inner;
    double bits = GSZ_COMPONENT_BITS * (double)inner->rank;
    GSZ_TRY(gsz_lowrank_subtract(work, inner, pairs, s->b, 1, s->b));
    for (unsigned k = 0; k < l->rank; k++) {
        double left = work->kernels->sum_squares[GSZ_FLOAT32](s->b + k * l->cols, l->cols, 1), energy = 0;
        for (unsigned j = 0; j < inner->rank; j++) {
            double c = (double)inner->sent[j * inner->rows + k];
            energy += c * c;
        }
        bits += (double)l->cols * factor_bits(size_of(left, l->cols)) + (double)inner->rank * factor_bits(size_of(energy, inner->rank));
    }
    *good = bits < LEAST_GAIN * direct_bits(l, s->left);
    return GSZ_OK;
}

static int try_basis(gsz_work *work, const solving *s, const gsz_modelled *t, unsigned n, int *good) {
    gsz_lowrank *l = s->l, *inner = l->inner;
    *good = 0;
    GSZ_TRY(gsz_lowrank_reserve(work->heap, inner, n, l->rank, l->cols, 1));
    GSZ_TRY(gsz_lowrank_reserve_basis(work->heap, inner));
    if (!round_parts(s, n, t->weights.unit_bits, inner)) return GSZ_OK;
    GSZ_TRY(gsz_lowrank_make_left(work, inner));
    GSZ_TRY(gsz_row_basis_fill(work, t, inner));
    const size_t size = GSZ_LOWRANK_PAIRS(n) * 2 * l->cols * sizeof(int16_t);
    int16_t *pairs = (int16_t *)gsz_alloc(work->heap, size);
    GSZ_CHECK(pairs != NULL, GSZ_E_MEMORY);
    gsz_lowrank_pairs(inner, pairs);
    int status = compare(work, s, pairs, good);
    gsz_release(work->heap, pairs, size);
    return status;
}

int gsz_row_basis_use(gsz_work *work, const gsz_row_basis *basis, const gsz_modelled *t, gsz_lowrank *l) {
    solving s = {basis, l, NULL, NULL, NULL, NULL};
    int good;
    if (basis->count == 0) return GSZ_OK;
    GSZ_TRY(project(work, &s));
    const unsigned n = best_count(&s);
    if (n == 0) return GSZ_OK;
    turn_parts(&s, n);
    GSZ_TRY(gsz_lowrank_reserve_inner(work->heap, l));
    GSZ_TRY(try_basis(work, &s, t, n, &good));
    if (!good) gsz_lowrank_release_inner(work->heap, l);
    return GSZ_OK;
}

/* ---- both ends */

int gsz_row_basis_fill(gsz_work *work, const gsz_modelled *t, gsz_lowrank *inner) {
    const size_t cols = inner->cols;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->values, cols * sizeof(int32_t)));
    int32_t *row = (int32_t *)work->values.data;
    for (unsigned k = 0; k < inner->rank; k++) {
        GSZ_TRY(gsz_past_row(work, t, 0, inner->basis[k], row));
        for (size_t j = 0; j < cols; j++) inner->b[k * cols + j] = (int16_t)row[j];
    }
    return GSZ_OK;
}
