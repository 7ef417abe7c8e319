/* Guarantee 4: digests of messages and of decoded values over a fixed set of inputs; tests/cross/digests.txt
 * has what every platform, compiler, kernel and number of threads must print.
 *   digest [--mask N] [--threads N]     the digests
 *   digest --selftest                   exit status 0 when this build computes as the format needs */
#include "samples.h"

static gsz_options options;

/* FNV-1a, 64 bits. */
static uint64_t hash_bytes(uint64_t h, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* Elements in little-endian order, whatever the machine's is. */
static uint64_t hash_values(uint64_t h, const void *values, size_t n, size_t itemsize) {
    for (size_t i = 0; i < n; i++) {
        uint8_t b[8];
        uint64_t v = itemsize == 1 ? ((const uint8_t *)values)[i] : itemsize == 2 ? ((const uint16_t *)values)[i]
                   : itemsize == 4 ? ((const uint32_t *)values)[i] : ((const uint64_t *)values)[i];
        for (int k = 0; k < 8; k++) b[k] = (uint8_t)(v >> 8 * k);
        h = hash_bytes(h, b, itemsize);
    }
    return h;
}

typedef struct { uint64_t message, values, bytes; } digest;

static const digest start = {0xcbf29ce484222325u, 0xcbf29ce484222325u, 0};

static void add(digest *d, const sample *s, uint64_t seed) {
    void *data = sample_make(s, seed), *values;
    size_t size, nbytes, itemsize = gsz_itemsize(s->dtype);
    uint8_t *message = sample_message(s, data, &options, &size);
    CHECK_EQ(sample_decode(message, size, &options, &values, &nbytes), GSZ_OK);
    d->message = hash_bytes(d->message, message, size);
    d->values = hash_values(d->values, values, nbytes / itemsize, itemsize);
    d->bytes += size;
    free(values);
    free(message);
    free(data);
}

static void print(const char *name, const char *detail, const digest *d) {
    printf("%-10s %-9s %016llx %016llx %llu\n", name, detail, (unsigned long long)d->message,
           (unsigned long long)d->values, (unsigned long long)d->bytes);
}

static const char *const dtype_names[] = {"float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64",
                                          "uint8", "uint16", "uint32", "uint64", "bool"};

/* Every mode, predictor and kind of data, for one float type. */
static const char *const modes[] = {"abs", "rel", "rms", "l2", "psnr"};
static const double mode_bounds[] = {3e-3, 1e-2, 1e-1, 1e-1, 40};

static void floats(int dtype, const char *name) {
    static const int predictors[] = {GSZ_PREDICT_AUTO, GSZ_PREDICT_NONE, GSZ_PREDICT_LORENZO1, GSZ_PREDICT_LORENZO2, GSZ_PREDICT_LORENZO3};
    for (int mode = GSZ_ABS; mode <= GSZ_PSNR; mode++) {
        digest d = start;
        for (int kind = 0; kind < KINDS; kind++)
            for (int p = 0; p < (mode >= GSZ_L2 ? 1 : 5); p++) {
                sample s = {dtype, 3, {7, 17, 29}, (sample_kind)kind, mode_bounds[mode], mode, predictors[p], GSZ_LEVEL_FAST, ANY_GRID};
                add(&d, &s, (uint64_t)(100 * kind + p));
            }
        print(name, modes[mode], &d);
    }
}

/* The gradient model: what balanced chooses, then matrices, kernels, folded and transposed ones at every grid, with low rank and without. */
static void model(int dtype, const char *name) {
    static const struct { unsigned ndim; uint64_t shape[4]; } shapes[] = {
        {1, {1500}}, {2, {40, 33}}, {2, {70, 5}}, {4, {8, 16, 3, 3}}, {4, {17, 3, 5, 5}}, {3, {9, 17, 2}}, {3, {4, 5, 200}}};
    static const char *const names[] = {"aligned", "aligned+", "aligned*", "centred", "centred+", "centred*",
                                        "dithered", "dithered+", "dithered*", "shrunk", "shrunk+", "shrunk*"};     /* + low rank, * at its best */
    digest d = start;
    for (int mode = GSZ_ABS; mode <= GSZ_PSNR; mode++)
        for (int kind = 0; kind < KINDS; kind++) {
            sample s = {dtype, 4, {12, 24, 3, 3}, (sample_kind)kind, mode_bounds[mode], mode, GSZ_PREDICT_AUTO, GSZ_LEVEL_BALANCED, ANY_GRID};
            add(&d, &s, (uint64_t)kind);
        }
    print(name, "balanced", &d);
    for (int grid = ALIGNED; grid <= SHRUNK; grid++) {
        d = start;
        for (size_t shape = 0; shape < sizeof shapes / sizeof shapes[0]; shape++)
            for (int kind = 0; kind < KINDS; kind++) {
                sample s = {dtype, shapes[shape].ndim, {0}, (sample_kind)kind, shape & 1 ? 1e-2 : 1e-1, shape & 2 ? GSZ_RMS : GSZ_ABS,
                            GSZ_PREDICT_STRUCTURE, GSZ_LEVEL_BALANCED, (sample_grid)grid};
                memcpy(s.shape, shapes[shape].shape, sizeof s.shape);
                add(&d, &s, shape);
            }
        print(name, names[3 * (grid - ALIGNED)], &d);
        for (int level = GSZ_LEVEL_BALANCED; level <= GSZ_LEVEL_BEST; level += GSZ_LEVEL_BEST) {
            static const sample table[] = {
                {0, 2, {66, 63}, OUTER, 3e-3, 0, 0, 0, ANY_GRID}, {0, 4, {40, 24, 2, 3}, OUTER, 1e-2, 0, 0, 0, ANY_GRID},
                {0, 2, {900, 12}, OUTER, 1e-3, 0, 0, 0, ANY_GRID}, {0, 4, {70, 9, 3, 3}, OUTER, 3e-3, 0, 0, 0, ANY_GRID}};
            d = start;
            for (size_t shape = 0; shape < sizeof table / sizeof table[0]; shape++) {
                sample s = table[shape];
                s.dtype = dtype;
                s.grid = (sample_grid)grid;
                s.level = level;
                s.predictor = GSZ_PREDICT_LOW_RANK;
                add(&d, &s, shape);
            }
            print(name, names[3 * (grid - ALIGNED) + 1 + (level == GSZ_LEVEL_BEST)], &d);
        }
    }
}

static void exact(int dtype, const char *name) {
    digest d = start;
    for (int kind = 0; kind < KINDS; kind++)
        for (uint64_t n = 1; n < 4000; n = 3 * n + 1) {
            sample s = {dtype, 1, {n}, (sample_kind)kind, 0, GSZ_ABS, GSZ_PREDICT_AUTO};
            add(&d, &s, n + (uint64_t)kind);
        }
    print(name, "exact", &d);
}

/* Bounds from below the smallest subnormal to above the largest number. */
static void bounds(void) {
    static const double table[] = {1e-320, 1e-310, 1e-45, 1e-40, 1e-20, 1e-7, 1, 1e30, 3e38, 1e300, 1.7e308};
    digest d = start;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        for (int dtype = GSZ_FLOAT16; dtype <= GSZ_FLOAT64; dtype++)
            for (int kind = HEAVY; kind <= ANY_BITS; kind++) {
                sample s = {dtype, 1, {700}, (sample_kind)kind, table[i], GSZ_ABS, i % 2 ? GSZ_PREDICT_LORENZO1 : GSZ_PREDICT_NONE};
                add(&d, &s, i);
                s.predictor = GSZ_PREDICT_STRUCTURE;
                add(&d, &s, i);
            }
    print("any", "bounds", &d);
}

/* Scalars, empty arrays, and arrays of one element in many dimensions. */
static void shapes(void) {
    static const sample table[] = {
        {GSZ_FLOAT32, 0, {0}, NORMAL, 1e-3, GSZ_ABS, GSZ_PREDICT_AUTO}, {GSZ_FLOAT64, 2, {0, 5}, NORMAL, 1e-3, GSZ_ABS, GSZ_PREDICT_AUTO},
        {GSZ_INT8, 1, {0}, NORMAL, 0, GSZ_ABS, GSZ_PREDICT_AUTO}, {GSZ_FLOAT32, 4, {1, 1, 1, 1}, NORMAL, 1e-3, GSZ_ABS, GSZ_PREDICT_AUTO},
        {GSZ_FLOAT32, 4, {3, 1, 40, 2}, SMOOTH, 1e-3, GSZ_ABS, GSZ_PREDICT_LORENZO3},
        {GSZ_FLOAT16, 1, {2}, NORMAL, 1e-3, GSZ_ABS, GSZ_PREDICT_LORENZO1}, {GSZ_FLOAT64, 1, {2}, NORMAL, 1e-3, GSZ_ABS, GSZ_PREDICT_STRUCTURE},
        {GSZ_FLOAT32, 4, {1, 3, 1, 200}, NORMAL, 1e-2, GSZ_ABS, GSZ_PREDICT_STRUCTURE}};
    digest d = start;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) add(&d, &table[i], i);
    print("any", "shapes", &d);
}

