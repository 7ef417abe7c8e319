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

/* ---- tokens (format.md 4.2): escape, runs, then values by rising magnitude, - before + */
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

/* ---- encoding: one word a non-zero symbol, naming its token and the run of zeros before it
 *   bits 0..15   token; plus GSZ_MAX_ALPHABET where a run comes before it, which selects code B
 *   bits 16..    length of the run, GSZ_LONG_RUN for any that is not shorter (its length stands in `gaps`) */
#define GSZ_TOKEN_GAP 16
#define GSZ_LONG_RUN 64u

/* Up to 16 bits in the order they are written, and above them how many: a code, or a short run with its extra. */
typedef uint32_t gsz_ready;
#define GSZ_READY(bits, length) ((gsz_ready)(bits) | (gsz_ready)(length) << 16)
#define GSZ_READY_BITS(r) ((r) & 0xffff)
#define GSZ_READY_LENGTH(r) ((r) >> 16)

typedef struct {
    const uint32_t *tokens, *tokens_end;
    const uint32_t *extra;      /* wide: value bits, their number from bit 27; one a token */
    const uint32_t *gaps;       /* the long runs */
    uint32_t zeros;             /* after the last token */
    gsz_bitwriter out;
} gsz_source;

typedef struct gsz_symbol_encoder {
    unsigned streams;
    gsz_source source[GSZ_STREAMS];
    gsz_ready run[GSZ_LONG_RUN];                /* by length; A's code, extra bits included */
    gsz_ready long_run[2][GSZ_RUN_TOKENS];      /* by token, A and B */
    gsz_ready value[2 * GSZ_MAX_ALPHABET];      /* A's then B's */
} gsz_symbol_encoder;
/* A pair of narrow tokens, each with its short run, goes out in one store: 4 extra bits for runs below 64. */
GSZ_STATIC_ASSERT(run_fits, GSZ_CODE_BITS + 4 <= 16);
GSZ_STATIC_ASSERT(pair_fits, 7 + 2 * (GSZ_CODE_BITS + 4 + GSZ_CODE_BITS) <= 64);
GSZ_STATIC_ASSERT(wide_fits, 7 + (GSZ_CODE_BITS + 4 + GSZ_CODE_BITS + 27) <= 64);

/* A run of any length: the first token by A (after a value) or B, further ones by B. */
void gsz_put_run(gsz_bitwriter *b, const gsz_symbol_encoder *e, uint32_t length);

/* ---- decoding tables: an entry is 64 bits, looked up by the next `bits` bits of the stream.
 *            0..15    16..31   32..47   48..55      56..60       62                            63
 * narrow     value 0  value 1  advance  code bits   extra bits   -                             next table
 * wide       value or base     advance  code bits   extra bits   extra bits are the value's    next table
 * Both store value 0 at the current position, narrow also value 1 behind it, and move on by `advance` plus
 * the number in the extra bits (unless they belong to the value).  A narrow entry covers up to two tokens. */
#define GSZ_ENTRY_ADVANCE 32
#define GSZ_ENTRY_BITS 48
#define GSZ_ENTRY_EXTRA 56
#define GSZ_ENTRY_OF_VALUE 62
#define GSZ_ENTRY_NEXT 63

typedef struct {
    const uint8_t *start, *end; /* of the stream */
    size_t bit;                 /* next bit, counted from start */
    uint32_t table;             /* index of the first entry of the current table */
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

/* Elements of room behind each stream's part of the output, because lookups write ahead: see symbols_tmpl.h. */
#define GSZ_LANE_PADDING 160

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
