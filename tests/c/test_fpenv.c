/* Guarantee 4: a host program may flush subnormals or round another way; bytes and values do not change, and
 * the host gets its settings back. */
#include "judge.h"
#include "samples.h"

#if defined(__SSE2__)
#include <xmmintrin.h>
static const unsigned settings[] = {0x1f80, 0x9f80, 0x1fc0, 0x9fc0, 0x3f80, 0x5f80, 0x7f80, 0xffc0};    /* FTZ 8000, DAZ 40, rounding 6000 */
static void set(unsigned s) { _mm_setcsr(s); }
static unsigned get(void) { return _mm_getcsr() & ~0x3fu; }     /* without the sticky flags */
#elif defined(__aarch64__)
static const unsigned settings[] = {0, 1u << 24, 1u << 22, 2u << 22, 3u << 22, (1u << 24) | (3u << 22)};
static void set(unsigned s) { __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)s)); }
static unsigned get(void) { uint64_t v; __asm__ volatile("mrs %0, fpcr" : "=r"(v)); return (unsigned)v; }
#else
static const unsigned settings[] = {0};
static void set(unsigned s) { (void)s; }
static unsigned get(void) { return 0; }
#endif

static void one(const sample *s, unsigned nthreads, unsigned mask) {
    gsz_options options;
    size_t size, nbytes, nbytes2;
    uint8_t *message, *again;
    void *data = sample_make(s, 99), *values, *values2;
    gsz_options_init(&options);
    message = sample_message(s, data, &options, &size);
    CHECK_EQ(sample_decode(message, size, &options, &values, &nbytes), GSZ_OK);
    options.nthreads = nthreads;
    options.cpu_mask = mask;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        size_t size2;
        set(settings[i]);
        again = sample_message(s, data, &options, &size2);
        int status = sample_decode(message, size, &options, &values2, &nbytes2);
        unsigned after = get();
        set(settings[0]);
        CHECK_EQ(after, settings[i]);
        CHECK_EQ(status, GSZ_OK);
        CHECK(size2 == size && memcmp(again, message, size) == 0);
        CHECK(nbytes2 == nbytes && memcmp(values, values2, nbytes) == 0);
        free(again);
        free(values2);
    }
    free(message);
    free(values);
    free(data);
}

/* The judge itself: a difference that would be flushed to zero is still a difference. */
static void within(void) {
    static const double triples[][3] = {
        {0x1p-1074, 0, 0}, {0x1p-1060, 0, 0x1p-1061}, {0x1p-1022, 0x1.8p-1022, 0x1p-1024}, {1, 1 + 0x1p-52, 0x1p-53},
        {1, -0x1p-60, 1}, {1, 0x1p-60, 1}, {0x1p-1070, 0, 0x1p-1070}, {-1, 0x1p-1074, 1}, {1, -0x1p-1074, 1}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        for (size_t j = 0; j < sizeof triples / sizeof triples[0]; j++) {
            set(settings[i]);
            int got = gsz_within(triples[j][0], triples[j][1], triples[j][2]);
            unsigned after = get();
            set(settings[0]);
            CHECK_EQ(after, settings[i]);
            CHECK_EQ(got, exact_within(triples[j][0], triples[j][1], triples[j][2]));
        }
}

int main(void) {
    static const sample subnormal = {GSZ_FLOAT32, 1, {2000}, ANY_BITS, 1e-41, GSZ_ABS, GSZ_PREDICT_NONE};
    static const sample large = {GSZ_FLOAT32, 1, {600000}, HEAVY, 1e-3, GSZ_REL, GSZ_PREDICT_LORENZO1};
    for (size_t i = 0; i < SAMPLE_SET; i++) {
        one(&sample_set[i], 1, GSZ_CPU_ALL);
        one(&sample_set[i], 1, 0);
    }
    one(&subnormal, 1, GSZ_CPU_ALL);
    one(&large, 3, GSZ_CPU_ALL);        /* the worker threads too */
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        set(settings[i]);
        int status = gsz_selftest();
        set(settings[0]);
        CHECK_EQ(status, GSZ_OK);
    }
    within();
    return check_report("fpenv");
}
