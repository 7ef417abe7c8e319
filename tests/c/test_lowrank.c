/* Low rank: every kernel table gives the same bits; components are found, noise is not; nothing breaks it. */
#include "lowrank.h"
#include "samples.h"
#include "turn.h"

static const unsigned masks[] = {GSZ_CPU_SSE42, GSZ_CPU_AVX2 | GSZ_CPU_SSE42, GSZ_CPU_ALL};
#define MASKS (sizeof masks / sizeof masks[0])

static const gsz_lowrank_options usual = {.max_rank = 24, .iterations = 1, .saving = 1, .gate = 0.02, .precision = 0.1, .unit_bits = 4};

/* About normal, of variance 1. */
static float normal(uint64_t *seed) { return (float)sample_normal(seed) * (1.7320508f / 65536); }

static float *new_floats(size_t n) {
    float *x = (float *)calloc(n ? n : 1, sizeof *x);
    if (x == NULL) abort();
    return x;
}

static float *noise(size_t n, float size, uint64_t seed) {
    float *x = new_floats(n);
    for (size_t i = 0; i < n; i++) x[i] = size * normal(&seed);
    return x;
}

/* A sum of `rank` outer products, each half as large as the one before, and noise. */
static float *spectrum(size_t rows, size_t cols, unsigned rank, float largest, float rest, uint64_t seed) {
    float *x = noise(rows * cols, rest, seed ^ 77), *u = new_floats(rows), *v = new_floats(cols);
    for (unsigned k = 0; k < rank; k++, largest *= 0.5f) {
        for (size_t i = 0; i < rows; i++) u[i] = largest * normal(&seed);
        for (size_t j = 0; j < cols; j++) v[j] = normal(&seed);
        for (size_t i = 0; i < rows * cols; i++) x[i] += u[i / cols] * v[i % cols];
    }
    free(u);
    free(v);
    return x;
}

/* A worker with its own heap. */
typedef struct { gsz_heap heap; gsz_work work; } worker;

static void start(worker *w, unsigned mask, uint64_t limit) {
    gsz_options options;
    memset(&options, 0, sizeof options);
    options.max_memory = limit;
    gsz_heap_init(&w->heap, &options);
    gsz_work_init(&w->work, &w->heap, gsz_kernels_for(gsz_cpu_features() & mask));
}

static void stop(worker *w) {
    gsz_work_release(&w->work);
    CHECK_EQ(w->heap.used, 0);
    gsz_heap_destroy(&w->heap);
}

/* The definition of lowrank.h. */
static int32_t base_at(const gsz_lowrank *l, size_t i, size_t c) {
    uint32_t sum = (uint32_t)1 << (l->shift - 1);
    for (unsigned k = 0; k < l->rank; k++)
        sum += (uint32_t)(int32_t)l->a[k * l->rows + i] * (uint32_t)(int32_t)l->b[k * l->cols + c];
    return (int32_t)sum >> l->shift;
}

/* Mean square of what the base leaves, in bins; checks the kernel and the ranges on the way. */
static double left_over(worker *w, const gsz_lowrank *l, const float *x, unsigned unit_bits) {
    int16_t *pairs = (int16_t *)malloc(GSZ_LOWRANK_PAIRS(l->rank) * 2 * l->cols * sizeof *pairs + 1);
    int32_t *base = (int32_t *)malloc(GSZ_BASE_ROWS * l->cols * sizeof *base);
    double sum = 0;
    CHECK(l->rank <= GSZ_MAX_RANK && l->shift >= 1 && l->shift <= 30);
    gsz_lowrank_pairs(l, pairs);
    for (unsigned k = 0; k < l->rank; k++) {
        int any_a = 0, any_b = 0;
        for (size_t i = 0; i < l->rows; i++) {
            any_a |= l->a[k * l->rows + i];
            CHECK(l->a[k * l->rows + i] >= -32767);
            CHECK(abs(l->sent[k * l->rows + i] * (1 << l->up[k])) <= 32767);
            if (l->turn == 0) CHECK_EQ(l->a[k * l->rows + i], l->sent[k * l->rows + i] * (1 << l->up[k]));
            else if (i >= l->rows - k) CHECK_EQ(l->sent[k * l->rows + i], 0);
        }
        for (size_t c = 0; c < l->cols; c++) {
            any_b |= l->b[k * l->cols + c];
            CHECK(l->b[k * l->cols + c] >= -32767);
        }
        CHECK(any_a && any_b);
    }
    for (size_t i = 0; i < l->rows; i++) {
        gsz_lowrank_rows(w->work.kernels, l, pairs, &i, 1, base, l->cols);
        for (size_t c = 0; c < l->cols; c++) {
            double d = (double)x[i * l->cols + c] - (double)base[c] / (1 << unit_bits);
            CHECK_EQ(base[c], base_at(l, i, c));
            sum += d * d;
        }
    }
    free(pairs);
    free(base);
    return sum / (double)(l->rows * l->cols);
}

