/* Factors of low rank as they are written: pairs, whose right factor may be a pair itself or near rows of an earlier round
 * (format.md 7.7). */
#ifndef GSZ_PAIR_H
#define GSZ_PAIR_H

#include "rows.h"

#define GSZ_RANK_ORDER 0u               /* of the number of components */

/* How a pair is written: rows of the left factor that are there (NULL: all), the views of a row of both, whether the right one may be
 * a pair itself, and the tensor of whose last round it may take rows (NULL: none). */
typedef struct { const uint8_t *live; gsz_view left, right; int splits; const gsz_modelled *kept; } gsz_pair_shape;

/* A row of its own: tap by tap of each lane. */
gsz_view gsz_view_of_row(size_t lanes, unsigned taps, unsigned side);

/* Twins; a decoder has read the rank. */
int gsz_pair_put(gsz_work *work, gsz_segment_encoder *e, const gsz_lowrank *l, const gsz_pair_shape *shape);
int gsz_pair_get(gsz_work *work, gsz_segment_decoder *d, gsz_lowrank *l, size_t rows, size_t cols, uint32_t rank, const gsz_pair_shape *shape);

#endif
