#include "lowrank_bits.h"

#define LOOK_COLUMNS 8u             /* of the first look */
#define OVERSAMPLING 4u
#define FEW 6u                      /* components found at the first look: twice its columns are enough then */
#define BLOCK 16u                   /* columns next to each other in a sample */
#define COARSE 1.6                  /* times the precision: better at fine bounds */
#define LEAST_ELEMENTS 1024u
#define LEAST_SIDE 8u
#define LARGEST 1048576.0f          /* bins; what is beyond cannot be predicted */
#define COARSEST 1.25               /* times the precision */
#define LEAST_SEEN 0.01             /* of an energy of integers, whatever rounding may have added */
#define LEAST_LIMIT 0.0009765625f   /* bins: where all is below, there is nothing to predict */

/* ---- the rank of most predicted bits */

/* The energy left falls with every component, the cost rises: a few ranks that gain nothing end the search.  Then the least rank that
 * gains as much as is enough. */
static unsigned best_rank(const gsz_lowrank_space *s, unsigned most, double precision, double *energy, double *net) {
    unsigned best = 0;
    double gain[GSZ_MAX_RANK + 1] = {0};
    const double before = rows_bits(s->row_energy, s->rows, s->cols, 0);
    memcpy(energy, s->row_energy, s->rows * sizeof *energy);
    for (unsigned rank = 1; rank <= GSZ_MIN(most, s->count) && rank <= best + 6; rank++) {
        take_component(s, rank - 1, energy);
        double saved = s->saving * (before - rows_bits(energy, s->rows, s->cols, precision * precision));
        gain[rank] = saved - predicted_cost(s, rank, precision);
        if (gain[rank] > gain[best]) best = rank;
    }
    const double enough = s->enough * gain[best];
    for (unsigned rank = 1; rank < best; rank++)
        if (gain[rank] >= enough) best = rank;
    *net = gain[best];
    return best;
}

/* ---- integers for the kernel */

#define MOST 32767.0f

void gsz_lowrank_column_scales(const float *m, size_t stride, size_t n, size_t p, float *scale) {
    memset(scale, 0, p * sizeof *scale);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < p; j++) {
            const float v = m[i * stride + j], size = v < 0 ? -v : v;
            scale[j] = size > scale[j] ? size : scale[j];
        }
    for (size_t j = 0; j < p; j++) scale[j] = scale[j] > 1e-30f ? MOST / scale[j] : 0;
}

GSZ_INLINE int16_t integer_of(float v) {
    v = v < MOST ? v : MOST;
    v = v > -MOST ? v : -MOST;
    return (int16_t)(gsz_bits_of_float(v + 0x1.8p23f) & 0xffffu);
}

void gsz_lowrank_integers(const float *m, size_t stride, size_t n, size_t p, const float *restrict scale, int16_t *to) {
    for (size_t i = 0; i < n; i += 2) {
        const float *restrict even = m + i * stride;
        const float *restrict odd = i + 1 < n ? even + stride : even;
        const int16_t other = i + 1 < n ? -1 : 0;               /* all bits, or none */
        int16_t *restrict pairs = to + i * p;
        for (size_t j = 0; j < p; j++) {
            pairs[2 * j] = integer_of(even[j] * scale[j]);
            pairs[2 * j + 1] = (int16_t)(integer_of(odd[j] * scale[j]) & other);
        }
    }
}

/* ---- subspace iteration
 *
 * `near` spans the shorter side of the matrix, `far` the longer one.  Only near is orthonormalised: near = X^T X near
 * loses components below about a thousandth of the first, which is all that float32 holds.  Products with X are of
 * integers, X times its scale and near or far with 15 bits: far is of units so much larger. */

typedef struct {
    const gsz_kernels *kernels;
    const float *x;
    gsz_rounding how;
    size_t rows, cols, near_size, far_size, p;
    double share;                   /* of all columns that x has */
    int wide;                       /* rows are the near side */
    float *near, *far;              /* near_size x p, far_size x p */
    int16_t *integers;              /* of the longer of both */
    float *turned;                  /* TURNED_ROWS x p */
    float *small;                   /* p x p */
    double *g, *v, *q;              /* p x p */
    double *values;                 /* p: of far^T far, as it is */
    double *energy;                 /* rows */
    uint64_t seed;
} iteration;

