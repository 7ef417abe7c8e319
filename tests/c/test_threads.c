/* Guarantees 4 and 9: the same bytes from 1 to 8 threads, and calls from several threads at once.
 * The thread sanitizer runs this program too. */
#include <pthread.h>

#include "samples.h"

static const sample large[] = {
    {GSZ_FLOAT32, 1, {700001}, HEAVY, 1e-3, GSZ_REL, GSZ_PREDICT_AUTO, GSZ_LEVEL_FAST, ANY_GRID},
    {GSZ_FLOAT64, 2, {700, 900}, SMOOTH, 1e-4, GSZ_ABS, GSZ_PREDICT_LORENZO2},
    {GSZ_FLOAT32, 2, {1500, 800}, OUTER, 3e-3, GSZ_ABS, GSZ_PREDICT_LOW_RANK, GSZ_LEVEL_BALANCED, CENTRED},   /* two segments */
    {GSZ_INT16, 1, {600000}, SMOOTH, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT32, 4, {200, 150, 3, 3}, NORMAL, 1e-2, GSZ_REL, GSZ_PREDICT_AUTO},                     /* one of its own */
    {GSZ_FLOAT16, 1, {3000}, NORMAL, 1e-2, GSZ_REL, GSZ_PREDICT_STRUCTURE, GSZ_LEVEL_BALANCED, ALIGNED},      /* one for both */
    {GSZ_FLOAT64, 2, {30, 200}, NORMAL, 1e-2, GSZ_REL, GSZ_PREDICT_STRUCTURE, GSZ_LEVEL_BALANCED, ALIGNED},
};
#define LARGE (sizeof large / sizeof large[0])
#define INTEGERS 3

/* All tensors, `threads` at work; their bytes are hashed, 0 on an error. */
static uint64_t decode_all(const uint8_t *message, size_t size, unsigned threads, int *status) {
    gsz_options options;
    uint64_t hash = 1;
    void *out;
    size_t nbytes;
    gsz_options_init(&options);
    options.nthreads = threads;
    *status = sample_decode(message, size, &options, &out, &nbytes);
    for (size_t i = 0; *status == GSZ_OK && i < nbytes; i++) hash = (hash ^ ((uint8_t *)out)[i]) * 0x100000001b3u;
    free(out);
    return *status == GSZ_OK ? hash : 0;
}

static void thread_counts(void) {
    uint8_t *first = NULL;
    size_t first_size = 0;
    uint64_t values = 0;
    int status;
    for (unsigned threads = 1; threads <= 8; threads++) {
        gsz_options options;
        size_t size;
        gsz_options_init(&options);
        options.nthreads = threads;
        uint8_t *message = sample_tensors(large, LARGE, 1, &options, &size);
        if (first == NULL) {
            first = check_copy(message, first_size = size);
            values = decode_all(first, first_size, 1, &status);
        }
        CHECK(size == first_size && memcmp(message, first, size) == 0);
        CHECK_EQ(decode_all(message, size, threads, &status), values);
        CHECK_EQ(status, GSZ_OK);
        free(message);
    }
    /* an error is the same error, whichever thread meets it: damage the last segment, checksum and all */
    first[first_size - 5] ^= 0x40;
    for (unsigned threads = 1; threads <= 8; threads++) {
        gsz_options options;
        gsz_message *m;
        void *out = malloc(600000 * 2);
        gsz_options_init(&options);
        options.nthreads = threads;
        (void)decode_all(first, first_size, threads, &status);
        CHECK_EQ(status, GSZ_E_SECTION_CHECKSUM);
        CHECK_EQ(gsz_open(first, first_size, &options, &m), GSZ_OK);
        CHECK_EQ(gsz_decode(m, LARGE - 1, out, 30 * 200 * 8), GSZ_E_SECTION_CHECKSUM);
        CHECK_EQ(gsz_decode(m, INTEGERS, out, 600000 * 2), GSZ_OK);     /* has a section of its own */
        gsz_close(m);
        free(out);
    }
    free(first);
}

/* ---- one message read from four threads while each also encodes */

typedef struct { const gsz_message *message; const void *expected; size_t nbytes; } shared;

static void *reader(void *arg) {
    shared *s = (shared *)arg;
    gsz_options options;
    gsz_options_init(&options);
    options.nthreads = 2;
    for (int round = 0; round < 4; round++) {
        void *out = malloc(s->nbytes);
        size_t size;
        const sample *small = &sample_set[round];
        void *data = sample_make(small, 1);
        if (gsz_decode(s->message, 0, out, s->nbytes) != GSZ_OK || memcmp(out, s->expected, s->nbytes) != 0) abort();
        gsz_input in = sample_input(small, data);
        uint8_t *message;
        if (gsz_encode(&in, 1, 0, &options, &message, &size) != GSZ_OK) abort();
        gsz_free(&options, message);
        free(data);
        free(out);
    }
    return NULL;
}

static void shared_message(const sample *of) {
    gsz_options options;
    gsz_message *m;
    size_t size, nbytes;
    void *data = sample_make(of, 5), *expected;
    gsz_options_init(&options);
    options.nthreads = 2;
    uint8_t *message = sample_message(of, data, &options, &size);
    CHECK_EQ(sample_decode(message, size, &options, &expected, &nbytes), GSZ_OK);
    CHECK_EQ(gsz_open(message, size, &options, &m), GSZ_OK);
    shared s = {m, expected, nbytes};
    pthread_t id[4];
    for (int i = 0; i < 4; i++) CHECK_EQ(pthread_create(&id[i], NULL, reader, &s), 0);
    for (int i = 0; i < 4; i++) CHECK_EQ(pthread_join(id[i], NULL), 0);
    gsz_close(m);
    free(expected);
    free(message);
    free(data);
}

int main(void) {
    thread_counts();
    shared_message(&large[0]);
    shared_message(&large[2]);
    return check_report("threads");
}
