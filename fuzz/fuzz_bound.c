/* The error bound in exact arithmetic: gsz_within on any three doubles, the step, the bound of every mode, and
 * what the quantiser accepts. */
#include "../tests/c/judge.h"
#include "bound.h"
#include "cpu.h"
#include "fp.h"
#include "fuzz.h"
#include "uniform.h"

static double neighbour(double v, int64_t ulps) { return gsz_double_of_bits(gsz_bits_of_double(v) + (uint64_t)ulps); }

static void check_within(double x, double y, double eb) {
    int expected = exact_within(x, y, eb);
    if (!exact_take_apart(eb).finite || exact_take_apart(eb).negative) return;     /* bounds are finite and not negative */
    REQUIRE(gsz_within(x, y, eb) == expected);
    REQUIRE(gsz_within(y, x, eb) == expected);
}

static void check_triple(double x, double y, double eb) {
    check_within(x, y, eb);
    double d = gsz_abs_double(x - y);
    for (int64_t u = -1; u <= 1; u++) check_within(x, y, neighbour(d, u));
}

static void check_quantiser(const gsz_kernels *kernels, int dtype, const void *x, size_t n, double eb) {
    gsz_uniform u = {dtype, eb, gsz_step(dtype, eb), {0, 0, 0}};
    int32_t *k = (int32_t *)fuzz_zeros(n * sizeof(int32_t)), *other = (int32_t *)fuzz_zeros(n * sizeof(int32_t));
    if (u.step > 0) {
        size_t escapes = gsz_uniform_quantise(kernels, &u, x, n, k), seen = 0;
        REQUIRE(gsz_uniform_quantise(gsz_kernels_for(0), &u, x, n, other) == escapes);
        REQUIRE(memcmp(k, other, n * sizeof(int32_t)) == 0);
        for (size_t i = 0; i < n; i++) {
            seen += k[i] == GSZ_ESCAPE;
            if (k[i] != GSZ_ESCAPE) REQUIRE(exact_within(gsz_value_at(dtype, x, i), gsz_decoded_value(dtype, k[i], u.step), eb));
        }
        REQUIRE(seen == escapes);
    }
    free(k);
    free(other);
}

static void check_modes(const gsz_kernels *kernels, int dtype, const void *x, size_t n, int mode, double bound) {
    int32_t *k = (int32_t *)fuzz_zeros(n * sizeof(int32_t));      /* n is below GSZ_CHUNK */
    double eb, portable;
    REQUIRE(gsz_resolve_bound(kernels, dtype, x, n, mode, bound, k, &eb) == GSZ_OK);
    REQUIRE(gsz_resolve_bound(gsz_kernels_for(0), dtype, x, n, mode, bound, k, &portable) == GSZ_OK);
    REQUIRE(eb == portable && eb >= 0 && eb <= 0x1.fffffffffffffp1023);
    REQUIRE(eb == 0 || (gsz_step(dtype, eb) > 0 && gsz_step(dtype, eb) / 2 <= eb));
    free(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    gsz_options options;
    fuzz_options(&in, &options);
    const gsz_kernels *kernels = gsz_kernels_for(gsz_cpu_features() & options.cpu_mask);
    unsigned control = fuzz_take(&in);
    int dtype = (int)(control & 3), mode = (int)(control >> 2) % 5;
    double bound = fuzz_take_double(&in);
    if (!(bound >= 0 && bound <= 0x1.fffffffffffffp1023)) bound = 1e-3;
    uint8_t *x = fuzz_copy(&in);
    size_t n = in.size / gsz_itemsize(dtype);
    for (size_t i = 0; i + 16 <= in.size && i < 160; i += 16) {
        double a, b;
        memcpy(&a, x + i, 8);
        memcpy(&b, x + i + 8, 8);
        check_triple(a, b, bound);
        check_triple(a, a + bound, bound);
    }
    if (n > 0 && n <= 4096) {
        check_quantiser(kernels, dtype, x, n, bound);
        check_modes(kernels, dtype, x, n, mode, bound);
    }
    free(x);
    return 0;
}