#define TURNED_ROWS ((size_t)64)

/* What rounding adds to the energy of n values, in bins^2. */
static double noise_of(double n, float scale) { return n / (12 * ((double)scale * (double)scale)); }

/* Energy of a component of far^T far, in bins^2. */
static double energy_of(const iteration *it, double value) {
    const double unit = 1 / ((double)MOST * (double)it->how.scale), seen = value * (unit * unit);
    return GSZ_MAX(seen - noise_of((double)it->far_size, it->how.scale), seen * LEAST_SEEN) / it->share;
}

/* Columns [first, p) of far from the p - first columns that are in near. */
static void far_from_near(iteration *it, size_t first) {
    const size_t n = it->p - first, row = it->wide ? 1 : it->cols, col = it->wide ? it->cols : 1;
    float scale[GSZ_MOST_DENSE];
    for (size_t j = 0; j < n; j++) scale[j] = MOST;             /* no number of near is above 1 */
    gsz_lowrank_integers(it->near, n, it->near_size, n, scale, it->integers);
    it->kernels->lowrank_times(it->x, row, col, &it->how, it->integers, it->far_size, it->near_size, n, it->far + first, it->p);
}

/* Near as large as it may be: whatever it is, its columns are orthonormalised. */
static void near_from_far(iteration *it) {
    const size_t row = it->wide ? it->cols : 1, col = it->wide ? 1 : it->cols;
    float scale[GSZ_MOST_DENSE];
    gsz_lowrank_column_scales(it->far, it->p, it->far_size, it->p, scale);
    gsz_lowrank_integers(it->far, it->p, it->far_size, it->p, scale, it->integers);
    it->kernels->lowrank_times(it->x, row, col, &it->how, it->integers, it->near_size, it->far_size, it->p, it->near, it->p);
}

/* near = near * small. */
static void turn_near(iteration *it) {
    const size_t p = it->p;
    for (size_t i = 0; i < it->near_size; i += TURNED_ROWS) {
        const size_t here = GSZ_MIN(TURNED_ROWS, it->near_size - i);
        it->kernels->lowrank_product(it->near + i * p, p, 1, it->small, p, here, p, p, it->turned, p);
        memcpy(it->near + i * p, it->turned, here * p * sizeof *it->near);
    }
}

/* Cholesky, and again where columns were so parallel that one pass leaves them askew. */
static void orthonormalise_near(iteration *it) {
    const size_t p = it->p;
    double least = 0;
    for (int pass = 0; pass < 2 && least < 1e-3; pass++) {
        it->kernels->lowrank_gram(it->near, it->near_size, p, it->g);
        least = it->kernels->orthogonalise(it->g, p, 1e-11, it->v);
        for (size_t i = 0; i < p; i++)
            for (size_t j = 0; j < p; j++) it->small[j * p + i] = (float)it->v[i * p + j];
        turn_near(it);
    }
}

/* n random columns in near: splitmix64. */
static void random_columns(iteration *it, size_t n) {
    for (size_t i = 0; i < it->near_size * n; i++) {
        uint64_t z = (it->seed += 0x9e3779b97f4a7c15u);
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        it->near[i] = (float)((int32_t)(z >> 40) - (1 << 23)) * 0x1p-23f;
    }
}

/* Columns of far added up to p; near is used up. */
static void widen(iteration *it, size_t p) {
    const size_t old = it->p;
    for (size_t i = it->far_size; old < p && i-- > 0;) memmove(it->far + i * p, it->far + i * old, old * sizeof *it->far);
    it->p = p;
    random_columns(it, p - old);
    far_from_near(it, old);
}

