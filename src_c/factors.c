/* Factors of low rank: components rounded to integers. */
#include "lowrank_bits.h"
#include "model.h"

#define MOST_FRACTION 6u            /* of a turned a: far below what rounding loses */
#define LEAST_FRACTION 2u

#define INNER_BITS 2u               /* b as a product is in units so much finer: they cost nothing */
#define INNER_PRECISION 0.3         /* rms error that rounding the inner factors may add, in units of b, as a rule */
#define MOST_INNER(rank) ((rank) + (rank) / 2 + 8)      /* both channels are much alike */

typedef struct {
    const gsz_lowrank_space *space;
    const gsz_kernels *kernels;
    gsz_lowrank *out;
    unsigned rank;
    size_t p;                       /* rank, a multiple of 8 */
    int turning;                    /* a is sent turned */
    int exponent[GSZ_MAX_RANK];     /* a unit of what is sent of a times a unit of b is 2^exponent bins */
    float *turned;                  /* columns of a that are still to come, turned as those before them were; then its inverse */
    float *a;                       /* rows x p: the integers of a */
    float *b;                       /* cols x p */
    float *small;                   /* p x p */
    int16_t *integers;              /* rows x p, as the kernel takes them */
    unsigned kept[GSZ_MAX_RANK];    /* the column of b that became a component */
    double *g, *m;                  /* p x p */
    double *energy;                 /* rows */
    double right_cost;              /* bits of b for itself */
} rounding;

GSZ_INLINE float rounded(float v, float limit) {
    v = v > limit ? limit : v;
    v = v < -limit ? -limit : v;
    return (v + 0x1.8p23f) - 0x1.8p23f;
}

/* Component `from` as component k of what is sent; 0 when nothing is left of it.  The product of both units must be a power
 * of two: each takes half of what that changes. */
static int round_left(rounding *r, unsigned from, unsigned k, double step) {
    const gsz_lowrank_space *s = r->space;
    const float *left = (r->turning ? r->turned : s->left) + from * s->rows;
    const size_t n = s->rows - (r->turning ? k : 0);
    double size = component_size(s, from), both = step * step / size;
    int exponent = (int)gsz_round_double(gsz_log_2(both));
    double unit = step * root((double)s->cols / s->energy[from]) * root(power_of_two(exponent) / both);
    float inverse = (float)(1 / unit);
    int16_t *to = r->out->sent + k * s->rows;
    int any = 0;
    for (size_t i = 0; i < s->rows; i++) {
        to[i] = (int16_t)(i < n ? rounded(left[i] * inverse, 32767.0f) : 0);
        any |= to[i];
    }
    r->exponent[k] = exponent;
    return any != 0;
}

/* All of them, the later ones turned by each. */
static void round_columns(rounding *r, unsigned wanted, double step) {
    const gsz_lowrank_space *s = r->space;
    const size_t rows = s->rows;
    r->rank = 0;
    if (r->turning) memcpy(r->turned, s->left, wanted * rows * sizeof *r->turned);
    for (unsigned from = 0; from < wanted; from++) {
        const unsigned k = r->rank;
        if (!round_left(r, from, k, step)) continue;
        r->rank++;
        if (r->turning) gsz_turn_away(r->kernels, r->out->sent + k * rows, rows - k, r->a, r->turned + (from + 1) * rows, wanted - from - 1, rows);
    }
}

/* Energy of n integers. */
static double integers_energy(const int16_t *v, size_t n) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += (uint64_t)((int32_t)v[i] * (int32_t)v[i]);
    return (double)sum;
}

/* Shifts of what is sent, to units that all components share; 0 when they leave int16. */
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
            int32_t v = out->sent[k * out->rows + i];
            most = GSZ_MAX(most, v < 0 ? -v : v);
        }
        if (up < 0 || up > 14 || most << up > 32767) return 0;
        out->up[k] = (uint8_t)up;
    }
    return 1;
}