/* ---- kernels */

static void products(void) {
    static const size_t sizes[][3] = {
        {1, 1, 1}, {4, 8, 8}, {5, 3, 7}, {3, 300, 16}, {33, 70, 24}, {24, 131, 200}, {9, 515, 72}, {72, 9, 80}, {7, 64, 81}, {2, 17, 145}};
    const gsz_kernels *a = gsz_kernels_for(0);
    for (size_t t = 0; t < sizeof sizes / sizeof sizes[0]; t++)
        for (int turned = 0; turned < 2; turned++) {
            const size_t rows = sizes[t][0], depth = sizes[t][1], n = sizes[t][2], wide = n + t % 3;
            float *x = noise(rows * depth, 1, t), *y = noise(depth * wide, 1, t + 99);
            float *ca = new_floats(rows * wide), *cb = new_floats(rows * wide);
            const size_t row = turned ? 1 : depth, col = turned ? rows : 1;
            a->lowrank_product(x, row, col, y, wide, rows, depth, n, ca, wide);
            for (size_t i = 0; i < rows; i++)
                for (size_t j = 0; j < n; j++) {
                    double exact = 0;
                    for (size_t k = 0; k < depth; k++) exact += (double)x[i * row + k * col] * (double)y[k * wide + j];
                    CHECK(gsz_abs_double(exact - (double)ca[i * wide + j]) < 1e-4);
                }
            for (size_t m = 0; m < MASKS; m++) {
                const gsz_kernels *b = gsz_kernels_for(gsz_cpu_features() & masks[m]);
                memset(cb, 0, rows * wide * sizeof *cb);
                b->lowrank_product(x, row, col, y, wide, rows, depth, n, cb, wide);
                CHECK(memcmp(ca, cb, rows * wide * sizeof *ca) == 0);
            }
            free(x);
            free(y);
            free(ca);
            free(cb);
        }
}

/* The integer that a float stands for. */
static int32_t integer_of(float v, gsz_rounding how) {
    v *= how.scale;
    return (int32_t)(v != v || v >= how.most ? (double)how.most : v <= -how.most ? -(double)how.most : gsz_round_double((double)v));
}

