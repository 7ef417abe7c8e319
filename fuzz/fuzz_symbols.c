/* Any bytes as a symbol stream: the same from every kernel table, and what decodes survives a round trip. */
#include "cpu.h"
#include "fuzz.h"
#include "symbols.h"

static int32_t *decode(gsz_heap *heap, gsz_reader in, size_t n, unsigned mask, int *status) {
    gsz_work work;
    gsz_symbols s;
    int32_t *v = (int32_t *)fuzz_zeros(n * sizeof(int32_t));
    gsz_work_init(&work, heap, gsz_kernels_for(gsz_cpu_features() & mask));
    *status = gsz_symbols_decode(&work, in, n, &s);
    for (size_t i = 0; *status == GSZ_OK && i < n; i++)
        v[i] = s.wide != NULL ? s.wide[i] : s.narrow[i] == GSZ_ESCAPE16 ? GSZ_ESCAPE : s.narrow[i];
    gsz_work_release(&work);
    return v;
}

static void round_trip(gsz_heap *heap, const int32_t *v, size_t n, unsigned mask) {
    gsz_work work;
    gsz_writer out;
    int status;
    gsz_writer_init(&out, heap);
    gsz_work_init(&work, heap, gsz_kernels_for(gsz_cpu_features() & mask));
    int32_t *lost = (int32_t *)fuzz_zeros(n * sizeof(int32_t));
    memcpy(lost, v, n * sizeof(int32_t));
    status = gsz_symbols_encode(&work, lost, n, &out);
    gsz_work_release(&work);
    free(lost);
    if (status == GSZ_OK) {
        gsz_reader in = {out.data, out.data + out.size};
        int32_t *back = decode(heap, in, n, mask, &status);
        REQUIRE(status == GSZ_E_MEMORY || (status == GSZ_OK && memcmp(back, v, n * sizeof(int32_t)) == 0));
        free(back);
    }
    REQUIRE(status == GSZ_OK || status == GSZ_E_MEMORY);
    gsz_writer_release(&out);
}

/* Numbers from bytes: most of one byte, some long, some escapes, and runs of zeros. */
static size_t numbers(const uint8_t *p, size_t size, int32_t *v, size_t room) {
    size_t n = 0;
    for (size_t i = 0; i < size && n < room; i++) {
        unsigned b = p[i];
        if (b == 0x80) v[n++] = GSZ_ESCAPE;
        else if (b == 0x81 && i + 4 < size) v[n++] = (int32_t)gsz_load_le32(p + i + 1), i += 4;
        else if (b == 0x82 && i + 2 < size) {
            size_t run = (size_t)(p[i + 1] | p[i + 2] << 8);
            for (i += 2; run > 0 && n < room; run--) v[n++] = 0;
        } else v[n++] = (int8_t)(uint8_t)b;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    gsz_options options;
    gsz_heap heap;
    int status, other;
    fuzz_options(&in, &options);
    unsigned control = fuzz_take(&in);
    size_t n = 1 + fuzz_take(&in) + ((size_t)(fuzz_take(&in) & 31) << 8);
    uint8_t *bytes = fuzz_copy(&in);
    gsz_reader r = {bytes, bytes + in.size};
    gsz_heap_init(&heap, &options);
    if (control & 1) {
        int32_t *v = (int32_t *)fuzz_zeros(16384 * sizeof(int32_t));
        n = numbers(bytes, in.size, v, 16384);
        if (n > 0) round_trip(&heap, v, n, options.cpu_mask);
        free(v);
    } else {
        int32_t *a = decode(&heap, r, n, options.cpu_mask, &status), *b = decode(&heap, r, n, ~options.cpu_mask, &other);
        REQUIRE(status == other && (status != GSZ_OK || memcmp(a, b, n * sizeof(int32_t)) == 0));
        if (status == GSZ_OK) round_trip(&heap, a, n, options.cpu_mask);
        free(a);
        free(b);
    }
    REQUIRE(heap.used == 0);
    gsz_heap_destroy(&heap);
    free(bytes);
    return 0;
}