/* Turned columns are no integers any more: the fraction that they keep.  0 where there is no room for it. */
static int set_fraction(rounding *r) {
    gsz_lowrank *out = r->out;
    double longest = 0;
    out->turn = 0;
    if (!r->turning) return 1;
    if (!gsz_may_turn(r->rank, out->rows)) return 0;
    for (unsigned k = 0; k < r->rank; k++) {
        const double energy = integers_energy(out->sent + k * out->rows, out->rows);
        if (energy > (double)GSZ_TURN_ENERGY) return 0;
        longest = GSZ_MAX(longest, energy * power_of_two(2 * out->up[k]));
    }
    unsigned fraction = 0;
    while (fraction < MOST_FRACTION && longest * power_of_two(2 * (int)fraction + 2) <= 32767.0 * 32767.0) fraction++;
    if (fraction < LEAST_FRACTION || out->shift + fraction > 30) return 0;
    out->turn = 1 + fraction;
    out->shift += fraction;
    return 1;
}

/* The largest sum of squares of a row of a. */
static double longest_row(const rounding *r) {
    float longest = 0;
    for (size_t i = 0; i < r->out->rows; i++) {
        float sum = 0;
        for (unsigned k = 0; k < r->rank; k++) sum += r->a[i * r->p + k] * r->a[i * r->p + k];
        longest = GSZ_MAX(longest, sum);
    }
    return (double)longest;
}

#define INVERSE_UNIT 0x1p40         /* numbers of a g^-1 are about 2^-30 */
#define COLUMNS ((size_t)16)        /* of x, looked at together */

/* b of least squares for the integers of a: b^T = x^T (a g^-1), g = a^T a, in units of b.  Zeros for columns of a that depend
 * on others. */
static void solve_right(rounding *r, unsigned unit_bits) {
    const gsz_lowrank_space *s = r->space;
    const size_t p = r->p, n = r->rank;
    const double unit = power_of_two((int)(r->out->shift + unit_bits)) / (double)s->how.scale;
    float scale[GSZ_MAX_RANK + 1];
    r->kernels->lowrank_gram(r->a, s->rows, p, r->g);
    (void)r->kernels->orthogonalise(r->g, p, 1e-6, r->m);
    for (size_t i = 0; i < p; i++) {
        for (size_t j = 0; j < p; j++) {
            double sum = 0;
            for (size_t k = GSZ_MAX(i, j); k < n; k++) sum += r->m[k * p + i] * r->m[k * p + j];
            r->small[i * p + j] = (float)(sum * INVERSE_UNIT);
        }
    }
    r->kernels->lowrank_product(r->a, p, 1, r->small, p, s->rows, p, p, r->turned, p);
    gsz_lowrank_column_scales(r->turned, p, s->rows, p, scale);
    gsz_lowrank_integers(r->turned, p, s->rows, p, scale, r->integers);
    r->kernels->lowrank_times(s->x, 1, s->cols, &s->how, r->integers, s->cols, s->rows, p, r->b, p);
    for (size_t k = 0; k < p; k++) scale[k] = scale[k] > 0 ? (float)(unit / (INVERSE_UNIT * (double)scale[k])) : 0;
    for (size_t j = 0; j < s->cols; j++)
        for (size_t k = 0; k < p; k++) r->b[j * p + k] *= scale[k];
}

/* Rounds b; 0 when it or a sum leaves its integers (Cauchy: row of a times column of b). */
static int round_right(rounding *r) {
    gsz_lowrank *out = r->out;
    const size_t p = r->p, cols = out->cols;
    float widest = 0;
    uint32_t beyond = 0;
    for (size_t from = 0; from < cols; from += COLUMNS) {
        const size_t here = GSZ_MIN(COLUMNS, cols - from);
        float squares[COLUMNS] = {0};
        for (unsigned k = 0; k < r->rank; k++)
            for (size_t j = 0; j < here; j++) {
                float v = rounded(r->b[(from + j) * p + k], 32768.0f);
                int32_t whole = (int32_t)v;
                beyond += (uint32_t)(whole + 32767) > 65534;
                squares[j] += v * v;
                out->b[k * cols + from + j] = (int16_t)GSZ_MIN(whole, 32767);
            }
        for (size_t j = 0; j < here; j++) widest = GSZ_MAX(widest, squares[j]);
    }
    return beyond == 0 && longest_row(r) * (double)widest < 0x1p61;
}

