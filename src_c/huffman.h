/* Canonical length-limited Huffman codes: lengths, codes, and their serialised form (format.md 4.3). */
#ifndef GSZ_HUFFMAN_H
#define GSZ_HUFFMAN_H

#include "bits.h"

#define GSZ_CODE_BITS 12        /* longest code */
#define GSZ_MAX_ALPHABET 2112   /* >= GSZ_TOKENS of symbols.h; far below 2^GSZ_CODE_BITS, so a code always exists */

typedef struct {
    uint8_t length[GSZ_MAX_ALPHABET];   /* 0 = not used */
    uint16_t code[GSZ_MAX_ALPHABET];    /* bits in the order they are written, lowest first */
    unsigned alphabet;                  /* tokens from here on are not used; their lengths are not set */
    unsigned longest;                   /* 0 = no token at all */
    int lone;                           /* one token only: it has length 1 here and costs no bits in a stream */
} gsz_code;

/* Lengths (at most `limit` bits) and codes for the tokens below `alphabet` with counts > 0.  2^limit must not be
 * below the number of used tokens. */
void gsz_code_build(gsz_code *code, const uint32_t *counts, unsigned alphabet, unsigned limit);

/* Codes from the lengths of the alphabet; GSZ_E_TABLE unless they form a complete prefix code or a lone token. */
int gsz_code_assign(gsz_code *code);

/* Bits that a token costs in a stream. */
GSZ_INLINE unsigned gsz_code_cost(const gsz_code *code, unsigned token) {
    return code->lone ? 0 : code->length[token];
}

/* Lengths of tokens [from, to) as differences; twins. */
void gsz_lengths_write(gsz_bitwriter *b, const gsz_code *code, unsigned from, unsigned to);
int gsz_lengths_read(gsz_bitreader *b, gsz_code *code, unsigned from, unsigned to);

#endif
