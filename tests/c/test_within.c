/* Guarantee 1: gsz_within, the judge of every bound, against arithmetic on whole numbers. */
#include "bound.h"
#include "judge.h"
#include "samples.h"

static double from_bits(uint64_t b) { double d; memcpy(&d, &b, 8); return d; }

static double neighbour(double v, int64_t ulps) {
    uint64_t b;
    memcpy(&b, &v, 8);
    return from_bits(b + (uint64_t)ulps);
}

/* The judge of the judge: 128 bits against numbers written out in full. */
static void oracle_agrees_with_itself(double x, double y, double eb) {
    CHECK_EQ(exact_within(x, y, eb), exact_within_slow(x, y, eb));
}

static void compare(double x, double y, double eb) {
    oracle_agrees_with_itself(x, y, eb);
    int expected = exact_within(x, y, eb);
    if (gsz_within(x, y, eb) != expected) {
        fprintf(stderr, "gsz_within(%a, %a, %a) should be %d\n", x, y, eb, expected);
        exit(1);
    }
    checks_done++;
}

/* eb at the rounded distance and a few steps around: where a sloppy test goes wrong. */
static void around(double x, double y) {
    double d = x - y;
    if (d < 0) d = -d;
    for (int64_t u = -2; u <= 2; u++) {
        double eb = neighbour(d, u);
        if (eb >= 0 && eb <= 0x1.fffffffffffffp1023) compare(x, y, eb);
    }
}

static double hostile(uint64_t *seed) {
    static const double table[] = {0, 0x1p-1074, 0x1p-1022, 0x1.fffffffffffffp-1023, 1, 0x1p-53, 0x1.fffffffffffffp1023, 0x1p1023, 3e-40};
    uint64_t r = check_random(seed);
    double v = r % 5 == 0 ? table[(r >> 8) % 9] : from_bits(check_random(seed));
    if (r % 7 == 0) v = (double)(int64_t)(r >> 30) * 0x1p-10;
    return r & 1024 ? -v : v;
}

static void random_triples(void) {
    uint64_t seed = 5;
    for (int i = 0; i < 60000; i++) {
        double x = hostile(&seed), y = hostile(&seed), eb = hostile(&seed);
        uint64_t r = check_random(&seed);
        if (r % 3 == 0) y = neighbour(x, (int64_t)(r >> 8 & 0xffff) - 0x8000);
        if (r % 3 == 1) y = x + eb;
        compare(x, y, eb < 0 ? -eb : eb);
        around(x, y);
        around(y, x);
    }
}

static void specials(void) {
    double inf = from_bits(0x7ff0000000000000u), nan = from_bits(0x7ff8000000000001u);
    double values[] = {0, 1, inf, -inf, nan};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++)
            for (int k = 0; k < 5; k++)
                if (i > 1 || j > 1 || k > 1) {
                    int finite = i < 2 && j < 2;
                    if (finite && k == 2) continue;     /* an infinite bound is not a bound */
                    CHECK_EQ(gsz_within(values[i], values[j], values[k]), 0);
                }
    CHECK_EQ(gsz_within(0.0, -0.0, 0.0), 1);
}

/* The step of the quantiser is the largest number of the working type not above 2 eb. */
static void steps(void) {
    uint64_t seed = 9;
    for (int i = 0; i < 20000; i++) {
        double eb = hostile(&seed);
        if (eb < 0) eb = -eb;
        if (!(eb > 0 && eb < 0x1p1022)) continue;
        double s = gsz_step(GSZ_FLOAT32, eb);
        CHECK(s <= 2 * eb && s >= 0 && (double)(float)s == s);
        if (s < 0x1.fffffep127) {
            float f = (float)s;
            uint32_t b;
            memcpy(&b, &f, 4);
            CHECK((double)gsz_float_of_bits(b + 1) > 2 * eb);
        }
        CHECK(gsz_step(GSZ_FLOAT64, eb) == 2 * eb);
    }
}

/* rel is not above bound times range, exactly; ranges that overflow, vanish or do not exist give no bound. */
static void relative_bounds(void) {
    uint64_t seed = 21;
    const gsz_kernels *kernels = gsz_kernels_for(0);
    int32_t k[16];
    for (int i = 0; i < 20000; i++) {
        double x[16], least = 0, most = 0, bound = hostile(&seed), eb;
        int finite = 0;
        if (bound < 0) bound = -bound;
        if (!(bound <= 0x1.fffffffffffffp1023)) continue;
        size_t n = 1 + check_random(&seed) % 16;
        for (size_t j = 0; j < n; j++) {
            x[j] = hostile(&seed);
            if (!exact_take_apart(x[j]).finite) continue;
            if (!finite || x[j] < least) least = x[j];
            if (!finite || x[j] > most) most = x[j];
            finite = 1;
        }
        CHECK_EQ(gsz_resolve_bound(kernels, GSZ_FLOAT64, x, n, GSZ_REL, bound, k, &eb), GSZ_OK);
        CHECK(eb >= 0 && eb <= 0x1.fffffffffffffp1023);
        if (!finite) CHECK(eb == 0);
        else CHECK_EQ(exact_below_product(eb, bound, most, least), 1);
    }
}

int main(void) {
    random_triples();
    specials();
    steps();
    relative_bounds();
    return check_report("within");
}