/* values and v: eigenvalues, falling, and eigenvectors (rows) of far^T far. */
static void solve(iteration *it) {
    const size_t p = it->p;
    double trace = 0, scale;
    it->kernels->lowrank_gram(it->far, it->far_size, p, it->g);
    for (size_t i = 0; i < p; i++) trace += it->g[i * p + i];
    scale = trace > 1e-200 ? 1 / trace : 0;
    for (size_t i = 0; i < p; i++)
        for (size_t j = i; j < p; j++) it->g[j * p + i] = it->g[i * p + j] *= scale;
    it->kernels->eigenvectors(it->g, p, it->values, it->v, it->q);
    for (size_t i = 0; i < p; i++) it->values[i] = GSZ_MAX(it->values[i], 0.0) * trace;
    for (size_t i = 0; i < p; i++) {                            /* in order: p is small */
        size_t largest = i;
        for (size_t j = i + 1; j < p; j++)
            if (it->values[j] > it->values[largest]) largest = j;
        if (largest == i) continue;
        double value = it->values[i];
        it->values[i] = it->values[largest], it->values[largest] = value;
        for (size_t j = 0; j < p; j++) {
            value = it->v[i * p + j];
            it->v[i * p + j] = it->v[largest * p + j], it->v[largest * p + j] = value;
        }
    }
}

/* Power iterations from far on. */
static void iterate(iteration *it, unsigned iterations) {
    for (unsigned i = 0; i < iterations; i++) {
        near_from_far(it);
        orthonormalise_near(it);
        far_from_near(it, 0);
    }
    solve(it);
}

/* The first components to the space: left = near v, or far v made unit vectors. */
static void give_components(iteration *it, unsigned most, gsz_lowrank_space *space) {
    const size_t p = it->p, n = it->rows;
    const float *from = it->wide ? it->near : it->far;
    const unsigned wanted = (unsigned)GSZ_MIN((size_t)most, p);
    space->count = 0;
    while (space->count < wanted && it->values[space->count] > 1e-10 * it->values[0] && energy_of(it, it->values[space->count]) > 1e-30)
        space->count++;
    for (size_t k = 0; k < space->count; k++) {
        double scale = it->wide ? 1 : inverse_root(it->values[k]);
        space->energy[k] = energy_of(it, it->values[k]);
        for (size_t j = 0; j < p; j++) it->small[j * p + k] = (float)(it->v[k * p + j] * scale);
    }
    for (size_t i = 0; i < n; i += TURNED_ROWS) {
        const size_t here = GSZ_MIN(TURNED_ROWS, n - i);
        it->kernels->lowrank_product(from + i * p, p, 1, it->small, p, here, p, ROUND_UP(space->count), it->turned, p);
        for (size_t k = 0; k < space->count; k++)
            for (size_t r = 0; r < here; r++) space->left[k * n + i + r] = it->turned[r * p + k];
    }
}

/* ---- the matrix */

/* A multiple of what 98 % of the values that are not zero stay below, on a spread sample. */
static float outlier_limit(const float *x, size_t n) {
    uint32_t counts[256] = {0}, nonzero = 0;
    const size_t samples = 2048;
    for (size_t i = 0; i < samples; i++) {
        uint64_t spread = (uint32_t)((uint32_t)i * 0x9e3779b1u);
        uint32_t bits = gsz_bits_of_float(x[(size_t)(spread * (uint64_t)(n >> 8) >> 24)]) & 0x7fffffffu;
        counts[bits >> 23]++;
        nonzero += bits != 0;
    }
    uint32_t above = 0;
    unsigned e = 255;
    while (e > 0 && (above += counts[e]) * 50 <= nonzero) e--;
    e += 1 + 3;                                             /* 8 times the upper end of that octave */
    float limit = gsz_float_of_bits((uint32_t)GSZ_MIN(e, 254u) << 23);
    return GSZ_MAX(GSZ_MIN(limit, LARGEST), LEAST_LIMIT);
}

/* Integers of 11 bits, which are fastest, or up to 14 where these would be coarser than the precision that factors have. */
static gsz_rounding rounding_for(float limit, double precision) {
    gsz_rounding how = {2048, 2047, GSZ_MOST_TERMS};
    for (; how.terms > 4 && (double)limit > COARSEST * precision * (double)how.scale; how.terms /= 2) how.scale *= 2, how.most = 2 * how.most + 1;
    how.scale /= limit;
    return how;
}

