/* Values under the gradient model with any shape and weights: the bound is kept; then edits to tables and segment: values or
 * an error, the same from every kernel table. */
#include "bound.h"
#include "coding_tables.h"
#include "cpu.h"
#include "fit.h"
#include "fp.h"
#include "fuzz.h"

#define MOST 4096u

/* A shape of up to four dimensions, of at most n elements. */
static unsigned take_shape(fuzz_input *in, size_t n, uint64_t *shape) {
    unsigned ndim = fuzz_take(in) % 5;
    for (unsigned i = 0; i < ndim; i++) {
        shape[i] = 1 + fuzz_take(in) % (i < 2 ? 64u : 6u);
        shape[i] = GSZ_MIN(shape[i], (uint64_t)n);
        n /= (size_t)shape[i];
    }
    return ndim;
}

static void take_weights(fuzz_input *in, gsz_model_weights *w) {
    memset(w, 0, sizeof *w);
    w->unit_bits = fuzz_take(in) % (GSZ_MAX_UNIT_BITS + 1);
    uint64_t r = fuzz_take64(in);
    int wild = fuzz_take(in) & 1;
    w->constant = wild ? (int32_t)(r >> 32) : (int32_t)(r & 127);
    w->row = wild ? (int32_t)r : (int32_t)(r >> 8 & 127) - 32;
    w->column = wild ? (int32_t)(r >> 16) : (int32_t)(r >> 16 & 127) - 32;
    for (unsigned k = 0; k < GSZ_FEATURES; k++) w->mean[k] = (int32_t)(int8_t)(uint8_t)(r >> (24 + 8 * k)) * (wild ? 1 << 24 : 1);
}

typedef struct { uint8_t *data; size_t size, tables; } coded;

static int encode(gsz_heap *heap, gsz_modelled *t, const float *x, int fit, unsigned mask, coded *out) {
    static const size_t room = GSZ_CODING_TABLES_BYTES(GSZ_CONTEXTS);
    gsz_frequencies f[GSZ_CONTEXTS];
    gsz_rans_code (*codes)[GSZ_RANS_SYMBOLS] = (gsz_rans_code (*)[GSZ_RANS_SYMBOLS])fuzz_zeros(GSZ_CONTEXTS * sizeof *codes);
    uint8_t *scales = (uint8_t *)fuzz_zeros(t->view.rows), *tables = (uint8_t *)fuzz_zeros(room);
    gsz_bitwriter b = {tables, 0, 0};
    gsz_segment_encoder s;
    gsz_writer w;
    gsz_work work;
    gsz_work_init(&work, heap, gsz_kernels_for(gsz_cpu_features() & mask));
    gsz_writer_init(&w, heap);
    gsz_model_scales(work.kernels, t, x, scales);
    int status = gsz_segment_start(&work, &s);
    if (status == GSZ_OK && fit) status = gsz_model_fit(&work, t, x, scales);
    if (status == GSZ_OK) status = gsz_segment_put_rows(&work, &s, t, x, scales, 0, t->view.rows);
    if (status == GSZ_OK) {
        gsz_coding_tables_write((const uint32_t (*)[GSZ_RANS_SYMBOLS])s.counts, GSZ_CONTEXTS, f, &b);
        out->tables = (size_t)(gsz_bits_flush(&b) - tables);
        for (unsigned c = 0; c < GSZ_CONTEXTS; c++) gsz_rans_codes(&f[c], codes[c]);
        status = gsz_put_bytes(&w, tables, out->tables);
    }
    if (status == GSZ_OK) status = gsz_segment_write(&work, &s, codes[0], &w);
    out->size = status == GSZ_OK ? w.size : 0;
    out->data = (uint8_t *)fuzz_zeros(out->size);
    if (out->size > 0) memcpy(out->data, w.data, out->size);
    gsz_writer_release(&w);
    gsz_segment_release(&s);
    gsz_work_release(&work);
    free(codes);
    free(scales);
    free(tables);
    return status;
}

