/* Weights of the gradient model for a tensor: relative least squares on a sample (encoder only; docs/model.md). */
#ifndef GSZ_FIT_H
#define GSZ_FIT_H

#include "segment.h"

/* Sets t->weights for values x; scales are the rows' indices.  Deterministic: plain arithmetic in a fixed order. */
int gsz_model_fit(gsz_work *work, gsz_modelled *t, const void *x, const uint8_t *scales);

#endif
