/* Bit cursors, least significant bit first (format.md 1.3).
 *
 * gsz_bitreader is the checked one: reads past the end give zero bits and are remembered, and
 * gsz_bits_end tells whether everything was used, nothing more, and the filler bits were zero.
 * The fast loops of symbols_tmpl.h refill by gsz_load_le64 under their own guard. */
#ifndef GSZ_BITS_H
#define GSZ_BITS_H

#include "bytes.h"

typedef struct gsz_bitreader {
    const uint8_t *p, *end;
    uint64_t bits;      /* unread bits, lowest first; zero above count */
    unsigned count;     /* valid bits in `bits`, and bits beyond the end once it is passed */
    uint64_t overrun;   /* bits read that were never there */
} gsz_bitreader;

GSZ_INLINE void gsz_bits_init(gsz_bitreader *b, const uint8_t *p, const uint8_t *end) {
    b->p = p;
    b->end = end;
    b->bits = 0;
    b->count = 0;
    b->overrun = 0;
}

/* At least 32 bits to look at, zeros beyond the end. */
GSZ_INLINE void gsz_bits_refill(gsz_bitreader *b) {
    while (b->count <= 56 && b->p != b->end) {
        b->bits |= (uint64_t)*b->p++ << b->count;
        b->count += 8;
    }
}

GSZ_INLINE uint32_t gsz_bits_peek(const gsz_bitreader *b, unsigned n) { /* n <= 32, after a refill */
    return (uint32_t)(b->bits & (((uint64_t)1 << n) - 1));
}

GSZ_INLINE void gsz_bits_skip(gsz_bitreader *b, unsigned n) {
    if (n > b->count) {
        b->overrun += n - b->count;
        n = b->count;
    }
    b->bits = n < 64 ? b->bits >> n : 0;
    b->count -= n;
}

GSZ_INLINE uint32_t gsz_bits_get(gsz_bitreader *b, unsigned n) { /* n <= 32 */
    gsz_bits_refill(b);
    uint32_t v = gsz_bits_peek(b, n);
    gsz_bits_skip(b, n);
    return v;
}

/* Bits not yet read. */
GSZ_INLINE uint64_t gsz_bits_left(const gsz_bitreader *b) { return 8 * (uint64_t)(b->end - b->p) + b->count; }

/* 1 when reading stopped in the last byte, with zero bits left over, and never beyond it. */
GSZ_INLINE int gsz_bits_end(gsz_bitreader *b) {
    gsz_bits_refill(b);
    return b->overrun == 0 && b->p == b->end && b->count < 8 && b->bits == 0;
}

/* The bytes behind bits that fill a whole number of them with zeros; 0 where they do not, or were missing. */
GSZ_INLINE int gsz_bits_align(gsz_bitreader *b, gsz_reader *in) {
    if (b->overrun > 0 || gsz_bits_get(b, b->count % 8) != 0) return 0;
    in->p = b->p - b->count / 8;
    return 1;
}

/* Writer into memory that the caller has sized. */
typedef struct gsz_bitwriter { uint8_t *p; uint64_t bits; unsigned count; } gsz_bitwriter;

/* Whole bytes go to memory; 8 bytes are touched, fewer than 8 bits stay. */
GSZ_INLINE void gsz_bits_store(gsz_bitwriter *b) {
    gsz_store_le64(b->p, b->bits);
    b->p += b->count >> 3;
    b->bits >>= b->count & 56;      /* count is at most 63 */
    b->count &= 7;
}

GSZ_INLINE void gsz_bits_put(gsz_bitwriter *b, uint64_t v, unsigned n) { /* v < 2^n; at most 63 bits with what waits */
    b->bits |= v << b->count;
    b->count += n;
    gsz_bits_store(b);
}

/* Last partial byte, filled with zeros; returns the end. */
GSZ_INLINE uint8_t *gsz_bits_flush(gsz_bitwriter *b) {
    if (b->count) *b->p++ = (uint8_t)b->bits;
    b->bits = 0;
    b->count = 0;
    return b->p;
}

/* ---- fields of several widths, each at most `most`: four at once where they fit a word */
#define GSZ_FOUR_FIELDS 14u             /* widest of four: with 7 bits that wait they are 63 */

