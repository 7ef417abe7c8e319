/* How the frequencies of all contexts travel: not at all, as two parameters, or symbol by symbol (docs/model.md, "Tables"). */
#ifndef GSZ_CODING_TABLES_H
#define GSZ_CODING_TABLES_H

#include "rans.h"

/* Bytes that tables of n contexts take at most. */
#define GSZ_CODING_TABLES_BYTES(n) ((n) * (2u + 14u + 25u * GSZ_RANS_SYMBOLS) / 8u + 16u)

/* The cheaper of two descriptions for each of n contexts with these counts: bits to the writer, and the frequencies that a
 * reader will see.  A context without counts gets none. */
void gsz_coding_tables_write(const uint32_t (*counts)[GSZ_RANS_SYMBOLS], unsigned n, gsz_frequencies *f, gsz_bitwriter *out);

/* Twin.  A context without a table has all of its slots on symbol 0. */
int gsz_coding_tables_read(gsz_bitreader *in, unsigned n, gsz_frequencies *f);

#endif