/* Columns that are enough to find the left factors of a wide matrix by. */
static size_t sampled_columns(const gsz_lowrank_space *s, const gsz_lowrank_options *o, size_t p) {
    const size_t enough = (o->sample * p + BLOCK - 1) / BLOCK * BLOCK;
    return enough > 0 && s->rows <= s->cols && 2 * enough < s->cols ? enough : s->cols;
}

/* Blocks of columns from all over the matrix, each somewhere in its part of it. */
static void sample_columns(const gsz_lowrank_space *s, size_t columns, float *to) {
    const size_t blocks = columns / BLOCK, part = s->cols / blocks;
    for (size_t b = 0; b < blocks; b++) {
        const size_t shift = (size_t)((uint32_t)((uint32_t)b * 0x9e3779b9u) >> 16) * (part - BLOCK + 1) >> 16;
        const float *from = s->x + b * part + shift;
        for (size_t i = 0; i < s->rows; i++) memcpy(to + i * columns + b * BLOCK, from + i * s->cols, BLOCK * sizeof *to);
    }
}

static int begin(gsz_work *work, iteration *it, const gsz_lowrank_space *s, const gsz_lowrank_options *o, size_t p) {
    memset(it, 0, sizeof *it);
    it->kernels = work->kernels;
    it->x = s->x, it->how = s->how, it->rows = s->rows, it->cols = sampled_columns(s, o, p);
    it->share = (double)it->cols / (double)s->cols;
    it->wide = s->rows <= s->cols;
    it->near_size = it->wide ? it->rows : it->cols, it->far_size = it->wide ? it->cols : it->rows;
    it->seed = 1;
    const size_t sample = it->cols < s->cols ? it->rows * it->cols : 0;
    const size_t longest = GSZ_MAX(it->near_size, it->far_size);        /* a sample may be shorter than the near side */
    const size_t doubles = 3 * p * p + p + it->rows, floats = (it->near_size + it->far_size + TURNED_ROWS + p) * p + sample;
    const size_t size = doubles * sizeof(double) + floats * sizeof(float) + GSZ_TIMES_INTEGERS(longest, p) * sizeof(int16_t);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->lowrank, size));
    it->g = (double *)work->lowrank.data;
    it->v = it->g + p * p, it->q = it->v + p * p, it->values = it->q + p * p, it->energy = it->values + p;
    it->near = (float *)(it->energy + it->rows);
    it->far = it->near + it->near_size * p, it->turned = it->far + it->far_size * p, it->small = it->turned + TURNED_ROWS * p;
    it->integers = (int16_t *)(void *)(it->small + p * p + sample);
    if (sample == 0) return GSZ_OK;
    sample_columns(s, it->cols, it->small + p * p);
    it->x = it->small + p * p;
    return GSZ_OK;
}

/* The rank that the first look finds; 0 when it does not predict the share of all bits that is asked for. */
static unsigned first_look(iteration *it, const gsz_lowrank_options *o, double all_bits, gsz_lowrank_space *s) {
    double net;
    widen(it, LOOK_COLUMNS);
    iterate(it, 1);
    give_components(it, (unsigned)GSZ_MIN((size_t)o->max_rank, it->p), s);
    unsigned rank = best_rank(s, s->count, o->precision, it->energy, &net);
    return net >= o->gate * all_bits ? rank : 0;
}

/* Columns of the subspace: a third of the shorter side is more than ever pays. */
static size_t subspace_columns(size_t rows, size_t cols, unsigned max_rank) {
    const size_t third = ROUND_UP((GSZ_MIN(rows, cols) + 2) / 3);
    return GSZ_MIN(third, GSZ_MIN((size_t)GSZ_MOST_DENSE, ROUND_UP(max_rank + OVERSAMPLING)));
}

/* The energies of rows, by what the iteration sees of them. */
static void survey(const iteration *it, gsz_lowrank_space *s) {
    const double noise = noise_of((double)it->cols, it->how.scale), unit = 1 / (double)it->how.scale;
    for (size_t i = 0; i < it->rows; i++) {
        const double seen = (double)it->kernels->lowrank_energy(it->x + i * it->cols, it->cols, &it->how) * (unit * unit);
        s->row_energy[i] = GSZ_MAX(seen - noise, seen * LEAST_SEEN) / it->share;
    }
    s->bits = rows_bits(s->row_energy, s->rows, s->cols, 0);
}

