/* Guarantees 5 and 6: 100,000 random edits with the checksums recomputed end in values or in an error, and of
 * 100,000 edits with the checksums as they were none decodes.  `test_mutants N` makes N of each. */
#include "reseal.h"
#include "samples.h"

typedef struct { uint8_t *data; size_t size; } message;

static message seeds[SAMPLE_SET + 1];

/* Tensors of several names in one message. */
static message named_message(void) {
    gsz_options options;
    gsz_input in[4];
    void *data[4];
    message m;
    uint8_t *made;
    gsz_options_init(&options);
    for (size_t i = 0; i < 4; i++) {
        data[i] = sample_make(&sample_set[4 * i], i);
        in[i] = sample_input(&sample_set[4 * i], data[i]);
        in[i].name = &"layer.weight"[i];
        in[i].name_length = 12 - i;
    }
    CHECK_EQ(gsz_encode(in, 4, 1, &options, &made, &m.size), GSZ_OK);
    m.data = check_copy(made, m.size);
    gsz_free(&options, made);
    for (size_t i = 0; i < 4; i++) free(data[i]);
    return m;
}

static void make_seeds(void) {
    gsz_options options;
    gsz_options_init(&options);
    for (size_t i = 0; i < SAMPLE_SET; i++) {
        void *data = sample_make(&sample_set[i], 1000 + i);
        seeds[i].data = sample_message(&sample_set[i], data, &options, &seeds[i].size);
        free(data);
    }
    seeds[SAMPLE_SET] = named_message();
}

/* One to three edits: a flipped bit, a random or telling byte, bytes taken out, put in or copied. */
static message edit(const message *from, uint64_t *seed) {
    static const uint8_t telling[] = {0, 1, 2, 0x7f, 0x80, 0xff};
    message m;
    m.size = from->size;
    m.data = (uint8_t *)malloc(from->size + 32);
    if (m.data == NULL) abort();
    memcpy(m.data, from->data, from->size);
    for (uint64_t edits = 1 + check_random(seed) % 3; edits > 0; edits--) {
        uint64_t r = check_random(seed);
        size_t near = r & 1 && m.size > 48 ? 48 : m.size;      /* half of them in the first bytes, the header and the tables */
        size_t at = (size_t)(check_random(seed) % near), n = 1 + (size_t)(r >> 8) % 8;
        switch (r >> 4 & 7) {
        case 0: case 1: case 2: m.data[at] ^= (uint8_t)(1u << (r >> 16 & 7)); break;
        case 3: m.data[at] = (uint8_t)(r >> 16); break;
        case 4: m.data[at] = telling[(r >> 16) % 6]; break;
        case 5:
            if (n > m.size - at) n = m.size - at;
            if (n == m.size) break;
            memmove(m.data + at, m.data + at + n, m.size - at - n);
            m.size -= n;
            break;
        case 6:
            memmove(m.data + at + n, m.data + at, m.size - at);
            for (size_t i = 0; i < n; i++) m.data[at + i] = (uint8_t)check_random(seed);
            m.size += n;
            break;
        default: {
            size_t other = (size_t)(check_random(seed) % m.size);
            if (n > m.size - at) n = m.size - at;
            if (n > m.size - other) n = m.size - other;
            memmove(m.data + at, m.data + other, n);
        }
        }
    }
    return m;
}

/* A status for the whole message; values are the same whatever the kernels. */
static int decode_all(const message *from, int compare) {
    gsz_options options, portable;
    gsz_message *m, *p;
    uint8_t *data = check_copy(from->data, from->size);
    gsz_options_init(&options);
    options.max_output = (uint64_t)1 << 21;
    options.max_memory = (uint64_t)1 << 26;
    portable = options;
    portable.cpu_mask = 0;
    int status = gsz_open(data, from->size, &options, &m);
    CHECK_EQ(gsz_open(data, from->size, &portable, &p), status);
    for (size_t i = 0; status == GSZ_OK && i < gsz_message_count(m); i++) {
        gsz_info info;
        CHECK_EQ(gsz_message_info(m, i, &info), GSZ_OK);
        void *a = malloc((size_t)info.nbytes + 1), *b = malloc((size_t)info.nbytes + 1);
        status = gsz_decode(m, i, a, (size_t)info.nbytes);
        if (compare) {
            CHECK_EQ(gsz_decode(p, i, b, (size_t)info.nbytes), status);
            CHECK(status != GSZ_OK || memcmp(a, b, (size_t)info.nbytes) == 0);
        }
        free(a);
        free(b);
    }
    gsz_close(m);
    gsz_close(p);
    free(data);
    return status;
}

int main(int argc, char **argv) {
    long edits = argc > 1 ? strtol(argv[1], NULL, 10) : 100000, by_status[256] = {0}, unchanged = 0;
    uint64_t seed = 20240607;
    make_seeds();
    for (long i = 0; i < 2 * edits; i++) {
        const message *from = &seeds[check_random(&seed) % (SAMPLE_SET + 1)];
        message m = edit(from, &seed);
        int sealed = i % 2 == 0;
        if (sealed) reseal(m.data, m.size);
        int same = m.size == from->size && memcmp(m.data, from->data, m.size) == 0;
        int status = decode_all(&m, sealed);
        CHECK(status >= 0 && status < 256 && strcmp(gsz_status_text(status), "unknown status") != 0);
        if (same) unchanged++;
        else if (sealed) by_status[status]++;
        else CHECK(status != GSZ_OK);
        free(m.data);
    }
    printf("mutants: %ld edits with checksums recomputed:", edits);
    for (int s = 0; s < 256; s++)
        if (by_status[s]) printf(" %ld %s;", by_status[s], s ? gsz_status_text(s) : "decoded");
    printf("\nmutants: %ld edits without: 0 decoded; %ld edits of either kind changed nothing\n", edits, unchanged);
    for (size_t i = 0; i <= SAMPLE_SET; i++) free(seeds[i].data);
    return check_report("mutants");
}
