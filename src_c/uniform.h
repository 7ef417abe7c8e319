/* The uniform quantiser with an absolute error bound: one chunk of values to bytes and back (format.md 5). */
#ifndef GSZ_UNIFORM_H
#define GSZ_UNIFORM_H

#include "exact.h"
#include "lorenzo.h"

typedef struct {
    int dtype;
    double eb, step;
    gsz_lattice lattice;    /* dims = 0: no prediction */
} gsz_uniform;

/* Integers of n values; GSZ_ESCAPE where no integer keeps the bound.  Returns how many escape. */
size_t gsz_uniform_quantise(const gsz_kernels *kernels, const gsz_uniform *u, const void *x, size_t n, int32_t *k);

/* Twins; n is 1 .. GSZ_MAX_CHUNK. */
int gsz_uniform_encode(gsz_work *work, const gsz_uniform *u, const void *x, size_t n, gsz_writer *out);
int gsz_uniform_decode(gsz_work *work, const gsz_uniform *u, gsz_reader in, size_t n, void *x);

#endif
