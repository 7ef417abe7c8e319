/* Symbol streams: round trips over every shape of data, the same with every kernel table, every cut refused,
 * and streams drawn by hand. */
#include "check.h"
#include "cpu.h"
#include "symbols.h"

#define CHUNK ((size_t)1 << 18)

static gsz_heap heap;

static const unsigned masks[] = {0, GSZ_CPU_SSE42, GSZ_CPU_AVX2 | GSZ_CPU_SSE42, GSZ_CPU_ALL};

static int32_t symbol_at(const gsz_symbols *s, size_t i) {
    if (s->wide != NULL) return s->wide[i];
    return s->narrow[i] == GSZ_ESCAPE16 ? GSZ_ESCAPE : s->narrow[i];
}

static int decode(const uint8_t *data, size_t size, size_t n, unsigned mask, int32_t *out) {
    gsz_work work;
    gsz_symbols s;
    uint8_t *copy = check_copy(data, size);
    gsz_reader in = {copy, copy + size};
    gsz_work_init(&work, &heap, gsz_kernels_for(gsz_cpu_features() & mask));
    int status = gsz_symbols_decode(&work, in, n, &s);
    for (size_t i = 0; status == GSZ_OK && i < n; i++) out[i] = symbol_at(&s, i);
    gsz_work_release(&work);
    free(copy);
    return status;
}

static void encode(const int32_t *symbols, size_t n, unsigned mask, gsz_writer *out) {
    gsz_work work;
    gsz_writer_init(out, &heap);
    gsz_work_init(&work, &heap, gsz_kernels_for(gsz_cpu_features() & mask));
    int32_t *lost = (int32_t *)check_copy(symbols, n * sizeof(int32_t));
    CHECK_EQ(gsz_symbols_encode(&work, lost, n, out), GSZ_OK);
    free(lost);
    gsz_work_release(&work);
}

static void round_trip(const int32_t *symbols, size_t n, int cuts) {
    int32_t *back = (int32_t *)malloc(n * sizeof(int32_t));
    gsz_writer first, other;
    encode(symbols, n, 0, &first);
    for (size_t m = 0; m < sizeof masks / sizeof masks[0]; m++) {
        encode(symbols, n, masks[m], &other);
        CHECK(other.size == first.size && memcmp(other.data, first.data, first.size) == 0);
        gsz_writer_release(&other);
        CHECK_EQ(decode(first.data, first.size, n, masks[m], back), GSZ_OK);
        CHECK(memcmp(back, symbols, n * sizeof(int32_t)) == 0);
    }
    if (cuts) {     /* any cut, and any byte too many, is an error */
        for (size_t cut = 0; cut < first.size; cut++) CHECK(decode(first.data, cut, n, GSZ_CPU_ALL, back) != GSZ_OK);
        CHECK_EQ(gsz_put_u8(&first, 0), GSZ_OK);
        CHECK(decode(first.data, first.size, n, GSZ_CPU_ALL, back) != GSZ_OK);
    }
    gsz_writer_release(&first);
    free(back);
}

/* kind: how values are spread; density: one in so many is not zero */
static int32_t draw(uint64_t *seed, int kind, unsigned density) {
    uint64_t r = check_random(seed);
    if (r % density != 0) return 0;
    r >>= 20;
    switch (kind) {
    case 0: return (int32_t)(r % 3) - 1;
    case 1: return (int32_t)(r % 2001) - 1000;
    case 2: return (int32_t)((uint32_t)r >> (r >> 32 & 31)) / 2 * (r >> 40 & 1 ? 1 : -1);
    case 3: return r % 5 == 0 ? GSZ_ESCAPE : (int32_t)(r % 7) - 3;
    case 4: return 1;
    case 5: return GSZ_ESCAPE;
    default: return r % 2 ? INT32_MAX : -INT32_MAX;
    }
}

