/* Guarantee 4: every kernel table gives the same bits as the portable one, on the worst values there are. */
#include "bound.h"
#include "kernels.h"
#include "model.h"
#include "rans.h"
#include "tensor.h"
#include "samples.h"
#include "symbols.h"
#include "uniform.h"

#define N 1037      /* not a multiple of any vector length */

static const unsigned masks[] = {GSZ_CPU_SSE42, GSZ_CPU_AVX2 | GSZ_CPU_SSE42, GSZ_CPU_ALL};
#define MASKS (sizeof masks / sizeof masks[0])

static double random_bound(uint64_t *seed) {
    uint64_t r = check_random(seed);
    double d = gsz_double_of_bits(r >> 1);
    if (r % 4) d = gsz_double_of_bits((uint64_t)(1023 - 40 + (r >> 8) % 60) << 52 | (r >> 12 & 0xfffffffffffffu));
    return d > 0 && d <= 0x1.fffffffffffffp1023 ? d : 1e-3;
}

static void values(int dtype, sample_kind kind, double eb, uint64_t seed) {
    const gsz_kernels *a = gsz_kernels_for(0);
    const sample s = {dtype, 1, {N}, kind, 0, 0, 0};
    size_t itemsize = gsz_itemsize(dtype);
    uint8_t *x = (uint8_t *)sample_make(&s, seed), *ya = (uint8_t *)malloc(N * itemsize), *yb = (uint8_t *)malloc(N * itemsize);
    int32_t ka[N], kb[N];
    int16_t narrow[N];
    gsz_grid_params g = {gsz_step(dtype, eb), eb, 0, 0};
    if (!(g.step > 0)) g.step = gsz_step(dtype, g.eb = 1);
    for (size_t m = 0; m < MASKS; m++) {
        const gsz_kernels *b = gsz_kernels_for(gsz_cpu_features() & masks[m]);
        CHECK_EQ(a->quantise[dtype](x, N, &g, ka), b->quantise[dtype](x, N, &g, kb));
        CHECK(memcmp(ka, kb, sizeof ka) == 0);
        for (size_t i = 0; i < N; i++) narrow[i] = (int16_t)(uint16_t)ka[i];
        memset(ya, 0, N * itemsize);
        memset(yb, 0, N * itemsize);
        a->dequantise32[dtype](ka, N, g.step, ya);
        b->dequantise32[dtype](kb, N, g.step, yb);
        for (size_t i = 0; i < N; i++)
            CHECK(ka[i] == GSZ_ESCAPE || memcmp(ya + i * itemsize, yb + i * itemsize, itemsize) == 0);
        a->dequantise16[dtype](narrow, N, g.step, ya);
        b->dequantise16[dtype](narrow, N, g.step, yb);
        for (size_t i = 0; i < N; i++)
            CHECK(narrow[i] == GSZ_ESCAPE16 || memcmp(ya + i * itemsize, yb + i * itemsize, itemsize) == 0);
        gsz_range ra = {1e308, -1e308, 0}, rb = ra;
        a->range[dtype](x, N, &ra);
        b->range[dtype](x, N, &rb);
        CHECK(ra.min == rb.min && ra.max == rb.max && ra.finite == rb.finite);
        double scales[] = {1, 0x1p-1000, 0x1p300};
        for (int i = 0; i < 3; i++) {
            double sa = a->sum_squares[dtype](x, N, scales[i]), sb = b->sum_squares[dtype](x, N, scales[i]);
            CHECK(memcmp(&sa, &sb, sizeof sa) == 0);
            sa = a->sum_errors[dtype](x, ka, N, g.step, scales[i]);
            sb = b->sum_errors[dtype](x, ka, N, g.step, scales[i]);
            CHECK(memcmp(&sa, &sb, sizeof sa) == 0);
        }
    }
    free(x);
    free(ya);
    free(yb);
}

