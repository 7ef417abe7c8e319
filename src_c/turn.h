/* Left factors whose columns are orthogonal, told by fewer numbers (format.md 7.7, the compact form of Householder's reflections).
 *
 * Column k of the factor is orthogonal to those before it: the reflections that turn these onto the last lanes turn it into a
 * column z that is 0 on its last k lanes.  z is sent, rounded; both ends turn it back in integers. */
#ifndef GSZ_TURN_H
#define GSZ_TURN_H

#include "work.h"

/* Where it may be done: as many lanes as components or more, and not so many that little is saved for much work. */
#define GSZ_TURN_LANES 8u               /* for each component */
GSZ_INLINE int gsz_may_turn(unsigned rank, size_t lanes) { return lanes >= rank && lanes <= (size_t)GSZ_TURN_LANES * rank; }

#define GSZ_TURN_FRACTIONS 15u          /* bits of a's fraction: 0 to 14 */

/* a (component after component, `lanes` each) of z: in units of 2^-fraction of that of a component with up = 0.  a may
 * lie where z does. */
int gsz_turn(gsz_work *work, const int16_t *z, unsigned rank, size_t lanes, const uint8_t *up, unsigned fraction, int16_t *a);

/* The largest sum of squares of a column of z. */
#define GSZ_TURN_ENERGY (((uint64_t)1 << 28) - 1)

/* The encoder's: what the reflection of a column z, 0 from lane n on, makes of other columns.  v: room for a column. */
void gsz_turn_away(const gsz_kernels *kernels, const int16_t *z, size_t n, float *v, float *x, unsigned columns, size_t lanes);

#endif