static inline void gsz_bits_put_fields(gsz_bitwriter *b, const uint32_t *v, const uint8_t *width, size_t n, unsigned most) {
    size_t i = 0;
    for (; most <= GSZ_FOUR_FIELDS && i + 4 <= n; i += 4) {
        uint64_t four = v[i];
        unsigned bits = width[i];
        four |= (uint64_t)v[i + 1] << bits, bits += width[i + 1];
        four |= (uint64_t)v[i + 2] << bits, bits += width[i + 2];
        four |= (uint64_t)v[i + 3] << bits, bits += width[i + 3];
        gsz_bits_put(b, four, bits);
    }
    for (; i < n; i++) gsz_bits_put(b, v[i], width[i]);
}

/* From fewer than 56 bits to 56 or more at once, with loose bits above `count`, which the next call writes over with the
 * same; 0 near the end. */
GSZ_INLINE int gsz_bits_refill_word(gsz_bitreader *b) {
    if (b->end - b->p < 8) return 0;
    b->bits |= gsz_load_le64(b->p) << b->count;         /* nocheck: the line above */
    b->p += (63 - b->count) >> 3;
    b->count |= 56;
    return 1;
}

GSZ_INLINE void gsz_bits_drop_loose(gsz_bitreader *b) {
    if (b->count < 64) b->bits &= ((uint64_t)1 << b->count) - 1;
}

GSZ_INLINE uint32_t gsz_bits_field(uint64_t *word, unsigned width) {
    uint32_t v = (uint32_t)(*word & (((uint64_t)1 << width) - 1));
    *word >>= width;
    return v;
}

static inline void gsz_bits_get_fields(gsz_bitreader *b, const uint8_t *width, size_t n, unsigned most, uint32_t *v) {
    size_t i = 0;
    for (; most <= GSZ_FOUR_FIELDS && i + 4 <= n; i += 4) {
        unsigned bits = (unsigned)width[i] + width[i + 1] + width[i + 2] + width[i + 3];
        if (b->count < bits && !gsz_bits_refill_word(b)) break;
        uint64_t word = b->bits;
        v[i] = gsz_bits_field(&word, width[i]);
        v[i + 1] = gsz_bits_field(&word, width[i + 1]);
        v[i + 2] = gsz_bits_field(&word, width[i + 2]);
        v[i + 3] = gsz_bits_field(&word, width[i + 3]);
        b->bits = word;
        b->count -= bits;
    }
    gsz_bits_drop_loose(b);
    for (; i < n; i++) v[i] = gsz_bits_get(b, width[i]);
}

/* ---- numbers: Exp-Golomb codes (format.md 1.5).  An order suits numbers of about 2^order; v < 2^28. */
#define GSZ_NUMBER_BITS 56u             /* at most */
#define GSZ_LONGEST_NUMBER 28u

GSZ_INLINE void gsz_number_put(gsz_bitwriter *b, unsigned order, uint32_t v) {
    uint32_t from = v + ((uint32_t)1 << order);
    unsigned bits = (unsigned)gsz_floor_log2(from), more = bits - order;
    gsz_bits_put(b, ((uint64_t)1 << more) - 1, more + 1);
    gsz_bits_put(b, from & (((uint32_t)1 << bits) - 1), bits);
}

GSZ_INLINE unsigned gsz_number_size(unsigned order, uint32_t v) {
    unsigned bits = (unsigned)gsz_floor_log2(v + ((uint32_t)1 << order));
    return 2 * bits - order + 1;
}

/* 1, or 0 where it is too long to be one. */
GSZ_INLINE int gsz_number_get(gsz_bitreader *b, unsigned order, uint32_t *v) {
    unsigned bits = order;
    while (gsz_bits_get(b, 1))
        if (++bits > GSZ_LONGEST_NUMBER) return 0;
    *v = (((uint32_t)1 << bits) | gsz_bits_get(b, bits)) - ((uint32_t)1 << order);
    return 1;
}

/* Signed numbers as unsigned ones. */
GSZ_INLINE uint32_t gsz_zigzag(int32_t v) { return ((uint32_t)v << 1) ^ (v < 0 ? UINT32_MAX : 0); }
GSZ_INLINE int32_t gsz_zigzag_back(uint32_t v) { return (int32_t)((v >> 1) ^ (0u - (v & 1))); }

#endif