/* What the fast test accepts, the exact one accepts: the value is the decoder's own. */
static void accepted_values_are_within(int dtype, double eb, uint64_t seed) {
    const sample s = {dtype, 1, {N}, seed % 2 ? HEAVY : ANY_BITS, 0, 0, 0};
    void *x = sample_make(&s, seed);
    int32_t k[N];
    gsz_uniform u = {dtype, eb, gsz_step(dtype, eb), {0, 0, 0}};
    if (u.step > 0) {
        (void)gsz_uniform_quantise(gsz_kernels_for(gsz_cpu_features()), &u, x, N, k);
        for (size_t i = 0; i < N; i++)
            if (k[i] != GSZ_ESCAPE) CHECK(gsz_within(gsz_value_at(dtype, x, i), gsz_decoded_value(dtype, k[i], u.step), eb));
    }
    free(x);
}

static void integers(void) {
    const gsz_kernels *a = gsz_kernels_for(0);
    static int32_t v[N];
    static int16_t w[N];
    static uint32_t pa[N + 64], pb[N + 64];
    uint64_t seed = 2;
    for (int round = 0; round < 60; round++) {
        size_t n = 1 + check_random(&seed) % N, count;
        for (size_t i = 0; i < n; i++) {
            uint64_t r = check_random(&seed);
            v[i] = r % 3 == 0 ? (int32_t)(r >> 32) >> (r >> 8 & 31) : r % 3 == 1 && r % 64 < (uint64_t)round ? GSZ_ESCAPE : 0;
            w[i] = (int16_t)(r % 37 == 0 ? GSZ_ESCAPE16 : (int16_t)v[i]);
        }
        for (size_t m = 0; m < MASKS; m++) {
            const gsz_kernels *b = gsz_kernels_for(gsz_cpu_features() & masks[m]);
            count = a->find32(v, n, GSZ_ESCAPE, pa);
            CHECK_EQ(count, b->find32(v, n, GSZ_ESCAPE, pb));
            CHECK(memcmp(pa, pb, count * sizeof pa[0]) == 0);
            count = a->find16(w, n, GSZ_ESCAPE16, pa);
            CHECK_EQ(count, b->find16(w, n, GSZ_ESCAPE16, pb));
            CHECK(memcmp(pa, pb, count * sizeof pa[0]) == 0);
        }
    }
}

/* Words of symbols: dense and sparse, small, far and escaped, for every number of raw bits. */
static void words(void) {
    static int32_t v[N], va[N + 8];
    static uint32_t at[1 + N + 8], ta[N], tb[N];
    const gsz_kernels *a = gsz_kernels_for(0);
    uint64_t seed = 5;
    for (unsigned round = 0; round < 400; round++) {
        unsigned low = round % (GSZ_MAX_LOW + 1), zeros = round % 13, wide = round % 29;
        uint32_t classes = (1u << check_random(&seed) % 11) | 15;
        for (size_t i = 0; i < N; i++) {
            uint64_t r = check_random(&seed);
            int32_t m = (int32_t)((r >> 32 & 0x7fffffff) >> wide);
            v[i] = r % 16 < zeros ? 0 : r % 997 == 1 ? GSZ_ESCAPE : r & 64 ? m : -m;
        }
        size_t n = 1 + check_random(&seed) % N, count = a->compact(v, n, at + 1, va);
        at[0] = UINT32_MAX - (uint32_t)check_random(&seed) % 20;     /* the run before began in an earlier block */
        size_t others = a->name_tokens(at + 1, va, count, low, classes, ta);
        for (size_t m = 0; m < MASKS; m++) {
            const gsz_kernels *b = gsz_kernels_for(gsz_cpu_features() & masks[m]);
            CHECK_EQ(others, b->name_tokens(at + 1, va, count, low, classes, tb));
            CHECK(memcmp(ta, tb, count * sizeof ta[0]) == 0);
        }
    }
}