static int components(gsz_work *work, const gsz_lowrank_options *o, size_t p, gsz_lowrank_space *s) {
    iteration it;
    GSZ_TRY(begin(work, &it, s, o, p));
    survey(&it, s);
    if (s->saving * s->bits <= GSZ_COMPONENT_BITS + 0.2 * (double)(s->rows + s->cols)) return GSZ_OK;
    if (o->gate > 0) {
        unsigned seen = first_look(&it, o, s->bits, s);
        s->count = 0;
        if (seen == 0) return GSZ_OK;
        if (seen <= FEW) p = GSZ_MIN(p, (size_t)(2 * LOOK_COLUMNS));
    }
    if (p > it.p) widen(&it, p);
    iterate(&it, GSZ_MAX(o->iterations, 1u));
    give_components(&it, o->max_rank, s);
    return GSZ_OK;
}

int gsz_lowrank_decompose(gsz_work *work, const float *x, size_t rows, size_t cols,
                          const gsz_lowrank_options *o, gsz_lowrank_space *s) {
    memset(s, 0, sizeof *s);
    s->x = x, s->rows = rows, s->cols = cols, s->saving = o->saving;
    s->enough = o->enough > 0 ? o->enough : 1;
    s->taps = GSZ_MAX(o->taps, 1u), s->iterations = o->iterations, s->turns = o->turns;
    if (o->max_rank == 0 || GSZ_MIN(rows, cols) < LEAST_SIDE || rows * cols < LEAST_ELEMENTS) return GSZ_OK;
    gsz_lowrank_options limited = *o;
    size_t p = subspace_columns(rows, cols, GSZ_MIN(o->max_rank, GSZ_MAX_RANK)), most = GSZ_MIN(p, GSZ_MAX_RANK);
    limited.max_rank = (unsigned)(most = GSZ_MIN(most, o->max_rank));
    s->memory_size = (most + rows) * sizeof(double) + most * rows * sizeof(float);
    s->memory = gsz_alloc(work->heap, s->memory_size);
    GSZ_CHECK(s->memory != NULL, GSZ_E_MEMORY);
    s->energy = (double *)s->memory, s->row_energy = s->energy + most, s->left = (float *)(s->row_energy + rows);
    s->how = rounding_for(outlier_limit(x, rows * cols), o->precision);
    int status = components(work, &limited, p, s);
    if (status != GSZ_OK) gsz_lowrank_space_release(work->heap, s);
    return status;
}

int gsz_lowrank_rank(gsz_work *work, const gsz_lowrank_space *s, unsigned max_rank, double precision,
                     unsigned *rank, double *net) {
    *rank = 0;
    *net = 0;
    if (s->count == 0) return GSZ_OK;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->lowrank, s->rows * sizeof(double)));
    *rank = best_rank(s, max_rank, precision, (double *)work->lowrank.data, net);
    return GSZ_OK;
}

int gsz_lowrank_choose(gsz_work *work, const gsz_lowrank_space *s, const gsz_lowrank_options *o, gsz_lowrank_choice *c) {
    gsz_lowrank_choice coarse = {0, o->precision * COARSE, 0};
    c->precision = o->precision;
    GSZ_TRY(gsz_lowrank_rank(work, s, o->max_rank, c->precision, &c->rank, &c->net));
    if (c->rank == 0) return GSZ_OK;
    GSZ_TRY(gsz_lowrank_rank(work, s, o->max_rank, coarse.precision, &coarse.rank, &coarse.net));
    if (coarse.net > c->net) *c = coarse;
    return GSZ_OK;
}

void gsz_lowrank_scale(gsz_lowrank_space *s, double by) {
    s->how.scale = (float)((double)s->how.scale / by);
    for (unsigned k = 0; k < s->count; k++) s->energy[k] *= by * by;
    for (size_t i = 0; i < s->rows; i++) s->row_energy[i] *= by * by;
}

void gsz_lowrank_space_release(gsz_heap *heap, gsz_lowrank_space *s) {
    gsz_release(heap, s->memory, s->memory_size);
    memset(s, 0, sizeof *s);
}

