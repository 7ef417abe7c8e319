/* Code lengths from any bits are a complete code or an error; a code built from any counts is complete. */
#include "fuzz.h"
#include "huffman.h"

static gsz_code code, again;

static void check_complete(const gsz_code *c, unsigned n, unsigned limit) {
    uint32_t room = 0;
    for (unsigned t = 0; t < n; t++) {
        REQUIRE(c->length[t] <= limit);
        if (c->length[t]) room += (uint32_t)1 << (limit - c->length[t]);
    }
    REQUIRE(room == (uint32_t)1 << limit || (c->lone && room == (uint32_t)1 << (limit - 1)));
}

static void rewrite(unsigned n) {
    static uint8_t buffer[2 * GSZ_MAX_ALPHABET];
    gsz_bitwriter w = {buffer, 0, 0};
    gsz_lengths_write(&w, &code, 0, n);
    uint8_t *end = gsz_bits_flush(&w);
    gsz_bitreader r;
    gsz_bits_init(&r, buffer, end);
    memset(&again, 0, sizeof again);
    again.longest = code.longest;
    REQUIRE(gsz_lengths_read(&r, &again, 0, n) == GSZ_OK && r.overrun == 0);
    REQUIRE(memcmp(again.length, code.length, n) == 0);
}

static void read_lengths(const uint8_t *p, size_t size, unsigned n, unsigned longest) {
    gsz_bitreader r;
    memset(&code, 0, sizeof code);
    code.longest = longest;
    gsz_bits_init(&r, p, p + size);
    code.alphabet = n;
    if (gsz_lengths_read(&r, &code, 0, n) != GSZ_OK || gsz_code_assign(&code) != GSZ_OK) return;
    check_complete(&code, n, GSZ_CODE_BITS);
    rewrite(n);
}

static void build(const uint8_t *p, size_t size, unsigned limit) {
    static uint32_t counts[GSZ_MAX_ALPHABET];
    unsigned n = 0, used = 0;
    for (size_t i = 0; i + 2 <= size && n < GSZ_MAX_ALPHABET; i += 2) {    /* a count of 11 bits, shifted by up to 7 */
        counts[n] = (uint32_t)(p[i] | (p[i + 1] & 7) << 8) << (p[i + 1] >> 5);
        used += counts[n++] != 0;
    }
    while (used > 1u << limit) limit++;
    if (used == 0) return;
    gsz_code_build(&code, counts, n, limit);
    for (unsigned t = 0; t < n; t++) REQUIRE((code.length[t] != 0) == (counts[t] != 0));
    check_complete(&code, n, limit);
    rewrite(n);
    again.alphabet = n;
    REQUIRE(gsz_code_assign(&again) == GSZ_OK);
    for (unsigned t = 0; t < n; t++) REQUIRE(!code.length[t] || again.code[t] == code.code[t]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    unsigned control = fuzz_take(&in), n = fuzz_take(&in) * 10;
    uint8_t *bytes = fuzz_copy(&in);
    if (control & 0x80) build(bytes, in.size, 6 + control % 7);
    else read_lengths(bytes, in.size, n < GSZ_MAX_ALPHABET ? n : GSZ_MAX_ALPHABET, 1 + control % GSZ_CODE_BITS);
    free(bytes);
    return 0;
}