/* Sums of `terms` products are exact, those of more in float, in order; outliers are cut; the same bits everywhere. */
static void times_at(size_t rows, size_t depth, size_t n, int turned, float largest, uint64_t seed) {
    const size_t wide = n + seed % 3, row = turned ? 1 : depth, col = turned ? rows : 1;
    float *x = noise(rows * depth, largest, seed), *c = new_floats(rows * wide);
    int16_t *b = (int16_t *)calloc((depth + 1) / 2 * 2 * n, sizeof *b);
    const unsigned finer = (unsigned)(seed % 4);
    const gsz_rounding how = {(float)(2048 << finer) / 3, (float)((2048 << finer) - 1), GSZ_MOST_TERMS >> finer};
    uint64_t energy = 0;
    if (b == NULL) abort();
    for (size_t k = 0; k < depth; k++)
        for (size_t j = 0; j < n; j++) b[k / 2 * 2 * n + 2 * j + k % 2] = (int16_t)(seed % 5 ? (int32_t)(check_random(&seed) % 65535) - 32767 : 32767);
    x[0] = 1e30f;
    x[rows * depth - 1] = -1e30f;
    for (size_t i = 0; i < rows * depth; i++) energy += (uint64_t)(integer_of(x[i], how) * integer_of(x[i], how));
    for (size_t m = 0; m <= MASKS; m++) {
        const gsz_kernels *kernels = gsz_kernels_for(m < MASKS ? gsz_cpu_features() & masks[m] : 0);
        CHECK_EQ(kernels->lowrank_energy(x, rows * depth, &how), energy);
        for (size_t i = 0; i < rows * wide; i++) c[i] = -7;
        kernels->lowrank_times(x, row, col, &how, b, rows, depth, n, c, wide);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < wide; j++) {
                float sum = 0;
                for (size_t from = 0; j < n && from < depth; from += how.terms) {
                    int64_t exact = 0;
                    for (size_t k = from; k < GSZ_MIN(depth, from + how.terms); k++)
                        exact += (int64_t)integer_of(x[i * row + k * col], how) * b[k / 2 * 2 * n + 2 * j + k % 2];
                    CHECK(exact <= INT32_MAX && exact >= INT32_MIN);
                    sum += (float)exact;
                }
                CHECK(c[i * wide + j] == (j < n ? sum : -7));
            }
    }
    free(x);
    free(c);
    free(b);
}

static void times(void) {
    static const size_t sizes[][3] = {{1, 1, 8}, {3, 2, 8}, {64, 32, 16}, {65, 33, 24}, {70, 131, 72}, {9, 515, 136}, {200, 64, 40}, {17, 31, 64}};
    for (size_t t = 0; t < sizeof sizes / sizeof sizes[0]; t++)
        for (int turned = 0; turned < 2; turned++)
            for (uint64_t seed = 1; seed <= 6; seed++) times_at(sizes[t][0], sizes[t][1], sizes[t][2], turned, seed % 2 ? 0.5f : 50, seed);
}

static void grams(void) {
    static double ga[80 * 80], gb[80 * 80];
    const gsz_kernels *a = gsz_kernels_for(0);
    for (size_t p = 8; p <= 80; p += 8)
        for (size_t rows = 1; rows < 140; rows += 23) {
            float *y = noise(rows * p, 1, rows);
            a->lowrank_gram(y, rows, p, ga);
            for (size_t i = 0; i < p; i++)
                for (size_t j = i; j < p; j++) {
                    double exact = 0;
                    for (size_t k = 0; k < rows; k++) exact += (double)y[k * p + i] * (double)y[k * p + j];
                    CHECK(gsz_abs_double(exact - ga[i * p + j]) < 1e-11);
                }
            for (size_t m = 0; m < MASKS; m++) {
                gsz_kernels_for(gsz_cpu_features() & masks[m])->lowrank_gram(y, rows, p, gb);
                for (size_t i = 0; i < p; i++) CHECK(memcmp(ga + i * p + i, gb + i * p + i, (p - i) * sizeof *ga) == 0);
            }
            free(y);
        }
}

/* Any int16 at all, as a hostile message has them. */
static void rows_of_base(void) {
    enum { COLS = 131, STRIDE = 140, PAIRS = 64 };
    static int16_t a[GSZ_BASE_ROWS * 2 * PAIRS], b[2 * PAIRS * COLS];
    static int32_t got[GSZ_BASE_ROWS * STRIDE];
    uint64_t seed = 4;
    for (unsigned round = 0; round < 200; round++) {
        const unsigned pairs = round % (PAIRS + 1), shift = 1 + round % 30;
        const size_t cols = 1 + check_random(&seed) % COLS;
        for (size_t k = 0; k < sizeof a / sizeof *a; k++) a[k] = (int16_t)(round % 7 ? (uint16_t)check_random(&seed) : 0x8000u);
        for (size_t k = 0; k < sizeof b / sizeof *b; k++) b[k] = (int16_t)(round % 7 ? (uint16_t)check_random(&seed) : 0x8000u);
        for (size_t m = 0; m <= MASKS; m++) {
            gsz_kernels_for(m < MASKS ? gsz_cpu_features() & masks[m] : 0)->lowrank_rows(a, pairs, b, cols, shift, got, STRIDE);
            for (size_t i = 0; i < GSZ_BASE_ROWS * cols; i++) {
                const size_t r = i / cols, c = i % cols;
                uint32_t sum = (uint32_t)1 << (shift - 1);
                const size_t strip = c / GSZ_STRIP * GSZ_STRIP, width = GSZ_MIN(GSZ_STRIP, cols - strip);
                const int16_t *from = b + 2 * pairs * strip + 2 * (c - strip);
                for (unsigned k = 0; k < 2 * pairs; k++)
                    sum += (uint32_t)(int32_t)a[k / 2 * 2 * GSZ_BASE_ROWS + 2 * r + k % 2] * (uint32_t)(int32_t)from[k / 2 * 2 * width + k % 2];
                CHECK_EQ(got[r * STRIDE + c], (int32_t)sum >> shift);
            }
        }
    }
}