/* Bit fields of several widths: the same bytes, and back from a string of any length, cut or not, behind bits of others. */
static void fields(void) {
    static uint32_t v[N], back[N];
    static uint8_t width[N], bytes[4 * N + 64], twin[4 * N + 64];
    uint64_t seed = 6;
    for (unsigned round = 0; round < 600; round++) {
        unsigned most = round % 21, before = (unsigned)check_random(&seed) % 60;
        size_t n = 1 + check_random(&seed) % (round % 2 ? N : 40), size = 0;
        for (size_t i = 0; i < n; i++) {
            width[i] = (uint8_t)(check_random(&seed) % (most + 1));
            v[i] = (uint32_t)check_random(&seed) & ((1u << width[i]) - 1);
        }
        for (size_t m = 0; m <= MASKS; m++) {
            const gsz_kernels *k = gsz_kernels_for(gsz_cpu_features() & (m == 0 ? 0 : masks[m - 1]));
            gsz_bitwriter out = {m == 0 ? bytes : twin, 0, 0};
            for (unsigned i = 0; i < before; i++) gsz_bits_put(&out, i & 1, 1);
            k->put_fields(&out, v, width, n, most);
            size_t length = (size_t)(gsz_bits_flush(&out) - (m == 0 ? bytes : twin));
            if (m == 0) size = length;
            CHECK(length == size && memcmp(bytes, m == 0 ? bytes : twin, size) == 0);
        }
        size_t cut = round % 3 == 2 && size > 0 ? (size_t)check_random(&seed) % size : size;
        uint64_t overrun = 0;
        for (size_t m = 0; m <= MASKS; m++) {
            const gsz_kernels *k = gsz_kernels_for(gsz_cpu_features() & (m == 0 ? 0 : masks[m - 1]));
            uint8_t *data = check_copy(bytes, cut);
            gsz_bitreader in;
            gsz_bits_init(&in, data, data + cut);
            for (unsigned i = 0; i < before; i++) gsz_bits_get(&in, 1);
            k->get_fields(&in, width, n, most, back);
            if (cut == size) CHECK(gsz_bits_end(&in) && memcmp(v, back, n * sizeof v[0]) == 0);
            if (m == 0) overrun = in.overrun;
            CHECK_EQ(in.overrun, overrun);
            free(data);
        }
    }
}

static void checksums(void) {
    static uint8_t data[5000];          /* three rounds of three lanes, and a rest */
    uint64_t seed = 8;
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)check_random(&seed);
    CHECK_EQ(gsz_kernels_for(0)->crc32c(0, (const uint8_t *)"123456789", 9), 0xe3069283u);     /* the published check value */
    for (size_t m = 0; m < MASKS; m++) {
        const gsz_kernels *b = gsz_kernels_for(gsz_cpu_features() & masks[m]);
        for (size_t n = 0; n < sizeof data; n += n < 600 ? 1 : 37) {
            uint32_t whole = gsz_kernels_for(0)->crc32c(0, data, n);
            CHECK_EQ(whole, b->crc32c(0, data, n));
            CHECK_EQ(whole, b->crc32c(b->crc32c(0, data, n / 3), data + n / 3, n - n / 3));
        }
    }
}

/* ---- the gradient model's loops: weights, sums and means that only a hostile message has */

static int32_t any_size(uint64_t *seed) {
    uint64_t r = check_random(seed);
    return (int32_t)(uint32_t)(r >> 32) >> (r & 31);
}

typedef struct {
    uint8_t width[N + 8], context[N + 8], raw[N + 8], symbol[N + 8];
    int32_t mean[N + 8], centre[N + 8], u[N + 8], shift[N + 8], y[N + 8], base[N + 8], past[GSZ_MAX_PAST][N + 8];
    uint32_t low[N + 8];
    uint16_t token[N + 8];
} step;

/* Where bins lie; what is folded is below 0 in s->u. */
static void any_grid(const gsz_kernels *k, int grid, uint64_t *seed, size_t n, unsigned f, step *s) {
    gsz_dither d = {(uint32_t)check_random(seed), (uint32_t)check_random(seed), (uint32_t)check_random(seed)};
    memcpy(s->u, s->mean, sizeof s->u);
    if (grid == GSZ_GRID_CENTRED) memcpy(s->centre, s->mean, sizeof s->centre);
    if (grid == GSZ_GRID_ALIGNED) k->model_align(s->mean, n, f, s->centre);
    if (grid <= GSZ_GRID_CENTRED) return;
    k->model_dither(&d, (size_t)(check_random(seed) & 0xffffff), n, f, s->mean, s->u, s->centre);
    k->model_phases(s->width, s->u, n, f, s->context);
    if (grid == GSZ_GRID_SHRUNK) k->model_shrink(s->width, s->u, n, f, s->shift);
    for (size_t j = 0; j < n; j++) {
        const int32_t u = ~s->u[j];
        CHECK(u >= -(1 << f >> 1) && u < 1 << f >> 1 && s->context[j] < GSZ_CONTEXTS_DITHERED - 1);
        CHECK(u + s->shift[j] >= -(1 << f >> 1) && u + s->shift[j] <= 1 << f >> 1);        /* stays in its bin */
    }
}

