#include "lowrank.h"

#include "fp.h"

#define MAX_COLUMNS 72u             /* of the subspace; the kernels take up to 80 */
#define LOOK_COLUMNS 8u             /* of the first look */
#define OVERSAMPLING 4u
#define FEW 6u                      /* components found at the first look: twice its columns are enough then */
#define LEAST_ELEMENTS 4096u
#define LEAST_SIDE 8u
#define LARGEST 1048576.0f          /* bins; what is beyond cannot be predicted, and its squares must not overflow */
#define COMPONENT_BITS 16.0         /* width and shift of one component */
#define ROUND_UP(n) (((n) + 7) & ~(size_t)7)

/* ---- plain arithmetic in place of a library */

/* v^(-1/2) for 1e-290 < v < 1e290 by Halley's iteration: two steps leave an error of 1e-11, three an ulp or two. */
GSZ_INLINE double inverse_root_in(double v, int steps) {
    double r = gsz_double_of_bits(0x5fe6eb50c7b537a9u - (gsz_bits_of_double(v) >> 1));
    for (int i = 0; i < steps; i++) {
        double e = 1 - v * r * r;
        r += r * e * (0.5 + 0.375 * e);
    }
    return r;
}

static double inverse_root(double v) { return inverse_root_in(v, 3); }

static double root(double v) { return v > 1e-290 ? v * inverse_root(v) : 0; }

/* log2 of a positive normal number: the exponent, and the series of artanh for the fraction. */
static double log_2(double v) {
    uint64_t bits = gsz_bits_of_double(v);
    int exponent = (int)(bits >> 52) - 1023;
    double m = gsz_double_of_bits((bits & 0xfffffffffffffu) | (uint64_t)1023 << 52);
    if (m > 1.4142135623730951) m *= 0.5, exponent++;
    double z = (m - 1) / (m + 1), s = z * z;
    double series = 1 + s * (1.0 / 3 + s * (1.0 / 5 + s * (1.0 / 7 + s * (1.0 / 9 + s * (1.0 / 11)))));
    return (double)exponent + 2.8853900817779268 * z * series;
}

static double power_of_two(int n) { return gsz_double_of_bits((uint64_t)(1023 + n) << 52); }

/* ---- predicted bits */

/* Entropy of a Laplacian of variance 2^j (1 + q / 8) in bins of 1, j = -9 .. 6, in bits / 8192. */
static const uint16_t laplacian[15 * 8 + 1] = {
    0, 0, 0, 0, 0, 1, 1, 1, 2, 3, 6, 9, 13, 17, 23, 30,
    38, 58, 82, 110, 142, 177, 216, 258, 303, 401, 506, 618, 735, 856, 979, 1105,
    1231, 1485, 1738, 1988, 2233, 2472, 2706, 2933, 3154, 3576, 3974, 4350, 4704, 5038, 5355, 5656,
    5943, 6475, 6963, 7411, 7826, 8212, 8574, 8913, 9232, 9821, 10353, 10838, 11285, 11698, 12083, 12443,
    12781, 13403, 13962, 14472, 14939, 15371, 15773, 16148, 16500, 17146, 17727, 18255, 18739, 19185, 19600, 19987,
    20350, 21015, 21611, 22153, 22649, 23106, 23530, 23925, 24296, 24973, 25581, 26131, 26635, 27099, 27529, 27929,
    28305, 28990, 29604, 30161, 30669, 31137, 31571, 31974, 32352, 33043, 33661, 34220, 34731, 35202, 35637, 36043,
    36423, 37116, 37736, 38297, 38810, 39281, 39718, 40125, 40505,
};

static double laplacian_bits(double variance) {
    if (!(variance >= 0x1p-9)) return 0;
    if (variance >= 64) return 0.5 * log_2(variance) + 1.9427;
    uint64_t bits = gsz_bits_of_double(variance) - ((uint64_t)(1023 - 9) << 52);
    const uint16_t *t = laplacian + (bits >> 49);
    double part = (double)(uint32_t)(bits >> 17) * 0x1p-32;     /* what follows the three bits of the index */
    return ((double)t[0] + ((double)t[1] - (double)t[0]) * part) * 0x1p-13;
}

/* Residual bits of all rows, given their energies; rounded factors add `noise` to every value of a row that is not zero. */
static double rows_bits(const double *energy, size_t rows, size_t cols, double noise) {
    double sum = 0, inverse = 1 / (double)cols;
    for (size_t i = 0; i < rows; i++) sum += energy[i] > 0 ? laplacian_bits(energy[i] * inverse + noise) : 0;
    return sum * (double)cols;
}

