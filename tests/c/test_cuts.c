/* Guarantees 5 and 6: every prefix, every single flipped bit, every byte too many is an error; the exact size
 * of each allocation lets the sanitizers see one byte read too many. */
#include "samples.h"

static int status_of(const uint8_t *data, size_t size, unsigned mask) {
    gsz_options options;
    void *out;
    size_t nbytes;
    gsz_options_init(&options);
    options.cpu_mask = mask;
    options.max_output = (uint64_t)1 << 22;
    int status = sample_decode(data, size, &options, &out, &nbytes);
    free(out);
    return status;
}

static void cut(const uint8_t *message, size_t size) {
    for (size_t n = 0; n < size; n++) {
        uint8_t *data = check_copy(message, n);
        CHECK_EQ(status_of(data, n, n & 1 ? GSZ_CPU_ALL : 0), GSZ_E_TRUNCATED);
        free(data);
    }
    uint8_t *data = (uint8_t *)malloc(size + 1);
    memcpy(data, message, size);
    data[size] = 0;
    CHECK_EQ(status_of(data, size + 1, 0), GSZ_E_TRAILING);
    free(data);
}

static void flip(const uint8_t *message, size_t size, size_t step) {
    uint8_t *data = check_copy(message, size);
    for (size_t bit = 0; bit < 8 * size; bit += step) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(status_of(data, size, bit & 1 ? GSZ_CPU_ALL : 0) != GSZ_OK);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(data);
}

static void both(uint8_t *message, size_t size, size_t step) {
    CHECK_EQ(status_of(message, size, 0), GSZ_OK);
    cut(message, size);
    flip(message, size, step);
    free(message);
}

static void wrong_headers(void) {
    static const uint8_t newer[] = {'G', 'S', 'Z', 99, 0, 0}, flags[] = {'G', 'S', 'Z', 0, 16, 0}, other[] = {'G', 'S', 'X'};
    CHECK_EQ(status_of(newer, sizeof newer, 0), GSZ_E_VERSION);
    CHECK_EQ(status_of(flags, sizeof flags, 0), GSZ_E_RESERVED);
    CHECK_EQ(status_of(other, sizeof other, 0), GSZ_E_MAGIC);
    CHECK_EQ(status_of((const uint8_t *)"G", 1, 0), GSZ_E_TRUNCATED);
    CHECK_EQ(status_of((const uint8_t *)"{}", 2, 0), GSZ_E_MAGIC);
    CHECK_EQ(status_of(NULL, 0, 0), GSZ_E_TRUNCATED);
}

int main(void) {
    gsz_options options;
    gsz_options_init(&options);
    size_t size;
    for (size_t i = 0; i < SAMPLE_SET; i++) {
        void *data = sample_make(&sample_set[i], i);
        uint8_t *message = sample_message(&sample_set[i], data, &options, &size);
        both(message, size, 1);
        free(data);
    }
    uint8_t *message = sample_tensors(sample_shared, SAMPLE_SHARED, 1, &options, &size);
    both(message, size, 1);
    message = sample_tensors(sample_small, SAMPLE_SMALL, 1, &options, &size);
    both(message, size, 1);
    message = sample_tensors(sample_cut, SAMPLE_CUT, 1, &options, &size);      /* sparsely: a decode takes long */
    both(message, size, 47);
    wrong_headers();
    return check_report("cuts");
}