static void model_step(const gsz_kernels *k, uint64_t seed, step *s, int32_t *memory) {
    const uint64_t r = check_random(&seed);
    const int matrix = (int)(r & 1), grid = (int)(r >> 10 & 3), random = gsz_is_random(grid);
    gsz_view v;
    uint64_t shape[4] = {20, r >> 2 & 1 ? N : 40, 3, 3};
    gsz_view_of(shape, matrix ? 2 : 4, &v);
    gsz_model_row row;
    gsz_model_row_init(&v, memory, &row);
    const size_t n = gsz_view_step(&v, v.row_length, 0), size = gsz_model_row_size(&v);
    const unsigned tap = (unsigned)(r >> 12 & 1023) % v.taps, f = random ? 4 + (unsigned)(r >> 48) % 9 : (unsigned)(r >> 48) % 13;
    gsz_model_weights w;
    const unsigned rounds = (unsigned)(r >> 7 & 7) % (GSZ_MAX_PAST + 1);
    gsz_row_widths widths = {any_size(&seed), any_size(&seed), (uint32_t)(r >> 16 & 65535), (unsigned)(r >> 32 & 31), (unsigned)(r >> 40) % 14,
                             f, random ? GSZ_NARROWEST_DITHERED : GSZ_NARROWEST, random ? GSZ_WIDTHS_DITHERED : GSZ_WIDTH_CONTEXTS,
                             random ? GSZ_FINE : 0, rounds, (int32_t)(r >> 53 & 127) - GSZ_MOST_TAP + 1, {any_size(&seed), any_size(&seed)}};
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < size; i++) memory[i] = any_size(&seed);
    for (unsigned t = 0; t < v.taps; t++)
        for (size_t j = 0; j < row.stride; j++) row.d[t * row.stride + j] = j < n ? any_size(&seed) % (GSZ_MAX_D + 1) : 0;
    for (size_t j = 0; j < n; j++) row.sums[j] &= INT32_MAX;
    row.rounds = rounds;
    for (unsigned i = 0; i < rounds; i++) {
        for (size_t j = 0; j < n; j++) s->past[i][j] = any_size(&seed) % (GSZ_MAX_D + 1);
        row.past[i] = s->past[i];
    }
    w.unit_bits = f;
    for (unsigned i = 0; i < GSZ_FEATURES; i++) w.mean[i] = any_size(&seed) >> 3;
    for (size_t j = 0; j < n; j++) s->base[j] = any_size(&seed), s->symbol[j] = (uint8_t)(check_random(&seed) & 127);
    int16_t log[N + 16];
    k->model_logs(&widths, row.sums, row.past, n, log);
    unsigned most = k->model_contexts(&widths, log, n, s->width, s->raw);
    CHECK(most <= 17);
    for (size_t j = 0; j < n; j++) {
        CHECK(s->width[j] >> widths.fine < widths.widths && s->raw[j] <= most);
        s->low[j] = (uint32_t)check_random(&seed) & (((uint32_t)1 << s->raw[j]) - 1);
    }
    memcpy(s->context, s->width, sizeof s->context);
    k->model_means(&row, &w, tap, n, r >> 3 & 1 ? s->base : NULL, s->mean);
    any_grid(k, grid, &seed, n, f, s);
    if (r >> 4 & 1) k->model_join(s->symbol, s->low, s->raw, s->centre, s->u, n, f, s->y);
    else k->model_join_narrow(s->symbol, s->centre, s->u, n, f, s->y);
    if (r >> 5 & 1)
        for (size_t j = 0; j < n; j++) s->y[j] = any_size(&seed);
    k->model_learn(&row, tap, s->y, r >> 3 & 1 ? s->base : NULL, n);
    row.total += k->model_sum(row.d + tap * row.stride, n, row.sums);
    memory[size] = (int32_t)(uint32_t)row.total;
    for (size_t j = 0; j < n; j++) s->y[j] = r >> 6 & 1 && j % 7 == 0 ? GSZ_ESCAPE : s->y[j] >> 4;
    memory[size + 1] = (int32_t)k->model_split(s->y, s->u, s->context, s->raw, n, s->token, s->low);
}

