/* Values under the gradient model with any shape and weights: the bound is kept; then edits to tables and segment: values or
 * an error, the same from every kernel table. */
#include "bound.h"
#include "coding_tables.h"
#include "cpu.h"
#include "fp.h"
#include "fuzz.h"
#include "head.h"
#include "learn.h"

#define MOST 8192u

/* A shape of up to four dimensions, of at most n elements. */
static unsigned take_shape(fuzz_input *in, size_t n, uint64_t *shape) {
    unsigned ndim = fuzz_take(in) % 5;
    for (unsigned i = 0; i < ndim; i++) {
        shape[i] = 1 + fuzz_take(in) % (i < 2 ? 128u : 6u);
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
    w->constant = wild ? (int32_t)(r >> 32) >> 5 : (int32_t)(r & 127);
    w->row = wild ? (int32_t)r >> 5 : (int32_t)(r >> 8 & 127) - 32;
    w->column = wild ? (int32_t)(r >> 16) >> 5 : (int32_t)(r >> 16 & 127) - 32;
    for (unsigned k = 0; k < GSZ_FEATURES; k++) w->mean[k] = (int32_t)(int8_t)(uint8_t)(r >> (24 + 8 * k) % 64) * (wild ? 1 << 19 : 1);
}

typedef struct { uint8_t *data; size_t size, tables; } coded;

/* What a message says of a tensor before its head. */
typedef struct { int grid; unsigned ndim; uint64_t shape[4]; double eb; size_t n; } subject;

static int start(gsz_heap *heap, const subject *t, gsz_structure *s) {
    const gsz_offsets offsets = {0x123456789abcdefu * t->n, (uint32_t)t->n << 25};
    int status = gsz_structure_init(heap, s, GSZ_FLOAT32, t->grid, t->eb, t->shape, t->ndim);
    gsz_structure_offsets(s, &offsets, 3);
    return status;
}

/* weights: NULL for fitted ones, and a low-rank part where it pays.  *possible = 0: not for the model. */
static int encode(gsz_heap *heap, subject *t, const float *x, const gsz_model_weights *weights, unsigned mask, int *possible, coded *out) {
    static const size_t room = GSZ_CODING_TABLES_BYTES(GSZ_TABLES);
    gsz_frequencies f[GSZ_TABLES];
    gsz_rans_code (*codes)[GSZ_RANS_SYMBOLS] = (gsz_rans_code (*)[GSZ_RANS_SYMBOLS])fuzz_zeros(GSZ_TABLES * sizeof *codes);
    uint8_t *tables = (uint8_t *)fuzz_zeros(room);
    gsz_bitwriter b = {tables, 0, 0};
    gsz_segment_encoder e;
    gsz_structure s;
    gsz_writer w;
    gsz_work work;
    memset(&e, 0, sizeof e);
    gsz_work_init(&work, heap, gsz_kernels_for(gsz_cpu_features() & mask));
    gsz_writer_init(&w, heap);
    int status = start(heap, t, &s);
    if (status == GSZ_OK) status = gsz_structure_learn(&work, &s, x, weights == NULL, t->n % 3 == 0, possible);
    if (status == GSZ_OK && *possible) t->eb = s.t.eb;         /* trying may make bins narrower */
    if (status == GSZ_OK && *possible && weights != NULL) {
        unsigned unit_bits = s.t.weights.unit_bits;
        s.t.weights = *weights;
        s.t.weights.unit_bits = unit_bits;
    }
    if (status == GSZ_OK && *possible) {
        status = gsz_segment_start(&work, &e);
        if (status == GSZ_OK) status = gsz_head_put(&work, &e, &s);
        if (status == GSZ_OK) status = gsz_rows_put(&work, &e, &s.t, x, 0, s.t.view.rows);
    }
    if (status == GSZ_OK && *possible) {
        gsz_tables_write(gsz_segment_counts(&e), f, &b);
        out->tables = (size_t)(gsz_bits_flush(&b) - tables);
        for (unsigned c = 0; c < GSZ_TABLES; c++) gsz_rans_codes(&f[c], codes[c]);
        status = gsz_put_bytes(&w, tables, out->tables);
        if (status == GSZ_OK) status = gsz_segment_write(&work, &e, codes[0], &w);
    }
    out->size = status == GSZ_OK ? w.size : 0;
    out->data = (uint8_t *)fuzz_zeros(out->size);
    if (out->size > 0) memcpy(out->data, w.data, out->size);
    gsz_writer_release(&w);
    gsz_segment_release(&e);
    gsz_structure_release(heap, &s);
    gsz_work_release(&work);
    free(codes);
    free(tables);
    return status;
}

static int decode_rows(gsz_work *work, const subject *t, gsz_reader in, const uint32_t *slots, unsigned used, float *y) {
    gsz_segment_decoder d;
    gsz_structure s;
    int status = start(work->heap, t, &s);
    if (status == GSZ_OK) status = gsz_segment_open(&d, in, slots);
    d.used = used;
    if (status == GSZ_OK) status = gsz_head_get(work, &d, &s);
    if (status == GSZ_OK) status = gsz_rows_get(work, &d, &s.t, 0, s.t.view.rows, y);
    if (status == GSZ_OK) status = gsz_segment_close(&d);
    gsz_structure_release(work->heap, &s);
    return status;
}

static int decode(gsz_heap *heap, const subject *t, const coded *in, unsigned mask, float *y) {
    gsz_frequencies f[GSZ_TABLES];
    gsz_bitreader b;
    gsz_work work;
    uint32_t (*slots)[GSZ_RANS_SLOTS] = (uint32_t (*)[GSZ_RANS_SLOTS])fuzz_zeros(GSZ_TABLES * sizeof *slots);
    size_t tables = GSZ_MIN(in->tables, in->size);
    gsz_reader rest = {in->data + tables, in->data + in->size};
    gsz_bits_init(&b, in->data, in->data + tables);
    gsz_work_init(&work, heap, gsz_kernels_for(gsz_cpu_features() & mask));
    unsigned used = 0;
    int status = gsz_tables_read(&b, f, &used);
    for (unsigned c = 0; status == GSZ_OK && c < GSZ_TABLES; c++) gsz_kernels_for(0)->rans_slots(&f[c], slots[c]);
    if (status == GSZ_OK) status = decode_rows(&work, t, rest, slots[0], used, y);
    gsz_work_release(&work);
    free(slots);
    return status;
}

static void check(const subject *t, const float *x, const float *y) {
    for (size_t i = 0; i < t->n; i++) {
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
    gsz_model_weights weights;
    subject t;
    coded c;
    int possible = 0;
    memset(&t, 0, sizeof t);
    memset(&c, 0, sizeof c);
    fuzz_options(&in, &options);
    unsigned control = fuzz_take(&in);
    t.ndim = take_shape(&in, MOST, t.shape);
    take_weights(&in, &weights);
    t.grid = (int)((control & 1) | (control >> 1 & 2));
    t.eb = gsz_double_of_bits((uint64_t)(1023 - 12 + (control >> 3)) << 52);
    t.n = 1;
    for (unsigned i = 0; i < t.ndim; i++) t.n *= (size_t)t.shape[i];
    float *x = (float *)fuzz_zeros(t.n * sizeof *x), *y = (float *)fuzz_zeros(t.n * sizeof *y), *z = (float *)fuzz_zeros(t.n * sizeof *z);
    for (size_t i = 0; i < t.n && in.size > 0; i++) x[i] = (float)((int)in.data[i % in.size] - 128) * 0.01f;
    memcpy(x, in.data, GSZ_MIN(in.size, t.n * sizeof *x) / 2 & ~(size_t)3);        /* half as numbers, half as bits */
    gsz_heap_init(&heap, &options);
    int status = encode(&heap, &t, x, control & 2 ? NULL : &weights, options.cpu_mask, &possible, &c);
    REQUIRE(status == GSZ_OK || status == GSZ_E_MEMORY);
    if (status == GSZ_OK && possible) {
        status = decode(&heap, &t, &c, options.cpu_mask, y);
        REQUIRE(status == GSZ_OK || status == GSZ_E_MEMORY);
        if (status == GSZ_OK) check(&t, x, y);
        edit(&in, &c);
        status = decode(&heap, &t, &c, options.cpu_mask, y);
        REQUIRE(status == decode(&heap, &t, &c, ~options.cpu_mask, z));
        REQUIRE(status != GSZ_OK || memcmp(y, z, t.n * sizeof *y) == 0);
    }
    REQUIRE(heap.used == 0);
    gsz_heap_destroy(&heap);
    free(c.data);
    free(x);
    free(y);
    free(z);
    return 0;
}
