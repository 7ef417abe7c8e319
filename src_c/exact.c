#include "exact.h"

/* ---- transforms of an element before it is cut into bytes (format.md 6.1); v has `width` bits */
enum { STORED = 0, PLAIN = 1, ROTATED = 2, ZIGZAG = 3, DELTA = 4, TRANSFORMS = 5 };

GSZ_INLINE uint64_t mask_of(unsigned width) { return width == 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1; }

/* Sign to the lowest bit, so that small numbers of both signs have zero bytes on top. */
GSZ_INLINE uint64_t zigzag(uint64_t v, unsigned width) {
    uint64_t sign = v >> (width - 1) & 1;
    return ((v << 1) ^ (0 - sign)) & mask_of(width);
}

GSZ_INLINE uint64_t unzigzag(uint64_t v, unsigned width) { return ((v >> 1) ^ (0 - (v & 1))) & mask_of(width); }

GSZ_INLINE uint64_t load_element(const void *x, size_t i, size_t itemsize) {
    switch (itemsize) {
    case 1: return ((const uint8_t *)x)[i];
    case 2: return ((const uint16_t *)x)[i];
    case 4: return ((const uint32_t *)x)[i];
    default: return ((const uint64_t *)x)[i];
    }
}

GSZ_INLINE void store_element(void *x, size_t i, size_t itemsize, uint64_t v) {
    switch (itemsize) {
    case 1: ((uint8_t *)x)[i] = (uint8_t)v; break;
    case 2: ((uint16_t *)x)[i] = (uint16_t)v; break;
    case 4: ((uint32_t *)x)[i] = (uint32_t)v; break;
    default: ((uint64_t *)x)[i] = v;
    }
}

GSZ_INLINE uint64_t transformed(int transform, uint64_t v, uint64_t before, unsigned width) {
    switch (transform) {
    case ROTATED: return ((v << 1) | v >> (width - 1)) & mask_of(width);    /* a float's exponent fills a byte */
    case ZIGZAG: return zigzag(v, width);
    case DELTA: return zigzag((v - before) & mask_of(width), width);
    default: return v;
    }
}

GSZ_INLINE uint64_t restored(int transform, uint64_t t, uint64_t before, unsigned width) {
    switch (transform) {
    case ROTATED: return (t >> 1 | t << (width - 1)) & mask_of(width);
    case ZIGZAG: return unzigzag(t, width);
    case DELTA: return (before + unzigzag(t, width)) & mask_of(width);
    default: return t;
    }
}

/* Integers: the transform that leaves the fewest significant bits in up to 1,024 spread elements. */
static int choose_transform(const void *x, size_t n, size_t itemsize, gsz_kind kind) {
    const unsigned width = (unsigned)(8 * itemsize);
    uint64_t bits[TRANSFORMS] = {0};
    int best = PLAIN;
    if (kind == GSZ_KIND_FLOAT) return ROTATED;
    for (size_t i = 1; i < n; i += 1 + n / 1024) {
        uint64_t v = load_element(x, i, itemsize), before = load_element(x, i - 1, itemsize);
        for (int t = PLAIN; t < TRANSFORMS; t++)
            for (uint64_t w = t == ROTATED ? 0 : transformed(t, v, before, width); w; w >>= 1) bits[t]++;
    }
    if (bits[ZIGZAG] < bits[best]) best = ZIGZAG;
    if (bits[DELTA] < bits[best]) best = DELTA;
    return best;
}

/* ---- planes */

enum { PLANE_STORED = 0, PLANE_CODED = 1 };

/* The commonest byte; *flat tells that coding cannot pay: the sum of squared counts is that of noise. */
static unsigned commonest_byte(const uint8_t *plane, size_t n, int *flat) {
    uint32_t counts[4][256] = {{0}};
    uint64_t squares = 0;
    unsigned best = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t j = 0; j < 4; j++) counts[j][plane[i + j]]++;
    for (; i < n; i++) counts[0][plane[i]]++;
    for (unsigned b = 0; b < 256; b++) {
        counts[0][b] += counts[1][b] + counts[2][b] + counts[3][b];
        squares += (uint64_t)counts[0][b] * counts[0][b];
        if (counts[0][b] > counts[0][best]) best = b;
    }
    *flat = squares * 256 < (uint64_t)n * n + (uint64_t)n * n / 64 + 256 * (uint64_t)n;
    return best;
}

