/* Exponentials, logarithms and gamma functions in plain arithmetic: the same bits everywhere, within about 1e-14 of themselves. */
#ifndef GSZ_SPECIAL_H
#define GSZ_SPECIAL_H

#include "fp.h"

double gsz_exp(double x);           /* 0 below -700, infinite above 700 */
double gsz_log(double x);           /* x a positive normal number */
double gsz_log_gamma(double x);     /* x > 0 */

/* Regularised incomplete gamma functions P(a, x) + Q(a, x) = 1, for a > 0 and x >= 0; each is exact where it is small. */
typedef struct { double lower, upper; } gsz_gamma;
gsz_gamma gsz_incomplete_gamma(double a, double x);

#endif