static void all_shapes(void) {
    static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 1000, 2047, 2048, 2049, 9000, 40000};
    static const unsigned densities[] = {1, 2, 10, 300, 20000};
    int32_t *symbols = (int32_t *)malloc(CHUNK * sizeof(int32_t));
    uint64_t seed = 11;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int kind = 0; kind < 7; kind++)
            for (unsigned d = 0; d < 5; d++) {
                for (size_t i = 0; i < sizes[s]; i++) symbols[i] = draw(&seed, kind, densities[d]);
                round_trip(symbols, sizes[s], sizes[s] <= 65);
            }
    for (int kind = 0; kind < 7; kind++) {          /* a whole chunk; runs longer than one token holds */
        for (size_t i = 0; i < CHUNK; i++) symbols[i] = draw(&seed, kind, kind % 2 ? 100000 : 1);
        round_trip(symbols, CHUNK, 0);
    }
    free(symbols);
}

/* Every token's smallest and largest value, and every run length near a change of token. */
static void all_magnitudes(void) {
    int32_t v[400];
    size_t n = 0;
    for (int bit = 0; bit < 31; bit++)
        for (int32_t d = -1; d <= 1; d++) {
            int64_t m = ((int64_t)1 << bit) + d;
            if (m < 1 || m > INT32_MAX) continue;
            v[n++] = (int32_t)m;
            v[n++] = -(int32_t)m;
        }
    round_trip(v, n, 1);
    int32_t *runs = (int32_t *)calloc(CHUNK, sizeof(int32_t));
    size_t at = 0, gap = 1;
    for (; at + gap + 1 < CHUNK; gap += gap < 40 ? 1 : gap / 7) {
        at += gap;
        runs[at++] = 1;
    }
    round_trip(runs, at, 0);
    round_trip(runs, CHUNK, 0);
    free(runs);
}

/* ---- drawn by hand (docs/format.md 4): header byte, table (longest 4 bits, runs 6, values 11, escape 4, far 4,
 * lengths), one stream, far classes, low bits */

typedef struct { uint8_t bytes[256]; gsz_bitwriter w; } drawing;

static void put(drawing *d, unsigned value, unsigned bits) { gsz_bits_put(&d->w, value, bits); }

static void put_bits(drawing *d, const char *bits) {
    for (; *bits; bits++)
        if (*bits != ' ') put(d, (unsigned)(*bits - '0'), 1);
}

static void align(drawing *d) { d->w.p = gsz_bits_flush(&d->w); }

static void begin(drawing *d, unsigned header) {
    memset(d, 0, sizeof *d);
    d->w.p = d->bytes;
    put(d, header, 8);
}

/* Fields of a table; its lengths follow. */
static void put_table(drawing *d, unsigned longest, unsigned runs, unsigned values, unsigned escape, unsigned far_length) {
    put(d, longest, 4);
    put(d, runs, 6);
    put(d, values, 11);
    put(d, escape, 4);
    put(d, far_length, 4);
}

/* -1 and +1 have one bit each: `0` and `1`.  Lengths 4 -> 1 (far: 111 1000), 1 -> 1 (0). */
static void put_table_of_two(drawing *d) {
    put_table(d, 1, 0, 2, 0, 0);
    put_bits(d, "111 1000  0");
    align(d);
}

static int decode_drawing(drawing *d, size_t n, int32_t *out) {
    align(d);
    size_t size = (size_t)(d->w.p - d->bytes);
    int status = decode(d->bytes, size, n, 0, out);
    int32_t again[64];
    CHECK_EQ(decode(d->bytes, size, n, GSZ_CPU_ALL, again), status);
    CHECK(status != GSZ_OK || memcmp(out, again, n * sizeof(int32_t)) == 0);
    return status;
}

