/* The gradient model: what is decoded is within the bound, for every kernel table the same bytes and values; cuts are errors. */
#include "bound.h"
#include "check.h"
#include "fit.h"
#include "fp.h"
#include "samples.h"
#include "rows.h"
#include "scales.h"

static const unsigned masks[] = {0, GSZ_CPU_SSE42, GSZ_CPU_AVX2 | GSZ_CPU_SSE42, GSZ_CPU_ALL};
static gsz_heap heap;

static const struct { unsigned ndim; uint64_t shape[4]; } shapes[] = {
    {0, {0}}, {1, {1}}, {1, {2000}}, {1, {5}}, {2, {1, 9}}, {2, {40, 33}}, {2, {33, 1}}, {2, {70, 5}}, {2, {3, 300}},
    {4, {8, 16, 3, 3}}, {4, {20, 1, 3, 3}}, {4, {17, 3, 5, 5}}, {4, {16, 24, 1, 1}}, {3, {9, 17, 2}}, {3, {4, 5, 200}}, {4, {6, 20, 2, 3}},
};
#define SHAPES (sizeof shapes / sizeof shapes[0])

static void tables(uint32_t (*counts)[GSZ_RANS_SYMBOLS], gsz_rans_code (*codes)[GSZ_RANS_SYMBOLS], uint32_t (*slots)[GSZ_RANS_SLOTS]) {
    for (unsigned c = 0; c < GSZ_TABLES; c++) {
        gsz_frequencies f;
        counts[c][GSZ_SYMBOL_ZERO]++;           /* a table for every context */
        gsz_frequencies_fit(counts[c], &f);
        gsz_rans_codes(&f, codes[c]);
        gsz_kernels_for(0)->rans_slots(&f, slots[c]);
    }
}

/* Half of the tensors have fitted weights. */
static void encode(gsz_modelled *t, const void *x, uint8_t *scales, int fit, unsigned mask, gsz_writer *out, uint32_t (*slots)[GSZ_RANS_SLOTS]) {
    static gsz_rans_code codes[GSZ_TABLES][GSZ_RANS_SYMBOLS];
    gsz_work work;
    gsz_segment_encoder s;
    gsz_work_init(&work, &heap, gsz_kernels_for(gsz_cpu_features() & mask));
    gsz_writer_init(out, &heap);
    CHECK_EQ(gsz_segment_start(&work, &s), GSZ_OK);
    CHECK_EQ(gsz_scales_measure(&work, t, x, scales, NULL), GSZ_OK);
    if (fit) CHECK_EQ(gsz_model_fit(&work, t, x), GSZ_OK);
    CHECK_EQ(gsz_rows_put(&work, &s, t, x, 0, t->view.rows), GSZ_OK);
    (void)gsz_segment_counts(&s);
    tables(s.counts, codes, slots);
    CHECK_EQ(gsz_segment_write(&work, &s, codes[0], out), GSZ_OK);
    gsz_segment_release(&s);
    gsz_work_release(&work);
}

static int decode(const gsz_modelled *t, const uint8_t *data, size_t size, unsigned mask, uint32_t (*slots)[GSZ_RANS_SLOTS], void *y) {
    uint8_t *copy = check_copy(data, size);
    gsz_reader in = {copy, copy + size};
    gsz_work work;
    gsz_segment_decoder s;
    gsz_work_init(&work, &heap, gsz_kernels_for(gsz_cpu_features() & mask));
    int status = gsz_segment_open(&s, in, slots[0]);
    if (status == GSZ_OK) status = gsz_rows_get(&work, &s, t, 0, t->view.rows, y);
    if (status == GSZ_OK) status = gsz_segment_close(&s);
    gsz_work_release(&work);
    free(copy);
    return status;
}

static void check_values(const gsz_modelled *t, const void *x, const void *y, size_t n) {
    const size_t itemsize = gsz_itemsize(t->dtype);
    for (size_t i = 0; i < n; i++) {
        double a = gsz_value_at(t->dtype, x, i), b = gsz_value_at(t->dtype, y, i);
        if (gsz_is_finite(a)) CHECK(gsz_within(a, b, t->eb));
        else CHECK(memcmp((const uint8_t *)x + i * itemsize, (const uint8_t *)y + i * itemsize, itemsize) == 0);
    }
}

