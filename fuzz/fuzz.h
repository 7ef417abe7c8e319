/* Shared by the fuzz targets: parameters come from the input's end, so that a corpus file begins with plain
 * message or value bytes; whatever must be true and is not ends the process. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gradsz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(cond) do { \
    if (!(cond)) { fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond); abort(); } \
} while (0)

typedef struct { const uint8_t *data; size_t size; } fuzz_input;

/* The last byte, taken away; 0 when none is left. */
static inline unsigned fuzz_take(fuzz_input *in) { return in->size ? in->data[--in->size] : 0; }

static inline uint64_t fuzz_take64(fuzz_input *in) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v = v << 8 | fuzz_take(in);
    return v;
}

static inline double fuzz_take_double(fuzz_input *in) {
    uint64_t b = fuzz_take64(in);
    double d;
    memcpy(&d, &b, 8);
    return d;
}

/* What is left, in memory of exactly its size. */
static inline uint8_t *fuzz_copy(const fuzz_input *in) {
    uint8_t *p = (uint8_t *)malloc(in->size ? in->size : 1);
    if (p == NULL) abort();
    if (in->size) memcpy(p, in->data, in->size);
    return p;
}

static inline void *fuzz_zeros(size_t size) {
    void *p = calloc(size ? size : 1, 1);
    if (p == NULL) abort();
    return p;
}

/* Kernel mask and memory budget from one byte: budgets in one of four inputs, from 256 bytes to 4 MiB. */
static inline void fuzz_options(fuzz_input *in, gsz_options *options) {
    static const unsigned masks[4] = {0, GSZ_CPU_SSE42, GSZ_CPU_ALL, GSZ_CPU_AVX2 | GSZ_CPU_SSE42};
    unsigned b = fuzz_take(in);
    gsz_options_init(options);
    options->cpu_mask = masks[b & 3];
    if ((b >> 2 & 3) == 3) options->max_memory = (uint64_t)256 << (b >> 4);
    options->max_output = (uint64_t)1 << 20;
}

typedef struct { gsz_message *m; size_t count; void **out; size_t *size; } fuzz_message;

static inline int fuzz_open(const uint8_t *data, size_t size, const gsz_options *options, fuzz_message *f) {
    memset(f, 0, sizeof *f);
    int status = gsz_open(data, size, options, &f->m);
    REQUIRE((status == GSZ_OK) == (f->m != NULL));
    if (status != GSZ_OK) return status;
    f->count = gsz_message_count(f->m);
    f->out = (void **)fuzz_zeros(f->count * sizeof *f->out);
    f->size = (size_t *)fuzz_zeros(f->count * sizeof *f->size);
    for (size_t i = 0; i < f->count; i++) {
        gsz_info info;
        REQUIRE(gsz_message_info(f->m, i, &info) == GSZ_OK);
        REQUIRE(info.nbytes <= options->max_output);
        f->size[i] = (size_t)info.nbytes;
        f->out[i] = fuzz_zeros(f->size[i]);
    }
    return GSZ_OK;
}

static inline void fuzz_close(fuzz_message *f) {
    for (size_t i = 0; i < f->count; i++) free(f->out[i]);
    free(f->out);
    free(f->size);
    gsz_close(f->m);
}

/* Opens a message and decodes all of it.  Values are the same with every kernel table, and one by one. */
static inline int fuzz_decode(const uint8_t *data, size_t size, const gsz_options *options) {
    fuzz_message a, b;
    gsz_options other = *options;
    other.cpu_mask = options->cpu_mask ? 0 : GSZ_CPU_ALL;
    int status = fuzz_open(data, size, options, &a);
    REQUIRE(fuzz_open(data, size, &other, &b) == status);
    if (status == GSZ_OK) {
        status = gsz_decode_tensors(a.m, a.out, a.size);
        REQUIRE(gsz_decode_tensors(b.m, b.out, b.size) == status);
        for (size_t i = 0; status == GSZ_OK && i < a.count; i++) {
            REQUIRE(memcmp(a.out[i], b.out[i], a.size[i]) == 0);
            gsz_bits bits;
            if (i >= 4 || options->max_memory > 0) continue;
            REQUIRE(gsz_message_bits(b.m, i, &bits) == GSZ_OK);
            memset(b.out[i], 0x5a, b.size[i]);
            REQUIRE(gsz_decode(b.m, i, b.out[i], b.size[i]) == GSZ_OK);
            REQUIRE(memcmp(a.out[i], b.out[i], a.size[i]) == 0);
        }
    }
    fuzz_close(&a);
    fuzz_close(&b);
    REQUIRE(strcmp(gsz_status_text(status), "unknown status") != 0);
    return status;
}

#endif