static void drawn_streams(void) {
    drawing d;
    int32_t v[64];
    begin(&d, 0);
    put_table_of_two(&d);
    put_bits(&d, "1 0 0 1");        /* +1 -1 -1 +1 */
    CHECK_EQ(decode_drawing(&d, 4, v), GSZ_OK);
    CHECK(v[0] == 1 && v[1] == -1 && v[2] == -1 && v[3] == 1);
    begin(&d, 0);
    put_table_of_two(&d);
    put_bits(&d, "1 0 0 1  1");     /* filler that is not zero */
    CHECK_EQ(decode_drawing(&d, 4, v), GSZ_E_STREAM);
    begin(&d, 0);
    put_table_of_two(&d);
    put_bits(&d, "1001 0000  0");   /* a byte that nothing uses */
    CHECK_EQ(decode_drawing(&d, 4, v), GSZ_E_STREAM);
    begin(&d, 0);
    put_table_of_two(&d);
    put_bits(&d, "1001 0000");      /* a value too few */
    CHECK_EQ(decode_drawing(&d, 9, v), GSZ_E_STREAM);

    /* a lone token, -1: no bits at all */
    begin(&d, 0);
    put_table(&d, 1, 0, 1, 0, 0);
    put_bits(&d, "111 1000");
    CHECK_EQ(decode_drawing(&d, 5, v), GSZ_OK);
    CHECK(v[0] == -1 && v[4] == -1);

    /* one zero: `0`, and -1: `1`; each list of lengths begins at 4 */
    begin(&d, 0);
    put_table(&d, 1, 1, 1, 0, 0);
    put_bits(&d, "111 1000  111 1000");
    align(&d);
    put_bits(&d, "0 1 0");          /* 0, -1, 0 */
    CHECK_EQ(decode_drawing(&d, 3, v), GSZ_OK);
    CHECK(v[0] == 0 && v[1] == -1 && v[2] == 0);
    /* two zeros: `0`, -1: `1`; one zero is not used: length longest + 1 = 2, written 1101; then 101: 1 */
    begin(&d, 0);
    put_table(&d, 1, 2, 1, 0, 0);
    put_bits(&d, "1101  101  111 1000");
    align(&d);
    put_bits(&d, "1 0");            /* -1, then two zeros where there is room for one */
    CHECK_EQ(decode_drawing(&d, 2, v), GSZ_E_STREAM);
    /* an escape: `0`, and -1: `1` */
    begin(&d, 0);
    put_table(&d, 1, 0, 1, 1, 0);
    put_bits(&d, "111 1000");
    align(&d);
    put_bits(&d, "0 1");
    CHECK_EQ(decode_drawing(&d, 2, v), GSZ_OK);
    CHECK(v[0] == GSZ_ESCAPE && v[1] == -1);
}

