/* Generated tensors: integers and one exact scaling, so the same bits on every platform. */
#ifndef SAMPLES_H
#define SAMPLES_H

#include "check.h"
#include "fp.h"

typedef enum { NORMAL, SMOOTH, SPARSE, HEAVY, SPECIALS, ANY_BITS, ZERO, CONSTANT, OUTER, RARE, HOLES, KINDS } sample_kind;
typedef enum { ANY_GRID, ALIGNED, CENTRED, DITHERED, SHRUNK } sample_grid;      /* one above gsz_grid */

typedef struct {
    int dtype;
    unsigned ndim;
    uint64_t shape[4];
    sample_kind kind;
    double bound;
    int mode, predictor;
    int level;
    sample_grid grid;
    const gsz_quantiser *quantiser;
} sample;

static const int sample_dtypes[] = {
    GSZ_FLOAT16, GSZ_BFLOAT16, GSZ_FLOAT32, GSZ_FLOAT64, GSZ_INT8, GSZ_INT16, GSZ_INT32, GSZ_INT64,
    GSZ_UINT8, GSZ_UINT16, GSZ_UINT32, GSZ_UINT64, GSZ_BOOL};
#define SAMPLE_DTYPES (sizeof sample_dtypes / sizeof sample_dtypes[0])

static inline size_t sample_elements(const sample *s) {
    size_t n = 1;
    for (unsigned d = 0; d < s->ndim; d++) n *= (size_t)s->shape[d];
    return n;
}

/* About normal: the sum of four uniform numbers, within 2^17. */
static inline int32_t sample_normal(uint64_t *seed) {
    uint64_t r = check_random(seed);
    return (int32_t)((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48)) - 131070;
}

static inline void sample_put_bits(int dtype, void *data, size_t i, uint64_t bits) {
    switch (gsz_itemsize(dtype)) {
    case 1: ((uint8_t *)data)[i] = (uint8_t)(dtype == GSZ_BOOL ? bits & 1 : bits); break;
    case 2: ((uint16_t *)data)[i] = (uint16_t)bits; break;
    case 4: ((uint32_t *)data)[i] = (uint32_t)bits; break;
    default: ((uint64_t *)data)[i] = bits;
    }
}

/* v * 2^-20 for floats, v / 2^10 for integers. */
static inline void sample_put(int dtype, void *data, size_t i, int64_t v) {
    double d = (double)v * 0x1p-20;
    switch (dtype) {
    case GSZ_FLOAT16: sample_put_bits(dtype, data, i, gsz_half_of_float((float)d)); break;
    case GSZ_BFLOAT16: sample_put_bits(dtype, data, i, gsz_bfloat_of_float((float)d)); break;
    case GSZ_FLOAT32: sample_put_bits(dtype, data, i, gsz_bits_of_float((float)d)); break;
    case GSZ_FLOAT64: sample_put_bits(dtype, data, i, gsz_bits_of_double(d)); break;
    default: sample_put_bits(dtype, data, i, (uint64_t)(v / 1024));
    }
}

/* NaN with a payload, infinities, negative zero, the smallest and the largest numbers; for integers bits. */
static inline uint64_t sample_special(int dtype, unsigned which) {
    static const uint64_t table[4][8] = {
        {0x7e01, 0xfd55, 0x7c00, 0xfc00, 0x8000, 0x0001, 0x7bff, 0x03ff},
        {0x7fc1, 0xff81, 0x7f80, 0xff80, 0x8000, 0x0001, 0x7f7f, 0x007f},
        {0x7fc12345, 0xff812345, 0x7f800000, 0xff800000, 0x80000000, 1, 0x7f7fffff, 0x007fffff},
        {0x7ff8123456789abc, 0xfff0123456789abc, 0x7ff0000000000000, 0xfff0000000000000, 0x8000000000000000, 1,
         0x7fefffffffffffff, 0x000fffffffffffff}};
    return table[dtype <= GSZ_FLOAT64 ? dtype : 3][which & 7];
}

/* Of a sum of two outer products: what low rank finds. */
static inline int64_t sample_outer(uint64_t row, uint64_t column, int64_t noise) {
    int64_t v = noise / 8;
    for (uint64_t k = 1; k <= 2; k++) {
        uint64_t a = k << 32 | row, b = k << 33 | column;
        v += (int64_t)sample_normal(&a) * sample_normal(&b) / (1 << 16);
    }
    return v;
}

