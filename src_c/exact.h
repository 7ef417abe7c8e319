/* Bit-exact coding of n elements: byte planes, each an entropy coded symbol stream (format.md 6). */
#ifndef GSZ_EXACT_H
#define GSZ_EXACT_H

#include "symbols.h"

typedef enum { GSZ_KIND_FLOAT, GSZ_KIND_INTEGER } gsz_kind;

/* Twins; n is 1 .. GSZ_MAX_CHUNK, itemsize 1, 2, 4 or 8, elements in native byte order. */
int gsz_exact_encode(gsz_work *work, const void *x, size_t n, size_t itemsize, gsz_kind kind, gsz_writer *out);
int gsz_exact_decode(gsz_work *work, gsz_reader in, size_t n, size_t itemsize, void *x);

#endif
