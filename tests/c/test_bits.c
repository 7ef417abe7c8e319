/* Byte and bit cursors: every bound, and streams drawn by hand. */
#include "bits.h"
#include "check.h"

/* ---- bytes */

static void byte_reader_stops_at_the_end(void) {
    for (size_t size = 0; size < 12; size++) {
        uint8_t *data = check_copy("abcdefghijkl", size);
        const uint8_t *p;
        gsz_reader r = {data, data + size}, sub;
        uint32_t v32;
        uint64_t v64;
        unsigned v8;
        CHECK(!gsz_get_bytes(&r, size + 1, &p) && !gsz_get_bytes(&r, UINT64_MAX, &p));
        CHECK(!gsz_get_reader(&r, size + 1, &sub));
        CHECK_EQ(gsz_get_le32(&r, &v32), size >= 4);
        CHECK_EQ(gsz_left(&r), size >= 4 ? size - 4 : size);
        CHECK_EQ(gsz_get_le64(&r, &v64), size >= 12);
        while (gsz_left(&r)) CHECK(gsz_get_u8(&r, &v8));
        CHECK(!gsz_get_u8(&r, &v8) && r.p == r.end);
        CHECK(gsz_get_bytes(&r, 0, &p));
        free(data);
    }
}

static void loads_are_little_endian(void) {
    const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 0x88};
    uint8_t back[8];
    CHECK(gsz_load_le32(data) == 0x04030201u && gsz_load_le64(data) == 0x8807060504030201u);
    gsz_store_le64(back, 0x8807060504030201u);
    CHECK(memcmp(back, data, 8) == 0);
}

static int read_varint(const uint8_t *bytes, size_t size, uint64_t *v, size_t *left) {
    uint8_t *data = check_copy(bytes, size);
    gsz_reader r = {data, data + size};
    int got = gsz_get_varint(&r, v);
    *left = gsz_left(&r);
    CHECK(got == 1 || *left == size);       /* a failure leaves the cursor alone */
    free(data);
    return got;
}

static void varints(void) {
    gsz_options options;
    gsz_heap heap;
    uint64_t v, seed = 1;
    size_t left;
    gsz_options_init(&options);
    gsz_heap_init(&heap, &options);
    for (int i = 0; i < 2000; i++) {
        gsz_writer w;
        uint64_t value = i < 300 ? (uint64_t)i : check_random(&seed) >> (i % 64);
        if (i == 1999) value = UINT64_MAX;
        gsz_writer_init(&w, &heap);
        CHECK_EQ(gsz_put_varint(&w, value), GSZ_OK);
        CHECK_EQ(w.size, gsz_varint_size(value));
        CHECK(read_varint(w.data, w.size, &v, &left) == 1 && v == value && left == 0);
        for (size_t cut = 0; cut < w.size; cut++) CHECK_EQ(read_varint(w.data, cut, &v, &left), 0);
        gsz_writer_release(&w);
    }
    CHECK_EQ(heap.used, 0);
    gsz_heap_destroy(&heap);
    CHECK_EQ(read_varint((const uint8_t *)"\x80\x00", 2, &v, &left), -1);       /* 0 in two bytes */
    CHECK_EQ(read_varint((const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, &v, &left), -1);  /* 65 bits */
    CHECK_EQ(read_varint((const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10, &v, &left), -1);
}

/* ---- bits */

static void bits_written_are_read(void) {
    uint8_t buffer[4096 + 16];
    for (uint64_t seed = 1; seed < 200; seed++) {
        uint64_t state = seed;
        gsz_bitwriter w = {buffer, 0, 0};
        for (int i = 0; i < 500; i++) {
            unsigned n = (unsigned)(check_random(&state) % 33);
            gsz_bits_put(&w, check_random(&state) & (((uint64_t)1 << n) - 1), n);
        }
        size_t size = (size_t)(gsz_bits_flush(&w) - buffer);
        uint8_t *data = check_copy(buffer, size);
        gsz_bitreader r;
        gsz_bits_init(&r, data, data + size);
        state = seed;
        for (int i = 0; i < 500; i++) {
            unsigned n = (unsigned)(check_random(&state) % 33);
            CHECK_EQ(gsz_bits_get(&r, n), check_random(&state) & (((uint64_t)1 << n) - 1));
        }
        CHECK(gsz_bits_end(&r));
        free(data);
    }
}

static void lowest_bit_first(void) {
    /* 1 | 01 | 101 | 11   read from the lowest bit: 11 101 01 1 = 0xeb */
    const uint8_t byte[] = {0xeb};
    gsz_bitreader r;
    gsz_bits_init(&r, byte, byte + 1);
    CHECK_EQ(gsz_bits_get(&r, 1), 1);
    CHECK_EQ(gsz_bits_get(&r, 2), 1);
    CHECK_EQ(gsz_bits_get(&r, 3), 5);
    CHECK(!gsz_bits_end(&r));                   /* bits are left over */
    CHECK_EQ(gsz_bits_get(&r, 2), 3);
    CHECK(gsz_bits_end(&r));
}

static void ends_are_exact(void) {
    const uint8_t zero[] = {0x05, 0x00}, filler[] = {0x15};
    gsz_bitreader r;
    gsz_bits_init(&r, zero, zero + 1);
    CHECK(gsz_bits_get(&r, 3) == 5 && gsz_bits_end(&r));        /* five zero filler bits */
    gsz_bits_init(&r, zero, zero + 2);
    CHECK(gsz_bits_get(&r, 3) == 5 && !gsz_bits_end(&r));       /* a whole byte too many */
    gsz_bits_init(&r, filler, filler + 1);
    CHECK(gsz_bits_get(&r, 3) == 5 && !gsz_bits_end(&r));       /* filler that is not zero */
    gsz_bits_init(&r, zero, zero + 1);
    CHECK(gsz_bits_get(&r, 9) == 5 && !gsz_bits_end(&r));       /* one bit that was never there */
    CHECK_EQ(r.overrun, 1);
    gsz_bits_init(&r, zero, zero);
    CHECK(gsz_bits_end(&r));
    CHECK(gsz_bits_get(&r, 32) == 0 && r.overrun == 32);
}

int main(void) {
    byte_reader_stops_at_the_end();
    loads_are_little_endian();
    varints();
    bits_written_are_read();
    lowest_bit_first();
    ends_are_exact();
    return check_report("bits");
}
