/* Packed entries (docs/format.md 3.5): what is packed comes back, repetition takes next to nothing, noise little more than
 * itself; every cut, every byte too many and every wrong end is refused. */
#include "check.h"
#include "packed.h"

static gsz_heap heap;

static void begin(void) {
    gsz_options options;
    gsz_options_init(&options);
    gsz_heap_init(&heap, &options);
}

/* Packs, unpacks, and returns the packed bytes in memory of exactly their size. */
static uint8_t *round_trip(const uint8_t *plain, size_t n, size_t *size) {
    gsz_writer out;
    gsz_writer_init(&out, &heap);
    CHECK_EQ(gsz_pack(&heap, plain, n, &out), GSZ_OK);
    uint8_t *packed = check_copy(out.data, out.size), *back = check_copy(plain, n);
    *size = out.size;
    gsz_writer_release(&out);
    memset(back, 0x55, n);
    const gsz_reader in = {packed, packed + *size};
    CHECK_EQ(gsz_unpack(&heap, in, back, n), GSZ_OK);
    CHECK(memcmp(back, plain, n) == 0);
    free(back);
    return packed;
}

static void sizes(void) {
    static uint8_t plain[GSZ_PACKED_MOST];
    uint64_t seed = 1;
    size_t size;
    for (size_t n = 0; n <= GSZ_PACKED_MOST; n = n < 20 ? n + 1 : 2 * n + (n & 1 ? 0 : 24) - 8 * (n > 60000)) {
        for (size_t i = 0; i < n; i++) plain[i] = (uint8_t)"layers.1.wq.bias"[i % 16];
        free(round_trip(plain, n, &size));
        CHECK(size <= 4 + 40 + n / 200);
        for (size_t i = 0; i < n; i++) plain[i] = (uint8_t)(check_random(&seed) >> 40);
        free(round_trip(plain, n, &size));
        CHECK(size <= 4 + n + n / 8 + 2);
    }
    for (size_t i = 0; i < GSZ_PACKED_MOST; i++) plain[i] = (uint8_t)(i >> 9);
    free(round_trip(plain, GSZ_PACKED_MOST, &size));
}

static void refused(const uint8_t *packed, size_t size, size_t n) {
    uint8_t *copy = check_copy(packed, size), *plain = (uint8_t *)malloc(n + 1);
    const gsz_reader in = {copy, copy + size};
    CHECK_EQ(gsz_unpack(&heap, in, plain, n), GSZ_E_HEADER);
    free(plain);
    free(copy);
}

static void damage(void) {
    uint8_t plain[300], longer[512];
    uint64_t seed = 2;
    size_t size;
    for (size_t i = 0; i < sizeof plain; i++) plain[i] = (uint8_t)(check_random(&seed) >> 61);
    uint8_t *packed = round_trip(plain, sizeof plain, &size);
    for (size_t n = 0; n < size; n++) refused(packed, n, sizeof plain);
    memcpy(longer, packed, size);
    longer[size] = 0;
    refused(longer, size + 1, sizeof plain);
    for (size_t i = 1; i <= 4; i++) {           /* the last four bytes are the end of the interval */
        longer[size - i] ^= 1;
        refused(longer, size, sizeof plain);
        longer[size - i] ^= 1;
    }
    for (size_t n = 0; n < sizeof plain; n++) refused(packed, size, n);
    free(packed);
}

int main(void) {
    begin();
    sizes();
    damage();
    CHECK_EQ(heap.used, 0);
    gsz_heap_destroy(&heap);
    return check_report("packed");
}
