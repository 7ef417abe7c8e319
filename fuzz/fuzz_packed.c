/* Packed entries from any bytes are plain bytes or an error, and packed again they are the same; any plain bytes come back.  The
 * field of a byte is told from the byte before. */
#include "fuzz.h"
#include "packed.h"

static uint8_t field_behind(unsigned before) { return (uint8_t)(before % GSZ_FIELDS); }

static int unpack(gsz_heap *heap, gsz_reader in, uint8_t *plain, size_t n) {
    gsz_unpacker *u;
    const int status = gsz_unpack_begin(heap, in, plain, n, &u);
    if (status != GSZ_OK) return status;
    for (size_t i = 0; i < n; i++) gsz_unpack(u, field_behind(i > 0 ? plain[i - 1] : 0), 1);
    return gsz_unpack_end(heap, u);
}

static void check_back(gsz_heap *heap, const uint8_t *plain, size_t n, const uint8_t *packed, size_t size) {
    gsz_writer again;
    uint8_t *fields = (uint8_t *)fuzz_zeros(n);
    for (size_t i = 0; i < n; i++) fields[i] = field_behind(i > 0 ? plain[i - 1] : 0);
    gsz_writer_init(&again, heap);
    REQUIRE(gsz_pack(heap, plain, fields, n, &again) == GSZ_OK);
    if (packed != NULL) REQUIRE(again.size == size && memcmp(again.data, packed, size) == 0);
    uint8_t *back = (uint8_t *)fuzz_zeros(n);
    const gsz_reader in = {again.data, again.data + again.size};
    REQUIRE(unpack(heap, in, back, n) == GSZ_OK && memcmp(back, plain, n) == 0);
    free(back);
    free(fields);
    gsz_writer_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    gsz_options options;
    gsz_heap heap;
    fuzz_options(&in, &options);
    options.max_memory = 0;
    gsz_heap_init(&heap, &options);
    if (fuzz_take(&in) & 0x80) {
        uint8_t *plain = fuzz_copy(&in);
        check_back(&heap, plain, in.size, NULL, 0);
        free(plain);
    } else {
        size_t n = fuzz_take(&in);
        n |= (size_t)fuzz_take(&in) << 8;
        uint8_t *packed = fuzz_copy(&in), *plain = (uint8_t *)fuzz_zeros(n);
        const gsz_reader bytes = {packed, packed + in.size};
        if (unpack(&heap, bytes, plain, n) == GSZ_OK) check_back(&heap, plain, n, packed, in.size);
        free(packed);
        free(plain);
    }
    REQUIRE(heap.used == 0);
    gsz_heap_destroy(&heap);
    return 0;
}
