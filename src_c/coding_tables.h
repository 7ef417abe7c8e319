/* How the frequencies of a set of contexts travel: not at all, as two parameters, or symbol by symbol (docs/model.md, "Tables"). */
#ifndef GSZ_CODING_TABLES_H
#define GSZ_CODING_TABLES_H

#include "rans.h"

/* Bytes that tables of n contexts take at most. */
#define GSZ_CODING_TABLES_BYTES(n) ((n) * (2u + 14u + 25u * GSZ_RANS_SYMBOLS) / 8u + 20u)

/* The cheapest description for each of n contexts with these counts: bits to the writer, and the frequencies that a reader
 * will see.  Contexts that nothing but zeros came in, or nothing at all, have a table of zeros only; the last of them, but
 * for the very last, are not sent. */
void gsz_coding_tables_write(const uint32_t (*counts)[GSZ_RANS_SYMBOLS], unsigned n, gsz_frequencies *f, gsz_bitwriter *out);

/* Twin. */
int gsz_coding_tables_read(gsz_bitreader *in, unsigned n, gsz_frequencies *f);

#endif
