#include "lowrank_bits.h"

#define MAX_COLUMNS 136u            /* of the subspace; the kernels take no more */
#define LOOK_COLUMNS 8u             /* of the first look */
#define OVERSAMPLING 4u
#define FEW 6u                      /* components found at the first look: twice its columns are enough then */
#define BLOCK 8u                    /* columns next to each other in a sample */
#define COARSE 1.6                  /* times the precision: better at fine bounds */
#define LEAST_ELEMENTS 1024u
#define LEAST_SIDE 8u
#define LARGEST 1048576.0f          /* bins; what is beyond cannot be predicted, and its squares must not overflow */

/* ---- the rank of most predicted bits */

/* The energy left falls with every component, the cost rises: a few ranks that gain nothing end the search. */
static unsigned best_rank(const gsz_lowrank_space *s, unsigned most, double precision, double *energy, double *net) {
    unsigned best = 0;
    double before = rows_bits(s->row_energy, s->rows, s->cols, 0);
    *net = 0;
    memcpy(energy, s->row_energy, s->rows * sizeof *energy);
    for (unsigned rank = 1; rank <= GSZ_MIN(most, s->count) && rank <= best + 6; rank++) {
        take_component(s, rank - 1, energy);
        double saved = s->saving * (before - rows_bits(energy, s->rows, s->cols, precision * precision));
        double gain = saved - predicted_cost(s, rank, precision);
        if (gain > *net) *net = gain, best = rank;
    }
    return best;
}

/* ---- small dense matrices, row-major, in double */

/* m (n x n, lower) with m g m^T = 1 for the rows that are kept: those of columns that depend on earlier ones, to
 * `tolerance` of their energy, are zeros.  Uses up g, of which the upper triangle is read.  Returns the least ratio
 * kept: what was left of a column after the earlier ones, as a share of its energy. */
double gsz_orthogonalise(double *g, size_t n, double tolerance, double *m) {
    double least = 1, diagonal[MAX_COLUMNS];
    memset(m, 0, n * n * sizeof *m);
    for (size_t k = 0; k < n; k++) diagonal[k] = g[k * n + k], m[k * n + k] = 1;
    for (size_t k = 0; k < n; k++) {
        double *restrict gk = g + k * n, *restrict mk = m + k * n;
        double left = gk[k];
        if (!(left > tolerance * diagonal[k]) || !(left > 1e-200)) {
            memset(mk, 0, n * sizeof *mk);
            continue;
        }
        least = GSZ_MIN(least, left / diagonal[k]);
        double scale = inverse_root(left);
        for (size_t j = k; j < n; j++) gk[j] *= scale;
        for (size_t j = 0; j <= k; j++) mk[j] *= scale;
        for (size_t i = k + 1; i < n; i++) {
            double *restrict gi = g + i * n, *restrict mi = m + i * n, f = gk[i];
            for (size_t j = i; j < n; j++) gi[j] -= f * gk[j];
            for (size_t j = 0; j <= k; j++) mi[j] -= f * mk[j];
        }
    }
    return least;
}