/* Bits of one integer of root mean square `width`. */
static double factor_bits(double width) {
    double bits = log_2(4.13 * (width + 0.3));
    return GSZ_MAX(bits, 0.2);
}

/* Root mean square of the values that a component adds, and steps at which its factors are rounded: those of `rank`
 * components add 2 rank equal errors, precision^2 together. */
static double component_size(const gsz_lowrank_space *s, unsigned k) {
    return root(s->energy[k] / ((double)s->rows * (double)s->cols));
}

static double rounding_step(double precision, unsigned rank) { return precision * root(6.0 / (double)rank); }

static double predicted_cost(const gsz_lowrank_space *s, unsigned rank, double precision) {
    double step = rounding_step(precision, rank), sum = 0;
    for (unsigned k = 0; k < rank; k++)
        sum += COMPONENT_BITS + (double)(s->rows + s->cols) * factor_bits(component_size(s, k) / step);
    return sum;
}

/* Takes component k out of the rows' energies. */
static void take_component(const gsz_lowrank_space *s, unsigned k, double *energy) {
    const float *left = s->left + k * s->rows;
    for (size_t i = 0; i < s->rows; i++) {
        double e = energy[i] - s->energy[k] * ((double)left[i] * (double)left[i]);
        energy[i] = energy[i] > 0 ? GSZ_MAX(e, 1e-30) : 0;
    }
}

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
static double orthogonalise(double *g, size_t n, double tolerance, double *m) {
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
    int wide;                       /* rows are the near side */
    float *near, *far;              /* near_size x p, far_size x p */
    float *turned;                  /* room for far_size x p */
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
        least = orthogonalise(it->g, p, 1e-11, it->v);
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
        space->energy[k] = it->values[k];
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

static int begin(gsz_work *work, iteration *it, const gsz_lowrank_space *s, size_t p) {
    memset(it, 0, sizeof *it);
    it->kernels = work->kernels;
    it->x = s->x, it->rows = s->rows, it->cols = s->cols;
    it->wide = s->rows <= s->cols;
    it->near_size = GSZ_MIN(s->rows, s->cols), it->far_size = GSZ_MAX(s->rows, s->cols);
    it->seed = 1;
    size_t doubles = 3 * p * p + p, floats = (it->near_size + 2 * it->far_size + p) * p;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->lowrank, doubles * sizeof(double) + floats * sizeof(float)));
    it->g = (double *)work->lowrank.data;
    it->v = it->g + p * p, it->q = it->v + p * p, it->values = it->q + p * p;
    it->near = (float *)(it->values + p);
    it->far = it->near + it->near_size * p, it->turned = it->far + it->far_size * p, it->small = it->turned + it->far_size * p;
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
    double all_bits = rows_bits(s->row_energy, s->rows, s->cols, 0);
    if (s->saving * all_bits <= COMPONENT_BITS + 0.2 * (double)(s->rows + s->cols)) return GSZ_OK;
    GSZ_TRY(begin(work, &it, s, p));
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

/* ---- factors */

typedef struct {
    const gsz_lowrank_space *space;
    const gsz_kernels *kernels;
    gsz_lowrank *out;
    unsigned rank;
    size_t p;                       /* rank, a multiple of 8 */
    int exponent[GSZ_MAX_RANK];     /* a unit of a times a unit of b is 2^exponent bins */
    float *a;                       /* rows x p: the integers of a */
    float *c, *b;                   /* p x cols */
    float *small;                   /* p x p */
    double *g, *m;                  /* p x p */
    double *energy;                 /* rows */
} rounding;

GSZ_INLINE float rounded(float v, float limit) {
    v = v > limit ? limit : v;
    v = v < -limit ? -limit : v;
    return (v + 0x1.8p23f) - 0x1.8p23f;
}

/* Component `from` as component k of a; 0 when nothing is left of it.  The product of both units must be a power
 * of two: each takes half of what that changes. */
static int round_left(rounding *r, unsigned from, unsigned k, double step) {
    const gsz_lowrank_space *s = r->space;
    const float *left = s->left + from * s->rows;
    double size = component_size(s, from), both = step * step / size;
    int exponent = (int)gsz_round_double(log_2(both));
    double unit = step * root((double)s->cols / s->energy[from]) * root(power_of_two(exponent) / both);
    float inverse = (float)(1 / unit);
    int any = 0;
    for (size_t i = 0; i < s->rows; i++) {
        float v = rounded(left[i] * inverse, 32767.0f);
        r->a[i * r->p + k] = v;
        r->out->a[k * s->rows + i] = (int16_t)v;
        any |= v != 0;
    }
    r->exponent[k] = exponent;
    return any;
}

