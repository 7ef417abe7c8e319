/* The error bound: is a decoded value within it, and which absolute bound does a mode mean. */
#ifndef GSZ_BOUND_H
#define GSZ_BOUND_H

#include "kernels.h"

/* Step of the quantiser for an absolute bound: the largest value of the working type not above 2 eb
 * (format.md 5.1).  0 when there is none: then only bit-exact coding keeps the bound. */
double gsz_step(int dtype, double eb);

/* Range of the finite values, and a power of two that brings the largest magnitude near 1, so that squares neither overflow nor
 * vanish. */
gsz_range gsz_finite_range(const gsz_kernels *kernels, int dtype, const void *x, size_t n);
double gsz_safe_scale(const gsz_range *r);

/* Absolute bound of a tensor.  0 = code bit-exactly (bound 0, zero range, no finite value, ...).
 * k is scratch for GSZ_CHUNK integers, used by the modes that are measured on the data, with the uniform quantiser; NULL for
 * bounds that keep their promise for any errors within them. */
int gsz_resolve_bound(const gsz_kernels *kernels, int dtype, const void *x, size_t n,
                      int mode, double bound, int32_t *k, double *eb);

/* The range and the root mean square of the finite values of several tensors, as gsz_resolve_bound takes them of one. */
typedef struct { int dtype; const void *x; size_t n; } gsz_values;
typedef struct { double width, rms; } gsz_spread;
gsz_spread gsz_joint_spread(const gsz_kernels *kernels, const gsz_values *tensors, size_t count);

/* The bound of a tensor in a message that has one spread: GSZ_ABS, GSZ_REL or GSZ_RMS.  It is the same for all dtypes, and
 * short: at most 2^-12 is given away, as it is sent. */
double gsz_joint_bound(int dtype, const gsz_spread *spread, int mode, double bound);

#endif
