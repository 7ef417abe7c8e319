/* M22: a density fitted to magnitudes and the scalar quantiser that is best for it (Liu, Rini, Salehkalaibar, Chen, arXiv
 * 2301.09269), under the distortion |x|^M (x - x')^2. */
#ifndef GSZ_M22_DESIGN_H
#define GSZ_M22_DESIGN_H

#include "special.h"

#define GSZ_M22_BITS 6u                             /* at most: 32 levels of each sign */
#define GSZ_M22_LEVELS (1u << (GSZ_M22_BITS - 1))
GSZ_STATIC_ASSERT(levels_fit, GSZ_M22_LEVELS <= GSZ_MAX_LEVELS);
#define GSZ_M22_SHAPE_LEAST 0.2
#define GSZ_M22_SHAPE_MOST 8.0
#define GSZ_M22_POWER 8                             /* largest M */

/* Symmetric densities |x / s|^(c - 1) exp(-|x / s|^shape): generalised normal for c = 1, double Weibull for c = shape. */
typedef struct { int family; double shape, scale; } gsz_density;

/* The density with these means of |x| and x^2; shapes are cut to the range above. */
gsz_density gsz_density_fit(int family, double mean, double square);

/* Mean of x^2. */
double gsz_density_variance(const gsz_density *d);

/* Levels of the best quantiser with 2^bits levels for M = power: those above 0 in rising order; thresholds lie half way between. */
void gsz_m22_design(const gsz_density *d, unsigned bits, int power, double levels[GSZ_M22_LEVELS]);

#endif