/* ---- what is found */

static void find(worker *w, const float *x, size_t rows, size_t cols, const gsz_lowrank_options *o, gsz_lowrank *l) {
    CHECK_EQ(gsz_lowrank_find(&w->work, x, rows, cols, o, l), GSZ_OK);
}

static void recovers(size_t rows, size_t cols) {
    float *x = spectrum(rows, cols, 4, 16, 0.2f, rows);
    worker w;
    gsz_lowrank l;
    start(&w, GSZ_CPU_ALL, 0);
    find(&w, x, rows, cols, &usual, &l);
    CHECK_EQ(l.rank, 4);
    CHECK(l.bits_saved > 2 * l.bits_cost && l.bits_cost > 0);
    double left = left_over(&w, &l, x, usual.unit_bits);
    CHECK(left < 0.04 * 1.05 + 2 * 0.01);               /* noise and rounding */
    gsz_lowrank_release(&w.heap, &l);
    stop(&w);
    free(x);
}

/* Kernels of few dimensions in both channels, and noise: b is told as a product, for fewer bits and hardly more error. */
enum { OUT = 96, IN = 80, RANK = 6 };          /* channels */

static float *kernels(unsigned taps) {
    const size_t cols = (size_t)taps * IN;
    float *x = noise(OUT * cols, 0.2f, taps), *left = noise(OUT * RANK, 1, 1), *core = noise(RANK * RANK * taps, 1, 2), *right = noise(RANK * IN, 1, 3);
    for (size_t i = 0; i < OUT; i++)
        for (size_t k = 0; k < RANK; k++)
            for (size_t t = 0; t < taps; t++)
                for (size_t q = 0; q < RANK; q++)
                    for (size_t j = 0; j < IN; j++)
                        x[i * cols + t * IN + j] += 2 * left[i * RANK + k] * core[(k * taps + t) * RANK + q] * right[q * IN + j];
    free(left), free(core), free(right);
    return x;
}

static void splits(unsigned taps, unsigned sampled) {
    const size_t cols = (size_t)taps * IN;
    float *x = kernels(taps);
    worker w;
    gsz_lowrank l, plain;
    gsz_lowrank_options o = usual;
    o.sample = sampled;
    start(&w, GSZ_CPU_ALL, 0);
    find(&w, x, OUT, cols, &o, &plain);
    o.taps = taps;
    find(&w, x, OUT, cols, &o, &l);
    CHECK(plain.inner == NULL && l.inner != NULL && l.inner->inner == NULL);
    CHECK(l.rank == RANK && l.inner->rank == RANK && l.inner->rows == IN && l.inner->cols == RANK * taps);
    for (size_t j = 0; j < IN; j++)
        for (size_t c = 0; c < l.inner->cols; c++) CHECK_EQ(l.b[c * IN + j], GSZ_MAX(-32767, GSZ_MIN(base_at(l.inner, j, c), 32767)));
    const double with = left_over(&w, &l, x, o.unit_bits), without = left_over(&w, &plain, x, o.unit_bits);
    CHECK(with < 0.04 * 1.05 + 2 * 0.01 && with < without * 1.15);
    gsz_lowrank_release(&w.heap, &l);
    gsz_lowrank_release(&w.heap, &plain);
    stop(&w);
    free(x);
}

