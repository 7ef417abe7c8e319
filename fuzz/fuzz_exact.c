/* The bit-exact mode: any bytes decode to elements or to an error, and any elements survive a round trip. */
#include "cpu.h"
#include "exact.h"
#include "fuzz.h"

static void decode(gsz_work *work, gsz_work *other, gsz_reader in, size_t n, size_t itemsize) {
    void *a = fuzz_zeros(n * itemsize), *b = fuzz_zeros(n * itemsize);
    int status = gsz_exact_decode(work, in, n, itemsize, a);
    REQUIRE(gsz_exact_decode(other, in, n, itemsize, b) == status);
    REQUIRE(status != GSZ_OK || memcmp(a, b, n * itemsize) == 0);
    free(a);
    free(b);
}

static void round_trip(gsz_work *work, gsz_work *other, const void *x, size_t n, size_t itemsize, gsz_kind kind) {
    gsz_writer out;
    void *back = fuzz_zeros(n * itemsize);
    gsz_writer_init(&out, work->heap);
    int status = gsz_exact_encode(work, x, n, itemsize, kind, &out);
    if (status == GSZ_OK) {
        gsz_reader in = {out.data, out.data + out.size};
        REQUIRE(out.size <= n * itemsize + 1);
        status = gsz_exact_decode(other, in, n, itemsize, back);
        REQUIRE(status != GSZ_OK || memcmp(back, x, n * itemsize) == 0);
    }
    REQUIRE(status == GSZ_OK || status == GSZ_E_MEMORY);
    gsz_writer_release(&out);
    free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    gsz_options options;
    gsz_heap heap;
    gsz_work work, other;
    fuzz_options(&in, &options);
    unsigned control = fuzz_take(&in);
    size_t itemsize = (size_t)1 << (control >> 1 & 3), n = 1 + fuzz_take(&in) + ((size_t)(fuzz_take(&in) & 15) << 8);
    uint8_t *bytes = fuzz_copy(&in);
    gsz_reader r = {bytes, bytes + in.size};
    gsz_heap_init(&heap, &options);
    gsz_work_init(&work, &heap, gsz_kernels_for(gsz_cpu_features() & options.cpu_mask));
    gsz_work_init(&other, &heap, gsz_kernels_for(gsz_cpu_features() & ~options.cpu_mask));
    if (control & 1) {
        if (in.size >= itemsize) round_trip(&work, &other, bytes, in.size / itemsize, itemsize, control & 8 ? GSZ_KIND_FLOAT : GSZ_KIND_INTEGER);
    } else {
        decode(&work, options.max_memory ? &work : &other, r, n, itemsize);
    }
    gsz_work_release(&work);
    gsz_work_release(&other);
    REQUIRE(heap.used == 0);
    gsz_heap_destroy(&heap);
    free(bytes);
    return 0;
}
