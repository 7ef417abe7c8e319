/* Small bit-exact tensors, gathered: those of one dtype are one run of elements in one section (format.md 3.4). */
#ifndef GSZ_GATHERED_H
#define GSZ_GATHERED_H

#include "table.h"

#define GSZ_DTYPES 17u
#define GSZ_SMALL 1024u         /* elements: the encoder gathers tensors of at most so many */

/* The run of each dtype as a tensor of one dimension; none where it has no elements.  Not to be moved: shapes are inside. */
typedef struct {
    gsz_entry runs[GSZ_DTYPES];
    uint64_t shapes[GSZ_DTYPES];
} gsz_gathered;

/* The runs of entries that stand `stride` bytes apart; GSZ_E_TOO_LARGE where one is. */
int gsz_gathered_sum(gsz_gathered *g, const gsz_entry *first, size_t count, size_t stride);

/* The lengths of the sections, which stand in the table behind the entries. */
int gsz_gathered_read(gsz_gathered *g, gsz_reader *in);

/* A tensor's bytes of the section of its run. */
uint64_t gsz_gathered_share(const gsz_gathered *g, const gsz_tensor *t);

#endif