/* Leaves out components whose b is all zero, but of a turned a, where later ones need them; adds up what the others cost: a, and b
 * for itself. */
static void keep_components(rounding *r) {
    gsz_lowrank *out = r->out;
    const size_t rows = out->rows, cols = out->cols;
    unsigned kept = 0;
    for (unsigned k = 0; k < r->rank; k++) {
        const size_t sent = rows - (out->turn > 0 ? k : 0);
        double ea = integers_energy(out->sent + k * rows, sent), eb = integers_energy(out->b + k * cols, cols);
        if (eb == 0 && out->turn == 0) continue;
        memmove(out->sent + kept * rows, out->sent + k * rows, rows * sizeof *out->sent);
        memmove(out->a + kept * rows, out->a + k * rows, rows * sizeof *out->a);
        memmove(out->b + kept * cols, out->b + k * cols, cols * sizeof *out->b);
        r->kept[kept] = k;
        out->up[kept++] = out->up[k];
        out->bits_cost += GSZ_COMPONENT_BITS + (double)sent * factor_bits(root(ea / (double)sent));
        r->right_cost += (double)cols * factor_bits(root(eb / (double)cols));
    }
    out->rank = kept;
}

/* a as both ends will have it, and as floats. */
static int make_left(gsz_work *work, rounding *r) {
    gsz_lowrank *out = r->out;
    out->rank = r->rank;
    GSZ_TRY(gsz_lowrank_make_left(work, out));
    memset(r->a, 0, out->rows * r->p * sizeof *r->a);
    for (unsigned k = 0; k < r->rank; k++)
        for (size_t i = 0; i < out->rows; i++) r->a[i * r->p + k] = (float)out->a[k * out->rows + i];
    return GSZ_OK;
}

/* One trial: *fits = 1 when all is within its integers. */
static int round_at(gsz_work *work, rounding *r, unsigned wanted, double step, unsigned unit_bits, int *fits) {
    round_columns(r, wanted, step);
    *fits = r->rank == 0;
    if (*fits || !shift_left(r, unit_bits)) return GSZ_OK;
    if (!set_fraction(r)) {
        r->turning = 0;
        return round_at(work, r, wanted, step, unit_bits, fits);
    }
    GSZ_TRY(make_left(work, r));
    solve_right(r, unit_bits);
    *fits = round_right(r);
    return GSZ_OK;
}

static int reserve_rounding(gsz_work *work, rounding *r, unsigned rank) {
    const size_t rows = r->space->rows, cols = r->space->cols, p = ROUND_UP(rank);
    const size_t doubles = 2 * p * p + rows, floats = p * p + 2 * p * rows + p * cols;
    const size_t size = doubles * sizeof(double) + floats * sizeof(float) + GSZ_TIMES_INTEGERS(rows, p) * sizeof(int16_t);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->lowrank, size));
    r->p = p;
    r->g = (double *)work->lowrank.data, r->m = r->g + p * p, r->energy = r->m + p * p;
    r->small = (float *)(r->energy + rows);
    r->a = r->small + p * p, r->turned = r->a + p * rows, r->b = r->turned + p * rows;
    r->integers = (int16_t *)(void *)(r->b + p * cols);
    return GSZ_OK;
}

/* Energies that the factors leave, and the bits of what has them and noise. */
static void take_all(const rounding *r) {
    const gsz_lowrank_space *s = r->space;
    memcpy(r->energy, s->row_energy, s->rows * sizeof *r->energy);
    for (unsigned k = 0; k < r->out->rank; k++) take_component(s, k, r->energy);
}

