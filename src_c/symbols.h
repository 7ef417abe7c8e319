/* Symbol streams: arrays of integers, often with many zeros, as Huffman codes (format.md 4).
 *
 * The array becomes tokens: a value, an escape, or a run of zeros.  Two codes are used: A at the start and after a
 * value, B after a run, where another run is rare.  So a run of zeros costs what its length tells, sparse arrays
 * go far below one bit a value, and dense ones need no second mechanism.  Of wide values the lowest bits are noise:
 * they are stored as they are, and tokens name the rest.  The array is cut into one or four streams that are decoded
 * side by side. */
#ifndef GSZ_SYMBOLS_H
#define GSZ_SYMBOLS_H

#include "huffman.h"
#include "work.h"

/* ---- tokens (format.md 4.2).  A value v != 0 with `low` raw bits has the magnitude class
 * M = ((|v| - 1) >> low) + 1, and the raw bits (|v| - 1) mod 2^low. */
#define GSZ_TOKEN_ESCAPE 0u
#define GSZ_TOKEN_FAR 1u            /* a value whose class stands in a list of its own */
#define GSZ_TOKEN_RUN 2u
#define GSZ_RUN_DIRECT 15u          /* runs of 1..15 have a token each, */
#define GSZ_RUN_LONGEST 32767u      /* then two tokens an octave, up to 2^15 - 1 */
#define GSZ_RUN_TOKENS 37u          /* 15 + 2 * 11 */
#define GSZ_TOKEN_VALUE (GSZ_TOKEN_RUN + GSZ_RUN_TOKENS)
#define GSZ_CLASSES 1023u           /* M = 1, 2, ...: token GSZ_TOKEN_VALUE + 2 (M - 1) + (v > 0) */
#define GSZ_TOKENS (GSZ_TOKEN_VALUE + 2 * GSZ_CLASSES)
#define GSZ_MAX_LOW 21u             /* magnitudes of all classes stay below 2^31: */
GSZ_STATIC_ASSERT(classes_fit, ((uint64_t)GSZ_CLASSES << GSZ_MAX_LOW) < (uint64_t)1 << 31);
GSZ_STATIC_ASSERT(alphabet_fits, GSZ_TOKENS <= GSZ_MAX_ALPHABET);

/* |v| - 1 of a value that is neither 0 nor an escape: its class above its raw bits. */
GSZ_INLINE uint32_t gsz_magnitude(int32_t v) { return (v < 0 ? 0u - (uint32_t)v : (uint32_t)v) - 1; }

#define GSZ_STREAMS 4

/* ---- encoding: one word a non-zero symbol, naming its token and the run of zeros before it.  Most are simple:
 *   bits 0..6   token, from GSZ_TOKEN_VALUE         bits 7..9   length of the run
 * Others have bit 31 set and the token in bits 0..15; the length of their run stands in `gaps`. */
#define GSZ_SIMPLE_GAP_SHIFT 7
#define GSZ_SIMPLE_TOKENS (1u << GSZ_SIMPLE_GAP_SHIFT)
#define GSZ_SIMPLE_GAPS 8u
#define GSZ_SIMPLE (GSZ_SIMPLE_TOKENS * GSZ_SIMPLE_GAPS)
#define GSZ_OTHER 0x80000000u

/* Up to 32 bits in the order they are written, and above them how many. */
typedef uint64_t gsz_ready;
#define GSZ_READY(bits, length) ((gsz_ready)(bits) | (gsz_ready)(length) << 32)
#define GSZ_READY_BITS(r) ((r) & 0xffffffff)
#define GSZ_READY_LENGTH(r) ((unsigned)((r) >> 32))

typedef struct {
    const uint32_t *tokens, *tokens_end;
    const uint32_t *gaps;       /* runs before the tokens that are not simple */
    uint32_t zeros;             /* after the last token */
    gsz_bitwriter out;
} gsz_source;

typedef struct gsz_symbol_encoder {
    unsigned streams;
    gsz_source source[GSZ_STREAMS];
    gsz_ready simple[GSZ_SIMPLE];               /* a run and a value */
    gsz_ready token[2][GSZ_MAX_ALPHABET];       /* codes A and B */
} gsz_symbol_encoder;
/* Two simple tokens go out in one store; a run below 8 has no extra bits. */
GSZ_STATIC_ASSERT(no_escape_is_simple, (uint32_t)INT32_MAX >> GSZ_MAX_LOW >= GSZ_SIMPLE_TOKENS / 2);
GSZ_STATIC_ASSERT(simple_runs, GSZ_SIMPLE_GAPS <= GSZ_RUN_DIRECT + 1);
GSZ_STATIC_ASSERT(pair_fits, 7 + 2 * (GSZ_CODE_BITS + GSZ_CODE_BITS) <= 64);

/* A token that is not simple, and the run before it. */
void gsz_put_other(gsz_bitwriter *b, const gsz_symbol_encoder *e, uint32_t token, uint32_t gap);

/* A run of any length: the first token by A (after a value) or B, further ones by B. */
void gsz_put_run(gsz_bitwriter *b, const gsz_symbol_encoder *e, uint32_t length);

/* ---- decoding tables: an entry is 64 bits, looked up by the next `bits` bits of the stream.
 *  0..15    16..31   32..47   48..55      56..60       62              63
 *  value 0  value 1  advance  code bits   extra bits   has extra bits  next table
 * It stores value 0 at the current position and value 1 behind it, and moves on by `advance` plus the number in the
 * extra bits of a run.  Values are classes with their sign.  An entry of `pairs` covers up to two tokens. */
#define GSZ_ENTRY_ADVANCE 32
#define GSZ_ENTRY_BITS 48
#define GSZ_ENTRY_EXTRA 56
#define GSZ_ENTRY_LONG 62
#define GSZ_ENTRY_NEXT 63

typedef struct {
    const uint8_t *start, *end; /* of the stream */
    size_t bit;                 /* next bit, counted from start */
    uint32_t table;             /* index of the first entry of the current table */
    size_t position, limit;     /* in the output; limit is the end of this stream's part */
} gsz_lane;

typedef struct gsz_symbol_decoder {
    const uint64_t *pairs, *single; /* tables A then B, 2^bits entries each */
    unsigned bits;
    unsigned streams;
    int16_t *out;
    gsz_lane lane[GSZ_STREAMS];
} gsz_symbol_decoder;

/* Elements of room behind each stream's part of the output, because lookups write ahead: see symbols_tmpl.h. */
#define GSZ_LANE_PADDING 160

/* Decoded symbols: exactly one of the two arrays is set; it lives in the workspace until its next use. */
typedef struct {
    const int16_t *narrow;      /* escapes are GSZ_ESCAPE16 */
    int32_t *wide;              /* escapes are GSZ_ESCAPE; the caller may change them in place */
    int may_escape;
} gsz_symbols;

/* Twins.  n is 1 .. GSZ_MAX_CHUNK; the writer gets a self-contained byte string.  Encoding uses the array of symbols
 * as its own scratch memory: they are lost. */
int gsz_symbols_encode(gsz_work *work, int32_t *symbols, size_t n, gsz_writer *out);
int gsz_symbols_decode(gsz_work *work, gsz_reader in, size_t n, gsz_symbols *out);

#endif
