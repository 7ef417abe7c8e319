/* Two tensors into one message and back, with limits.  docs/c-api.md tells how to build it. */
#include <stdio.h>
#include <stdlib.h>

#include "gradsz.h"

#define ROWS 100
#define COLUMNS 50
#define BOUND 1e-2

static float weights[ROWS * COLUMNS], decoded[ROWS * COLUMNS];
static int64_t decoded_steps;

static int failed(const char *what, int status) {
    fprintf(stderr, "%s: %s (%d)\n", what, gsz_status_text(status), status);
    return EXIT_FAILURE;
}

/* Weights within BOUND of their value range; the counter bit for bit, as all integers. */
static int encode(const gsz_options *options, uint8_t **message, size_t *size) {
    static const uint64_t shape[2] = {ROWS, COLUMNS};
    static const int64_t steps = 7;
    gsz_input tensors[2];
    for (int i = 0; i < 2; i++) gsz_input_init(&tensors[i]);
    tensors[0].name = "weights", tensors[0].name_length = 7;
    tensors[0].dtype = GSZ_FLOAT32;
    tensors[0].ndim = 2, tensors[0].shape = shape;
    tensors[0].data = weights;
    tensors[0].bound = BOUND, tensors[0].mode = GSZ_REL;
    tensors[1].name = "steps", tensors[1].name_length = 5;
    tensors[1].dtype = GSZ_INT64;       /* no dimensions: a scalar */
    tensors[1].data = &steps;
    return gsz_encode(tensors, 2, 1, options, message, size);
}

static int print_table(const gsz_message *m) {
    for (size_t i = 0; i < gsz_message_count(m); i++) {
        gsz_info t;
        int status = gsz_message_info(m, i, &t);
        if (status != GSZ_OK) return status;
        printf("%.*s: %lu elements, %lu bytes, eb %g\n", (int)t.name_length, t.name,
               (unsigned long)t.elements, (unsigned long)t.nbytes, t.eb);
    }
    return GSZ_OK;
}

/* All tensors of the message at once; their sizes are those that it states, or it is refused. */
static int decode(const gsz_message *m) {
    void *const out[2] = {decoded, &decoded_steps};
    static const size_t size[2] = {sizeof decoded, sizeof decoded_steps};
    return gsz_message_count(m) == 2 ? gsz_decode_tensors(m, out, size) : GSZ_E_PARAMETER;
}

/* Whether every decoded weight is within the bound that the message states, and the counter what it was. */
static int all_within(const gsz_message *m) {
    gsz_info t;
    if (gsz_message_info(m, 0, &t) != GSZ_OK || decoded_steps != 7) return 0;
    for (size_t i = 0; i < ROWS * COLUMNS; i++)
        if (!gsz_within(weights[i], decoded[i], t.eb)) return 0;
    return 1;
}

int main(void) {
    gsz_options options;
    gsz_message *m;
    uint8_t *message;
    size_t size;
    int status;

    if ((status = gsz_selftest()) != GSZ_OK) return failed("this build", status);
    for (int i = 0; i < ROWS * COLUMNS; i++) weights[i] = (float)((i * 7919L) % 2003 - 1001) / 1e6f;

    gsz_options_init(&options);
    if ((status = encode(&options, &message, &size)) != GSZ_OK) return failed("encode", status);
    printf("%lu bytes instead of %lu\n", (unsigned long)size, (unsigned long)(sizeof weights + sizeof(int64_t)));

    options.max_output = 1 << 20;       /* decoded bytes that this receiver is ready for */
    options.max_memory = 16 << 20;      /* and what one call may hold */
    if ((status = gsz_open(message, size, &options, &m)) != GSZ_OK) return failed("open", status);
    status = print_table(m);
    if (status == GSZ_OK) status = decode(m);
    int good = status == GSZ_OK && all_within(m);
    gsz_close(m);
    if (status != GSZ_OK) return failed("decode", status);

    message[size / 2] ^= 1;             /* damage is noticed, here or there */
    status = gsz_open(message, size, &options, &m);
    if (status == GSZ_OK) {
        status = decode(m);
        gsz_close(m);
    }
    printf("damaged: %s\n", gsz_status_text(status));
    gsz_free(&options, message);

    puts(good ? "every weight is within the bound" : "the bound is violated");
    return good && status != GSZ_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