static void model(void) {
    static int32_t a[12 * (N + 8)], b[12 * (N + 8)];
    static step s, t;
    for (uint64_t round = 0; round < 2000; round++)
        for (size_t m = 0; m < MASKS; m++) {
            memset(a, 0, sizeof a);
            memset(b, 0, sizeof b);
            model_step(gsz_kernels_for(0), round, &s, a);
            model_step(gsz_kernels_for(gsz_cpu_features() & masks[m]), round, &t, b);
            CHECK(memcmp(a, b, sizeof a) == 0 && memcmp(&s, &t, sizeof s) == 0);
        }
}

/* Every half and every bfloat: loads are exact, stores invert them. */
static void all_short_floats(void) {
    for (uint32_t b = 0; b < 65536; b++) {
        uint16_t h = (uint16_t)b;
        float f = gsz_float_of_half(h), g = gsz_float_of_bfloat(h);
        if ((h & 0x7fff) <= 0x7c00) CHECK_EQ(gsz_half_of_float(f), h);
        else CHECK(f != f && (gsz_half_of_float(f) & 0x7fff) > 0x7c00);
        if ((h & 0x7fff) <= 0x7f80) CHECK_EQ(gsz_bfloat_of_float(g), h);
        else CHECK(g != g && (gsz_bfloat_of_float(g) & 0x7fff) > 0x7f80);
    }
}

/* Elements of lanes to planes and back, in memory of exactly their size. */
static void taps(void) {
    for (size_t lanes = 1; lanes < 50; lanes += lanes < 26 ? 1 : 7)
        for (unsigned n = 2; n <= 26; n += n < 10 ? 1 : 8) {
            const size_t size = lanes * n * 4;
            uint8_t *row = (uint8_t *)malloc(size), *planes = (uint8_t *)malloc(size), *back = (uint8_t *)malloc(size);
            if (row == NULL || planes == NULL || back == NULL) abort();
            for (size_t i = 0; i < size; i++) row[i] = (uint8_t)(i * 167 >> 3);
            for (size_t m = 0; m <= sizeof masks / sizeof masks[0]; m++) {
                const gsz_kernels *k = gsz_kernels_for(m == 0 ? 0 : gsz_cpu_features() & masks[m - 1]);
                memset(planes, 0, size);
                memset(back, 0, size);
                k->gather_taps(row, lanes, n, planes);
                for (size_t j = 0; j < lanes; j++)
                    for (size_t tap = 0; tap < n; tap++) CHECK(memcmp(planes + 4 * (tap * lanes + j), row + 4 * (j * n + tap), 4) == 0);
                k->scatter_taps(planes, lanes, n, back);
                CHECK(memcmp(row, back, size) == 0);
            }
            free(row);
            free(planes);
            free(back);
        }
}

int main(void) {
    uint64_t seed = 77;
    for (int dtype = GSZ_FLOAT16; dtype <= GSZ_FLOAT64; dtype++)
        for (int kind = 0; kind < KINDS; kind++)
            for (int round = 0; round < 12; round++) {
                values(dtype, (sample_kind)kind, random_bound(&seed), check_random(&seed));
                accepted_values_are_within(dtype, random_bound(&seed), check_random(&seed));
            }
    integers();
    words();
    fields();
    checksums();
    model();
    all_short_floats();
    taps();
    return check_report("kernels");
}
