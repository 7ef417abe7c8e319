/* References, earlier rounds and streams: round trips and equal bytes from every kernel table and number of threads, other
 * arrays refused, and damage with good checksums that ends in values or in an error. */
#include "bound.h"
#include "prior.h"
#include "reseal.h"
#include "samples.h"

#define TENSORS 5u

static const uint64_t shapes[TENSORS][4] = {{60, 50}, {24, 12, 3, 3}, {2000}, {40, 30}, {32, 160}};
static const unsigned dims[TENSORS] = {2, 4, 1, 2, 2};
static const int dtypes[TENSORS] = {GSZ_FLOAT32, GSZ_FLOAT16, GSZ_FLOAT64, GSZ_BFLOAT16, GSZ_FLOAT32};

typedef struct {
    gsz_input in[TENSORS];
    gsz_prior priors[TENSORS];
    void *arrays[TENSORS][2 + GSZ_MAX_PAST];    /* values, reference, rounds */
    size_t bytes[TENSORS];
    char names[TENSORS][2];
} given;

/* Values near a reference; rounds like their difference, but for the last tensor: its rows lie in the same
 * two dimensions every round, and are others. */
static void make(given *g, uint64_t seed, int grid, unsigned rounds, int referenced, int level) {
    memset(g, 0, sizeof *g);
    for (unsigned t = 0; t < TENSORS; t++) {
        gsz_input *in = &g->in[t];
        size_t n = 1;
        gsz_input_init(in);
        in->dtype = dtypes[t], in->ndim = dims[t], in->shape = shapes[t];
        for (unsigned d = 0; d < dims[t]; d++) n *= (size_t)shapes[t][d];
        g->bytes[t] = n * gsz_itemsize(in->dtype);
        for (unsigned k = 0; k < 2 + GSZ_MAX_PAST; k++) g->arrays[t][k] = malloc(g->bytes[t]);
        for (size_t i = 0; i < n; i++) {
            const uint64_t row = i / shapes[TENSORS - 1][1], column = i % shapes[TENSORS - 1][1];
            const int stays = t == TENSORS - 1;
            int64_t base = sample_normal(&seed), change = sample_normal(&seed) / 16;
            if (stays) change = sample_outer(row, column, change / 64);
            sample_put(in->dtype, g->arrays[t][0], i, (referenced ? base : 0) + change);
            sample_put(in->dtype, g->arrays[t][1], i, base);
            for (unsigned k = 0; k < GSZ_MAX_PAST; k++)
                sample_put(in->dtype, g->arrays[t][2 + k], i, (stays ? sample_outer(row + 1000 * (k + 1), column, 0) : change) + sample_normal(&seed) / 64);
        }
        g->names[t][0] = (char)('a' + (int)t);
        in->name = g->names[t], in->name_length = 1;
        in->data = g->arrays[t][0];
        in->bound = 0.002, in->grid = grid, in->level = level;
        if (referenced) g->priors[t].reference = g->arrays[t][1];
        for (unsigned k = 0; k < rounds; k++) g->priors[t].past[k] = g->arrays[t][2 + k];
        in->prior = g->priors[t];
    }
}

static void release(given *g) {
    for (unsigned t = 0; t < TENSORS; t++)
        for (unsigned k = 0; k < 2 + GSZ_MAX_PAST; k++) free(g->arrays[t][k]);
}

static uint8_t *encode(const given *g, unsigned mask, unsigned threads, const gsz_stream *stream, size_t *size) {
    gsz_options options;
    uint8_t *data = NULL;
    gsz_options_init(&options);
    options.cpu_mask = mask, options.nthreads = threads, options.stream = stream;
    CHECK_EQ(gsz_encode(g->in, TENSORS, 1, &options, &data, size), GSZ_OK);
    uint8_t *copy = check_copy(data, *size);
    gsz_free(&options, data);
    return copy;
}

/* *out: a buffer a tensor. */
static int decode(const given *g, const uint8_t *data, size_t size, unsigned mask, const gsz_prior *priors, void **out) {
    gsz_options options;
    gsz_message *m;
    gsz_options_init(&options);
    options.cpu_mask = mask, options.nthreads = 2, options.max_output = (uint64_t)1 << 22, options.max_memory = (uint64_t)1 << 26;
    int status = gsz_open(data, size, &options, &m);
    if (status != GSZ_OK) return status;
    size_t count = gsz_message_count(m), sizes[TENSORS];
    for (size_t t = 0; t < count && t < TENSORS; t++) {
        gsz_info info;
        CHECK_EQ(gsz_message_info(m, t, &info), GSZ_OK);
        sizes[t] = (size_t)info.nbytes;
        if (info.nbytes != g->bytes[t]) count = 0;      /* damage: another shape, for which there are no priors */
    }
    status = count == TENSORS ? gsz_decode_with(m, priors, out, sizes) : GSZ_E_PARAMETER;
    gsz_close(m);
    return status;
}

static void within(const given *g, void *const *out) {
    for (unsigned t = 0; t < TENSORS; t++)
        for (size_t i = 0; i < g->bytes[t] / gsz_itemsize(dtypes[t]); i++)
            CHECK(gsz_within(gsz_value_at(dtypes[t], g->arrays[t][0], i), gsz_value_at(dtypes[t], out[t], i), 0.002));
}