/* Several chunks, several segments. */
static void large(void) {
    static const struct { const char *what; sample s; } table[] = {
        {"chunks", {GSZ_FLOAT32, 1, {600001}, NORMAL, 1e-2, GSZ_REL, GSZ_PREDICT_NONE}},
        {"planes", {GSZ_FLOAT32, 2, {500, 700}, SMOOTH, 1e-2, GSZ_ABS, GSZ_PREDICT_LORENZO2}},
        {"chunks", {GSZ_FLOAT64, 1, {300000}, SPARSE, 1e-2, GSZ_RMS, GSZ_PREDICT_AUTO, GSZ_LEVEL_FAST, ANY_GRID}},
        {"chunks", {GSZ_INT32, 1, {300000}, SMOOTH, 0, GSZ_ABS, GSZ_PREDICT_AUTO}},
        {"segments", {GSZ_FLOAT32, 2, {1400, 800}, OUTER, 1e-2, GSZ_RMS, GSZ_PREDICT_AUTO}},
        {"segments", {GSZ_FLOAT16, 1, {1100000}, SPARSE, 1e-2, GSZ_RMS, GSZ_PREDICT_AUTO}}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        digest d = start;
        add(&d, &table[i].s, i);
        print(dtype_names[table[i].s.dtype == GSZ_INT32 ? 6 : table[i].s.dtype], table[i].what, &d);
    }
}