/* Householder: g (full) becomes tridiagonal (diagonal d, e[k] between k and k + 1); q has g = q t q^T. */
static void tridiagonalise(double *g, size_t n, double *d, double *e, double *q) {
    double v[MAX_COLUMNS], w[MAX_COLUMNS], scales[MAX_COLUMNS];
    for (size_t k = 0; k + 1 < n; k++) {
        double *restrict row = g + k * n, norm = 0, beta = 0;
        for (size_t j = k + 1; j < n; j++) norm += row[j] * row[j];
        norm = root(norm);
        d[k] = row[k];
        e[k] = row[k + 1] > 0 ? -norm : norm;
        row[k + 1] -= e[k];
        double half = norm * norm + gsz_abs_double(e[k] * (row[k + 1] + e[k]));   /* v.v / 2 */
        if (k + 2 < n && half > 1e-250) beta = 1 / half;
        if (beta == 0) e[k] = k + 2 < n ? 0 : row[k + 1] + e[k];
        scales[k] = beta;
        if (beta == 0) continue;
        memcpy(v, row, n * sizeof *v);
        memset(w, 0, sizeof w);
        for (size_t i = k + 1; i < n; i++)
            for (size_t j = k + 1; j < n; j++) w[j] += v[i] * g[i * n + j];
        double vw = 0;
        for (size_t j = k + 1; j < n; j++) w[j] *= beta, vw += v[j] * w[j];
        for (size_t j = k + 1; j < n; j++) w[j] -= 0.5 * beta * vw * v[j];
        for (size_t i = k + 1; i < n; i++)
            for (size_t j = k + 1; j < n; j++) g[i * n + j] -= v[i] * w[j] + w[i] * v[j];
    }
    d[n - 1] = g[n * n - 1];
    e[n - 1] = 0;
    memset(q, 0, n * n * sizeof *q);
    for (size_t k = 0; k < n; k++) q[k * n + k] = 1;
    for (size_t k = n - 1; k-- > 0;) {                          /* q = H_0 H_1 ... from the right end */
        const double *row = g + k * n;
        if (scales[k] == 0) continue;
        memset(w, 0, sizeof w);
        for (size_t i = k + 1; i < n; i++)
            for (size_t j = k + 1; j < n; j++) w[j] += row[i] * q[i * n + j];
        for (size_t i = k + 1; i < n; i++) {
            double f = scales[k] * row[i];
            for (size_t j = k + 1; j < n; j++) q[i * n + j] -= f * w[j];
        }
    }
}

/* One implicit QL sweep over [l, m] with Wilkinson's shift; the eigenvectors are rows of v. */
static void ql_sweep(double *d, double *e, size_t l, size_t m, size_t n, double *v) {
    double t = (d[l + 1] - d[l]) / (2 * e[l]), r = root(t * t + 1);
    double g = d[m] - d[l] + e[l] / (t + (t < 0 ? -r : r)), s = 1, c = 1, p = 0;
    for (size_t i = m; i-- > l;) {
        double f = s * e[i], b = c * e[i], square = f * f + g * g;
        if (!(square > 1e-290)) {                               /* split here */
            d[i + 1] -= p;
            e[m] = 0;
            return;
        }
        double inverse = inverse_root_in(square, 2);            /* the longest chain of all this: rough is enough */
        e[i + 1] = square * inverse;
        s = f * inverse;
        c = g * inverse;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        double *restrict v0 = v + i * n, *restrict v1 = v0 + n;
        for (size_t k = 0; k < n; k++) {
            double x = v0[k], y = v1[k];
            v1[k] = s * x + c * y;
            v0[k] = c * x - s * y;
        }
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
}

/* Eigenvalues d and eigenvectors (rows of v) of g, which is used up, as is q.  Every number is at most about 1. */
static void eigenvectors(double *g, size_t n, double *d, double *v, double *q) {
    double e[MAX_COLUMNS];
    tridiagonalise(g, n, d, e, q);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) v[i * n + j] = q[j * n + i];
    for (size_t l = 0; l < n; l++)
        for (int sweep = 0; sweep < 40; sweep++) {              /* two are usual; what is left after 40 is small */
            size_t m = l;
            while (m + 1 < n && gsz_abs_double(e[m]) > 1e-13) m++;
            if (m == l) break;
            ql_sweep(d, e, l, m, n, v);
        }
}

/* ---- subspace iteration
 *
 * `near` spans the shorter side of the matrix, `far` the longer one.  Only near is orthonormalised: near = X^T X near
 * loses components below about a thousandth of the first, which is all that float32 holds. */

typedef struct {
    const gsz_kernels *kernels;
    const float *x;
    size_t rows, cols, near_size, far_size, p;
    double share;                   /* of all columns that x has */
    int wide;                       /* rows are the near side */
    float *near, *far;              /* near_size x p, far_size x p */
    float *turned;                  /* room for the longer of both */
    float *small;                   /* p x p */
    double *g, *v, *q;              /* p x p */
    double *values;                 /* p */
    uint64_t seed;
} iteration;

