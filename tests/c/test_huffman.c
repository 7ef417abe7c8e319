/* Huffman codes: the builder's are complete and good, the reader takes complete codes only. */
#include "check.h"
#include "huffman.h"

/* ---- builder */

/* Bits that the counts cost with an unlimited code, by the textbook's repeated joining of the two rarest. */
static uint64_t optimal_bits(const uint32_t *counts, unsigned n) {
    uint64_t w[64], bits = 0;
    unsigned used = 0;
    for (unsigned t = 0; t < n; t++)
        if (counts[t]) w[used++] = counts[t];
    for (; used > 1; used--) {
        for (unsigned k = 0; k < 2; k++) {      /* the two rarest to the end */
            unsigned least = 0;
            for (unsigned i = 1; i < used - k; i++)
                if (w[i] < w[least]) least = i;
            uint64_t t = w[least];
            w[least] = w[used - 1 - k];
            w[used - 1 - k] = t;
        }
        w[used - 2] += w[used - 1];
        bits += w[used - 2];
    }
    return bits;
}

static void check_code(const uint32_t *counts, unsigned n, unsigned limit) {
    static gsz_code code;
    uint64_t room = 0, bits = 0;
    unsigned used = 0, longest = 0;
    gsz_code_build(&code, counts, n, limit);
    for (unsigned t = 0; t < n; t++) {
        CHECK_EQ(code.length[t] != 0, counts[t] != 0);
        CHECK(code.length[t] <= limit);
        used += counts[t] != 0;
        bits += (uint64_t)counts[t] * code.length[t];
        if (code.length[t]) room += (uint64_t)1 << (limit - code.length[t]);
        if (code.length[t] > longest) longest = code.length[t];
    }
    CHECK_EQ(code.longest, longest);
    CHECK_EQ(code.lone, used == 1);
    CHECK_EQ(code.alphabet, n);
    if (used > 1) CHECK_EQ(room, (uint64_t)1 << limit);
    /* no code begins another */
    for (unsigned a = 0; a < n; a++)
        for (unsigned b = 0; b < n; b++)
            if (a != b && code.length[a] && code.length[a] <= code.length[b])
                CHECK((code.code[b] & ((1u << code.length[a]) - 1)) != code.code[a]);
    if (n <= 64 && used > 1 && longest < limit) CHECK_EQ(bits, optimal_bits(counts, n));
}

static void built_codes_are_complete(void) {
    uint32_t counts[300];
    uint64_t seed = 7;
    for (int round = 0; round < 3000; round++) {
        unsigned n = 1 + (unsigned)(check_random(&seed) % (round % 50 == 0 ? 300 : 40)), limit = n > 64 ? 12 : 6 + (unsigned)round % 7;
        unsigned shift = (unsigned)(check_random(&seed) % 32);
        for (unsigned t = 0; t < n; t++) {
            uint64_t r = check_random(&seed);
            counts[t] = r % 3 == 0 ? 0 : (uint32_t)(r >> 32) >> shift >> (r >> 8 & 7) & 0x3fffff;
        }
        check_code(counts, n, limit);
    }
    /* Fibonacci counts want a code of 30 bits and must fit into 12 */
    counts[0] = counts[1] = 1;
    for (unsigned t = 2; t < 30; t++) counts[t] = counts[t - 1] + counts[t - 2];
    for (unsigned limit = 5; limit <= 12; limit++) check_code(counts, 30, limit);
    for (unsigned t = 0; t < 64; t++) counts[t] = 1;
    check_code(counts, 64, 6);      /* exactly full */
}

/* ---- lengths to codes */

static int assign(const uint8_t *lengths, unsigned n) {
    static gsz_code code;
    memset(&code, 0, sizeof code);
    memcpy(code.length, lengths, n);
    code.alphabet = n;
    return gsz_code_assign(&code);
}

