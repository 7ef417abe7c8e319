/* Integer Lorenzo prediction in one, two or three dimensions (format.md 5.3).
 * The predictor is separable: residuals are differences along each axis in turn, and running sums along
 * each axis undo them.  All arithmetic is modulo 2^32. */
#ifndef GSZ_LORENZO_H
#define GSZ_LORENZO_H

#include "kernels.h"

/* A chunk of n integers seen as planes x rows x columns; dims axes are predicted along. */
typedef struct { unsigned dims; size_t columns, rows; } gsz_lattice;

void gsz_lorenzo_forward(const gsz_lattice *lattice, const int32_t *k, size_t n, int32_t *residuals);
void gsz_lorenzo_inverse(const gsz_kernels *kernels, const gsz_lattice *lattice, int32_t *residuals, size_t n);

/* The prediction at index i, from the integers before it. */
int32_t gsz_lorenzo_predict(const gsz_lattice *lattice, const int32_t *k, size_t i);

#endif
