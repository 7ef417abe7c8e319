/* Guarantees 5 and 6: 100,000 random edits with the checksums recomputed end in values or in an error, and of
 * 100,000 edits with the checksums as they were none decodes.  `test_mutants N` makes N of each. */
#include "reseal.h"
#include "samples.h"

typedef struct { uint8_t *data; size_t size; } message;

/* Samples alone, tensors of one message with names, gathered ones with packed entries, and last one that is cut into segments: slow, so used sparsely. */
#define SEEDS (SAMPLE_SET + 4)
#define CUT (SEEDS - 1)
#define CUT_EVERY 800

static message seeds[SEEDS];

static void make_seeds(void) {
    gsz_options options;
    gsz_options_init(&options);
    for (size_t i = 0; i < SAMPLE_SET; i++) {
        void *data = sample_make(&sample_set[i], 1000 + i);
        seeds[i].data = sample_message(&sample_set[i], data, &options, &seeds[i].size);
        free(data);
    }
    seeds[SAMPLE_SET].data = sample_tensors(sample_set + 4, 12, 1, &options, &seeds[SAMPLE_SET].size);
    seeds[SAMPLE_SET + 1].data = sample_tensors(sample_shared, SAMPLE_SHARED, 1, &options, &seeds[SAMPLE_SET + 1].size);
    seeds[SAMPLE_SET + 2].data = sample_tensors(sample_small, SAMPLE_SMALL, 1, &options, &seeds[SAMPLE_SET + 2].size);
    seeds[CUT].data = sample_tensors(sample_cut, SAMPLE_CUT, 1, &options, &seeds[CUT].size);
}

/* Half of the seeds are of the gradient model, or of small tensors. */
static const message *choose(long i, uint64_t *seed) {
    uint64_t r = check_random(seed);
    if (i % CUT_EVERY < 2) return &seeds[CUT];
    return &seeds[r >> 32 & 1 ? r % (SAMPLE_SET + 1) : SAMPLE_FIRST_MODEL + r % (SAMPLE_SET + 3 - SAMPLE_FIRST_MODEL)];
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

typedef struct { gsz_message *m; size_t count; uint8_t **out; size_t *sizes; } opened;

static int open_one(const message *from, const uint8_t *data, unsigned mask, opened *o) {
    gsz_options options;
    memset(o, 0, sizeof *o);
    gsz_options_init(&options);
    options.cpu_mask = mask;
    options.max_output = (uint64_t)1 << 22;
    options.max_memory = (uint64_t)1 << 26;
    int status = gsz_open(data, from->size, &options, &o->m);
    if (status != GSZ_OK) return status;
    o->count = gsz_message_count(o->m);
    o->out = (uint8_t **)calloc(o->count + 1, sizeof *o->out);
    o->sizes = (size_t *)calloc(o->count + 1, sizeof *o->sizes);
    for (size_t i = 0; i < o->count; i++) {
        gsz_info info;
        CHECK_EQ(gsz_message_info(o->m, i, &info), GSZ_OK);
        o->sizes[i] = (size_t)info.nbytes;
        o->out[i] = (uint8_t *)malloc(o->sizes[i] + 1);
    }
    return GSZ_OK;
}

static int decode(const opened *o) { return gsz_decode_tensors(o->m, (void *const *)o->out, o->sizes); }

static void close_one(opened *o) {
    for (size_t i = 0; i < o->count; i++) free(o->out[i]);
    free(o->out);
    free(o->sizes);
    gsz_close(o->m);
}

/* A status for the whole message; values are the same whatever the kernels, and for a tensor (`one`) alone. */
static int decode_all(const message *from, int compare, uint64_t one) {
    uint8_t *data = check_copy(from->data, from->size);
    opened a, b;
    int status = open_one(from, data, one % 3 ? GSZ_CPU_ALL : GSZ_CPU_AVX2 | GSZ_CPU_SSE42, &a);
    if (compare) CHECK_EQ(open_one(from, data, 0, &b), status);
    if (status == GSZ_OK) {
        status = decode(&a);
        if (compare) {
            CHECK_EQ(decode(&b), status);
            for (size_t i = 0; status == GSZ_OK && i < a.count; i++) CHECK(memcmp(a.out[i], b.out[i], a.sizes[i]) == 0);
            if (status == GSZ_OK && a.count > 0) {
                size_t i = (size_t)(one % a.count);
                memset(b.out[i], 0x5a, b.sizes[i]);
                CHECK_EQ(gsz_decode(b.m, i, b.out[i], b.sizes[i]), GSZ_OK);
                CHECK(memcmp(a.out[i], b.out[i], a.sizes[i]) == 0);
            }
        }
    }
    if (compare) close_one(&b);
    close_one(&a);
    free(data);
    return status;
}

int main(int argc, char **argv) {
    long edits = argc > 1 ? strtol(argv[1], NULL, 10) : 100000, by_status[256] = {0}, unchanged = 0;
    uint64_t seed = 20240607;
    make_seeds();
    for (long i = 0; i < 2 * edits; i++) {
        const message *from = choose(i, &seed);
        message m = edit(from, &seed);
        int sealed = i % 2 == 0;
        if (sealed) reseal(m.data, m.size);
        int same = m.size == from->size && memcmp(m.data, from->data, m.size) == 0;
        int status = decode_all(&m, sealed, seed);
        CHECK(status >= 0 && status < 256 && strcmp(gsz_status_text(status), "unknown status") != 0);
        if (same) unchanged++;
        else if (sealed) by_status[status]++;
        else CHECK(status != GSZ_OK);
        free(m.data);
    }
    CHECK_EQ(by_status[GSZ_E_HEADER_CHECKSUM] + by_status[GSZ_E_SECTION_CHECKSUM], 0);      /* all were: reseal.h knows every part */
    printf("mutants: %ld edits with checksums recomputed:", edits);
    for (int s = 0; s < 256; s++)
        if (by_status[s]) printf(" %ld %s;", by_status[s], s ? gsz_status_text(s) : "decoded");
    printf("\nmutants: %ld edits without: 0 decoded; %ld edits of either kind changed nothing\n", edits, unchanged);
    for (size_t i = 0; i < SEEDS; i++) free(seeds[i].data);
    return check_report("mutants");
}
