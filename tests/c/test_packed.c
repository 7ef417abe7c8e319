/* Packed entries (docs/format.md 3.5): what is packed comes back, repetition takes next to nothing, noise little more than
 * itself; every cut, every byte too many and every other end is refused, or is what is packed from what it unpacks to.  The primer
 * is a table whose fields are those that are told with it. */
#include "check.h"
#include "packed.h"
#include "packed_primer.h"
#include "table.h"

static gsz_heap heap;

static void begin(void) {
    gsz_options options;
    gsz_options_init(&options);
    gsz_heap_init(&heap, &options);
}

static int unpack(const uint8_t *packed, size_t size, const uint8_t *fields, uint8_t *plain, size_t n) {
    const gsz_reader in = {packed, packed + size};
    gsz_unpacker *u;
    CHECK_EQ(gsz_unpack_begin(&heap, in, plain, n, &u), GSZ_OK);
    for (size_t i = 0; i < n; i++) gsz_unpack(u, fields[i], 1);
    return gsz_unpack_end(&heap, u);
}

static uint8_t *pack(const uint8_t *plain, const uint8_t *fields, size_t n, size_t *size) {
    gsz_writer out;
    gsz_writer_init(&out, &heap);
    CHECK_EQ(gsz_pack(&heap, plain, fields, n, &out), GSZ_OK);
    uint8_t *packed = check_copy(out.data, out.size);
    *size = out.size;
    gsz_writer_release(&out);
    return packed;
}

/* Packs, unpacks, and returns the packed bytes in memory of exactly their size. */
static uint8_t *round_trip(const uint8_t *plain, const uint8_t *fields, size_t n, size_t *size) {
    uint8_t *packed = pack(plain, fields, n, size), *back = check_copy(plain, n);
    memset(back, 0x55, n);
    CHECK_EQ(unpack(packed, *size, fields, back, n), GSZ_OK);
    CHECK(memcmp(back, plain, n) == 0);
    free(back);
    return packed;
}

static void sizes(void) {
    static uint8_t plain[GSZ_PACKED_MOST], fields[GSZ_PACKED_MOST];
    uint64_t seed = 1;
    size_t size;
    for (size_t i = 0; i < GSZ_PACKED_MOST; i++) fields[i] = (uint8_t)(i % 16 > 4 ? GSZ_FIELD_NAME : i % 5);
    for (size_t n = 0; n <= GSZ_PACKED_MOST; n = n < 20 ? n + 1 : 2 * n + (n & 1 ? 0 : 24) - (n > 60000 ? 8u : 0u)) {
        for (size_t i = 0; i < n; i++) plain[i] = (uint8_t)"layers.1.wq.bias"[i % 16];
        free(round_trip(plain, fields, n, &size));
        CHECK(size <= 4 + 40 + n / 200);
        for (size_t i = 0; i < n; i++) plain[i] = (uint8_t)(check_random(&seed) >> 40);
        free(round_trip(plain, fields, n, &size));
        CHECK(size <= 4 + n + n / 4 + 2);
    }
    for (size_t i = 0; i < GSZ_PACKED_MOST; i++) plain[i] = (uint8_t)(i >> 9);
    free(round_trip(plain, fields, GSZ_PACKED_MOST, &size));
}

/* Refused, or the only packed form of what it unpacks to. */
static void only_form(const uint8_t *packed, size_t size, const uint8_t *fields, size_t n) {
    uint8_t *copy = check_copy(packed, size), *plain = (uint8_t *)malloc(n + 1);
    size_t again;
    if (unpack(copy, size, fields, plain, n) == GSZ_OK) {
        uint8_t *same = pack(plain, fields, n, &again);
        CHECK(again == size && memcmp(same, packed, size) == 0);
        free(same);
    }
    free(plain);
    free(copy);
}

static void damage(void) {
    uint8_t plain[300], fields[300], longer[512];
    uint64_t seed = 2;
    size_t size;
    for (size_t i = 0; i < sizeof plain; i++) plain[i] = (uint8_t)(check_random(&seed) >> 61), fields[i] = (uint8_t)(check_random(&seed) % GSZ_FIELDS);
    uint8_t *packed = round_trip(plain, fields, sizeof plain, &size), back[300];
    for (size_t n = 0; n < size; n++) only_form(packed, n, fields, sizeof plain);
    memcpy(longer, packed, size);
    longer[size] = 0;
    CHECK_EQ(unpack(longer, size + 1, fields, back, sizeof back), GSZ_E_HEADER);        /* a last byte of 0 */
    longer[size + 4] = 1;
    CHECK_EQ(unpack(longer, size + 5, fields, back, sizeof back), GSZ_E_HEADER);        /* bytes left */
    for (size_t i = 0; i < size; i++) {
        longer[i] ^= 1;
        only_form(longer, size, fields, sizeof plain);
        longer[i] ^= 1;
    }
    for (size_t n = 0; n < sizeof plain; n++) only_form(packed, size, fields, n);
    free(packed);
}

/* The primer read and written again. */
static void primer(void) {
    gsz_entry_reader in = {{gsz_primer, gsz_primer + sizeof gsz_primer}, NULL};
    gsz_table_state read, written;
    gsz_entry_writer out;
    gsz_entry entry;
    uint64_t shape[GSZ_MAX_DIMS], count;
    char names[2][GSZ_MAX_NAME];
    memset(&read, 0, sizeof read);
    memset(&written, 0, sizeof written);
    gsz_entry_writer_init(&out, &heap);
    CHECK_EQ(gsz_get_varint(&in.plain, &count), 1);
    CHECK_EQ(gsz_put_field(&out, GSZ_FIELD_COUNT, gsz_put_varint(&out.bytes, count)), GSZ_OK);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(gsz_entry_read(&read, &in, 1, shape, names[i & 1], &entry), GSZ_OK);
        CHECK_EQ(gsz_entry_write(&written, &entry, 1, &out), GSZ_OK);
    }
    CHECK_EQ(gsz_left(&in.plain), 0);
    CHECK_EQ(out.bytes.size, sizeof gsz_primer);
    CHECK(memcmp(out.bytes.data, gsz_primer, sizeof gsz_primer) == 0);
    CHECK_EQ(strlen(gsz_primer_fields), sizeof gsz_primer);
    for (size_t i = 0; i < sizeof gsz_primer; i++) CHECK_EQ(out.fields.data[i], gsz_primer_fields[i] - 'a');
    gsz_entry_writer_release(&out);
}

int main(void) {
    begin();
    sizes();
    damage();
    primer();
    CHECK_EQ(heap.used, 0);
    gsz_heap_destroy(&heap);
    return check_report("packed");
}
