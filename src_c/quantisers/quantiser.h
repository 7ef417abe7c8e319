/* Quantisers of papers, which take the place of an error bound: what each makes of a tensor before it is coded.
 *
 * Sparse Dithering and M22 give values that the ordinary codecs then keep exactly: multiples of a scale, or labels of
 * levels (format.md 5.1, 10.1).  Spherical codes blocks in a section of its own (format.md 10.2).  One file each. */
#ifndef GSZ_QUANTISER_H
#define GSZ_QUANTISER_H

#include "quantisers/m22_design.h"
#include "quantisers/values.h"
#include "tensor.h"

/* A tensor to quantise. */
typedef struct {
    const gsz_quantiser *settings;
    const gsz_kernels *kernels;
    int dtype;
    const void *x;
    size_t n;
    uint64_t key;               /* of the tensor's random numbers */
    double threshold;           /* M22: magnitudes below are not kept */
} gsz_quantising;

/* What comes out. */
typedef struct {
    int useful;                 /* 0: the tensor is better kept as it is */
    int mode;
    double eb;                  /* half the scale that the values are multiples of */
    unsigned nlevels;
    double levels[GSZ_M22_LEVELS];      /* numbers of the dtype, rising, from 0 */
} gsz_quantised;

/* Settings that make sense? */
int gsz_quantiser_ok(const gsz_quantiser *q);
/* Does it need random numbers? */
GSZ_INLINE int gsz_quantiser_random(const gsz_quantiser *q) {
    return q != NULL && (q->scheme == GSZ_SPHERICAL || (q->scheme == GSZ_SPARSE_DITHERING && q->unbiased));
}
/* What Top-K keeps of all inputs that share a quantiser: magnitudes from *threshold on. */
int gsz_quantiser_threshold(gsz_heap *heap, const gsz_quantiser *q, const gsz_input *in, size_t count, double *threshold);

/* Values to code in place of a tensor's, in `values` of its size.  Not for Spherical. */
void gsz_quantise(const gsz_quantising *in, void *values, gsz_quantised *out);

/* Labels to levels, in place (format.md 10.1); GSZ_E_SECTION for a finite value that is no label.  Levels as in a table. */
int gsz_levels_apply(int dtype, const uint8_t *levels, unsigned nlevels, void *x, size_t n);

/* ---- the quantisers */
void gsz_sparse_dithering(const gsz_quantising *in, void *values, gsz_quantised *out);
void gsz_m22(const gsz_quantising *in, void *values, gsz_quantised *out);

#endif