/* Shifts of a; 0 when they leave int16. */
static int shift_left(rounding *r, unsigned unit_bits) {
    gsz_lowrank *out = r->out;
    int least = r->exponent[0];
    for (unsigned k = 1; k < r->rank; k++) least = GSZ_MIN(least, r->exponent[k]);
    int shift = GSZ_MAX(1, -least - (int)unit_bits);
    if (shift > 30) return 0;
    out->shift = (unsigned)shift;
    for (unsigned k = 0; k < r->rank; k++) {
        int up = r->exponent[k] + shift + (int)unit_bits;
        int32_t most = 0;
        for (size_t i = 0; i < out->rows; i++) {
            int32_t v = out->a[k * out->rows + i];
            most = GSZ_MAX(most, v < 0 ? -v : v);
        }
        if (up < 0 || up > 14 || most << up > 32767) return 0;
        out->up[k] = (uint8_t)up;
    }
    return 1;
}

/* b of least squares for the integers of a: g = a^T a, b = g^-1 a^T x, in units of b.  Zeros for columns of a that
 * depend on others. */
static void solve_right(rounding *r) {
    const gsz_lowrank_space *s = r->space;
    const size_t p = r->p, n = r->rank;
    r->kernels->lowrank_gram(r->a, s->rows, p, r->g);
    (void)orthogonalise(r->g, p, 1e-6, r->m);
    for (size_t i = 0; i < n; i++) {
        double unit = power_of_two(-r->exponent[i]);
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t k = GSZ_MAX(i, j); k < n; k++) sum += r->m[k * p + i] * r->m[k * p + j];
            r->small[i * p + j] = (float)(sum * unit);
        }
    }
    r->kernels->lowrank_product(r->a, 1, p, s->x, s->cols, n, s->rows, s->cols, r->c, s->cols);
    r->kernels->lowrank_product(r->small, p, 1, r->c, s->cols, n, n, s->cols, r->b, s->cols);
}

/* Rounds b; 0 when it or a sum leaves its integers (Cauchy: row of a times column of b). */
static int round_right(rounding *r) {
    gsz_lowrank *out = r->out;
    const size_t rows = out->rows, cols = out->cols;
    float longest = 0, widest = 0;
    uint32_t beyond = 0;
    memset(r->c, 0, cols * sizeof *r->c);
    for (unsigned k = 0; k < r->rank; k++) {
        const float *restrict from = r->b + k * cols;
        float *restrict squares = r->c;
        int16_t *restrict to = out->b + k * cols;
        for (size_t j = 0; j < cols; j++) {
            float v = rounded(from[j], 32768.0f);
            int32_t whole = (int32_t)v;
            beyond += (uint32_t)(whole + 32767) > 65534;
            squares[j] += v * v;
            to[j] = (int16_t)GSZ_MIN(whole, 32767);
        }
    }
    for (size_t j = 0; j < cols; j++) widest = GSZ_MAX(widest, r->c[j]);
    for (size_t i = 0; i < rows; i++) {
        float sum = 0;
        for (unsigned k = 0; k < r->rank; k++) {
            float v = r->a[i * r->p + k] * (float)(1 << out->up[k]);
            sum += v * v;
        }
        longest = GSZ_MAX(longest, sum);
    }
    return beyond == 0 && (double)longest * (double)widest < 0x1p61;
}

/* Energy of n integers. */
static double integers_energy(const int16_t *v, size_t n) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += (uint64_t)((int32_t)v[i] * (int32_t)v[i]);
    return (double)sum;
}

/* Leaves out components whose b is all zero, and adds up what the others cost. */
static void keep_components(rounding *r) {
    gsz_lowrank *out = r->out;
    const size_t rows = out->rows, cols = out->cols;
    unsigned kept = 0;
    for (unsigned k = 0; k < r->rank; k++) {
        double ea = integers_energy(out->a + k * rows, rows), eb = integers_energy(out->b + k * cols, cols);
        if (eb == 0) continue;
        memmove(out->a + kept * rows, out->a + k * rows, rows * sizeof *out->a);
        memmove(out->b + kept * cols, out->b + k * cols, cols * sizeof *out->b);
        out->up[kept++] = out->up[k];
        out->bits_cost += COMPONENT_BITS + (double)rows * factor_bits(root(ea / (double)rows))
                          + (double)cols * factor_bits(root(eb / (double)cols));
    }
    out->rank = kept;
}

