/* Weights of the gradient model for a tensor, by relative least squares on a sample (encoder only;
 * docs/model.md). */
#ifndef GSZ_FIT_H
#define GSZ_FIT_H

#include "rows.h"

/* Sets t->weights for values x (less the base, where there is one).  Deterministic: plain arithmetic in a fixed order. */
int gsz_model_fit(gsz_work *work, gsz_modelled *t, const void *x);

/* The same in closed loop: features see what t->weights would decode.  Of grids without phases. */
int gsz_model_refit(gsz_work *work, gsz_modelled *t, const void *x);

#endif
