/* What low rank is predicted to cost and to save, in bits. */
#ifndef GSZ_LOWRANK_BITS_H
#define GSZ_LOWRANK_BITS_H

#include "fp.h"
#include "lowrank.h"
#include "roots.h"
#include "turn.h"

#define GSZ_COMPONENT_BITS 16.0     /* width and shift of one component */
#define ROUND_UP(n) (((n) + 7) & ~(size_t)7)

/* ---- predicted bits */

/* Entropy of a Laplacian of variance 2^j (1 + q / 8) in bins of 1, j = -9 .. 6, in bits / 8192. */
static const uint16_t gsz_laplacian[15 * 8 + 1] = {
    0, 0, 0, 0, 0, 1, 1, 1, 2, 3, 6, 9, 13, 17, 23, 30,
    38, 58, 82, 110, 142, 177, 216, 258, 303, 401, 506, 618, 735, 856, 979, 1105,
    1231, 1485, 1738, 1988, 2233, 2472, 2706, 2933, 3154, 3576, 3974, 4350, 4704, 5038, 5355, 5656,
    5943, 6475, 6963, 7411, 7826, 8212, 8574, 8913, 9232, 9821, 10353, 10838, 11285, 11698, 12083, 12443,
    12781, 13403, 13962, 14472, 14939, 15371, 15773, 16148, 16500, 17146, 17727, 18255, 18739, 19185, 19600, 19987,
    20350, 21015, 21611, 22153, 22649, 23106, 23530, 23925, 24296, 24973, 25581, 26131, 26635, 27099, 27529, 27929,
    28305, 28990, 29604, 30161, 30669, 31137, 31571, 31974, 32352, 33043, 33661, 34220, 34731, 35202, 35637, 36043,
    36423, 37116, 37736, 38297, 38810, 39281, 39718, 40125, 40505,
};

GSZ_INLINE double laplacian_bits(double variance) {
    if (!(variance >= 0x1p-9)) return 0;
    if (variance >= 64) return 0.5 * gsz_log_2(variance) + 1.9427;
    uint64_t bits = gsz_bits_of_double(variance) - ((uint64_t)(1023 - 9) << 52);
    const uint16_t *t = gsz_laplacian + (bits >> 49);
    double part = (double)(uint32_t)(bits >> 17) * 0x1p-32;     /* what follows the three bits of the index */
    return ((double)t[0] + ((double)t[1] - (double)t[0]) * part) * 0x1p-13;
}

/* Residual bits of all rows, given their energies; rounded factors add `noise` to every value of a row that is not zero. */
GSZ_INLINE double rows_bits(const double *energy, size_t rows, size_t cols, double noise) {
    double sum = 0, inverse = 1 / (double)cols;
    for (size_t i = 0; i < rows; i++) sum += energy[i] > 0 ? laplacian_bits(energy[i] * inverse + noise) : 0;
    return sum * (double)cols;
}

/* Bits of one integer of root mean square `width`. */
GSZ_INLINE double factor_bits(double width) {
    double bits = gsz_log_2(4.13 * (width + 0.3));
    return GSZ_MAX(bits, 0.2);
}

/* Root mean square of the values that a component adds, and steps at which its factors are rounded: those of `rank`
 * components add 2 rank equal errors, precision^2 together. */
GSZ_INLINE double component_size(const gsz_lowrank_space *s, unsigned k) {
    return root(s->energy[k] / ((double)s->rows * (double)s->cols));
}

GSZ_INLINE double rounding_step(double precision, unsigned rank) { return precision * root(6.0 / (double)rank); }

/* Numbers of b that a component takes: b as a product has those of the lanes, and its share of what joins the two. */
GSZ_INLINE double b_length(const gsz_lowrank_space *s, unsigned rank) {
    return (double)(s->taps > 1 ? GSZ_MIN(s->cols, s->cols / s->taps + (size_t)s->taps * rank) : s->cols);
}

GSZ_INLINE int turns(const gsz_lowrank_space *s, unsigned rank) { return s->turns && gsz_may_turn(rank, s->rows); }

GSZ_INLINE double predicted_cost(const gsz_lowrank_space *s, unsigned rank, double precision) {
    const double step = rounding_step(precision, rank), less = turns(s, rank) ? 1 : 0;
    double sum = 0, length = (double)s->rows + b_length(s, rank);
    for (unsigned k = 0; k < rank; k++, length -= less) sum += GSZ_COMPONENT_BITS + length * factor_bits(component_size(s, k) / step);
    return sum;
}

/* Takes component k out of the rows' energies. */
GSZ_INLINE void take_component(const gsz_lowrank_space *s, unsigned k, double *energy) {
    const float *left = s->left + k * s->rows;
    for (size_t i = 0; i < s->rows; i++) {
        double e = energy[i] - s->energy[k] * ((double)left[i] * (double)left[i]);
        energy[i] = energy[i] > 0 ? GSZ_MAX(e, 1e-30) : 0;
    }
}

#endif