/* Columns [first, p) of far from the p - first columns that are in near. */
static void far_from_near(iteration *it, size_t first) {
    const size_t n = it->p - first, row = it->wide ? 1 : it->cols, col = it->wide ? it->cols : 1;
    it->kernels->lowrank_product(it->x, row, col, it->near, n, it->far_size, it->near_size, n, it->far + first, it->p);
}

static void near_from_far(iteration *it) {
    const size_t row = it->wide ? it->cols : 1, col = it->wide ? 1 : it->cols;
    it->kernels->lowrank_product(it->x, row, col, it->far, it->p, it->near_size, it->far_size, it->p, it->near, it->p);
}

/* near = near * small. */
static void turn_near(iteration *it) {
    it->kernels->lowrank_product(it->near, it->p, 1, it->small, it->p, it->near_size, it->p, it->p, it->turned, it->p);
    memcpy(it->near, it->turned, it->near_size * it->p * sizeof *it->near);
}

/* Cholesky, and again where columns were so parallel that one pass leaves them askew. */
static void orthonormalise_near(iteration *it) {
    const size_t p = it->p;
    double least = 0;
    for (int pass = 0; pass < 2 && least < 1e-3; pass++) {
        it->kernels->lowrank_gram(it->near, it->near_size, p, it->g);
        least = gsz_orthogonalise(it->g, p, 1e-11, it->v);
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
    eigenvectors(it->g, p, it->values, it->v, it->q);
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
    while (space->count < wanted && it->values[space->count] > 1e-10 * it->values[0] && it->values[space->count] > 1e-30)
        space->count++;
    for (size_t k = 0; k < space->count; k++) {
        double scale = it->wide ? 1 : inverse_root(it->values[k]);
        space->energy[k] = it->values[k] / it->share;
        for (size_t j = 0; j < p; j++) it->small[j * p + k] = (float)(it->v[k * p + j] * scale);
    }
    it->kernels->lowrank_product(from, p, 1, it->small, p, n, p, ROUND_UP(space->count), it->turned, p);
    for (size_t i = 0; i < n; i += 8)
        for (size_t k = 0; k < space->count; k++)
            for (size_t j = i; j < GSZ_MIN(i + 8, n); j++) space->left[k * n + j] = it->turned[j * p + k];
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
    return GSZ_MIN(limit, LARGEST);
}

static int any_beyond(const float *x, size_t n, float limit) {
    int32_t most = (int32_t)gsz_bits_of_float(limit), largest = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t magnitude = (int32_t)(gsz_bits_of_float(x[i]) & 0x7fffffffu);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest > most;
}

/* Row energies of the matrix, or of a clipped copy where values are beyond the limit. */
static int survey(gsz_work *work, gsz_lowrank_space *s) {
    const size_t n = s->rows * s->cols;
    const float limit = outlier_limit(s->x, n);
    if (any_beyond(s->x, n, limit)) {
        s->copy_size = n * sizeof(float);
        s->copy = gsz_alloc(work->heap, s->copy_size);
        GSZ_CHECK(s->copy != NULL, GSZ_E_MEMORY);
        float *restrict to = (float *)s->copy;
        const float *restrict from = s->x;
        for (size_t i = 0; i < n; i++) {
            float v = from[i] > limit ? limit : from[i];
            to[i] = v < -limit ? -limit : v;
        }
        s->x = to;
    }
    for (size_t i = 0; i < s->rows; i++)
        s->row_energy[i] = work->kernels->sum_squares[GSZ_FLOAT32](s->x + i * s->cols, s->cols, 1);
    return GSZ_OK;
}

/* Columns that are enough to find the left factors of a wide matrix by. */
static size_t sampled_columns(const gsz_lowrank_space *s, const gsz_lowrank_options *o, size_t p) {
    const size_t enough = o->sample * p;
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
    it->x = s->x, it->rows = s->rows, it->cols = sampled_columns(s, o, p);
    it->share = (double)it->cols / (double)s->cols;
    it->wide = s->rows <= s->cols;
    it->near_size = it->wide ? it->rows : it->cols, it->far_size = it->wide ? it->cols : it->rows;
    it->seed = 1;
    const size_t sample = it->cols < s->cols ? it->rows * it->cols : 0;
    const size_t longest = GSZ_MAX(it->near_size, it->far_size);        /* a sample may be shorter than the near side */
    size_t doubles = 3 * p * p + p, floats = (it->near_size + it->far_size + longest + p) * p + sample;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->lowrank, doubles * sizeof(double) + floats * sizeof(float)));
    it->g = (double *)work->lowrank.data;
    it->v = it->g + p * p, it->q = it->v + p * p, it->values = it->q + p * p;
    it->near = (float *)(it->values + p);
    it->far = it->near + it->near_size * p, it->turned = it->far + it->far_size * p, it->small = it->turned + longest * p;
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
    double *energy = (double *)it->turned;                      /* at least eight floats a row */
    unsigned rank = best_rank(s, s->count, o->precision, energy, &net);
    return net >= o->gate * all_bits ? rank : 0;
}

