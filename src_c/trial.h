/* What a tensor costs, found by coding a part of it (encoder only). */
#ifndef GSZ_TRIAL_H
#define GSZ_TRIAL_H

#include "structure.h"
#include "tensor.h"

/* Bits an element under the gradient model, tables of its own included, and without it, from one chunk. */
int gsz_trial_model(gsz_work *work, const gsz_structure *s, const void *x, double *bits);
int gsz_trial_uniform(gsz_work *work, const gsz_tensor *t, const void *x, double *bits);

#endif
