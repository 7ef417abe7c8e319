/* Rows of the round before as a basis of B (format.md 7.7): the space that rows of an update lie in hardly moves from round to
 * round, so that B is a product of few coefficients and rows that both ends have, and little else. */
#ifndef GSZ_ROW_BASIS_H
#define GSZ_ROW_BASIS_H

#include "rows.h"

#define GSZ_MAX_BASIS 64u               /* that an encoder takes */

/* Rows that span most of the others, best first (encoder). */
typedef struct gsz_row_basis {
    unsigned count;
    uint32_t row[GSZ_MAX_BASIS];
    size_t most;                    /* rows that there is room for, in eights */
    double *triangle;               /* most x most: Cholesky factor of their products with each other, in bins^2 */
    float *turned;                  /* cols x most: the rows as columns, in bins */
    size_t memory_size;
} gsz_row_basis;

/* past: rows x cols values of the round before, in bins. */
int gsz_row_basis_choose(gsz_work *work, const float *past, size_t rows, size_t cols, gsz_row_basis *basis);
void gsz_row_basis_release(gsz_heap *heap, gsz_row_basis *basis);

/* Makes l->inner, where l has none, of it where B is predicted to take fewer bits so. */
int gsz_row_basis_use(gsz_work *work, const gsz_row_basis *basis, const gsz_modelled *t, gsz_lowrank *l);

/* b of an inner pair that has a basis: those rows of the round before, in units. */
int gsz_row_basis_fill(gsz_work *work, const gsz_modelled *t, gsz_lowrank *inner);

#endif
