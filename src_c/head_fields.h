/* Weights and scales as a head tells them (format.md 7.6), of tensors and of factors.  Twins. */
#ifndef GSZ_HEAD_FIELDS_H
#define GSZ_HEAD_FIELDS_H

#include "rows.h"

int gsz_put_weights(gsz_bit_sink *side, const gsz_modelled *t);
int gsz_get_weights(gsz_bitreader *side, gsz_modelled *t, unsigned unit_bits);

/* Scales of all rows: t->scales, with the tables of t->set. */
int gsz_put_scales(gsz_segment_encoder *e, const gsz_modelled *t);
int gsz_get_scales(gsz_work *work, gsz_segment_decoder *d, unsigned set, size_t n, uint8_t *scales);

#endif
