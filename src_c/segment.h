/* Segments: one stream of rANS symbols with raw bits beside it (docs/model.md).
 *
 * A segment holds parts of tensors: heads (head.h) and rows (rows.h).  Encoding has two halves, because tables are shared by
 * a message: first every segment becomes tokens and counts, then, when the tables are known, bytes. */
#ifndef GSZ_SEGMENT_H
#define GSZ_SEGMENT_H

#include "model.h"
#include "rans.h"
#include "work.h"

/* Tables of a message: a set of contexts for tensors, one for low-rank factors, one for tensors with random offsets.  The
 * last context of a set is for row scales. */
enum { GSZ_SET_VALUES, GSZ_SET_FACTORS, GSZ_SET_DITHERED, GSZ_SETS };
#define GSZ_TABLES (2 * GSZ_CONTEXTS + GSZ_CONTEXTS_DITHERED)
GSZ_INLINE unsigned gsz_set_first(unsigned set) { return set * GSZ_CONTEXTS; }
GSZ_INLINE unsigned gsz_set_size(unsigned set) { return set == GSZ_SET_DITHERED ? GSZ_CONTEXTS_DITHERED : GSZ_CONTEXTS; }

/* Tables of all sets for counts of all their contexts; a set without counts has none.  Twins; bit k of *used: set k has tables.
 * Room: GSZ_CODING_TABLES_BYTES(GSZ_TABLES). */
void gsz_tables_write(const uint32_t (*counts)[GSZ_RANS_SYMBOLS], gsz_frequencies *f, gsz_bitwriter *out);
int gsz_tables_read(gsz_bitreader *in, gsz_frequencies *f, unsigned *used);

/* Bits in writing, grown as needed. */
typedef struct { gsz_writer bytes; gsz_bitwriter bits; } gsz_bit_sink;
/* Room for so many more bytes. */
int gsz_sink_reserve(gsz_bit_sink *s, size_t bytes);

typedef struct {
    gsz_writer tokens, steps;           /* uint16_t and uint32_t */
    gsz_bit_sink low;                   /* raw low bits of residuals */
    gsz_bit_sink side;                  /* numbers: what has no symbol */
    uint32_t (*counts)[GSZ_RANS_SYMBOLS];       /* of GSZ_TABLES contexts, four times: every fourth token until gsz_segment_counts */
    uint8_t scale[GSZ_SETS];            /* first scale of the last head of each set */
} gsz_segment_encoder;
#define GSZ_FIRST_SCALE 32              /* where there is none */

int gsz_segment_start(gsz_work *work, gsz_segment_encoder *s);
void gsz_segment_release(gsz_segment_encoder *s);
/* Room for about so many elements at once. */
int gsz_segment_expect(gsz_segment_encoder *s, size_t elements);

/* Room for a step of n tokens, NULL without memory; and its counts, when they are there. */
uint16_t *gsz_segment_step(gsz_segment_encoder *s, size_t n);
void gsz_segment_count(gsz_segment_encoder *s, const uint16_t *tokens, size_t n);
/* The counts so far, all in the first array. */
const uint32_t (*gsz_segment_counts(gsz_segment_encoder *s))[GSZ_RANS_SYMBOLS];

/* The bytes of a segment: states, words and bits. */
int gsz_segment_write(gsz_work *work, gsz_segment_encoder *s, const gsz_rans_code *codes, gsz_writer *out);

typedef struct {
    gsz_rans_decoder symbols;
    const uint32_t *slots;
    gsz_bitreader low, side;
    uint32_t (*counts)[GSZ_RANS_SYMBOLS];       /* NULL, or of GSZ_TABLES contexts: what is decoded is counted */
    unsigned used;                              /* bit k: set k has tables */
    unsigned first;                             /* context of the set in use; GSZ_TABLES: none */
    uint8_t scale[GSZ_SETS];                    /* as the encoder's */
} gsz_segment_decoder;
/* All sets count as used; a caller that knows better says so in s->used. */
int gsz_segment_open(gsz_segment_decoder *s, gsz_reader in, const uint32_t *slots);
/* Everything must have been used up. */
int gsz_segment_close(gsz_segment_decoder *s);
/* Symbols from now on have the tables of this set, which must be there. */
GSZ_INLINE int gsz_segment_use(gsz_segment_decoder *s, unsigned set) {
    GSZ_CHECK(s->used >> set & 1, GSZ_E_SECTION);
    if (s->first == gsz_set_first(set)) return GSZ_OK;
    s->first = gsz_set_first(set);
    gsz_rans_use(&s->symbols, s->slots + (size_t)s->first * GSZ_RANS_SLOTS);
    return GSZ_OK;
}

/* Symbols of a step. */
GSZ_INLINE void gsz_segment_symbols(const gsz_kernels *kernels, gsz_segment_decoder *s, const uint8_t *context, size_t n, uint8_t *symbol) {
    kernels->rans_decode(&s->symbols, context, n, symbol);
    for (size_t i = 0; s->counts != NULL && i < n; i++) s->counts[s->first + context[i]][symbol[i]]++;
}

#endif
