/* The entropy coder of the gradient model: exact round trips, equal bytes and symbols from every kernel table, cuts. */
#include "check.h"
#include "rans.h"

#define CONTEXTS 20u
#define N 3000u

static const unsigned masks[] = {0, GSZ_CPU_SSE42, GSZ_CPU_AVX2 | GSZ_CPU_SSE42, GSZ_CPU_ALL};
static gsz_frequencies tables[CONTEXTS];
static gsz_rans_code codes[CONTEXTS][GSZ_RANS_SYMBOLS];
static uint32_t slots[CONTEXTS][GSZ_RANS_SLOTS];

/* Peaked and flat tables, one symbol only, and all symbols; or all of them peaked. */
static void make_tables(uint64_t *seed, int peaked) {
    for (unsigned c = 0; c < CONTEXTS; c++) {
        uint32_t counts[GSZ_RANS_SYMBOLS] = {0}, sum = 0;
        unsigned kind = peaked ? 3 : (unsigned)(check_random(seed) % 5);
        const uint32_t most = peaked ? 100u << check_random(seed) % 12 : 1000000u;
        for (unsigned s = 0; s < GSZ_RANS_SYMBOLS; s++) {
            uint32_t r = (uint32_t)(check_random(seed) >> 40);
            counts[s] = kind == 0 ? s == 17 : kind == 1 ? 1 : kind == 2 ? r >> (s % 24) : kind == 3 ? (s == 64) * most + (s < 70 && (!peaked || s > 60)) : r;
        }
        gsz_frequencies_fit(counts, &tables[c]);
        for (unsigned s = 0; s < GSZ_RANS_SYMBOLS; s++) {
            CHECK_EQ(tables[c].of[s] > 0, counts[s] > 0);
            sum += tables[c].of[s];
        }
        CHECK_EQ(sum, GSZ_RANS_SLOTS);
        gsz_rans_codes(&tables[c], codes[c]);
        gsz_kernels_for(0)->rans_slots(&tables[c], slots[c]);
    }
}

static void round_trip(uint64_t *seed, unsigned contexts) {
    static uint16_t tokens[N];
    static uint8_t context[N], symbol[N], portable[4][N], out[2 * N + 5 * GSZ_RANS_STATES + 6], other[2 * N + 5 * GSZ_RANS_STATES + 6];
    uint32_t steps[N];
    size_t nsteps = 0, n = 0, limit = 1 + check_random(seed) % N, longest = 1 + check_random(seed) % 90;
    unsigned states = 1u << check_random(seed) % (GSZ_RANS_LOG2_STATES + 1);
    while (n < limit) {
        const size_t length = 1 + check_random(seed) % longest;
        steps[nsteps] = (uint32_t)GSZ_MIN(length, limit - n);
        n += steps[nsteps++];
    }
    for (size_t i = 0; i < n; i++) {
        context[i] = (uint8_t)(check_random(seed) % contexts);
        uint32_t entry = slots[context[i]][check_random(seed) % GSZ_RANS_SLOTS];        /* drawn by its own table */
        tokens[i] = (uint16_t)(context[i] * GSZ_RANS_SYMBOLS + (entry & 127));
    }
    uint8_t *end = out + sizeof out, *start = gsz_rans_encode(&gsz_kernels_portable, codes[0], tokens, steps, nsteps, states, end);
    CHECK(start >= out);
    for (size_t m = 0; m < sizeof masks / sizeof masks[0]; m++) {       /* the same bytes from every table */
        const gsz_kernels *kernels = gsz_kernels_for(gsz_cpu_features() & masks[m]);
        uint8_t *twin = gsz_rans_encode(kernels, codes[0], tokens, steps, nsteps, states, other + sizeof other);
        CHECK_EQ(other + sizeof other - twin, end - start);
        CHECK(memcmp(twin, start, (size_t)(end - start)) == 0);
    }
    for (size_t m = 0; m < sizeof masks / sizeof masks[0]; m++) {
        const gsz_kernels *kernels = gsz_kernels_for(gsz_cpu_features() & masks[m]);
        for (int broken = 0; broken < 4; broken++) {
            size_t size = (size_t)(end - start), at = 0;
            if (broken == 1) size -= GSZ_MIN(size, 2u);
            uint8_t *copy = check_copy(start, size);
            if (broken >= 2 && size > 4 * states) copy[4 * states + ((size_t)broken * 977 + n) % (size - 4 * states)] ^= 1;
            gsz_rans_decoder d;
            gsz_reader in = {copy, copy + size};
            int status = gsz_rans_begin(&d, in, states, slots[0]);
            if (status == GSZ_OK && n % 4 != 0) gsz_rans_use(&d, slots[0]);
            for (size_t k = 0; status == GSZ_OK && k < nsteps; at += steps[k++])
                kernels->rans_decode(&d, context + at, steps[k], symbol + at);
            if (at > 0 && m == 0) memcpy(portable[broken], symbol, n);
            if (at > 0) CHECK(memcmp(symbol, portable[broken], n) == 0);        /* of damaged words too */
            if (status == GSZ_OK) status = gsz_rans_finish(&d);
            if (broken == 0) {
                CHECK_EQ(status, GSZ_OK);
                for (size_t i = 0; i < n; i++) CHECK_EQ(symbol[i], tokens[i] & 127);
            }
            if (broken == 1) CHECK_EQ(status, GSZ_E_STREAM);
            free(copy);
        }
    }
}

int main(void) {
    uint64_t seed = 3;
    for (int round = 0; round < 300; round++) {
        make_tables(&seed, round % 3 == 0);
        round_trip(&seed, round % 2 == 0 ? GSZ_RANS_NARROW : CONTEXTS);
    }
    return check_report("rans");
}