static void round_trip(uint64_t seed, int grid, unsigned rounds, int referenced, int level) {
    given g;
    size_t size, other;
    void *out[TENSORS], *twin[TENSORS];
    gsz_prior wrong[TENSORS];
    static const uint8_t note[] = "what the ends tell each other";
    const gsz_stream stream = {seed, seed >> 5, rounds == 0, rounds, ~seed, note, rounds == 0 ? 0 : sizeof note};
    make(&g, seed, grid, rounds, referenced, level);
    for (unsigned t = 0; t < TENSORS; t++) out[t] = malloc(g.bytes[t]), twin[t] = malloc(g.bytes[t]);
    uint8_t *data = encode(&g, GSZ_CPU_ALL, 1, &stream, &size), *again = encode(&g, 0, 3, &stream, &other);
    CHECK(size == other && memcmp(data, again, size) == 0);
    CHECK_EQ(decode(&g, data, size, GSZ_CPU_ALL, g.priors, out), GSZ_OK);
    within(&g, out);
    CHECK_EQ(decode(&g, data, size, 0, g.priors, twin), GSZ_OK);
    for (unsigned t = 0; t < TENSORS; t++) CHECK(memcmp(out[t], twin[t], g.bytes[t]) == 0);
    CHECK_EQ(decode(&g, data, size, 0, NULL, twin), GSZ_E_STATE);
    memcpy(wrong, g.priors, sizeof wrong);
    wrong[0].reference = wrong[0].reference == NULL ? NULL : g.arrays[0][0];
    wrong[0].past[0] = wrong[0].past[0] == NULL ? NULL : g.arrays[0][0];
    CHECK_EQ(decode(&g, data, size, 0, wrong, twin), GSZ_E_STATE);
    for (unsigned edits = 0; edits < 60; edits++) {
        uint8_t *copy = check_copy(data, size);
        for (uint64_t k = 1 + check_random(&seed) % 2; k > 0; k--) {
            uint64_t r = check_random(&seed);
            copy[(r >> 8) % (r & 1 && size > 120 ? 120 : size)] ^= (uint8_t)(1u << (r >> 60 & 7));
        }
        reseal(copy, size);
        int status = decode(&g, copy, size, GSZ_CPU_ALL, g.priors, out);
        CHECK_EQ(decode(&g, copy, size, 0, g.priors, twin), status);
        for (unsigned t = 0; status == GSZ_OK && t < TENSORS; t++) CHECK(memcmp(out[t], twin[t], g.bytes[t]) == 0);
        free(copy);
    }
    for (unsigned t = 0; t < TENSORS; t++) free(out[t]), free(twin[t]);
    free(data);
    free(again);
    release(&g);
}

/* The place in a stream written, read, cut off everywhere, and with each byte changed. */
static void places(void) {
    static uint8_t note[300] = {1, 2, 3};
    const gsz_stream samples[] = {{7, 1, 1, 2, 0, NULL, 0}, {7, 300, 0, 2, 9, NULL, 0}, {7, 300, 0, 1, 9, note, 1}, {~(uint64_t)0, 0, 0, 0, 9, note, sizeof note}};
    gsz_heap heap;
    gsz_options options;
    gsz_options_init(&options);
    gsz_heap_init(&heap, &options);
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        gsz_writer out;
        gsz_stream s;
        gsz_writer_init(&out, &heap);
        CHECK_EQ(gsz_stream_write(&samples[i], &out), GSZ_OK);
        for (size_t cut = 0; cut <= out.size; cut++) {
            uint8_t *copy = check_copy(out.data, cut);
            gsz_reader in = {copy, copy + cut};
            CHECK_EQ(gsz_stream_read(&in, &s), cut == out.size ? GSZ_OK : GSZ_E_HEADER);
            if (cut == out.size) {
                CHECK(gsz_left(&in) == 0 && s.id == samples[i].id && s.sequence == samples[i].sequence && s.key == samples[i].key);
                CHECK(s.history == samples[i].history && s.digest == samples[i].digest && s.note_size == samples[i].note_size);
                CHECK(s.note_size == 0 || memcmp(s.note, note, s.note_size) == 0);
            }
            free(copy);
        }
        for (size_t at = 0; at < out.size; at++) {
            uint8_t *copy = check_copy(out.data, out.size);
            copy[at] ^= 0x80;
            gsz_reader in = {copy, copy + out.size};
            if (gsz_stream_read(&in, &s) == GSZ_OK) CHECK(s.note_size <= out.size && !(s.key && s.note_size > 0));
            free(copy);
        }
        gsz_writer_release(&out);
    }
    gsz_heap_destroy(&heap);
}

/* An encoder refuses a note without bytes, and one of a key. */
static void refused(void) {
    static const uint8_t note[1] = {5};
    const gsz_stream bad[] = {{7, 1, 1, 2, 0, note, 1}, {7, 1, 0, 2, 0, NULL, 1}};
    const float x = 1;
    gsz_input in;
    gsz_options options;
    uint8_t *data;
    size_t size;
    gsz_input_init(&in);
    in.dtype = GSZ_FLOAT32, in.data = &x;
    gsz_options_init(&options);
    for (size_t i = 0; i < 2; i++) {
        options.stream = &bad[i];
        CHECK_EQ(gsz_encode(&in, 1, 0, &options, &data, &size), GSZ_E_PARAMETER);
    }
}

int main(void) {
    uint64_t seed = 11;
    places();
    refused();
    for (int grid = GSZ_GRID_ALIGNED; grid <= GSZ_GRID_SHRUNK; grid++)
        for (unsigned rounds = 0; rounds <= GSZ_MAX_PAST; rounds++)
            for (int referenced = rounds == 0; referenced <= 1; referenced++)
                for (int level = GSZ_LEVEL_BALANCED; level <= GSZ_LEVEL_BEST; level += 2)
                    round_trip(check_random(&seed), grid, rounds, referenced, level);
    return check_report("prior");
}