static void noise_has_none(void) {
    static const size_t sizes[][2] = {{64, 64}, {32, 1000}, {1000, 32}, {200, 200}};
    for (size_t t = 0; t < 4; t++)
        for (int loud = 0; loud < 3; loud++)
            for (int gate = 0; gate < 2; gate++) {
                const size_t rows = sizes[t][0], cols = sizes[t][1];
                float *x = noise(rows * cols, loud == 0 ? 0.1f : loud == 1 ? 1.0f : 30.0f, 5 + t);
                gsz_lowrank_options o = usual;
                worker w;
                gsz_lowrank l;
                if (!gate) o.gate = 0;
                start(&w, GSZ_CPU_ALL, 0);
                find(&w, x, rows, cols, &o, &l);
                CHECK_EQ(l.rank, 0);
                gsz_lowrank_release(&w.heap, &l);
                stop(&w);
                free(x);
            }
}

/* Every rank and precision from one space: the error that rounding adds is what was asked for, energies fall, and
 * predicted bits are those of the chosen rank. */
static void one_space(void) {
    enum { ROWS = 120, COLS = 300 };
    static const double precisions[] = {0.05, 0.1, 0.25};
    float *x = spectrum(ROWS, COLS, 12, 8, 0.01f, 3);
    gsz_lowrank_options o = usual;
    gsz_lowrank_space s;
    worker w;
    double total = 0, net;
    unsigned best;
    start(&w, GSZ_CPU_ALL, 0);
    o.iterations = 2;
    CHECK_EQ(gsz_lowrank_decompose(&w.work, x, ROWS, COLS, &o, &s), GSZ_OK);
    CHECK(s.count >= 12);
    for (size_t i = 0; i < ROWS; i++) total += s.row_energy[i];
    const double unsure = 4 * gsz_square_root(total / 12) / ((double)s.how.scale * ROWS * COLS);      /* energies are those of integers */
    CHECK_EQ(gsz_lowrank_rank(&w.work, &s, 24, 0.1, &best, &net), GSZ_OK);
    CHECK(best >= 4 && best <= 9 && net > 0);
    for (unsigned k = 0; k < 12; k++) {
        CHECK(k == 0 || s.energy[k] <= s.energy[k - 1]);
        total -= s.energy[k];
        for (size_t t = 0; t < 3; t++) {
            gsz_lowrank l;
            CHECK_EQ(gsz_lowrank_factors(&w.work, &s, k + 1, precisions[t], 6, 0, &l), GSZ_OK);
            double exact = GSZ_MAX(total, 0.0) / (ROWS * COLS), added = left_over(&w, &l, x, 6) - exact;
            CHECK(added > -unsure && added < 1.5 * precisions[t] * precisions[t] + 1e-3 + unsure);
            CHECK(l.rank <= k + 1);
            gsz_lowrank_release(&w.heap, &l);
        }
    }
    gsz_lowrank_space_release(&w.heap, &s);
    stop(&w);
    free(x);
}

/* A few values a million times too large cost the others nothing. */
static void outliers(void) {
    enum { ROWS = 100, COLS = 200 };
    float *x = spectrum(ROWS, COLS, 3, 8, 0.3f, 8), *spoilt = new_floats(ROWS * COLS);
    worker w;
    gsz_lowrank l;
    memcpy(spoilt, x, ROWS * COLS * sizeof *x);
    spoilt[777] = 1e6f;
    spoilt[12345] = -3e30f;
    spoilt[19999] = 4e7f;
    start(&w, GSZ_CPU_ALL, 0);
    find(&w, spoilt, ROWS, COLS, &usual, &l);
    CHECK(l.rank >= 3 && l.rank <= 6);
    double left = 0;
    for (size_t i = 0; i < ROWS * COLS; i++) {
        double d = (double)x[i] - (double)base_at(&l, i / COLS, i % COLS) / (1 << usual.unit_bits);
        if (spoilt[i] == x[i]) left += d * d;
    }
    CHECK(left / (ROWS * COLS) < 0.09 * 1.1 + 2 * 0.01);
    gsz_lowrank_release(&w.heap, &l);
    stop(&w);
    free(x);
    free(spoilt);
}

