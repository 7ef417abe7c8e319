/* Tables of the gradient model: what is read is what was written, complete for any bits, and near the counts' entropy. */
#include "check.h"
#include "coding_tables.h"

#define N 21u

static void complete(const gsz_frequencies *f) {
    for (unsigned c = 0; c < N; c++) {
        uint32_t sum = 0;
        for (unsigned s = 0; s < GSZ_RANS_SYMBOLS; s++) sum += f[c].of[s];
        CHECK_EQ(sum, GSZ_RANS_SLOTS);
    }
}

int main(void) {
    static uint32_t counts[N][GSZ_RANS_SYMBOLS];
    static uint8_t bytes[GSZ_CODING_TABLES_BYTES(N)];
    gsz_frequencies written[N], seen[N];
    uint64_t seed = 9;
    for (int round = 0; round < 2000; round++) {
        memset(counts, 0, sizeof counts);
        for (unsigned c = 0; c < N; c++) {
            unsigned kind = (unsigned)(check_random(&seed) % 6);
            for (int k = 0; kind > 0 && k < (kind == 5 ? 20000 : 300); k++) {
                uint64_t r = check_random(&seed);
                unsigned run = (unsigned)__builtin_ctzll(r | (uint64_t)1 << 40) * (kind % 3 + (kind == 2)) / 2;
                unsigned s = kind == 4 ? (unsigned)(r >> 50 & 127) : 64 + (r >> 63 ? GSZ_MIN(run, 63u) : 0u - GSZ_MIN(run, 64u));
                counts[c][s]++;
            }
        }
        gsz_bitwriter out = {bytes, 0, 0};
        gsz_coding_tables_write((const uint32_t (*)[GSZ_RANS_SYMBOLS])counts, N, written, &out);
        size_t size = (size_t)(gsz_bits_flush(&out) - bytes);
        CHECK(size <= sizeof bytes - 8);
        complete(written);
        for (unsigned c = 0; c < N; c++) CHECK(gsz_frequencies_cost(&written[c], counts[c]) < UINT64_MAX);
        for (int broken = 0; broken < 3; broken++) {
            uint8_t *copy = check_copy(bytes, size);
            gsz_bitreader in;
            if (broken == 1) copy[check_random(&seed) % size] ^= (uint8_t)(1u << check_random(&seed) % 8);
            gsz_bits_init(&in, copy, copy + size - (broken == 2));
            int status = gsz_coding_tables_read(&in, N, seen);
            if (status == GSZ_OK) complete(seen);
            if (broken == 0) {
                CHECK_EQ(status, GSZ_OK);
                CHECK(gsz_bits_end(&in));
                CHECK(memcmp(seen, written, sizeof seen) == 0);
            }
            if (broken == 2) CHECK(status != GSZ_OK || !gsz_bits_end(&in));
            free(copy);
        }
    }
    return check_report("coding tables");
}