static inline void sample_fill(const sample *s, uint64_t seed, void *data) {
    size_t n = sample_elements(s);
    uint64_t columns = s->ndim ? s->shape[s->ndim - 1] : 1;
    if (s->kind == OUTER && s->ndim > 2) columns = n / s->shape[0];
    for (size_t i = 0; i < n; i++) {
        uint64_t r = check_random(&seed);
        int64_t v = sample_normal(&seed);
        switch (s->kind) {
        case SMOOTH: v = (int64_t)(i % columns * 6000 + i / columns * 1700) + v / 64; break;
        case SPARSE: v = r % 29 ? 0 : v; break;
        case HEAVY: v = r % 50 ? v : v * ((int64_t)1 << (r >> 40 & 31)); break;
        case ZERO: v = 0; break;
        case CONSTANT: v = 123456; break;
        case RARE: v = i / columns % 100 != 40 || r % 9 ? 0 : v; break;
        case OUTER: v = sample_outer(i / columns, i % columns, v); break;
        default: break;
        }
        if (s->kind == HOLES && r % 17 == 0)
            sample_put_bits(s->dtype, data, i, sample_special(s->dtype, (unsigned)(r >> 32 & 3)));
        else if (s->kind == ANY_BITS || (s->kind == SPECIALS && r % 11 == 0))
            sample_put_bits(s->dtype, data, i, s->kind == ANY_BITS ? r : sample_special(s->dtype, (unsigned)(r >> 32)));
        else
            sample_put(s->dtype, data, i, v);
    }
}

static inline void *sample_make(const sample *s, uint64_t seed) {
    size_t size = sample_elements(s) * gsz_itemsize(s->dtype);
    void *data = malloc(size ? size : 1);
    if (data == NULL) abort();
    sample_fill(s, seed, data);
    return data;
}

static inline gsz_input sample_input(const sample *s, const void *data) {
    gsz_input in;
    gsz_input_init(&in);
    in.dtype = s->dtype;
    in.ndim = s->ndim;
    in.shape = s->shape;
    in.data = data;
    in.bound = s->bound;
    in.mode = s->mode;
    in.predictor = s->predictor;
    in.level = s->level;
    if (s->grid != ANY_GRID) in.grid = (int)s->grid - 1;
    in.quantiser = s->quantiser;
    return in;
}

/* A message of one sample in memory of exactly its size. */
static inline uint8_t *sample_message(const sample *s, const void *data, const gsz_options *options, size_t *size) {
    gsz_input in = sample_input(s, data);
    uint8_t *message, *copy;
    CHECK_EQ(gsz_encode(&in, 1, 0, options, &message, size), GSZ_OK);
    copy = check_copy(message, *size);
    gsz_free(options, message);
    return copy;
}

