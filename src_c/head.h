/* Head of a tensor under the gradient model: weights, scales of rows, low-rank factors (docs/model.md, "Head"). */
#ifndef GSZ_HEAD_H
#define GSZ_HEAD_H

#include "structure.h"

/* Twins. */
int gsz_head_put(gsz_work *work, gsz_segment_encoder *e, const gsz_structure *s);
int gsz_head_get(gsz_work *work, gsz_segment_decoder *d, gsz_structure *s);

#endif
