/* How the tensors of a message that are under the gradient model are cut into segments (format.md 7): from the table alone. */
#ifndef GSZ_CUT_H
#define GSZ_CUT_H

#include "table.h"
#include "view.h"

/* Rows [from, to) of a tensor, its head before the first. */
typedef struct { size_t tensor, from, to; } gsz_part;

/* A segment is parts [first, last): heads with rows of small tensors, or a block of rows of a large one. */
typedef struct { size_t first, last; uint64_t elements; } gsz_segment_parts;   /* elements of their tensors */

typedef struct {
    gsz_part *parts;
    gsz_segment_parts *segments;
    size_t nparts, nsegments, capacity;
} gsz_cut;

/* Entries stand `stride` bytes apart; GSZ_E_HEADER for more than `most` parts. */
int gsz_cut_make(gsz_heap *heap, const gsz_entry *first, size_t count, size_t stride, uint64_t most, gsz_cut *cut);
void gsz_cut_release(gsz_heap *heap, gsz_cut *cut);

/* Does this part go on with a tensor whose head is elsewhere? */
GSZ_INLINE int gsz_part_continues(const gsz_part *p) { return p->from > 0; }

#endif