/* ---- nothing breaks it */

static float odd_value(int kind, size_t i, size_t rows, size_t cols, uint64_t *seed) {
    const size_t r = i / cols, c = i % cols;
    float v = normal(seed);
    switch (kind) {
    case 0: return 0;
    case 1: return 7;
    case 2: return (float)(r + 1) * (float)(c % 5);                             /* rank 1, exactly */
    case 3: return r == c ? 100.0f : 0;                                         /* all energies equal */
    case 4: return v * 1e30f;
    case 5: return v * 1e-42f;                                                  /* subnormal */
    case 6: return r == rows / 2 ? 1000 * v : 0;                                /* one row */
    case 7: return c == cols / 2 ? 1000 * v : 0;
    case 8: return i == 3 ? 3e38f : 0;
    case 9: return r % 2 ? 1e-20f * v : 1e6f * (float)(c % 3);
    case 10: return (float)((int)(c % 7) - 3) * 5000.0f + v;                    /* more than 16 bits at this precision */
    case 11: return c % 2 ? 3e38f : -3e38f;
    case 12: return (float)(r % 3) * 3e4f * (float)(c % 11) + (float)(r * c % 17) * 1e-2f;
    default: return gsz_float_of_bits((uint32_t)check_random(seed) & 0xbf7fffffu);     /* any finite bits below 1 */
    }
}

static void odd_inputs(void) {
    static const size_t sizes[][2] = {{1, 5000}, {5000, 1}, {8, 512}, {512, 8}, {64, 64}, {67, 131}, {300, 41}, {0, 9}, {3, 4}};
    static const double precisions[] = {0.1, 1e-4, 50};
    for (size_t t = 0; t < sizeof sizes / sizeof sizes[0]; t++)
        for (int kind = 0; kind < 14; kind++)
            for (int p = 0; p < 3; p++) {
                const size_t rows = sizes[t][0], cols = sizes[t][1], n = rows * cols;
                uint64_t seed = 11;
                float *x = new_floats(n);
                for (size_t i = 0; i < n; i++) x[i] = odd_value(kind, i, rows, cols, &seed);
                gsz_lowrank_options o = {p ? GSZ_MAX_RANK : 10, p ? 2 : 1, 1, p ? 0 : 0.02, precisions[p], p == 2 ? 9 : 4, 1, p ? 0 : 2};
                for (o.taps = 4; cols % o.taps != 0; o.taps--) continue;
                gsz_lowrank_space s;
                gsz_lowrank l;
                worker w;
                start(&w, GSZ_CPU_ALL, 0);
                find(&w, x, rows, cols, &o, &l);
                if (l.rank) (void)left_over(&w, &l, x, o.unit_bits);
                if (n < 1024 || rows < 8 || cols < 8 || kind == 0 || kind == 5) CHECK_EQ(l.rank, 0);
                gsz_lowrank_release(&w.heap, &l);
                CHECK_EQ(gsz_lowrank_decompose(&w.work, x, rows, cols, &o, &s), GSZ_OK);
                for (unsigned k = 0; k < s.count; k++) CHECK(gsz_is_finite(s.energy[k]) && s.energy[k] > 0);
                for (size_t k = 0; k < s.count * rows; k++) CHECK(gsz_is_finite((double)s.left[k]));
                CHECK_EQ(gsz_lowrank_factors(&w.work, &s, GSZ_MAX_RANK, o.precision, o.unit_bits, GSZ_MAX_RANK, &l), GSZ_OK);
                if (l.rank) (void)left_over(&w, &l, x, o.unit_bits);
                gsz_lowrank_release(&w.heap, &l);
                gsz_lowrank_space_release(&w.heap, &s);
                stop(&w);
                free(x);
            }
}

static void large_values_are_kept(void) {
    enum { ROWS = 64, COLS = 96 };
    float *x = new_floats(ROWS * COLS);
    uint64_t seed = 1;
    double energy = 0;
    for (size_t i = 0; i < ROWS * COLS; i++) {
        x[i] = odd_value(10, i, ROWS, COLS, &seed);
        energy += (double)x[i] * (double)x[i];
    }
    worker w;
    gsz_lowrank l;
    start(&w, GSZ_CPU_ALL, 0);
    find(&w, x, ROWS, COLS, &usual, &l);
    CHECK_EQ(l.rank, 1);
    CHECK(left_over(&w, &l, x, usual.unit_bits) < 1e-5 * energy / (ROWS * COLS));
    gsz_lowrank_release(&w.heap, &l);
    stop(&w);
    free(x);
}