/* One trial: 1 when all is within its integers. */
static int round_at(rounding *r, unsigned wanted, double step, unsigned unit_bits) {
    r->rank = 0;
    memset(r->a, 0, r->out->rows * r->p * sizeof *r->a);
    for (unsigned k = 0; k < wanted; k++) r->rank += (unsigned)round_left(r, k, r->rank, step);
    for (size_t i = 0; r->rank < wanted && i < r->out->rows; i++) r->a[i * r->p + r->rank] = 0;     /* of a last one dropped */
    if (r->rank == 0) return 1;
    if (!shift_left(r, unit_bits)) return 0;
    solve_right(r);
    return round_right(r);
}

static int reserve_rounding(gsz_work *work, rounding *r, unsigned rank) {
    const size_t rows = r->space->rows, cols = r->space->cols, p = ROUND_UP(rank);
    size_t doubles = 2 * p * p + rows, floats = p * p + p * rows + 2 * p * cols;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->lowrank, doubles * sizeof(double) + floats * sizeof(float)));
    r->p = p;
    r->g = (double *)work->lowrank.data, r->m = r->g + p * p, r->energy = r->m + p * p;
    r->small = (float *)(r->energy + rows);
    r->a = r->small + p * p, r->c = r->a + p * rows, r->b = r->c + p * cols;
    return GSZ_OK;
}

static double predicted_saving(const rounding *r, double precision) {
    const gsz_lowrank_space *s = r->space;
    memcpy(r->energy, s->row_energy, s->rows * sizeof *r->energy);
    for (unsigned k = 0; k < r->out->rank; k++) take_component(s, k, r->energy);
    return s->saving * (rows_bits(s->row_energy, s->rows, s->cols, 0) - rows_bits(r->energy, s->rows, s->cols, precision * precision));
}

int gsz_lowrank_factors(gsz_work *work, const gsz_lowrank_space *s, unsigned rank, double precision,
                        unsigned unit_bits, gsz_lowrank *out) {
    memset(out, 0, sizeof *out);
    out->rows = s->rows, out->cols = s->cols, out->shift = 1;
    rank = GSZ_MIN(rank, s->count);
    if (rank == 0) return GSZ_OK;
    rounding r;
    memset(&r, 0, sizeof r);
    r.space = s, r.kernels = work->kernels, r.out = out;
    GSZ_TRY(reserve_rounding(work, &r, rank));
    out->memory_size = (s->rows + s->cols) * rank * sizeof(int16_t);
    out->memory = gsz_alloc(work->heap, out->memory_size);
    GSZ_CHECK(out->memory != NULL, GSZ_E_MEMORY);
    out->a = (int16_t *)out->memory, out->b = out->a + rank * s->rows;
    double step = rounding_step(precision, rank);
    int fits = 0;
    for (int trial = 0; !fits && trial < 20; trial++, step *= 2) fits = round_at(&r, rank, step, unit_bits);
    if (!fits) r.rank = 0;
    keep_components(&r);
    if (out->rank > 0) out->bits_saved = predicted_saving(&r, precision);
    return GSZ_OK;
}

int gsz_lowrank_find(gsz_work *work, const float *x, size_t rows, size_t cols,
                     const gsz_lowrank_options *o, gsz_lowrank *out) {
    gsz_lowrank_space space;
    unsigned rank;
    double net;
    memset(out, 0, sizeof *out);
    out->shift = 1;
    GSZ_TRY(gsz_lowrank_decompose(work, x, rows, cols, o, &space));
    int status = gsz_lowrank_rank(work, &space, o->max_rank, o->precision, &rank, &net);
    if (status == GSZ_OK) status = gsz_lowrank_factors(work, &space, rank, o->precision, o->unit_bits, out);
    gsz_lowrank_space_release(work->heap, &space);
    return status;
}

void gsz_lowrank_pairs(const gsz_lowrank *l, int16_t *b) {
    memset(b, 0, GSZ_LOWRANK_PAIRS(l->rank) * 2 * l->cols * sizeof *b);
    for (unsigned k = 0; k < l->rank; k++)
        for (size_t j = 0; j < l->cols; j++) b[(k / 2 * l->cols + j) * 2 + k % 2] = l->b[k * l->cols + j];
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

void gsz_lowrank_release(gsz_heap *heap, gsz_lowrank *l) {
    gsz_release(heap, l->memory, l->memory_size);
    memset(l, 0, sizeof *l);
}