/* Quantisers, on every kind of data. */
static void quantised(int dtype, const char *name) {
    static const char *const names[] = {"dither", "unbiased", "m22", "m22w", "m22g", "sphere"};
    for (size_t q = 0; q < SAMPLE_QUANTISERS; q++) {
        digest d = start;
        for (int kind = 0; kind < KINDS; kind++) {
            sample s = {.dtype = dtype, .ndim = 4, .shape = {12, 24, 3, 3}, .kind = (sample_kind)kind, .quantiser = &sample_quantisers[q]};
            add(&d, &s, (uint64_t)kind);
        }
        print(name, names[q], &d);
    }
}

/* Several tensors in a message. */
static void named(const sample *samples, size_t count, const char *what) {
    digest d = start;
    gsz_message *m;
    size_t size;
    uint8_t *message = sample_tensors(samples, count, 1, &options, &size);
    CHECK_EQ(gsz_open(message, size, &options, &m), GSZ_OK);
    for (size_t i = 0; i < count; i++) {
        gsz_info info;
        CHECK_EQ(gsz_message_info(m, i, &info), GSZ_OK);
        void *out = malloc((size_t)info.nbytes + 1);
        CHECK_EQ(gsz_decode(m, i, out, (size_t)info.nbytes), GSZ_OK);
        d.values = hash_values(d.values, out, (size_t)info.elements, gsz_itemsize(info.dtype));
        free(out);
    }
    d.message = hash_bytes(d.message, message, size);
    d.bytes = size;
    print("any", what, &d);
    gsz_close(m);
    free(message);
}

int main(int argc, char **argv) {
    gsz_options_init(&options);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--selftest") == 0) return gsz_selftest() != GSZ_OK;
        if (strcmp(argv[i], "--mask") == 0 && i + 1 < argc) options.cpu_mask = (unsigned)strtoul(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc) options.nthreads = (unsigned)strtoul(argv[++i], NULL, 0);
        else return fprintf(stderr, "usage: digest [--mask N] [--threads N] | --selftest\n"), 2;
    }
    printf("# dtype   detail    message          values           bytes\n");
    for (int i = 0; i < 4; i++) floats(sample_dtypes[i], dtype_names[i]);
    for (int i = 0; i < 4; i++) model(sample_dtypes[i], dtype_names[i]);
    for (size_t i = 0; i < SAMPLE_DTYPES; i++) exact(sample_dtypes[i], dtype_names[i]);
    bounds();
    shapes();
    named(sample_set, SAMPLE_MOST, "named");
    named(sample_shared, SAMPLE_SHARED, "shared");
    named(sample_cut, SAMPLE_CUT, "cut");
    named(sample_small, SAMPLE_SMALL, "small");
    large();
    for (int i = 0; i < 4; i++) quantised(sample_dtypes[i], dtype_names[i]);
    return 0;
}
