/* Scales of the rows of a tensor under the gradient model (encoder only; docs/model.md). */
#ifndef GSZ_SCALES_H
#define GSZ_SCALES_H

#include "rows.h"

/* Indices of the scales of all rows: mean |x| in thirds of an octave, 0 where all of a row may come back as 0; equal to the
 * scale before where saying otherwise would cost more than it saves.  *seen, where asked for: what the values are like. */
int gsz_scales_measure(gsz_work *work, const gsz_modelled *t, const void *x, uint8_t *scales, gsz_values_seen *seen);

#endif
