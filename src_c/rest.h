/* What the base of low rank leaves of a tensor, for scales and weights: all of it, or of a large tensor some lanes of every
 * row, which tell as much. */
#ifndef GSZ_REST_H
#define GSZ_REST_H

#include "structure.h"

/* How the rest lies, tap by tap; `whole`: there is more than x that would have to be cut to a part. */
void gsz_rest_view(const gsz_view *view, int whole, gsz_view *rest);

/* The rest, in bins, of values that lie tap by tap; left may be planes. */
int gsz_rest_make(gsz_work *work, const gsz_structure *s, const gsz_view *rest, const float *planes, float *left);

#endif