static double bits_left(const rounding *r, double noise) {
    return r->space->saving * rows_bits(r->energy, r->space->rows, r->space->cols, noise);
}

/* ---- b as a product */

/* What an error of variance 1 in every number of b, in its units, adds to the variance of a value, in bins^2. */
static double weight_of_right(const gsz_lowrank *l, unsigned unit_bits) {
    double sum = 0;
    for (unsigned k = 0; k < l->rank; k++) {
        double unit = power_of_two(-(int)l->shift - (int)unit_bits);
        sum += unit * unit * integers_energy(l->a + k * l->rows, l->rows);
    }
    return sum / (double)l->rows;
}

typedef struct { unsigned rank; double left, precision, bits; } choice;    /* left: energy that so many components do not have */

/* What the inner pair is chosen by: noise and what an error of b adds to it. */
typedef struct { const rounding *r; const gsz_lowrank_space *inner; double noise, weight; } inner_choosing;

/* Bits of the inner pair and of what is left of all values, as far as predicted. */
static double inner_bits(const inner_choosing *q, const choice *c) {
    const double n = (double)q->inner->rows * (double)q->inner->cols, finer = power_of_two(-2 * (int)INNER_BITS);
    const double error = c->left / n * finer + c->precision * c->precision - 1.0 / 12;
    return predicted_cost(q->inner, c->rank, c->precision * (1 << INNER_BITS)) + bits_left(q->r, q->noise + q->weight * error);
}

static void keep_better(const inner_choosing *q, choice c, choice *best) {
    c.bits = inner_bits(q, &c);
    if (c.bits < best->bits) *best = c;
}

static void choose_inner_rank(const inner_choosing *q, unsigned most, choice *best) {
    choice c = {0, 0, best->precision, 0};
    for (size_t i = 0; q->inner->count > 0 && i < q->inner->rows; i++) c.left += q->inner->row_energy[i];
    for (c.rank = 1; c.rank <= GSZ_MIN(most, q->inner->count); c.rank++) {
        c.left = GSZ_MAX(c.left - q->inner->energy[c.rank - 1], 0.0);
        if (c.rank <= 8 || c.rank % (c.rank / 8) == 0) keep_better(q, c, best);
    }
}

static void choose_inner_precision(const inner_choosing *q, choice *best) {
    static const double precisions[] = {0.2, 0.25, 0.3, 0.37, 0.45, 0.55};
    choice c = *best;
    for (unsigned i = 0; i < sizeof precisions / sizeof *precisions; i++) {
        c.precision = precisions[i];
        keep_better(q, c, best);
    }
}

/* Rank and precision of the inner pair of least bits; rank 0: b for itself. */
static choice best_inner(const inner_choosing *q, unsigned most) {
    choice best = {0, 0, INNER_PRECISION, q->r->right_cost + bits_left(q->r, q->noise)};
    choose_inner_rank(q, most, &best);
    if (best.rank == 0) return best;
    choose_inner_precision(q, &best);
    if (best.precision != INNER_PRECISION) choose_inner_rank(q, most, &best);
    return best;
}

/* The largest size of n numbers, in integers: compilers do these in vectors. */
static float largest_of(const float *x, size_t n) {
    uint32_t largest = 0;
    for (size_t i = 0; i < n; i++) largest = GSZ_MAX(largest, gsz_bits_of_float(x[i]) & 0x7fffffffu);
    return gsz_float_of_bits(largest);
}

