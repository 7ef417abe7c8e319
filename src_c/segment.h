/* Segments: rows of modelled tensors as one stream of rANS symbols, with raw bits beside it (docs/model.md).
 *
 * Encoding has two halves, because tables are shared by a message: first every segment becomes tokens and counts, then,
 * when the tables are known, bytes. */
#ifndef GSZ_SEGMENT_H
#define GSZ_SEGMENT_H

#include "model.h"
#include "rans.h"
#include "work.h"

/* A tensor under the gradient model. */
typedef struct {
    int dtype, aligned;
    gsz_view view;
    double eb, unit;                    /* decoded values are integer multiples of `unit`, a value of the working type */
    gsz_model_weights weights;
} gsz_modelled;

/* The unit for a bound and unit bits: bin / 2^f.  0 where that is no normal number. */
double gsz_model_unit(int dtype, double eb, unsigned unit_bits);

/* Bits in writing, grown as needed. */
typedef struct { gsz_writer bytes; gsz_bitwriter bits; } gsz_bit_sink;

typedef struct {
    gsz_writer tokens, steps;           /* uint16_t and uint32_t */
    gsz_bit_sink low;                   /* raw low bits of residuals */
    gsz_bit_sink side;                  /* residuals without a symbol, escaped elements */
    uint32_t (*counts)[GSZ_RANS_SYMBOLS];       /* a context */
} gsz_segment_encoder;

int gsz_segment_start(gsz_work *work, gsz_segment_encoder *s);
void gsz_segment_release(gsz_segment_encoder *s);

/* Indices of the scales of all rows. */
void gsz_model_scales(const gsz_kernels *kernels, const gsz_modelled *t, const void *x, uint8_t *scales);

/* Twins: rows [from, to) of a tensor whose elements begin at x. */
int gsz_segment_put_rows(gsz_work *work, gsz_segment_encoder *s, const gsz_modelled *t, const void *x, const uint8_t *scales,
                         size_t from, size_t to);

/* The bytes of a segment: states, words and bits. */
int gsz_segment_write(gsz_work *work, gsz_segment_encoder *s, const gsz_rans_code *codes, gsz_writer *out);

typedef struct { gsz_rans_decoder symbols; gsz_bitreader low, side; } gsz_segment_decoder;
int gsz_segment_open(gsz_segment_decoder *s, gsz_reader in, const uint32_t *slots);
int gsz_segment_get_rows(gsz_work *work, gsz_segment_decoder *s, const gsz_modelled *t, size_t from, size_t to, void *x);
/* Everything must have been used up. */
int gsz_segment_close(gsz_segment_decoder *s);

#endif