/* Every budget: the factors, or an error and nothing kept. */
static void budgets(void) {
    float *x = kernels(4);
    worker w;
    gsz_lowrank l;
    gsz_lowrank_options o = usual;
    int refused = 0;
    o.taps = 4;
    x[5] = 1e9f;                                        /* and so a copy */
    for (uint64_t limit = 1000; ; limit += 1000) {
        start(&w, GSZ_CPU_ALL, limit);
        int status = gsz_lowrank_find(&w.work, x, OUT, 4 * IN, &o, &l);
        CHECK(status == GSZ_OK || status == GSZ_E_MEMORY);
        if (status == GSZ_OK) CHECK(l.inner != NULL);
        gsz_lowrank_release(&w.heap, &l);
        stop(&w);
        if (status == GSZ_OK) break;
        refused++;
    }
    CHECK(refused > 20);
    free(x);
}

/* ---- turned columns */

/* Rank 40 of 64 rows: a is told by fewer numbers, its columns are orthogonal, and nothing is lost by it. */
static void turns(void) {
    const size_t rows = 64, cols = 300;
    const unsigned rank = 40;
    float *x = noise(rows * cols, 3, 8);
    double left[2];
    for (int turned = 0; turned < 2; turned++) {
        gsz_lowrank_options o = usual;
        gsz_lowrank_space space;
        gsz_lowrank l;
        worker w;
        o.max_rank = rank, o.gate = 0, o.iterations = 2, o.turns = turned;
        start(&w, GSZ_CPU_ALL, 0);
        float *y = noise(rows * cols, 0, 1);
        for (size_t i = 0; i < rows * cols; i++) y[i] = x[i] * (i / cols < 40 ? 1 : 0.01f);
        CHECK_EQ(gsz_lowrank_decompose(&w.work, y, rows, cols, &o, &space), GSZ_OK);
        CHECK_EQ(gsz_lowrank_factors(&w.work, &space, 20, 0.3, 4, 0, &l), GSZ_OK);
        CHECK_EQ(l.rank, 20);
        CHECK_EQ(l.turn > 0, turned);
        left[turned] = left_over(&w, &l, y, 4);
        for (unsigned k = 0; turned && k < l.rank; k++)
            for (unsigned j = 0; j < k; j++) {
                double dot = 0, own = 0, other = 0;
                for (size_t i = 0; i < rows; i++) {
                    const double p = l.a[k * rows + i], q = l.a[j * rows + i];
                    dot += p * q, own += p * p, other += q * q;
                }
                CHECK(dot * dot < 0.0004 * own * other);
            }
        gsz_lowrank_release(&w.heap, &l);
        gsz_lowrank_space_release(&w.heap, &space);
        stop(&w);
        free(y);
    }
    CHECK(left[1] < left[0] * 1.05);
    free(x);
}

/* Any integers, as damage may have them: every table turns them alike, within 16 bits, or none does. */
static void turns_anything(void) {
    enum { MOST = 130 };
    uint64_t seed = 5;
    for (unsigned round = 0; round < 300; round++) {
        const unsigned rank = 1 + (unsigned)(check_random(&seed) % 24), most = 1u << check_random(&seed) % 15;
        const size_t lanes = rank + check_random(&seed) % (MOST - rank);
        int16_t *z = (int16_t *)calloc(rank * lanes, sizeof *z), *a[MASKS + 1];
        uint8_t up[24];
        int status[MASKS + 1];
        for (unsigned k = 0; k < rank; k++) {
            up[k] = (uint8_t)(check_random(&seed) % 15);
            for (size_t i = 0; check_random(&seed) % 8 > 0 && i < lanes - k; i++) z[k * lanes + i] = (int16_t)((int64_t)(check_random(&seed) % (2 * most)) - most);
        }
        for (size_t m = 0; m <= MASKS; m++) {
            worker w;
            start(&w, m < MASKS ? masks[m] : 0, 0);
            a[m] = (int16_t *)calloc(rank * lanes, sizeof *z);
            status[m] = gsz_turn(&w.work, z, rank, lanes, up, round % GSZ_TURN_FRACTIONS, a[m]);
            CHECK(status[m] == GSZ_OK || status[m] == GSZ_E_SECTION);
            CHECK_EQ(status[m], status[0]);
            CHECK(memcmp(a[m], a[0], rank * lanes * sizeof *z) == 0);
            stop(&w);
        }
        for (size_t i = 0; i < rank * lanes; i++) CHECK(a[0][i] >= -32767);
        for (size_t m = 0; m <= MASKS; m++) free(a[m]);
        free(z);
    }
}

