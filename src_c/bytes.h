/* Byte cursors: the only code that reads input bytes (with bits.h) and the only one that writes output.
 * Every reader function returns 1 and moves on, or returns 0 and leaves the cursor alone. */
#ifndef GSZ_BYTES_H
#define GSZ_BYTES_H

#include "alloc.h"

/* ---- little-endian loads and stores of any alignment; the caller has checked the bounds */
GSZ_INLINE uint32_t gsz_load_le32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

GSZ_INLINE uint64_t gsz_load_le64(const uint8_t *p) {
    return (uint64_t)gsz_load_le32(p) | (uint64_t)gsz_load_le32(p + 4) << 32;
}

GSZ_INLINE void gsz_store_le32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)v; p[1] = (uint8_t)(v >> 8); p[2] = (uint8_t)(v >> 16); p[3] = (uint8_t)(v >> 24);
}

GSZ_INLINE void gsz_store_le64(uint8_t *p, uint64_t v) {
    gsz_store_le32(p, (uint32_t)v);
    gsz_store_le32(p + 4, (uint32_t)(v >> 32));
}

/* Array of n elements between native and little-endian order: the same function both ways. */
GSZ_INLINE int gsz_is_little_endian(void) {
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first;
}

GSZ_INLINE void gsz_copy_le(void *dst, const void *src, size_t n, size_t itemsize) {
    if (n == 0) return;
    if (itemsize == 1 || gsz_is_little_endian()) {
        memcpy(dst, src, n * itemsize);
        return;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t b = 0; b < itemsize; b++)
            ((uint8_t *)dst)[i * itemsize + b] = ((const uint8_t *)src)[i * itemsize + itemsize - 1 - b];
}

/* ---- reader */
typedef struct { const uint8_t *p, *end; } gsz_reader;

GSZ_INLINE size_t gsz_left(const gsz_reader *r) { return (size_t)(r->end - r->p); }

GSZ_INLINE int gsz_get_bytes(gsz_reader *r, uint64_t n, const uint8_t **p) {
    if (n > gsz_left(r)) return 0;
    *p = r->p;
    r->p += n;
    return 1;
}

/* The next n bytes as a reader of their own. */
GSZ_INLINE int gsz_get_reader(gsz_reader *r, uint64_t n, gsz_reader *sub) {
    const uint8_t *p;
    if (!gsz_get_bytes(r, n, &p)) return 0;
    sub->p = p;
    sub->end = p + n;
    return 1;
}

GSZ_INLINE int gsz_get_u8(gsz_reader *r, unsigned *v) {
    if (r->p == r->end) return 0;
    *v = *r->p++;
    return 1;
}

GSZ_INLINE int gsz_get_le32(gsz_reader *r, uint32_t *v) {
    const uint8_t *p;
    if (!gsz_get_bytes(r, 4, &p)) return 0;
    *v = gsz_load_le32(p);
    return 1;
}

GSZ_INLINE int gsz_get_le64(gsz_reader *r, uint64_t *v) {
    const uint8_t *p;
    if (!gsz_get_bytes(r, 8, &p)) return 0;
    *v = gsz_load_le64(p);
    return 1;
}

/* LEB128, at most 64 bits, shortest form only (format.md 1.2).  1 read, 0 bytes missing, -1 not canonical. */
GSZ_INLINE int gsz_get_varint(gsz_reader *r, uint64_t *v) {
    uint64_t value = 0;
    for (unsigned i = 0; i < 10; i++) {
        if ((size_t)(r->end - r->p) <= i) return 0;
        unsigned byte = r->p[i];
        if (i == 9 && byte > 1) return -1;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80) continue;
        if (byte == 0 && i > 0) return -1;
        r->p += i + 1;
        *v = value;
        return 1;
    }
    return -1;
}

/* ---- writer: grows through the heap */
typedef struct {
    uint8_t *data;
    size_t size, capacity;
    gsz_heap *heap;
    int kept;                           /* a caller gets the data */
} gsz_writer;

GSZ_INLINE void gsz_writer_init(gsz_writer *w, gsz_heap *heap) {
    memset(w, 0, sizeof *w);
    w->heap = heap;
}

GSZ_INLINE void gsz_writer_give_back(gsz_writer *w) {
    if (w->kept) gsz_release_kept(w->heap, w->data, w->capacity);
    else gsz_release(w->heap, w->data, w->capacity);
}

GSZ_INLINE void gsz_writer_release(gsz_writer *w) {
    gsz_writer_give_back(w);
    w->data = NULL;
    w->size = w->capacity = 0;
}

/* Room for n more bytes. */
static inline int gsz_writer_reserve(gsz_writer *w, size_t n) {
    if (w->capacity - w->size >= n) return GSZ_OK;
    GSZ_CHECK(n <= SIZE_MAX / 4 && w->size <= SIZE_MAX / 4, GSZ_E_TOO_LARGE);
    size_t capacity = GSZ_MAX(w->size + n, w->capacity + w->capacity / 2);
    uint8_t *data = (uint8_t *)(w->kept ? gsz_alloc_kept(w->heap, capacity) : gsz_alloc(w->heap, capacity));
    GSZ_CHECK(data != NULL, GSZ_E_MEMORY);
    if (w->size) memcpy(data, w->data, w->size);
    gsz_writer_give_back(w);
    w->data = data;
    w->capacity = capacity;
    return GSZ_OK;
}

static inline int gsz_put_bytes(gsz_writer *w, const void *p, size_t n) {
    GSZ_TRY(gsz_writer_reserve(w, n));
    if (n) memcpy(w->data + w->size, p, n);
    w->size += n;
    return GSZ_OK;
}

static inline int gsz_put_u8(gsz_writer *w, unsigned v) {
    uint8_t b = (uint8_t)v;
    return gsz_put_bytes(w, &b, 1);
}

static inline int gsz_put_le32(gsz_writer *w, uint32_t v) {
    uint8_t b[4];
    gsz_store_le32(b, v);
    return gsz_put_bytes(w, b, 4);
}

static inline int gsz_put_le64(gsz_writer *w, uint64_t v) {
    uint8_t b[8];
    gsz_store_le64(b, v);
    return gsz_put_bytes(w, b, 8);
}

static inline int gsz_put_varint(gsz_writer *w, uint64_t v) {
    uint8_t b[10];
    size_t n = 0;
    while (v >= 0x80) b[n++] = (uint8_t)(v | 0x80), v >>= 7;
    b[n++] = (uint8_t)v;
    return gsz_put_bytes(w, b, n);
}

GSZ_INLINE size_t gsz_varint_size(uint64_t v) {
    size_t n = 1;
    while (v >>= 7) n++;
    return n;
}

#endif