static int decode(gsz_heap *heap, const gsz_modelled *t, const coded *in, unsigned mask, float *y) {
    gsz_frequencies f[GSZ_CONTEXTS];
    gsz_segment_decoder s;
    gsz_bitreader b;
    gsz_work work;
    uint32_t (*slots)[GSZ_RANS_SLOTS] = (uint32_t (*)[GSZ_RANS_SLOTS])fuzz_zeros(GSZ_CONTEXTS * sizeof *slots);
    size_t tables = GSZ_MIN(in->tables, in->size);
    gsz_reader rest = {in->data + tables, in->data + in->size};
    gsz_bits_init(&b, in->data, in->data + tables);
    gsz_work_init(&work, heap, gsz_kernels_for(gsz_cpu_features() & mask));
    int status = gsz_coding_tables_read(&b, GSZ_CONTEXTS, f);
    for (unsigned c = 0; status == GSZ_OK && c < GSZ_CONTEXTS; c++) gsz_rans_slots(&f[c], slots[c]);
    if (status == GSZ_OK) status = gsz_segment_open(&s, rest, slots[0]);
    if (status == GSZ_OK) status = gsz_segment_get_rows(&work, &s, t, 0, t->view.rows, y);
    if (status == GSZ_OK) status = gsz_segment_close(&s);
    gsz_work_release(&work);
    free(slots);
    return status;
}

static void check(const gsz_modelled *t, const float *x, const float *y) {
    for (size_t i = 0; i < t->view.elements; i++) {
        if (gsz_is_finite((double)x[i])) REQUIRE(gsz_within((double)x[i], (double)y[i], t->eb));
        else REQUIRE(memcmp(&x[i], &y[i], sizeof *x) == 0);
    }
}

static void edit(fuzz_input *in, coded *c) {
    for (unsigned n = 1 + fuzz_take(in) % 4; n > 0 && c->size > 0; n--) {
        size_t at = (fuzz_take(in) | (size_t)fuzz_take(in) << 8) % c->size;
        c->data[at] ^= (uint8_t)(fuzz_take(in) | 1);
    }
    size_t cut = fuzz_take(in) & 3 ? 0 : fuzz_take(in) % 64;
    c->size -= GSZ_MIN(c->size, cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    gsz_options options;
    gsz_heap heap;
    gsz_modelled t;
    uint64_t shape[4];
    coded c;
    memset(&t, 0, sizeof t);
    fuzz_options(&in, &options);
    unsigned control = fuzz_take(&in), ndim = take_shape(&in, MOST, shape);
    take_weights(&in, &t.weights);
    t.dtype = GSZ_FLOAT32;
    t.aligned = control & 1;
    t.eb = gsz_double_of_bits((uint64_t)(1023 - 12 + (control >> 3)) << 52);
    t.unit = gsz_model_unit(t.dtype, t.eb, t.weights.unit_bits);
    gsz_view_of(shape, ndim, &t.view);
    size_t n = (size_t)t.view.elements;
    float *x = (float *)fuzz_zeros(n * sizeof *x), *y = (float *)fuzz_zeros(n * sizeof *y), *z = (float *)fuzz_zeros(n * sizeof *z);
    for (size_t i = 0; i < n && in.size > 0; i++) x[i] = (float)((int)in.data[i % in.size] - 128) * 0.01f;
    memcpy(x, in.data, GSZ_MIN(in.size, n * sizeof *x) / 2 & ~(size_t)3);        /* half as numbers, half as bits */
    gsz_heap_init(&heap, &options);
    int status = encode(&heap, &t, x, control >> 1 & 1, options.cpu_mask, &c);
    REQUIRE(status == GSZ_OK || status == GSZ_E_MEMORY);
    if (status == GSZ_OK) {
        status = decode(&heap, &t, &c, options.cpu_mask, y);
        REQUIRE(status == GSZ_OK || status == GSZ_E_MEMORY);
        if (status == GSZ_OK) check(&t, x, y);
        edit(&in, &c);
        status = decode(&heap, &t, &c, options.cpu_mask, y);
        REQUIRE(status == decode(&heap, &t, &c, ~options.cpu_mask, z));
        REQUIRE(status != GSZ_OK || memcmp(y, z, n * sizeof *y) == 0);
    }
    REQUIRE(heap.used == 0);
    gsz_heap_destroy(&heap);
    free(c.data);
    free(x);
    free(y);
    free(z);
    return 0;
}
