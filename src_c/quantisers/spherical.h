/* Spherical Compression (Albasyoni, Safaryan, Condat, Richtarik, arXiv 2010.03246): a block of values is the first of a
 * sequence of random directions that comes close enough, times a scale (format.md 10.2). */
#ifndef GSZ_SPHERICAL_H
#define GSZ_SPHERICAL_H

#include "exact.h"

#define GSZ_SPHERE_BLOCK 256u                   /* values a block, at most */
#define GSZ_SPHERE_TRIALS ((uint32_t)1 << 16)   /* directions tried; a block that none suits is kept bit for bit */
#define GSZ_SPHERE_INDEX_BITS 16u

typedef struct {
    int dtype;
    unsigned block;
    uint64_t key;
    double alpha;           /* encoder: squared error allowed, in squared norms of the block */
} gsz_sphere;

/* Twins; n is 1 .. GSZ_MAX_CHUNK, `first` the number of the chunk's first block in its tensor. */
int gsz_spherical_encode(gsz_work *work, const gsz_sphere *s, const void *x, size_t n, uint64_t first, gsz_writer *out);
int gsz_spherical_decode(gsz_work *work, const gsz_sphere *s, gsz_reader in, size_t n, uint64_t first, void *x);

#endif