static void only_complete_codes(void) {
    static gsz_code code;
    CHECK_EQ(assign((const uint8_t[]){1, 1}, 2), GSZ_OK);
    CHECK_EQ(assign((const uint8_t[]){1, 2, 2}, 3), GSZ_OK);
    CHECK_EQ(assign((const uint8_t[]){0, 1, 0}, 3), GSZ_OK);            /* a lone token */
    CHECK_EQ(assign((const uint8_t[]){2}, 1), GSZ_E_TABLE);             /* ... has one bit */
    CHECK_EQ(assign((const uint8_t[]){0, 0}, 2), GSZ_E_TABLE);          /* no token */
    CHECK_EQ(assign((const uint8_t[]){1, 2}, 2), GSZ_E_TABLE);          /* incomplete: 11 means nothing */
    CHECK_EQ(assign((const uint8_t[]){2, 2, 2}, 3), GSZ_E_TABLE);
    CHECK_EQ(assign((const uint8_t[]){1, 1, 1}, 3), GSZ_E_TABLE);       /* over-full */
    CHECK_EQ(assign((const uint8_t[]){1, 1, 12}, 3), GSZ_E_TABLE);
    CHECK_EQ(assign((const uint8_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12}, 13), GSZ_OK);
    CHECK_EQ(assign((const uint8_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 12), GSZ_E_TABLE);
    /* over-full by so much that sums wrap must still be seen */
    memset(&code, 0, sizeof code);
    memset(code.length, 1, GSZ_MAX_ALPHABET);
    code.alphabet = GSZ_MAX_ALPHABET;
    CHECK_EQ(gsz_code_assign(&code), GSZ_E_TABLE);
}

static void codes_are_canonical(void) {
    /* lengths 2 1 3 3: codes in order of (length, token): token 1: 0, token 0: 10, token 2: 110, token 3: 111;
     * stored with the first bit lowest */
    static gsz_code code;
    memcpy(code.length, ((const uint8_t[]){2, 1, 3, 3}), 4);
    code.alphabet = 4;
    CHECK_EQ(gsz_code_assign(&code), GSZ_OK);
    CHECK_EQ(code.lone, 0);
    CHECK(code.code[1] == 0 && code.code[0] == 1 && code.code[2] == 3 && code.code[3] == 7);
}

/* ---- serialised lengths, drawn by hand */

typedef struct { uint8_t bytes[64]; gsz_bitwriter w; } drawing;

static void begin(drawing *d) {
    memset(d, 0, sizeof *d);
    d->w.p = d->bytes;
}

/* "1 0 1": bits in the order in which they are read. */
static void put_bits(drawing *d, const char *bits) {
    for (; *bits; bits++)
        if (*bits != ' ') gsz_bits_put(&d->w, (uint64_t)(*bits - '0'), 1);
}

static int read_lengths(drawing *d, unsigned longest, unsigned n, gsz_code *code) {
    size_t size = (size_t)(gsz_bits_flush(&d->w) - d->bytes);
    uint8_t *data = check_copy(d->bytes, size);
    gsz_bitreader r;
    memset(code, 0, sizeof *code);
    code->longest = longest;
    gsz_bits_init(&r, data, data + size);
    int status = gsz_lengths_read(&r, code, 0, n);
    code->alphabet = n;
    if (status == GSZ_OK) status = r.overrun ? GSZ_E_SECTION : gsz_code_assign(code);
    free(data);
    return status;
}

static void drawn_lengths(void) {
    static gsz_code code;
    drawing d;
    /*            4 as at first   4 - 1 = 3   3 - 2 = 1   1 + 1 = 2   2 + 2 = 4
     * lengths:   4               3           1           2           4          complete */
    begin(&d);
    put_bits(&d, "0            1 0 1       1 1 0 1     1 0 0       1 1 0 0");
    CHECK_EQ(read_lengths(&d, 4, 5, &code), GSZ_OK);
    CHECK(memcmp(code.length, ((const uint8_t[]){4, 3, 1, 2, 4}), 5) == 0);
    /* far: 111 and four bits, lowest first.  longest 2, so 3 is "not used":  1, not used, 1
     *            4 -> 1: far     1 -> 3: + 2     3 -> 1: - 2 */
    begin(&d);
    put_bits(&d, "1 1 1 1000     1 1 0 0        1 1 0 1");
    CHECK_EQ(read_lengths(&d, 2, 3, &code), GSZ_OK);
    CHECK(memcmp(code.length, ((const uint8_t[]){1, 0, 1}), 3) == 0);
    /* a near length written the far way: 4 -> 3 */
    begin(&d);
    put_bits(&d, "1 1 1 1100");
    CHECK_EQ(read_lengths(&d, 4, 1, &code), GSZ_E_TABLE);
    /* lengths of 0, and above longest + 1 */
    begin(&d);
    put_bits(&d, "1 1 1 0000");
    CHECK_EQ(read_lengths(&d, 4, 1, &code), GSZ_E_TABLE);
    begin(&d);
    put_bits(&d, "1 1 1 0001");     /* 8, when the longest is 4 */
    CHECK_EQ(read_lengths(&d, 4, 1, &code), GSZ_E_TABLE);
    begin(&d);
    put_bits(&d, "1 1 0 1  1 1 0 1");       /* 4, 2, 0 */
    CHECK_EQ(read_lengths(&d, 4, 2, &code), GSZ_E_TABLE);
    /* incomplete: 1, 2.  over-full: 1, 1, 1 */
    begin(&d);
    put_bits(&d, "1 1 1 1000  1 0 0");
    CHECK_EQ(read_lengths(&d, 2, 2, &code), GSZ_E_TABLE);
    begin(&d);
    put_bits(&d, "1 1 1 1000  0 0");
    CHECK_EQ(read_lengths(&d, 1, 3, &code), GSZ_E_TABLE);
    /* the stream ends inside a length */
    begin(&d);
    put_bits(&d, "1 1 1 1000 1");
    CHECK(read_lengths(&d, 2, 4, &code) != GSZ_OK);
}

static void lengths_round_trip(void) {
    static gsz_code code, back;
    static uint8_t buffer[2 * GSZ_MAX_ALPHABET];
    uint32_t counts[GSZ_MAX_ALPHABET];
    uint64_t seed = 3;
    for (int round = 0; round < 300; round++) {
        unsigned n = 2 + (unsigned)(check_random(&seed) % (round % 10 ? 100 : GSZ_MAX_ALPHABET - 2));
        for (unsigned t = 0; t < n; t++) counts[t] = (uint32_t)(check_random(&seed) % 1000 >> (check_random(&seed) % 12));
        counts[0] = counts[n - 1] = 1;
        gsz_code_build(&code, counts, n, 12);
        gsz_bitwriter w = {buffer, 0, 0};
        gsz_lengths_write(&w, &code, 0, n);
        size_t size = (size_t)(gsz_bits_flush(&w) - buffer);
        uint8_t *data = check_copy(buffer, size);
        gsz_bitreader r;
        gsz_bits_init(&r, data, data + size);
        memset(&back, 0, sizeof back);
        back.longest = code.longest;
        CHECK_EQ(gsz_lengths_read(&r, &back, 0, n), GSZ_OK);
        CHECK_EQ(r.overrun, 0);
        CHECK(memcmp(back.length, code.length, n) == 0);
        back.alphabet = n;
        CHECK_EQ(gsz_code_assign(&back), GSZ_OK);
        for (unsigned t = 0; t < n; t++) CHECK(!code.length[t] || code.code[t] == back.code[t]);
        free(data);
    }
}

int main(void) {
    built_codes_are_complete();
    only_complete_codes();
    codes_are_canonical();
    drawn_lengths();
    lengths_round_trip();
    return check_report("huffman");
}
