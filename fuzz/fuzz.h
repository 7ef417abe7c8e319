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

/* Opens a message and decodes all of it.  Values are the same with every kernel table, and a second time. */
static inline int fuzz_decode(const uint8_t *data, size_t size, const gsz_options *options) {
    gsz_message *m, *p;
    gsz_options other = *options;
    other.cpu_mask = options->cpu_mask ? 0 : GSZ_CPU_ALL;
    int status = gsz_open(data, size, options, &m);
    if (gsz_open(data, size, &other, &p) != status) abort();
    REQUIRE((status == GSZ_OK) == (m != NULL));
    for (size_t i = 0; status == GSZ_OK && i < gsz_message_count(m); i++) {
        gsz_info info;
        REQUIRE(gsz_message_info(m, i, &info) == GSZ_OK);
        REQUIRE(info.nbytes <= options->max_output);
        void *a = fuzz_zeros((size_t)info.nbytes), *b = fuzz_zeros((size_t)info.nbytes);
        status = gsz_decode(m, i, a, (size_t)info.nbytes);
        REQUIRE(gsz_decode(p, i, b, (size_t)info.nbytes) == status);
        REQUIRE(status != GSZ_OK || memcmp(a, b, (size_t)info.nbytes) == 0);
        free(a);
        free(b);
    }
    gsz_close(m);
    gsz_close(p);
    REQUIRE(strcmp(gsz_status_text(status), "unknown status") != 0);
    return status;
}

#endif