static void one(int dtype, size_t shape, sample_kind kind, uint64_t seed) {
    static uint32_t slots[GSZ_TABLES][GSZ_RANS_SLOTS], other_slots[GSZ_TABLES][GSZ_RANS_SLOTS];
    gsz_modelled t;
    gsz_writer first, other;
    memset(&t, 0, sizeof t);
    t.dtype = dtype;
    t.grid = (int)(seed >> 4 & 3);
    t.set = gsz_is_random(t.grid) ? GSZ_SET_DITHERED : GSZ_SET_VALUES;
    t.seed = seed;
    t.slot = (uint32_t)(seed >> 20);
    gsz_view_of(shapes[shape].shape, shapes[shape].ndim, &t.view);
    size_t n = (size_t)t.view.elements, size = n * gsz_itemsize(dtype);
    sample s = {dtype, 1, {n}, kind, 0, 0, 0};
    void *x = sample_make(&s, seed), *y = malloc(size), *z = malloc(size);
    uint8_t *scales = (uint8_t *)malloc(t.view.rows);
    t.scales = scales;
    gsz_model_default_weights((unsigned)(seed >> 8) % 9 + (gsz_is_random(t.grid) ? GSZ_LEAST_RANDOM_BITS : 0), gsz_is_random(t.grid), &t.weights);
    t.weights.mean[GSZ_FEATURE_neighbours] = 20;
    t.weights.mean[GSZ_FEATURE_tap_above] = -9;
    t.eb = seed & 64 ? 0.003 : 0.2;
    t.unit = gsz_model_unit(dtype, t.grid, t.eb, t.weights.unit_bits);
    int fit = (int)(seed >> 7 & 1);
    encode(&t, x, scales, fit, 0, &first, slots);
    CHECK_EQ(decode(&t, first.data, first.size, 0, slots, y), GSZ_OK);
    check_values(&t, x, y, n);
    for (size_t m = 0; m < sizeof masks / sizeof masks[0]; m++) {
        encode(&t, x, scales, fit, masks[m], &other, other_slots);
        CHECK(other.size == first.size && memcmp(other.data, first.data, first.size) == 0);
        gsz_writer_release(&other);
        memset(z, 0x5a, size);
        CHECK_EQ(decode(&t, first.data, first.size, masks[m], slots, z), GSZ_OK);
        CHECK(memcmp(y, z, size) == 0);
        for (int edit = 0; edit < 20; edit++) {             /* anything but a crash */
            uint8_t *bad = check_copy(first.data, first.size);
            bad[check_random(&seed) % first.size] ^= (uint8_t)(1 << check_random(&seed) % 8);
            (void)decode(&t, bad, first.size - (edit < 5 ? check_random(&seed) % first.size : 0), masks[m], slots, z);
            free(bad);
        }
    }
    CHECK(decode(&t, first.data, first.size - 1, GSZ_CPU_ALL, slots, z) != GSZ_OK);
    gsz_writer_release(&first);
    free(scales);
    free(x);
    free(y);
    free(z);
}

/* Every element belongs to exactly one lane of one step. */
static void views(void) {
    for (size_t i = 0; i < SHAPES; i++) {
        gsz_view v;
        gsz_view_of(shapes[i].shape, shapes[i].ndim, &v);
        uint8_t *seen = (uint8_t *)calloc((size_t)v.elements, 1);
        for (size_t row = 0; row < v.rows; row++)
            for (unsigned tap = 0; tap < v.taps; tap++)
                for (size_t j = 0; j < gsz_view_step(&v, gsz_view_row(&v, row), tap); j++) {
                    size_t at = row * v.row_stride + tap * v.tap_stride + j * v.lane_stride;
                    CHECK(at < v.elements && seen[at]++ == 0);
                    CHECK(j < v.lanes);
                }
        CHECK(memchr(seen, 0, (size_t)v.elements) == NULL);
        free(seen);
    }
}

int main(void) {
    gsz_options options;
    uint64_t seed = 11;
    gsz_options_init(&options);
    gsz_heap_init(&heap, &options);
    views();
    for (int dtype = GSZ_FLOAT16; dtype <= GSZ_FLOAT64; dtype++)
        for (int kind = 0; kind < KINDS; kind++)
            for (size_t shape = 0; shape < SHAPES; shape++)
                for (int round = 0; round < 2; round++) one(dtype, shape, (sample_kind)kind, check_random(&seed));
    CHECK_EQ(heap.used, 0u);
    return check_report("segment");
}