static void drawn_tails(void) {
    drawing d;
    int32_t v[64];
    /* three low bits: classes +1 -1 with the fields 5 and 7 are +6 and -8; 6 bits, one byte */
    begin(&d, 4);
    put(&d, 3, 8);                  /* low */
    put(&d, 1, 8);                  /* bytes of low bits */
    put_table_of_two(&d);
    put_bits(&d, "1 0");
    align(&d);
    put_bits(&d, "101 111");
    CHECK_EQ(decode_drawing(&d, 2, v), GSZ_OK);
    CHECK(v[0] == 6 && v[1] == -8);
    for (unsigned wrong = 0; wrong < 4; wrong++) {
        begin(&d, 4);
        put(&d, wrong == 0 ? 0 : wrong == 1 ? 25 : 3, 8);       /* no bits, too many bits */
        put(&d, wrong == 2 ? 2 : 1, 8);                         /* a byte that no field needs */
        put_table_of_two(&d);
        put_bits(&d, "1 0");
        align(&d);
        if (wrong == 2) put(&d, 0, 8);
        put_bits(&d, wrong == 3 ? "101 111 1" : "101 111");     /* filler that is not zero */
        CHECK(decode_drawing(&d, 2, v) == (wrong < 2 ? GSZ_E_RESERVED : GSZ_E_SECTION));
    }
    /* far classes: far `0`, -1 `1`; the list has 2 (M - 1) + s as varints: +1001, then -2 */
    static const unsigned lists[][3] = {{0xd1, 0x0f, 2}, {0xd1, 0x0f, 0x80}, {0xd1, 0x8f, 2}};
    for (unsigned i = 0; i < 4; i++) {
        begin(&d, i == 3 ? 0 : 8);
        if (i < 3) put(&d, 3, 8);   /* bytes of far classes */
        put_table(&d, 1, 0, 1, 0, 1);
        put_bits(&d, "111 1000");
        align(&d);
        put_bits(&d, "0 1 0");
        align(&d);
        for (unsigned k = 0; k < 3; k++) put(&d, lists[i % 3][k], 8);
        int status = decode_drawing(&d, 3, v);
        CHECK_EQ(status == GSZ_OK, i == 0);     /* 1: a cut varint.  2: one class too few.  3: a list that the header denies */
        if (i == 0) CHECK(v[0] == 1001 && v[1] == -1 && v[2] == -2);
    }
    /* the list is said to be longer than what is there */
    begin(&d, 8);
    put(&d, 127, 8);
    put_table(&d, 1, 0, 1, 0, 1);
    put_bits(&d, "111 1000");
    CHECK_EQ(decode_drawing(&d, 3, v), GSZ_E_SECTION);
}

static void drawn_tables(void) {
    drawing d;
    int32_t v[64];
    static const unsigned fields[][5] = {
        {13, 0, 2, 0, 0},       /* codes of 13 bits */
        {0, 0, 0, 0, 0},        /* no token at all */
        {4, 38, 0, 0, 0},       /* more runs than there are */
        {4, 0, 2047, 0, 0},     /* more values than there are */
        {4, 0, 0, 5, 0},        /* an escape longer than the longest */
        {4, 0, 0, 0, 5},
        {2, 0, 0, 1, 0},        /* longest is not the longest in use */
        {1, 0, 0, 1, 1},        /* complete, but the stream needs no far classes: the header must say so */
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        begin(&d, 0);
        put_table(&d, fields[i][0], fields[i][1], fields[i][2], fields[i][3], fields[i][4]);
        put(&d, 0, 40);
        CHECK(decode_drawing(&d, 4, v) != GSZ_OK);
        if (i < 7) CHECK_EQ(decode_drawing(&d, 4, v), GSZ_E_TABLE);
    }
    begin(&d, 0);
    put_table(&d, 1, 0, 3, 0, 0);
    put_bits(&d, "111 1000  0  100");   /* 1, 1, not used: a list that should have ended before */
    CHECK_EQ(decode_drawing(&d, 4, v), GSZ_E_TABLE);
    for (unsigned bit = 4; bit < 7; bit++) {    /* header bits that nobody has defined */
        begin(&d, 1u << bit);
        put_table_of_two(&d);
        CHECK_EQ(decode_drawing(&d, 4, v), GSZ_E_RESERVED);
    }
    begin(&d, 0x80);                    /* all zero, and something behind it */
    put(&d, 0, 8);
    CHECK_EQ(decode_drawing(&d, 4, v), GSZ_E_SECTION);
    begin(&d, 0x80);
    CHECK_EQ(decode_drawing(&d, 4, v), GSZ_OK);
    CHECK(v[0] == 0 && v[3] == 0);
    CHECK_EQ(decode((const uint8_t *)"", 0, 4, 0, v), GSZ_E_SECTION);
}

int main(void) {
    gsz_options options;
    gsz_options_init(&options);
    gsz_heap_init(&heap, &options);
    all_magnitudes();
    all_shapes();
    drawn_streams();
    drawn_tails();
    drawn_tables();
    CHECK_EQ(heap.used, 0);
    gsz_heap_destroy(&heap);
    return check_report("symbols");
}
