/* Guarantee 4: every kernel table gives the same bits as the portable one, on the worst values there are. */
#include "bound.h"
#include "kernels.h"
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
    gsz_grid_params g = {gsz_step(dtype, eb), eb};
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
    checksums();
    all_short_floats();
    return check_report("kernels");
}