/* b in finer units, as a matrix of lanes; 0: no room for it. */
static int refine_right(const rounding *r, float *to) {
    const size_t taps = r->space->taps, lanes = r->out->cols / taps, n = r->out->rank * taps;
    const float finer = (float)(1 << INNER_BITS);
    if (largest_of(r->b, r->out->cols * r->p) * finer >= 16384 || r->out->shift + INNER_BITS > 30) return 0;
    for (size_t j = 0; j < lanes; j++, to += n)
        for (size_t tap = 0; tap < taps; tap++) {
            const float *restrict from = r->b + (tap * lanes + j) * r->p;
            for (unsigned k = 0; k < r->out->rank; k++) to[k * taps + tap] = from[r->kept[k]] * finer;
        }
    return 1;
}

static int split_at(gsz_work *work, rounding *r, const float *right, double precision, unsigned unit_bits, unsigned most) {
    gsz_lowrank *out = r->out;
    const gsz_lowrank_options o = {.max_rank = GSZ_MIN(most, MOST_INNER(out->rank)), .iterations = GSZ_MAX(r->space->iterations, 2u) - 1, .saving = 1, .turns = 1,
                                   .precision = INNER_PRECISION * (1 << INNER_BITS)};
    const unsigned taps = r->space->taps;
    gsz_lowrank_space inner;
    GSZ_TRY(gsz_lowrank_decompose(work, right, out->cols / taps, out->rank * taps, &o, &inner));
    const inner_choosing q = {r, &inner, precision * precision, weight_of_right(out, unit_bits)};
    const choice best = best_inner(&q, most);
    int status = GSZ_OK;
    if (best.rank > 0) status = gsz_lowrank_reserve_inner(work->heap, out);
    if (best.rank > 0 && status == GSZ_OK) status = gsz_lowrank_factors(work, &inner, best.rank, best.precision * (1 << INNER_BITS), 0, 0, out->inner);
    gsz_lowrank_space_release(work->heap, &inner);
    if (status != GSZ_OK || best.rank == 0) return status;
    if (out->inner->rank == 0) {
        gsz_lowrank_release_inner(work->heap, out);
        return GSZ_OK;
    }
    out->shift += INNER_BITS;
    return gsz_lowrank_expand(work, out);
}

/* `energy` and all of `rounding` lie in a scratch that the inner pair takes too: what is needed of them is copied. */
static int split_right(gsz_work *work, rounding *r, double precision, unsigned unit_bits, unsigned most) {
    const size_t n = r->out->rank * r->out->cols, rows = r->space->rows, size = rows * sizeof(double) + n * sizeof(float);
    if (most == 0 || r->space->taps == 1 || r->out->rank == 0 || (GSZ_WITHOUT & GSZ_WITHOUT_INNER)) return GSZ_OK;
    double *energy = (double *)gsz_alloc(work->heap, size);
    GSZ_CHECK(energy != NULL, GSZ_E_MEMORY);
    float *right = (float *)(energy + rows);
    int status = GSZ_OK;
    if (refine_right(r, right)) {
        memcpy(energy, r->energy, rows * sizeof *energy);
        r->energy = energy;
        status = split_at(work, r, right, precision, unit_bits, most);
    }
    gsz_release(work->heap, energy, size);
    return status;
}

int gsz_lowrank_reserve(gsz_heap *heap, gsz_lowrank *l, unsigned rank, size_t rows, size_t cols, int beside) {
    memset(l, 0, sizeof *l);
    l->rows = rows, l->cols = cols, l->shift = 1;
    l->memory_size = ((beside ? 2 : 1) * rows + cols) * rank * sizeof(int16_t);
    l->memory = gsz_alloc(heap, l->memory_size);
    GSZ_CHECK(l->memory != NULL, GSZ_E_MEMORY);
    memset(l->memory, 0, l->memory_size);
    l->sent = (int16_t *)l->memory, l->a = l->sent + (beside ? rank * rows : 0), l->b = l->a + rank * rows;
    return GSZ_OK;
}

int gsz_lowrank_reserve_inner(gsz_heap *heap, gsz_lowrank *l) {
    l->inner = (gsz_lowrank *)gsz_alloc(heap, sizeof *l->inner);
    GSZ_CHECK(l->inner != NULL, GSZ_E_MEMORY);
    memset(l->inner, 0, sizeof *l->inner);
    return GSZ_OK;
}