static int encode_plane(gsz_work *work, const uint8_t *plane, size_t n, gsz_writer *out) {
    int flat;
    unsigned base = commonest_byte(plane, n, &flat);
    size_t start = out->size;
    if (!flat) {
        gsz_writer coded;
        gsz_writer_init(&coded, work->heap);
        GSZ_TRY(gsz_scratch_reserve(work->heap, &work->signed_bytes, n * sizeof(int32_t)));
        int32_t *symbols = (int32_t *)work->signed_bytes.data;
        for (size_t i = 0; i < n; i++) symbols[i] = (int8_t)(uint8_t)(plane[i] - base);
        int status = gsz_symbols_encode(work, symbols, n, &coded);
        if (status == GSZ_OK && coded.size < n) {
            if ((status = gsz_put_u8(out, PLANE_CODED)) == GSZ_OK && (status = gsz_put_u8(out, base)) == GSZ_OK
                && (status = gsz_put_varint(out, coded.size)) == GSZ_OK)
                status = gsz_put_bytes(out, coded.data, coded.size);
        }
        gsz_writer_release(&coded);
        if (status != GSZ_OK || out->size != start) return status;
    }
    GSZ_TRY(gsz_put_u8(out, PLANE_STORED));
    return gsz_put_bytes(out, plane, n);
}

int gsz_exact_encode(gsz_work *work, const void *x, size_t n, size_t itemsize, gsz_kind kind, gsz_writer *out) {
    const unsigned width = (unsigned)(8 * itemsize);
    int transform = choose_transform(x, n, itemsize, kind);
    size_t start = out->size;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->planes, n));
    uint8_t *plane = (uint8_t *)work->planes.data;
    GSZ_TRY(gsz_put_u8(out, (unsigned)transform));
    for (unsigned p = 0; p < width; p += 8) {
        uint64_t before = 0;
        for (size_t i = 0; i < n; i++) {
            uint64_t v = load_element(x, i, itemsize);
            plane[i] = (uint8_t)(transformed(transform, v, before, width) >> p);
            before = v;
        }
        GSZ_TRY(encode_plane(work, plane, n, out));
    }
    if (out->size - start <= n * itemsize) return GSZ_OK;
    out->size = start;
    GSZ_TRY(gsz_put_u8(out, STORED));
    GSZ_TRY(gsz_writer_reserve(out, n * itemsize));
    gsz_copy_le(out->data + out->size, x, n, itemsize);
    out->size += n * itemsize;
    return GSZ_OK;
}

static int decode_plane(gsz_work *work, gsz_reader *in, size_t n, const uint8_t **plane) {
    unsigned kind, base;
    uint64_t size;
    gsz_reader part;
    gsz_symbols symbols;
    GSZ_CHECK(gsz_get_u8(in, &kind), GSZ_E_SECTION);
    GSZ_CHECK(kind <= PLANE_CODED, GSZ_E_RESERVED);
    if (kind == PLANE_STORED) {
        GSZ_CHECK(gsz_get_bytes(in, n, plane), GSZ_E_SECTION);
        return GSZ_OK;
    }
    GSZ_CHECK(gsz_get_u8(in, &base), GSZ_E_SECTION);
    GSZ_CHECK(gsz_get_varint(in, &size) == 1 && gsz_get_reader(in, size, &part), GSZ_E_SECTION);
    GSZ_TRY(gsz_symbols_decode(work, part, n, &symbols));
    GSZ_CHECK(!symbols.may_escape, GSZ_E_SECTION);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->planes, n));
    uint8_t *bytes = (uint8_t *)work->planes.data;
    for (size_t i = 0; i < n; i++) {
        int32_t s = symbols.wide != NULL ? symbols.wide[i] : symbols.narrow[i];
        GSZ_CHECK(s >= -128 && s <= 127, GSZ_E_SECTION);
        bytes[i] = (uint8_t)(base + (unsigned)s);
    }
    *plane = bytes;
    return GSZ_OK;
}

int gsz_exact_decode(gsz_work *work, gsz_reader in, size_t n, size_t itemsize, void *x) {
    const unsigned width = (unsigned)(8 * itemsize);
    const uint8_t *plane;
    unsigned transform;
    GSZ_CHECK(gsz_get_u8(&in, &transform), GSZ_E_SECTION);
    GSZ_CHECK(transform < TRANSFORMS, GSZ_E_RESERVED);
    if (transform == STORED) {
        GSZ_CHECK(gsz_get_bytes(&in, (uint64_t)n * itemsize, &plane) && gsz_left(&in) == 0, GSZ_E_SECTION);
        gsz_copy_le(x, plane, n, itemsize);
        return GSZ_OK;
    }
    for (unsigned p = 0; p < width; p += 8) {
        GSZ_TRY(decode_plane(work, &in, n, &plane));
        for (size_t i = 0; i < n; i++)
            store_element(x, i, itemsize, (p ? load_element(x, i, itemsize) : 0) | (uint64_t)plane[i] << p);
    }
    GSZ_CHECK(gsz_left(&in) == 0, GSZ_E_SECTION);
    uint64_t before = 0;
    for (size_t i = 0; transform != PLAIN && i < n; i++) {
        before = restored((int)transform, load_element(x, i, itemsize), before, width);
        store_element(x, i, itemsize, before);
    }
    return GSZ_OK;
}
