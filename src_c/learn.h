/* What an encoder finds out about a tensor under the gradient model: unit, scales, low rank, weights (docs/model.md). */
#ifndef GSZ_LEARN_H
#define GSZ_LEARN_H

#include "structure.h"

/* Fills a structure for values x.  *possible = 0 where the model cannot hold them: values of too many bins, or a bin that is
 * no normal number.  low_rank = 0: without it.  thoroughly: ranks and precisions are tried, not predicted. */
int gsz_structure_learn(gsz_work *work, gsz_structure *s, const void *x, int low_rank, int thoroughly, int *possible);

#endif
