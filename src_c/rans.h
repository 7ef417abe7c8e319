/* rANS (range asymmetric numeral systems, Duda): symbols of 128 values, each coded by the static table of its context.
 *
 * Several states are interleaved: symbol i of a step is coded by state i mod S, so that a step's symbols are decoded
 * side by side.  A state x is in [2^15, 2^31) and gives or takes 16 bits at a time (format.md 7). */
#ifndef GSZ_RANS_H
#define GSZ_RANS_H

#include "bits.h"
#include "kernels.h"

#define GSZ_RANS_BITS 11u                       /* frequencies of a table sum to 2^11 */
#define GSZ_RANS_SLOTS (1u << GSZ_RANS_BITS)
#define GSZ_RANS_SYMBOLS 128u
#define GSZ_RANS_USUAL 64u                      /* symbol */
#define GSZ_RANS_NARROW 16u                     /* contexts where it may be almost all there is: every set has as many */
#define GSZ_RANS_START ((uint32_t)1 << 15)      /* smallest state, and the one that a decoder must end with */
#define GSZ_RANS_LOG2_STATES 5u
#define GSZ_RANS_STATES (1u << GSZ_RANS_LOG2_STATES)    /* most */

/* Frequencies of one context's table: sum GSZ_RANS_SLOTS. */
typedef struct gsz_frequencies { uint16_t of[GSZ_RANS_SYMBOLS]; } gsz_frequencies;

/* Frequencies near counts, at least 1 for every symbol that occurs.  The total must not be 0. */
void gsz_frequencies_fit(const uint32_t counts[GSZ_RANS_SYMBOLS], gsz_frequencies *f);

/* 1/256 bits that symbols, or those from `from` to `to`, cost under a table; UINT64_MAX where one that occurs has frequency 0. */
uint64_t gsz_frequencies_cost(const gsz_frequencies *f, const uint32_t counts[GSZ_RANS_SYMBOLS]);
uint64_t gsz_frequencies_cost_of(const gsz_frequencies *f, const uint32_t counts[GSZ_RANS_SYMBOLS], unsigned from, unsigned to);

/* ---- encoding.  A token is context * GSZ_RANS_SYMBOLS + symbol, an index into the codes. */
typedef struct gsz_rans_code {
    uint32_t reciprocal, limit;         /* of the division by the frequency; states from `limit` on give up 16 bits first */
    uint16_t start, complement;         /* first slot; slots that are not the symbol's */
    uint32_t shift;
} gsz_rans_code;

void gsz_rans_codes(const gsz_frequencies *f, gsz_rans_code code[GSZ_RANS_SYMBOLS]);

/* Tokens of steps, coded backwards into memory that ends at `end`: 2 bytes a token, GSZ_RANS_STATE_BYTES a state and 2 more are enough.
 * Returns where the bytes begin: states, then words. */
#define GSZ_RANS_STATE_BYTES 5u
uint8_t *gsz_rans_encode(const gsz_kernels *kernels, const gsz_rans_code *codes, const uint16_t *tokens, const uint32_t *steps, size_t nsteps,
                         unsigned states, uint8_t *end);

/* ---- decoding: a table is 2^11 entries, one a slot.
 *  0..6    8..19       20..30
 *  symbol  frequency   slot - start
 * kernels->rans_slots fills it. */
#define GSZ_RANS_FREQUENCY 8
#define GSZ_RANS_OFFSET 20

typedef struct gsz_rans_decoder {
    uint32_t state[GSZ_RANS_STATES];
    unsigned states;
    const uint8_t *p, *end;             /* words to come */
    int overrun;                        /* words were missing; zeros were read in their place */
    const uint32_t *slots;              /* tables of all contexts */
    uint32_t usual[GSZ_RANS_NARROW];    /* slots of the usual symbol in the first of them: start, frequency << 16; 0: not known */
    uint32_t beside[GSZ_RANS_NARROW];   /* frequencies of the one below it and, << 16, of the one above */
    int trust;                          /* whether eight symbols at once were of these three, of late */
} gsz_rans_decoder;

/* Tables of contexts from now on.  With the slots of the usual symbol, that of residual 0, and of those beside it, kernels need no table where they are all there is. */
void gsz_rans_use(gsz_rans_decoder *d, const uint32_t *slots);

/* States in front of the words.  Symbols themselves: kernels->rans_decode. */
int gsz_rans_begin(gsz_rans_decoder *d, gsz_reader in, unsigned states, const uint32_t *slots);
/* Everything used up, and all states back at the start? */
int gsz_rans_finish(const gsz_rans_decoder *d);

#endif