void gsz_lowrank_release_inner(gsz_heap *heap, gsz_lowrank *l) {
    if (l->inner == NULL) return;
    gsz_lowrank_release(heap, l->inner);
    gsz_release(heap, l->inner, sizeof *l->inner);
    l->inner = NULL;
}

int gsz_lowrank_make_left(gsz_work *work, gsz_lowrank *l) {
    if (l->turn > 0) return gsz_turn(work, l->sent, l->rank, l->rows, l->up, l->turn - 1, l->a);
    for (unsigned k = 0; k < l->rank; k++)
        for (size_t i = k * l->rows; i < (k + 1) * l->rows; i++) l->a[i] = (int16_t)((int32_t)l->sent[i] * (1 << l->up[k]));
    return GSZ_OK;
}

int gsz_lowrank_reserve_basis(gsz_heap *heap, gsz_lowrank *l) {
    l->basis = (uint32_t *)gsz_alloc(heap, GSZ_MAX_RANK * sizeof *l->basis);
    GSZ_CHECK(l->basis != NULL, GSZ_E_MEMORY);
    return GSZ_OK;
}

int gsz_lowrank_factors(gsz_work *work, const gsz_lowrank_space *s, unsigned rank, double precision,
                        unsigned unit_bits, unsigned inner, gsz_lowrank *out) {
    memset(out, 0, sizeof *out);
    out->rows = s->rows, out->cols = s->cols, out->shift = 1;
    rank = GSZ_MIN(rank, s->count);
    if (rank == 0) return GSZ_OK;
    rounding r;
    memset(&r, 0, sizeof r);
    r.space = s, r.kernels = work->kernels, r.out = out;
    GSZ_TRY(reserve_rounding(work, &r, rank));
    GSZ_TRY(gsz_lowrank_reserve(work->heap, out, rank, s->rows, s->cols, 1));
    double step = rounding_step(precision, rank);
    int fits = 0;
    r.turning = turns(s, rank);
    for (int trial = 0; !fits && trial < 20; trial++, step *= 2) GSZ_TRY(round_at(work, &r, rank, step, unit_bits, &fits));
    if (!fits) r.rank = 0;
    keep_components(&r);
    take_all(&r);
    out->bits_cost += r.right_cost;
    out->bits_saved = s->saving * rows_bits(s->row_energy, s->rows, s->cols, 0) - bits_left(&r, precision * precision);
    return split_right(work, &r, precision, unit_bits, inner);
}

int gsz_lowrank_find(gsz_work *work, const float *x, size_t rows, size_t cols,
                     const gsz_lowrank_options *o, gsz_lowrank *out) {
    gsz_lowrank_space space;
    gsz_lowrank_choice c;
    memset(out, 0, sizeof *out);
    out->shift = 1;
    GSZ_TRY(gsz_lowrank_decompose(work, x, rows, cols, o, &space));
    int status = gsz_lowrank_choose(work, &space, o, &c);
    if (status == GSZ_OK) status = gsz_lowrank_factors(work, &space, c.rank, c.precision, o->unit_bits, o->max_rank, out);
    gsz_lowrank_space_release(work->heap, &space);
    return status;
}

void gsz_lowrank_pairs(const gsz_lowrank *l, int16_t *b) {
    memset(b, 0, GSZ_LOWRANK_PAIRS(l->rank) * 2 * l->cols * sizeof *b);
    for (size_t c = 0; c < l->cols; c += GSZ_STRIP) {
        const size_t width = GSZ_MIN(GSZ_STRIP, l->cols - c);
        int16_t *strip = b + GSZ_LOWRANK_PAIRS(l->rank) * 2 * c;
        for (unsigned k = 0; k < l->rank; k++) {
            const int16_t *restrict from = l->b + k * l->cols + c;
            int16_t *restrict to = strip + k / 2 * 2 * width + k % 2;
            for (size_t j = 0; j < width; j++) to[2 * j] = from[j];
        }
    }
}

