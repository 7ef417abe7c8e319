/* The entries of a table packed: names, shapes and bounds of a model repeat themselves (format.md 3.5). */
#ifndef GSZ_PACKED_H
#define GSZ_PACKED_H

#include "bytes.h"

/* Plain bytes that may be packed: so a short message cannot claim much memory. */
#define GSZ_PACKED_MOST ((size_t)1 << 17)
#define GSZ_PACKED_RATIO 64u            /* at most so many plain bytes a packed one */

/* Twins.  n is at most GSZ_PACKED_MOST.  What is unpacked belongs to the caller. */
int gsz_pack(gsz_heap *heap, const uint8_t *plain, size_t n, gsz_writer *out);
int gsz_unpack(gsz_heap *heap, gsz_reader packed, uint8_t *plain, size_t n);

/* Packs what was written, with both lengths before it, where that makes it shorter; *packed: whether it does. */
int gsz_pack_entries(gsz_writer *entries, int *packed);

#endif
