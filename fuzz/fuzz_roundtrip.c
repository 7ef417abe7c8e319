/* Any values, any dtype, mode, predictor, level, grid and bound, through the public functions: the size is within
 * gsz_compress_bound, finite values come back within the bound stored, the others bit for bit. */
#include "../tests/c/judge.h"
#include "fp.h"
#include "fuzz.h"

#define DTYPES 13
static const int dtypes[DTYPES] = {GSZ_FLOAT16, GSZ_BFLOAT16, GSZ_FLOAT32, GSZ_FLOAT64, GSZ_INT8, GSZ_INT16, GSZ_INT32,
                                   GSZ_INT64, GSZ_UINT8, GSZ_UINT16, GSZ_UINT32, GSZ_UINT64, GSZ_BOOL};

static double value(int dtype, const uint8_t *p) {
    uint16_t h;
    uint32_t w;
    uint64_t d;
    switch (dtype) {
    case GSZ_FLOAT16: memcpy(&h, p, 2); return (double)gsz_float_of_half(h);
    case GSZ_BFLOAT16: memcpy(&h, p, 2); return (double)gsz_float_of_bfloat(h);
    case GSZ_FLOAT32: memcpy(&w, p, 4); return (double)gsz_float_of_bits(w);
    default: memcpy(&d, p, 8); return gsz_double_of_bits(d);
    }
}

static void check_values(const gsz_info *info, const uint8_t *x, const uint8_t *y) {
    size_t itemsize = gsz_itemsize(info->dtype);
    for (size_t i = 0; i < (size_t)info->elements; i++, x += itemsize, y += itemsize) {
        if (memcmp(x, y, itemsize) == 0) continue;
        REQUIRE(info->codec >= GSZ_CODEC_UNIFORM);
        double a = value(info->dtype, x);
        REQUIRE(gsz_is_finite(a));
        REQUIRE(exact_within(a, value(info->dtype, y), info->eb));
    }
}

/* The bound that each mode means, in terms that can be stated exactly. */
static void check_eb(const gsz_input *in, const gsz_info *info, const uint8_t *x) {
    if (info->eb == 0) return;
    double low = 0, high = 0;
    int any = 0;
    for (size_t i = 0; i < (size_t)info->elements; i++) {
        double v = value(in->dtype, x + i * gsz_itemsize(in->dtype));
        if (!gsz_is_finite(v)) continue;
        if (!any || v < low) low = v;
        if (!any || v > high) high = v;
        any = 1;
    }
    if (in->mode == GSZ_ABS) REQUIRE(in->level == GSZ_LEVEL_BEST ? info->eb <= in->bound : info->eb == in->bound);     /* best may take less */
    if (in->mode == GSZ_REL) REQUIRE(any && exact_below_product(info->eb, in->bound, high, low) == 1);
    REQUIRE(in->mode == GSZ_ABS || any);
}

#if defined(__SIZEOF_FLOAT128__)
/* l2 and psnr are promised as measured: in 113 bits, with exponents that no square leaves. */
__extension__ typedef __float128 quad;

static void check_measured(const gsz_input *in, const gsz_info *info, const uint8_t *x, const uint8_t *y) {
    quad errors = 0, squares = 0, bound = (quad)in->bound, low = 0, high = 0, n = 0;
    size_t itemsize = gsz_itemsize(in->dtype);
    for (size_t i = 0; i < (size_t)info->elements; i++) {
        double v = value(in->dtype, x + i * itemsize), w = value(in->dtype, y + i * itemsize);
        if (!gsz_is_finite(v)) continue;
        quad a = (quad)v, e = a - (quad)w;
        errors += e * e;
        squares += a * a;
        if (n == 0 || a < low) low = a;
        if (n == 0 || a > high) high = a;
        n += 1;
    }
    if (in->mode == GSZ_L2) REQUIRE(errors <= bound * bound * squares);
    if (in->mode == GSZ_PSNR && in->bound <= 1000 && in->bound == (double)(int)in->bound && (int)in->bound % 10 == 0) {
        quad power = 1;         /* 10^(dB / 10) is a whole number for whole tens */
        for (int db = (int)in->bound; db > 0; db -= 10) power *= 10;
        REQUIRE(errors * power <= (high - low) * (high - low) * n);
    }
}
#else
static void check_measured(const gsz_input *in, const gsz_info *info, const uint8_t *x, const uint8_t *y) {
    (void)in; (void)info; (void)x; (void)y;
}
#endif

