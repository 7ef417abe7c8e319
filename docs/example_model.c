/* A model of many tensors, with one bound for all, into a file and back; then one of its tensors alone.
 * Build it as docs/example.c (docs/c-api.md). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gradsz.h"

#define LAYERS 12
#define WIDTH 64
#define TENSORS (2 * LAYERS + 1)

static float weight[LAYERS][WIDTH * WIDTH], bias[LAYERS][WIDTH];
static int64_t steps = 1234;
static char names[TENSORS][32];

/* Weights may lose 1 % of the root mean square of all weights; biases and the counter are bit-exact: bound 0. */
static void describe(gsz_input *tensors) {
    static const uint64_t matrix[2] = {WIDTH, WIDTH}, vector[1] = {WIDTH};
    for (int i = 0; i < TENSORS; i++) {
        gsz_input *t = &tensors[i];
        gsz_input_init(t);
        t->dtype = GSZ_FLOAT32;
        t->data = i % 2 ? bias[i / 2] : weight[i / 2];
        t->shape = i % 2 ? vector : matrix;
        t->ndim = i % 2 ? 1 : 2;
        t->bound = i % 2 ? 0 : 1e-2;
        t->mode = GSZ_RMS;
        snprintf(names[i], sizeof names[i], "layers.%d.%s", i / 2, i % 2 ? "bias" : "weight");
        if (i == TENSORS - 1) {
            t->dtype = GSZ_INT64, t->data = &steps, t->ndim = 0, t->bound = 0;
            strcpy(names[i], "steps");
        }
        t->name = names[i], t->name_length = strlen(names[i]);
    }
}

/* Every tensor at once, compared with what went in: within the eb that the message states, which for 0 is equal. */
static int check_all(const gsz_message *m, const gsz_input *tensors) {
    void *out[TENSORS] = {NULL};
    size_t size[TENSORS];
    gsz_info t[TENSORS];
    int good = gsz_message_count(m) == TENSORS;
    for (size_t i = 0; good && i < TENSORS; i++) {
        if (gsz_message_info(m, i, &t[i]) != GSZ_OK) return 0;      /* cannot be: there are as many */
        size[i] = (size_t)t[i].nbytes;
        good = (out[i] = malloc(size[i])) != NULL;
    }
    good = good && gsz_decode_tensors(m, out, size) == GSZ_OK;
    for (size_t i = 0; good && i < TENSORS; i++) {
        const float *x = (const float *)tensors[i].data, *y = (const float *)out[i];
        good = t[i].name_length == tensors[i].name_length && memcmp(t[i].name, tensors[i].name, t[i].name_length) == 0;
        if (t[i].eb > 0) for (size_t k = 0; k < t[i].elements; k++) good &= gsz_within(x[k], y[k], t[i].eb);
        else good &= memcmp(x, y, size[i]) == 0;
    }
    for (size_t i = 0; i < TENSORS; i++) free(out[i]);
    return good;
}

/* One tensor by its name; nothing else of the message is decoded but what shares a section with it. */
static int find(const gsz_message *m, const char *name, void *out, size_t size) {
    gsz_info t;
    for (size_t i = 0; i < gsz_message_count(m); i++)
        if (gsz_message_info(m, i, &t) == GSZ_OK && t.name_length == strlen(name) && memcmp(t.name, name, t.name_length) == 0)
            return gsz_decode(m, i, out, size);
    return GSZ_E_PARAMETER;
}

int main(void) {
    gsz_input tensors[TENSORS];
    gsz_options options;
    gsz_message *m;
    uint8_t *message;
    size_t size;
    float one[WIDTH];

    for (int i = 0; i < LAYERS; i++) {
        for (long k = 0; k < WIDTH * WIDTH; k++) weight[i][k] = (float)((k * (7919 + 2 * i)) % 2003 - 1001) / 1e6f;
        for (long k = 0; k < WIDTH; k++) bias[i][k] = (float)(k * k % 97 - 48) / 1e5f;
    }
    describe(tensors);
    gsz_options_init(&options);
    options.bound_over = GSZ_OVER_MESSAGE;
    if (gsz_encode(tensors, TENSORS, 1, &options, &message, &size) != GSZ_OK) return EXIT_FAILURE;
    printf("%d tensors: %lu bytes instead of %lu\n", TENSORS, (unsigned long)size, (unsigned long)(sizeof weight + sizeof bias + sizeof steps));

    FILE *file = tmpfile();             /* what is sent or stored is these bytes */
    if (file == NULL || fwrite(message, 1, size, file) != size) return EXIT_FAILURE;
    memset(message, 0, size);
    rewind(file);
    if (fread(message, 1, size, file) != size) return EXIT_FAILURE;
    fclose(file);

    if (gsz_open(message, size, &options, &m) != GSZ_OK) return EXIT_FAILURE;
    const int good = check_all(m, tensors), found = find(m, "layers.7.bias", one, sizeof one) == GSZ_OK && memcmp(one, bias[7], sizeof one) == 0;
    gsz_close(m);
    gsz_free(&options, message);
    puts(good ? "every tensor is within its bound" : "a bound is violated");
    puts(found ? "layers.7.bias is what it was" : "layers.7.bias is lost");
    return good && found ? EXIT_SUCCESS : EXIT_FAILURE;
}
