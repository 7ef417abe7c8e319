/* Are the names of a table distinct?  Sorted by bytes, in n log n whatever the names are. */
#ifndef GSZ_NAMES_H
#define GSZ_NAMES_H

#include "table.h"

/* Entries stand `stride` bytes apart: in an array of their own or inside larger records. */
int gsz_names_distinct(gsz_heap *heap, const gsz_entry *first, size_t count, size_t stride, int *distinct);

#endif