static void decode(const gsz_input *in, const gsz_options *options, const uint8_t *message, size_t size, const uint8_t *x) {
    gsz_message *m;
    gsz_info info;
    int status = gsz_open(message, size, options, &m);
    if (status == GSZ_E_MEMORY) return;
    REQUIRE(status == GSZ_OK && gsz_message_count(m) == 1 && gsz_message_info(m, 0, &info) == GSZ_OK);
    uint8_t *y = (uint8_t *)fuzz_zeros((size_t)info.nbytes);
    status = gsz_decode(m, 0, y, (size_t)info.nbytes);
    REQUIRE(status == GSZ_OK || status == GSZ_E_MEMORY);
    if (status == GSZ_OK) {
        check_values(&info, x, y);
        if (in->dtype <= GSZ_FLOAT64) {
            check_eb(in, &info, x);
            if (info.codec >= GSZ_CODEC_UNIFORM && info.grid == GSZ_GRID_ALIGNED) check_measured(in, &info, x, y);
        }
    }
    free(y);
    gsz_close(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int predictors[] = {GSZ_PREDICT_AUTO, GSZ_PREDICT_NONE, GSZ_PREDICT_LORENZO1, GSZ_PREDICT_LORENZO2, GSZ_PREDICT_LORENZO3,
                                     GSZ_PREDICT_STRUCTURE, GSZ_PREDICT_LOW_RANK};
    static const int levels[] = {GSZ_LEVEL_BALANCED, GSZ_LEVEL_FAST, GSZ_LEVEL_BEST, GSZ_LEVEL_BALANCED};
    static const int grids[] = {GSZ_GRID_AUTO, GSZ_GRID_CENTRED, GSZ_GRID_ALIGNED, GSZ_GRID_DITHERED, GSZ_GRID_SHRUNK};
    fuzz_input in = {data, size};
    gsz_options options, other;
    gsz_input t;
    uint8_t *message, *again;
    size_t message_size, again_size;
    fuzz_options(&in, &options);
    gsz_input_init(&t);
    t.dtype = dtypes[fuzz_take(&in) % DTYPES];
    t.mode = (int)(fuzz_take(&in) % 5);
    t.predictor = predictors[fuzz_take(&in) % 7];
    unsigned choices = fuzz_take(&in);
    t.level = levels[choices & 3];
    t.grid = grids[(choices >> 2 & 15) % 5];
    if (choices & 64) options.seeded = 1, options.seed = choices, options.slot = choices >> 7, options.slots = 3;
    uint64_t columns = 1 + fuzz_take(&in), rows = 1 + fuzz_take(&in) % 16;
    unsigned exponent = fuzz_take(&in);
    t.bound = fuzz_take_double(&in);
    if (exponent & 1) {        /* half of the bounds of a usual size */
        uint64_t mantissa = gsz_bits_of_double(t.bound) & 0xfffffffffffffu;
        t.bound = gsz_double_of_bits((uint64_t)(1023 - 60 + (exponent >> 1)) << 52 | mantissa);
        if (t.mode == GSZ_PSNR) t.bound = (double)(exponent >> 1);
    }
    size_t n = in.size / gsz_itemsize(t.dtype);
    uint64_t shape[3] = {n, 1, 1};
    t.ndim = 1;
    if (n > 0 && n % (columns * rows) == 0) t.ndim = 3, shape[0] = n / (columns * rows), shape[1] = rows, shape[2] = columns;
    else if (n > 0 && n % columns == 0) t.ndim = 2, shape[0] = n / columns, shape[1] = columns;
    t.shape = shape;
    uint8_t *x = fuzz_copy(&in);
    for (size_t i = 0; t.dtype == GSZ_BOOL && i < n; i++) x[i] &= 1;
    t.data = x;
    int status = gsz_encode(&t, 1, 0, &options, &message, &message_size);
    if (!(t.bound >= 0 && t.bound <= 0x1.fffffffffffffp1023)) REQUIRE(status == GSZ_E_PARAMETER || status == GSZ_E_MEMORY);
    else REQUIRE(status == GSZ_OK || status == GSZ_E_MEMORY);
    if (status == GSZ_OK) {
        REQUIRE(message_size <= gsz_compress_bound(&t, 1, 0));
        decode(&t, &options, message, message_size, x);
        other = options;
        other.cpu_mask = ~options.cpu_mask;
        other.max_memory = 0;
        REQUIRE(gsz_encode(&t, 1, 0, &other, &again, &again_size) == GSZ_OK);
        REQUIRE(again_size == message_size && memcmp(again, message, again_size) == 0);
        gsz_free(&other, again);
        gsz_free(&options, message);
    }
    free(x);
    return 0;
}
