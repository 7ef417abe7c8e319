/* Symbol streams: arrays of integers, many of them zero, as Huffman codes (format.md 4).
 *
 * The array becomes tokens: a non-zero value, an escape, or a run of zeros.  Two codes are used: A at the
 * start and after a value, B after a run, where another run is rare.  So a run of zeros costs what its
 * length tells, sparse arrays go far below one bit a value, and dense ones need no second mechanism.
 * The array is cut into one or four streams that are decoded side by side. */
#ifndef GSZ_SYMBOLS_H
#define GSZ_SYMBOLS_H

#include "huffman.h"
#include "work.h"

/* ---- tokens (format.md 4.2): escape, runs, then values by rising magnitude, + before - */
#define GSZ_TOKEN_ESCAPE 0u
#define GSZ_RUN_DIRECT 15u          /* runs of 1..15 have a token each */
#define GSZ_RUN_LONGEST 32767u      /* then two tokens an octave, up to 2^15 - 1 */
#define GSZ_RUN_TOKENS 37u          /* 15 + 2 * 11 */
#define GSZ_TOKEN_RUN 1u
#define GSZ_TOKEN_VALUE (GSZ_TOKEN_RUN + GSZ_RUN_TOKENS)
#define GSZ_DIRECT_MIN 4u           /* magnitudes below 2^direct have a token each, */
#define GSZ_DIRECT_MAX 10u
#define GSZ_VALUE_OCTAVE 8u         /* then eight an octave and sign, up to 2^31 - 1 */
#define GSZ_VALUE_TOKENS(direct) (2u * ((1u << (direct)) - 1u + (31u - (direct)) * GSZ_VALUE_OCTAVE))
#define GSZ_TOKENS(direct) (GSZ_TOKEN_VALUE + GSZ_VALUE_TOKENS(direct))
GSZ_STATIC_ASSERT(alphabet_fits, GSZ_TOKENS(GSZ_DIRECT_MAX) <= GSZ_MAX_ALPHABET);

#define GSZ_STREAMS 4

/* ---- decoding tables: an entry is 64 bits, looked up by the next `bits` bits of the stream.
 *            0..15    16..31   32..47   48..55      56..60       61          62
 * narrow     value 0  value 1  advance  code bits   extra bits   next table
 * wide       value or base     advance  code bits   extra bits   next table  extra bits are the value's
 * Both store value 0 at the current position, narrow also value 1 behind it, and move on by `advance` plus
 * the number in the extra bits (unless they belong to the value).  A narrow entry covers up to two tokens. */
#define GSZ_ENTRY_ADVANCE 32
#define GSZ_ENTRY_BITS 48
#define GSZ_ENTRY_EXTRA 56
#define GSZ_ENTRY_NEXT 61
#define GSZ_ENTRY_OF_VALUE 62

/* Bits a lookup may consume: narrow, codes within one table index and a run's 13 extra bits;
 * wide, one code and a value's 27 extra bits.  A refill leaves at least 56. */
#define GSZ_NARROW_LOOKUPS 2
#define GSZ_WIDE_LOOKUPS 1
GSZ_STATIC_ASSERT(narrow_refill, GSZ_NARROW_LOOKUPS * (GSZ_CODE_BITS + 13) <= 56);
GSZ_STATIC_ASSERT(wide_refill, GSZ_WIDE_LOOKUPS * (GSZ_CODE_BITS + 27) <= 56);

typedef struct {
    const uint8_t *p, *end;     /* next byte to load, end of the stream */
    uint64_t bits;              /* the lowest `count` bits are unread */
    unsigned count;
    uint32_t table;             /* 0 = A, 1 = B */
    size_t position, limit;     /* in the output; limit is the end of this stream's part */
} gsz_lane;

typedef struct gsz_symbol_decoder {
    const uint64_t *narrow, *wide;  /* tables A then B, 2^bits entries each */
    unsigned bits;
    unsigned streams;
    int16_t *out16;             /* narrow output, or NULL */
    int32_t *out32;             /* wide output, or NULL */
    gsz_lane lane[GSZ_STREAMS];
} gsz_symbol_decoder;

/* The output has this many elements of room behind each stream's part, because lookups write ahead. */
#define GSZ_LANE_PADDING 8

/* Decoded symbols: exactly one of the two arrays is set; it lives in the workspace until its next use. */
typedef struct {
    const int16_t *narrow;      /* escapes are GSZ_ESCAPE16 */
    const int32_t *wide;        /* escapes are GSZ_ESCAPE */
    int may_escape;
} gsz_symbols;

/* Twins.  n is 1 .. GSZ_CHUNK; the writer gets a self-contained byte string. */
int gsz_symbols_encode(gsz_work *work, const int32_t *symbols, size_t n, gsz_writer *out);
int gsz_symbols_decode(gsz_work *work, gsz_reader in, size_t n, gsz_symbols *out);

#endif