/* Columns of the subspace: a third of the shorter side is more than ever pays. */
static size_t subspace_columns(size_t rows, size_t cols, unsigned max_rank) {
    const size_t third = ROUND_UP((GSZ_MIN(rows, cols) + 2) / 3);
    return GSZ_MIN(third, GSZ_MIN((size_t)MAX_COLUMNS, ROUND_UP(max_rank + OVERSAMPLING)));
}

static int components(gsz_work *work, const gsz_lowrank_options *o, size_t p, gsz_lowrank_space *s) {
    iteration it;
    const double all_bits = s->bits = rows_bits(s->row_energy, s->rows, s->cols, 0);
    if (s->saving * all_bits <= GSZ_COMPONENT_BITS + 0.2 * (double)(s->rows + s->cols)) return GSZ_OK;
    GSZ_TRY(begin(work, &it, s, o, p));
    if (o->gate > 0) {
        unsigned seen = first_look(&it, o, all_bits, s);
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
    s->taps = GSZ_MAX(o->taps, 1u), s->iterations = o->iterations, s->turns = o->turns;
    if (o->max_rank == 0 || GSZ_MIN(rows, cols) < LEAST_SIDE || rows * cols < LEAST_ELEMENTS) return GSZ_OK;
    gsz_lowrank_options limited = *o;
    size_t p = subspace_columns(rows, cols, GSZ_MIN(o->max_rank, GSZ_MAX_RANK)), most = GSZ_MIN(p, GSZ_MAX_RANK);
    limited.max_rank = (unsigned)(most = GSZ_MIN(most, o->max_rank));
    s->memory_size = (most + rows) * sizeof(double) + most * rows * sizeof(float);
    s->memory = gsz_alloc(work->heap, s->memory_size);
    GSZ_CHECK(s->memory != NULL, GSZ_E_MEMORY);
    s->energy = (double *)s->memory, s->row_energy = s->energy + most, s->left = (float *)(s->row_energy + rows);
    int status = survey(work, s);
    if (status == GSZ_OK) status = components(work, &limited, p, s);
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

void gsz_lowrank_scale(gsz_lowrank_space *s, double by, size_t n) {
    float *copy = (float *)s->copy;
    for (size_t i = 0; copy != NULL && i < n; i++) copy[i] *= (float)by;
    for (unsigned k = 0; k < s->count; k++) s->energy[k] *= by * by;
    for (size_t i = 0; i < s->rows; i++) s->row_energy[i] *= by * by;
}

void gsz_lowrank_space_release(gsz_heap *heap, gsz_lowrank_space *s) {
    gsz_release(heap, s->memory, s->memory_size);
    gsz_release(heap, s->copy, s->copy_size);
    memset(s, 0, sizeof *s);
}