void gsz_lowrank_rows(const gsz_kernels *kernels, const gsz_lowrank *l, const int16_t *pairs, const size_t *row, unsigned n,
                      int32_t *base, size_t stride) {
    const unsigned npairs = GSZ_LOWRANK_PAIRS(l->rank);
    int16_t a[GSZ_BASE_ROWS * (GSZ_MAX_RANK + 1)];
    memset(a, 0, npairs * 2 * GSZ_BASE_ROWS * sizeof *a);
    for (unsigned r = 0; r < GSZ_BASE_ROWS; r++) {
        const int16_t *from = l->a + row[GSZ_MIN(r, n - 1)];    /* rows too many repeat the last one, for nobody */
        for (unsigned k = 0; k < l->rank; k++) a[k / 2 * 2 * GSZ_BASE_ROWS + 2 * r + k % 2] = from[k * l->rows];
    }
    kernels->lowrank_rows(a, npairs, pairs, l->cols, l->shift, base, stride);
}

int gsz_lowrank_subtract(gsz_work *work, const gsz_lowrank *l, const int16_t *pairs, const float *x, float unit, float *rest) {
    const size_t cols = l->cols;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->values, GSZ_BASE_ROWS * cols * sizeof(int32_t)));
    int32_t *base = (int32_t *)work->values.data;
    for (size_t i = 0; i < l->rows; i += GSZ_BASE_ROWS) {
        const size_t row[GSZ_BASE_ROWS] = {i, i + 1, i + 2, i + 3}, n = GSZ_MIN((size_t)GSZ_BASE_ROWS, l->rows - i);
        gsz_lowrank_rows(work->kernels, l, pairs, row, (unsigned)n, base, cols);
        for (size_t j = 0; j < n * cols; j++) rest[i * cols + j] = x[i * cols + j] - (float)base[j] * unit;
    }
    return GSZ_OK;
}

/* Lanes of b from as many rows of the inner sum. */
static void store_lanes(const int32_t *sum, size_t n, size_t cols, size_t lanes, int16_t *to) {
    for (size_t c = 0; c < cols; c++)
        for (size_t j = 0; j < n; j++) to[c * lanes + j] = (int16_t)GSZ_MAX(-32767, GSZ_MIN(sum[j * cols + c], 32767));
}

int gsz_lowrank_expand(gsz_work *work, gsz_lowrank *l) {
    const gsz_lowrank *inner = l->inner;
    const size_t lanes = inner->rows, cols = inner->cols;
    const size_t size = GSZ_BASE_ROWS * cols * sizeof(int32_t) + GSZ_LOWRANK_PAIRS(inner->rank) * 2 * cols * sizeof(int16_t);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->lowrank, size));
    int32_t *sum = (int32_t *)work->lowrank.data;
    int16_t *right = (int16_t *)(void *)(sum + GSZ_BASE_ROWS * cols);
    gsz_lowrank_pairs(inner, right);
    for (size_t j = 0; j < lanes; j += GSZ_BASE_ROWS) {
        const size_t row[GSZ_BASE_ROWS] = {j, j + 1, j + 2, j + 3}, n = GSZ_MIN((size_t)GSZ_BASE_ROWS, lanes - j);
        gsz_lowrank_rows(work->kernels, inner, right, row, (unsigned)n, sum, cols);
        store_lanes(sum, n, cols, lanes, l->b + j);
    }
    return GSZ_OK;
}

void gsz_lowrank_release(gsz_heap *heap, gsz_lowrank *l) {
    gsz_lowrank_release_inner(heap, l);
    if (l->basis != NULL) gsz_release(heap, l->basis, GSZ_MAX_RANK * sizeof *l->basis);
    gsz_release(heap, l->memory, l->memory_size);
    memset(l, 0, sizeof *l);
}