/* Decode all tensors of a message, one after another into memory to be freed; the status, and NULL on an error. */
static inline int sample_decode(const void *message, size_t size, const gsz_options *options, void **out, size_t *nbytes) {
    gsz_message *m;
    gsz_info info;
    *out = NULL;
    *nbytes = 0;
    int status = gsz_open(message, size, options, &m);
    if (status != GSZ_OK) return status;
    const size_t count = gsz_message_count(m);
    void **outs = (void **)malloc((count + 1) * sizeof *outs);
    size_t *sizes = (size_t *)malloc((count + 1) * sizeof *sizes);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(gsz_message_info(m, i, &info), GSZ_OK);
        sizes[i] = (size_t)info.nbytes;
        *nbytes = (*nbytes + 7) / 8 * 8 + sizes[i];         /* each aligned */
    }
    uint8_t *to = (uint8_t *)(*out = calloc(*nbytes + 1, 1));
    for (size_t i = 0; i < count; to += (sizes[i] + 7) / 8 * 8, i++) outs[i] = to;
    status = gsz_decode_tensors(m, outs, sizes);
    free(outs);
    free(sizes);
    gsz_close(m);
    if (status != GSZ_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

/* A message of several samples with names, likewise. */
#define SAMPLE_MOST 16
static inline uint8_t *sample_tensors(const sample *s, size_t count, uint64_t seed, const gsz_options *options, size_t *size) {
    static const char *const name = "encoder.layer.weight";
    gsz_input in[SAMPLE_MOST];
    void *data[SAMPLE_MOST];
    uint8_t *message, *copy;
    for (size_t i = 0; i < count; i++) {
        data[i] = sample_make(&s[i], seed + i);
        in[i] = sample_input(&s[i], data[i]);
        in[i].name = name;
        in[i].name_length = 20 - i;
    }
    CHECK_EQ(gsz_encode(in, count, 1, options, &message, size), GSZ_OK);
    copy = check_copy(message, *size);
    gsz_free(options, message);
    for (size_t i = 0; i < count; i++) free(data[i]);
    return copy;
}

static const gsz_quantiser sample_quantisers[] = {
    {.scheme = GSZ_SPARSE_DITHERING, .target = 0.25},
    {.scheme = GSZ_SPARSE_DITHERING, .target = 1, .unbiased = 1},
    {.scheme = GSZ_M22, .bits = 1, .keep = 0.3},
    {.scheme = GSZ_M22, .bits = 3, .power = 2, .family = GSZ_DWEIBULL, .keep = 1},
    {.scheme = GSZ_M22, .bits = 5, .power = 1, .family = GSZ_GENNORM, .keep = 0.5, .threshold = 0.05, .shape = 1.2, .scale = 0.1},
    {.scheme = GSZ_SPHERICAL, .target = 0.6, .block = 7},
};
#define SAMPLE_QUANTISERS (sizeof sample_quantisers / sizeof sample_quantisers[0])

/* A small set that visits every codec, predictor and mode. */
static const sample sample_set[] = {
    {GSZ_FLOAT32, 1, {300}, NORMAL, 1e-3, GSZ_ABS, GSZ_PREDICT_NONE},
    {GSZ_FLOAT32, 2, {60, 60}, SMOOTH, 1e-2, GSZ_ABS, GSZ_PREDICT_LORENZO2},
    {GSZ_FLOAT32, 3, {8, 9, 40}, SMOOTH, 1e-3, GSZ_REL, GSZ_PREDICT_LORENZO3},
    {GSZ_FLOAT32, 1, {3000}, SPARSE, 1e-2, GSZ_REL, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT32, 1, {400}, HEAVY, 1e-5, GSZ_ABS, GSZ_PREDICT_LORENZO1},
    {GSZ_FLOAT32, 1, {400}, SPECIALS, 1e-3, GSZ_ABS, GSZ_PREDICT_LORENZO1},
    {GSZ_FLOAT64, 2, {20, 30}, SPECIALS, 1e-2, GSZ_RMS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT64, 1, {500}, NORMAL, 1e-9, GSZ_ABS, GSZ_PREDICT_NONE},
    {GSZ_FLOAT64, 1, {300}, NORMAL, 1e-1, GSZ_L2, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT16, 1, {500}, NORMAL, 3e-2, GSZ_REL, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT16, 1, {200}, ANY_BITS, 1e-1, GSZ_ABS, GSZ_PREDICT_NONE},
    {GSZ_BFLOAT16, 1, {500}, SPECIALS, 40, GSZ_PSNR, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT32, 1, {200}, NORMAL, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT64, 1, {100}, ANY_BITS, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_INT32, 1, {400}, SMOOTH, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_INT8, 1, {2500}, NORMAL, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_UINT64, 1, {100}, SPARSE, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_BOOL, 1, {900}, SPARSE, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT32, 1, {100}, CONSTANT, 1e-3, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT32, 2, {0, 3}, NORMAL, 1e-3, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT64, 0, {0}, NORMAL, 1e-3, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT32, 1, {900}, NORMAL, 1e-2, GSZ_REL, GSZ_PREDICT_AUTO, GSZ_LEVEL_FAST, ANY_GRID},
    {GSZ_FLOAT32, 2, {40, 33}, NORMAL, 2e-2, GSZ_ABS, GSZ_PREDICT_STRUCTURE, GSZ_LEVEL_BALANCED, CENTRED},
    {GSZ_FLOAT32, 4, {8, 16, 3, 3}, HOLES, 1e-2, GSZ_ABS, GSZ_PREDICT_STRUCTURE, GSZ_LEVEL_BALANCED, ALIGNED},
    {GSZ_FLOAT32, 2, {66, 63}, OUTER, 3e-3, GSZ_ABS, GSZ_PREDICT_LOW_RANK, GSZ_LEVEL_BALANCED, CENTRED},
    {GSZ_FLOAT32, 2, {66, 63}, OUTER, 2e-3, GSZ_ABS, GSZ_PREDICT_AUTO, GSZ_LEVEL_BEST, ALIGNED},
    {GSZ_FLOAT64, 4, {40, 24, 2, 3}, OUTER, 1e-1, GSZ_RMS, GSZ_PREDICT_LOW_RANK, GSZ_LEVEL_BALANCED, ALIGNED},
    {GSZ_FLOAT64, 1, {700}, HOLES, 1e-1, GSZ_ABS, GSZ_PREDICT_STRUCTURE, GSZ_LEVEL_BALANCED, CENTRED},
    {GSZ_FLOAT16, 1, {1500}, SPARSE, 5e-2, GSZ_REL, GSZ_PREDICT_STRUCTURE, GSZ_LEVEL_BALANCED, CENTRED},
    {GSZ_BFLOAT16, 2, {70, 5}, HOLES, 5e-2, GSZ_ABS, GSZ_PREDICT_STRUCTURE, GSZ_LEVEL_BALANCED, ALIGNED},
    {GSZ_FLOAT32, 2, {30, 41}, NORMAL, 5e-3, GSZ_ABS, GSZ_PREDICT_STRUCTURE, GSZ_LEVEL_BALANCED, DITHERED},
    {GSZ_FLOAT64, 4, {8, 16, 3, 3}, HOLES, 2e-1, GSZ_ABS, GSZ_PREDICT_AUTO, GSZ_LEVEL_FAST, SHRUNK},
    {GSZ_FLOAT32, 2, {66, 63}, OUTER, 3e-3, GSZ_ABS, GSZ_PREDICT_LOW_RANK, GSZ_LEVEL_BALANCED, SHRUNK},
    {.dtype = GSZ_FLOAT32, .ndim = 2, .shape = {30, 41}, .kind = NORMAL, .quantiser = &sample_quantisers[0]},
    {.dtype = GSZ_FLOAT64, .ndim = 4, .shape = {8, 16, 3, 3}, .kind = HOLES, .quantiser = &sample_quantisers[1]},
    {.dtype = GSZ_FLOAT32, .ndim = 1, .shape = {700}, .kind = SPECIALS, .quantiser = &sample_quantisers[2]},
    {.dtype = GSZ_BFLOAT16, .ndim = 2, .shape = {40, 30}, .kind = NORMAL, .quantiser = &sample_quantisers[3]},
    {.dtype = GSZ_FLOAT16, .ndim = 2, .shape = {20, 30}, .kind = HOLES, .quantiser = &sample_quantisers[4]},
    {.dtype = GSZ_FLOAT32, .ndim = 1, .shape = {500}, .kind = RARE, .quantiser = &sample_quantisers[5]},
    {.dtype = GSZ_FLOAT16, .ndim = 1, .shape = {400}, .kind = HOLES, .quantiser = &sample_quantisers[5]},
};
#define SAMPLE_SET (sizeof sample_set / sizeof sample_set[0])
#define SAMPLE_FIRST_MODEL 22       /* from here on under the gradient model, */
#define SAMPLE_FIRST_QUANTISED 33   /* and from here on quantised */

/* Tensors of one message that share a segment, with others among them. */
static const sample sample_shared[] = {
    {GSZ_FLOAT32, 2, {66, 63}, OUTER, 3e-3, GSZ_ABS, GSZ_PREDICT_LOW_RANK, GSZ_LEVEL_BALANCED, CENTRED},
    {GSZ_INT32, 1, {40}, SMOOTH, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT64, 1, {80}, NORMAL, 2e-2, GSZ_ABS, GSZ_PREDICT_STRUCTURE, GSZ_LEVEL_BALANCED, ALIGNED},
    {GSZ_FLOAT32, 1, {100}, CONSTANT, 1e-3, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT32, 1, {90}, NORMAL, 2e-2, GSZ_ABS, GSZ_PREDICT_AUTO, GSZ_LEVEL_BALANCED, DITHERED},
    {GSZ_FLOAT16, 4, {6, 8, 3, 3}, NORMAL, 5e-2, GSZ_REL, GSZ_PREDICT_STRUCTURE, GSZ_LEVEL_BALANCED, CENTRED},
    {GSZ_FLOAT32, 1, {200}, SMOOTH, 1e-2, GSZ_ABS, GSZ_PREDICT_LORENZO1},
};
#define SAMPLE_SHARED (sizeof sample_shared / sizeof sample_shared[0])

/* Small bit-exact tensors of one message, gathered by their dtypes; two that are not, and enough entries to be packed. */
static const sample sample_small[] = {
    {GSZ_FLOAT32, 1, {40}, NORMAL, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_INT64, 0, {0}, NORMAL, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT32, 2, {3, 5}, ANY_BITS, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT32, 1, {1025}, SPARSE, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_BFLOAT16, 1, {30}, ANY_BITS, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_INT64, 1, {9}, SMOOTH, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_BOOL, 1, {50}, SPARSE, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT32, 1, {1024}, SMOOTH, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT32, 1, {2000}, NORMAL, 2e-2, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_INT64, 1, {2}, NORMAL, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
};
#define SAMPLE_SMALL (sizeof sample_small / sizeof sample_small[0])

/* Of more than 2^20 elements, so in several segments; almost all zeros, so in few bytes. */
static const sample sample_cut[] = {
    {GSZ_FLOAT16, 2, {1100, 1024}, RARE, 5e-2, GSZ_ABS, GSZ_PREDICT_LOW_RANK, GSZ_LEVEL_BALANCED, CENTRED},
    {GSZ_FLOAT32, 1, {60}, NORMAL, 2e-2, GSZ_ABS, GSZ_PREDICT_STRUCTURE, GSZ_LEVEL_BALANCED, CENTRED},
};
#define SAMPLE_CUT (sizeof sample_cut / sizeof sample_cut[0])

#endif
