/* Any values and any quantiser, through the public functions: the size is within gsz_compress_bound, every kernel table gives
 * the same bytes, what is not finite comes back bit for bit and what is finite stays so, and the promise of Spherical and
 * Sparse Dithering about the squared error holds. */
#include "fp.h"
#include "fuzz.h"
#include "kernels.h"
#include "quantisers/values.h"

/* Squared norms of the values and of the errors, times a power of two; 0 where some value is not finite or not a usual one. */
static int squares(int dtype, const void *x, const void *y, size_t n, double *norm, double *error) {
    *norm = *error = 0;
    for (size_t i = 0; i < n; i++) {
        double a = gsz_value_at(dtype, x, i), b = gsz_value_at(dtype, y, i);
        if (!(gsz_abs_double(a) < 0x1p100) || (a != 0 && gsz_abs_double(a) < 0x1p-100)) return 0;
        *norm += a * a;
        *error += (a - b) * (a - b);
    }
    return 1;
}

static void check(const gsz_quantiser *q, int dtype, const void *x, const void *y, size_t n, int codec) {
    const size_t itemsize = gsz_itemsize(dtype);
    double norm, error;
    for (size_t i = 0; i < n; i++) {
        REQUIRE(gsz_is_finite(gsz_value_at(dtype, x, i)) == gsz_is_finite(gsz_value_at(dtype, y, i)));
        if (!gsz_is_finite(gsz_value_at(dtype, x, i)) || codec <= GSZ_CODEC_EXACT)
            REQUIRE(codec == GSZ_CODEC_CONSTANT || memcmp((const uint8_t *)x + i * itemsize, (const uint8_t *)y + i * itemsize, itemsize) == 0);
    }
    if (dtype < GSZ_FLOAT32 || q->scheme == GSZ_M22 || q->unbiased || !squares(dtype, x, y, n, &norm, &error)) return;
    REQUIRE(error <= q->target * norm * (1 + 0x1p-20));
}

static void decode(const gsz_quantiser *q, const gsz_input *in, const gsz_options *options, const uint8_t *message, size_t size) {
    gsz_message *m;
    gsz_info info;
    int status = gsz_open(message, size, options, &m);
    if (status == GSZ_E_MEMORY) return;
    REQUIRE(status == GSZ_OK && gsz_message_info(m, 0, &info) == GSZ_OK);
    void *y = fuzz_zeros((size_t)info.nbytes);
    status = gsz_decode(m, 0, y, (size_t)info.nbytes);
    REQUIRE(status == GSZ_OK || status == GSZ_E_MEMORY);
    if (status == GSZ_OK) check(q, in->dtype, in->data, y, (size_t)info.elements, info.codec);
    free(y);
    gsz_close(m);
}

static gsz_quantiser take_quantiser(fuzz_input *in) {
    gsz_quantiser q;
    memset(&q, 0, sizeof q);
    q.scheme = (int)(1 + fuzz_take(in) % 3);
    q.target = (fuzz_take(in) + 1) / 257.0;
    unsigned choices = fuzz_take(in);
    q.unbiased = q.scheme == GSZ_SPARSE_DITHERING && (choices & 1);
    q.bits = 1 + choices % 6;
    q.family = (int)(choices / 6 % 3);
    q.block = 2 + choices / 18;
    q.power = (int)(fuzz_take(in) % 9);
    q.keep = (fuzz_take(in) + 1) / 256.0;
    if (q.scheme == GSZ_SPARSE_DITHERING && choices & 2) q.target = gsz_double_of_bits((uint64_t)(1023 - 40 + choices / 4) << 52);
    return q;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    gsz_options options, other;
    gsz_input t;
    uint8_t *message, *again;
    size_t message_size, again_size;
    fuzz_options(&in, &options);
    const gsz_quantiser q = take_quantiser(&in);
    gsz_input_init(&t);
    t.quantiser = &q;
    t.dtype = (int)(fuzz_take(&in) & 3);
    uint64_t columns = 1 + fuzz_take(&in), shape[2];
    const size_t n = GSZ_MIN(in.size / gsz_itemsize(t.dtype), (size_t)400);     /* a block that nothing suits takes long */
    t.ndim = n % columns == 0 ? 2 : 1;
    shape[0] = n % columns == 0 ? n / columns : n;
    shape[1] = columns;
    t.shape = shape;
    uint8_t *x = fuzz_copy(&in);
    t.data = x;
    int status = gsz_encode(&t, 1, 0, &options, &message, &message_size);
    REQUIRE(status == GSZ_OK || status == GSZ_E_MEMORY);
    if (status == GSZ_OK) {
        REQUIRE(message_size <= gsz_compress_bound(&t, 1, 0));
        decode(&q, &t, &options, message, message_size);
        other = options;
        other.cpu_mask = ~options.cpu_mask;
        other.max_memory = 0;
        REQUIRE(gsz_encode(&t, 1, 0, &other, &again, &again_size) == GSZ_OK);
        REQUIRE(again_size == message_size && memcmp(again, message, again_size) == 0);
        gsz_free(&other, again);
        gsz_free(&options, message);
    }
    free(x);
    return 0;
}
