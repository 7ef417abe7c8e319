/* Guarantees 4 and 9: the same bytes from 1 to 8 threads, and calls from several threads at once.
 * The thread sanitizer runs this program too. */
#include <pthread.h>

#include "samples.h"

static const sample large[] = {
    {GSZ_FLOAT32, 1, {700001}, HEAVY, 1e-3, GSZ_REL, GSZ_PREDICT_AUTO},
    {GSZ_FLOAT64, 2, {700, 900}, SMOOTH, 1e-4, GSZ_ABS, GSZ_PREDICT_LORENZO2},
    {GSZ_INT16, 1, {600000}, SMOOTH, 0, GSZ_ABS, GSZ_PREDICT_AUTO},
};
#define LARGE (sizeof large / sizeof large[0])

static void thread_counts(void) {
    gsz_input in[LARGE];
    void *data[LARGE];
    uint8_t *first = NULL;
    size_t first_size = 0;
    for (size_t i = 0; i < LARGE; i++) {
        data[i] = sample_make(&large[i], i);
        in[i] = sample_input(&large[i], data[i]);
        in[i].name = &"abc"[i];
        in[i].name_length = 1;
    }
    for (unsigned threads = 1; threads <= 8; threads++) {
        gsz_options options;
        gsz_message *m;
        uint8_t *message;
        size_t size;
        gsz_options_init(&options);
        options.nthreads = threads;
        CHECK_EQ(gsz_encode(in, LARGE, 1, &options, &message, &size), GSZ_OK);
        if (first == NULL) first = check_copy(message, first_size = size);
        CHECK(size == first_size && memcmp(message, first, size) == 0);
        CHECK_EQ(gsz_open(message, size, &options, &m), GSZ_OK);
        for (size_t i = 0; i < LARGE; i++) {
            gsz_info info;
            CHECK_EQ(gsz_message_info(m, i, &info), GSZ_OK);
            void *out = malloc((size_t)info.nbytes);
            CHECK_EQ(gsz_decode(m, i, out, (size_t)info.nbytes), GSZ_OK);
            if (info.eb == 0) CHECK(memcmp(out, data[i], (size_t)info.nbytes) == 0);
            free(out);
        }
        gsz_close(m);
        gsz_free(&options, message);
    }
    /* an error is the same error, whichever thread meets it: damage the last section, checksum and all */
    first[first_size - 5] ^= 0x40;
    for (unsigned threads = 1; threads <= 8; threads++) {
        gsz_options options;
        gsz_message *m;
        void *out = malloc(600000 * 2);
        gsz_options_init(&options);
        options.nthreads = threads;
        CHECK_EQ(gsz_open(first, first_size, &options, &m), GSZ_OK);
        CHECK_EQ(gsz_decode(m, 2, out, 600000 * 2), GSZ_E_SECTION_CHECKSUM);
        gsz_close(m);
        free(out);
    }
    free(first);
    for (size_t i = 0; i < LARGE; i++) free(data[i]);
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

static void shared_message(void) {
    gsz_options options;
    gsz_message *m;
    size_t size, nbytes;
    void *data = sample_make(&large[0], 5), *expected;
    gsz_options_init(&options);
    options.nthreads = 2;
    uint8_t *message = sample_message(&large[0], data, &options, &size);
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
    shared_message();
    return check_report("threads");
}
