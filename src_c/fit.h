/* Scales and weights of the gradient model for a tensor; weights by relative least squares on a sample (encoder only;
 * docs/model.md). */
#ifndef GSZ_FIT_H
#define GSZ_FIT_H

#include "rows.h"

/* Indices of the scales of all rows: mean |x| in thirds of an octave, 0 where all of a row may come back as 0. */
int gsz_model_scales(gsz_work *work, const gsz_modelled *t, const void *x, uint8_t *scales);

/* Sets t->weights for values x (less the base, where there is one).  Deterministic: plain arithmetic in a fixed order. */
int gsz_model_fit(gsz_work *work, gsz_modelled *t, const void *x);

#endif