/* ---- determinism: the same factors from every table, and these very ones everywhere */

static uint32_t digest(unsigned mask, uint32_t crc, const float *x, size_t rows, size_t cols, const gsz_lowrank_options *o) {
    uint8_t bytes[2];
    worker w;
    gsz_lowrank l;
    start(&w, mask, 0);
    find(&w, x, rows, cols, o, &l);
    CHECK(l.rank > 0);
    crc = gsz_kernels_portable.crc32c(crc, l.up, l.rank);
    for (size_t i = 0; i < l.rank * (2 * rows + cols); i++) {   /* what is sent, a, then b, which lie so; low byte first */
        uint16_t v = (uint16_t)l.sent[i < 2 * l.rank * rows ? i % (l.rank * rows) : 0];
        if (i >= l.rank * rows) v = (uint16_t)(i < 2 * l.rank * rows ? l.a[i - l.rank * rows] : l.b[i - 2 * l.rank * rows]);
        bytes[0] = (uint8_t)v, bytes[1] = (uint8_t)(v >> 8);
        crc = gsz_kernels_portable.crc32c(crc, bytes, 2);
    }
    gsz_lowrank_release(&w.heap, &l);
    stop(&w);
    return crc;
}

#define PINNED 0xdfff99abu  /* changes with the encoder's choices, never with the platform */

static void same_everywhere(void) {
    static const size_t sizes[][2] = {{64, 64}, {47, 333}, {700, 51}, {130, 257}};
    uint32_t crcs[MASKS + 1] = {0};
    for (size_t t = 0; t < 4; t++)
        for (unsigned large = 0; large < 2; large++) {
            const size_t rows = sizes[t][0], cols = sizes[t][1];
            const gsz_lowrank_options o = {large ? 63 : 24, 1 + large, 1, large ? 0 : 0.02, 0.1, 4, cols % 2 ? 1 : 2, large ? 0 : 2, large == t % 2};
            float *x = spectrum(rows, cols, 9, 32, 0.4f, t);
            for (size_t m = 0; m <= MASKS; m++) crcs[m] = digest(m < MASKS ? masks[m] : 0, crcs[m], x, rows, cols, &o);
            free(x);
        }
    for (unsigned taps = 4; taps < 10; taps += 5) {             /* inner pairs */
        const gsz_lowrank_options o = {40, 1, 1, 0.02, 0.1, 4, taps, taps == 4 ? 0 : 4, taps == 4};
        float *x = kernels(taps);
        for (size_t m = 0; m <= MASKS; m++) crcs[m] = digest(m < MASKS ? masks[m] : 0, crcs[m], x, OUT, taps * IN, &o);
        free(x);
    }
    for (size_t m = 0; m < MASKS; m++) CHECK_EQ(crcs[m], crcs[MASKS]);
    CHECK_EQ(crcs[MASKS], PINNED);
}

int main(void) {
    products();
    grams();
    times();
    rows_of_base();
    recovers(64, 80);
    recovers(300, 50);
    recovers(96, 700);
    splits(9, 0);
    splits(4, 4);
    splits(25, 8);
    turns();
    turns_anything();
    noise_has_none();
    one_space();
    outliers();
    odd_inputs();
    large_values_are_kept();
    budgets();
    same_everywhere();
    return check_report("lowrank");
}
