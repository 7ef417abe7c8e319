/* The loops of the gradient model over the lanes of a step.  Included by kernels_impl.h; no branch in a loop.
 *
 * All but model_quantise and model_split work on whole vectors of lanes, gsz_wide(n) of them: what they leave beyond lane n
 * nobody reads, only d and sums are kept 0 there. */

#define FEATURE(name, exists, first)
#include "features/neighbours.h"
#include "features/earlier_taps.h"
#include "features/previous_tap.h"
#include "features/tap_above.h"
#include "features/last_round.h"
#include "features/round_before.h"
#undef FEATURE

#ifndef OWN_TWINS
/* Logarithms of the widths of n lanes, of one array of column sums and of `past` where rounds are known: in 1/16 octave, from
 * exponent and first bits of the mantissa of a float, which holds 24 bits exactly. */
static void NAME(model_logs)(const gsz_row_widths *w, const int32_t *restrict sums, const int32_t *const *past, size_t n, int16_t *restrict log) {
    for (size_t j = 0; j < gsz_wide(n); j++) {
        int32_t sum = sums[j] >> w->down;
        uint32_t cell = ((uint32_t)(sum < 32767 ? sum : 32767) * w->ratio) >> 8 << w->up;
        int32_t s = gsz_wrap_add(w->base, gsz_wrap_mul(w->column, (int32_t)cell));
        for (unsigned k = 0; k < w->rounds; k++)
            s = gsz_wrap_add(s, gsz_wrap_mul(w->past[k], (past[k][j] < 0 ? -past[k][j] : past[k][j]) * (1 << GSZ_WIDTH_BITS)));
        s >>= GSZ_WEIGHT_BITS;
        s = s < 1 ? 1 : s > 0xffffff ? 0xffffff : s;
        log[j] = (int16_t)(gsz_bits_of_float((float)s) >> (23 - GSZ_LOG_BITS));
    }
}

/* Contexts and raw low bits of n lanes, in half octaves or finer; returns the most raw bits of a lane. */
static unsigned NAME(model_contexts)(const gsz_row_widths *w, const int16_t *restrict log, size_t n, uint8_t *restrict context, uint8_t *restrict raw) {
    const int32_t first = gsz_first_width(w), top = (int32_t)w->widths - 2;
    uint8_t most = 0;
    for (size_t j = 0; j < gsz_wide(n); j++) {
        int32_t size = log[j] + w->tap;
        size = ((size < GSZ_WIDEST ? size : GSZ_WIDEST) >> (GSZ_LOG_BITS - 1 - w->fine)) - first;
        size = size < 0 ? 0 : size;
        int32_t half = size >> w->fine, bits = half < top ? 0 : (half - top) >> 1;
        context[j] = (uint8_t)(size - 2 * bits * (1 << w->fine));
        raw[j] = (uint8_t)bits;
    }
    memset(raw + n, 0, gsz_wide(n) - n);
    for (size_t j = 0; j < gsz_wide(n); j++) most = raw[j] > most ? raw[j] : most;
    return most;
}

/* Decoded values y from symbols and their low bits; a symbol 0 gives the middle of the middle bin.  A residual is folded
 * where `fold` is below 0. */
static void NAME(model_join)(const uint8_t *restrict symbol, const uint32_t *restrict low, const uint8_t *restrict raw,
                             const int32_t *centre, const int32_t *fold, size_t n, unsigned unit_bits, int32_t *restrict y) {
    n = gsz_wide(n);
    for (size_t j = 0; j < n; j++) {
        int32_t q = (int32_t)symbol[j] - GSZ_SYMBOL_ZERO;
        int32_t sign = fold[j] >> 31, r = (int32_t)((uint32_t)q << raw[j] | low[j]) & -(int32_t)(symbol[j] != 0);
        r = (r ^ sign) - sign;
        y[j] = gsz_wrap_add(centre[j], gsz_wrap_mul(r, (int32_t)1 << unit_bits));
    }
}

/* The same where no lane has low bits. */
static void NAME(model_join_narrow)(const uint8_t *restrict symbol, const int32_t *centre, const int32_t *fold, size_t n,
                                    unsigned unit_bits, int32_t *restrict y) {
    n = gsz_wide(n);
    for (size_t j = 0; j < n; j++) {
        int32_t sign = fold[j] >> 31, r = ((int32_t)symbol[j] - GSZ_SYMBOL_ZERO) & -(int32_t)(symbol[j] != 0);
        r = (r ^ sign) - sign;
        y[j] = gsz_wrap_add(centre[j], (int32_t)((uint32_t)r << unit_bits));
    }
}
#endif

/* Means of a step: base and weighted features. */
static void NAME(model_means)(const gsz_model_row *row, const gsz_model_weights *w, unsigned tap, size_t n,
                              const int32_t *restrict base, int32_t *restrict mean) {
    n = gsz_wide(n);
    for (size_t j = 0; j < n; j++) mean[j] = 1 << (GSZ_WEIGHT_BITS - 1);
    const int matrix = row->matrix;
    const unsigned side = row->side, rounds = row->rounds;
#define FEATURE(name, exists, first) \
    if (w->mean[GSZ_FEATURE_##name] != 0 && (exists) && tap + 1 > (first)) \
        NAME(add_##name)(row, tap, n, w->mean[GSZ_FEATURE_##name], mean);
#include "features/list.h"
#undef FEATURE
    if (base == NULL)
        for (size_t j = 0; j < n; j++) mean[j] >>= GSZ_WEIGHT_BITS;
    else
        for (size_t j = 0; j < n; j++) mean[j] = gsz_wrap_add(base[j], mean[j] >> GSZ_WEIGHT_BITS);
}

/* ---- where the middle bin lies */

/* On the multiple of a bin next to the mean. */
static void NAME(model_align)(const int32_t *restrict mean, size_t n, unsigned unit_bits, int32_t *restrict centre) {
    n = gsz_wide(n);
    const int32_t half = (int32_t)1 << unit_bits >> 1, whole = -((int32_t)1 << unit_bits);
    for (size_t j = 0; j < n; j++) centre[j] = gsz_wrap_add(mean[j], half) & whole;
}

/* Anywhere: offsets u for lanes from `lane` on, all of a bin equally likely, and centres mean + u. */
/* Offsets u = ~fold: below 0 is fold where the mean lies in the lower half of the bin. */
static void NAME(model_dither)(const gsz_dither *d, size_t lane, size_t n, unsigned unit_bits, const int32_t *restrict mean,
                               int32_t *restrict fold, int32_t *restrict centre) {
    n = gsz_wide(n);
    const int32_t half = (int32_t)1 << unit_bits >> 1;
    for (size_t j = 0; j < n; j++) {
        uint32_t x = (uint32_t)(lane + j) * 0x9e3779b9u + d->first;
        x = (x ^ x >> 16) * 0x7feb352du;
        x = (x ^ x >> 15 ^ d->second) * 0x846ca68bu;
        x = (x ^ x >> 16) + d->slot;
        int32_t u = (int32_t)(x >> (32 - unit_bits)) - half;
        fold[j] = ~u;
        centre[j] = gsz_wrap_add(mean[j], u);
    }
}

/* Contexts of lanes by width and offset, for which u and ~u are the same; `width` is what model_contexts gave, GSZ_FINE bits finer than half
 * octaves. */
static void NAME(model_phases)(const uint8_t *restrict width, const int32_t *restrict fold, size_t n, unsigned unit_bits,
                               uint8_t *restrict context) {
    n = gsz_wide(n);
    const int32_t half = (int32_t)1 << unit_bits >> 1;
    const int32_t narrowest = 2 * (int32_t)(unit_bits + GSZ_WIDTH_BITS) - 2 * (int32_t)GSZ_NARROWEST_DITHERED;
    for (size_t j = 0; j < n; j++) {
        int32_t size = fold[j] ^ (fold[j] >> 31), edge = (half - size) * (1 << GSZ_WIDTH_BITS) - (1 << (GSZ_WIDTH_BITS - 1));
        int32_t octave = (int32_t)(gsz_bits_of_float((float)edge) >> (22 - GSZ_FINE)) - (254 + narrowest) * (1 << GSZ_FINE), half_octaves = width[j] >> GSZ_FINE;
        int32_t ratio = ((octave - (int32_t)width[j] + (1 << (GSZ_FINE - 1))) >> GSZ_FINE) + GSZ_LEAST_RATIO, quarter = (4 * size) >> (unit_bits - 1);
        ratio = ratio < 0 ? 0 : ratio > (int32_t)GSZ_RATIOS - 1 ? (int32_t)GSZ_RATIOS - 1 : ratio;
        int32_t wide = (int32_t)GSZ_RATIOS + (half_octaves - (int32_t)GSZ_NARROW) * (int32_t)GSZ_QUARTERS + quarter;
        context[j] = (uint8_t)(half_octaves < (int32_t)GSZ_NARROW ? ratio : wide);
    }
}

/* What is put out instead of the offset, less the offset: g(u) - u in units (format.md 7.8). */
static void NAME(model_shrink)(const uint8_t *restrict width, const int32_t *restrict fold, size_t n, unsigned unit_bits,
                               int32_t *restrict shift) {
    n = gsz_wide(n);
    const int32_t half = (int32_t)1 << unit_bits >> 1;
    for (size_t j = 0; j < n; j++) {
        int32_t u = ~fold[j], sign = u >> 31, size = u ^ sign, at = (2 * size + 1) << (15 - unit_bits);      /* of 2^15, half a bin */
        int32_t w = width[j] >> GSZ_FINE, edge = (int32_t)(((uint32_t)(32768 - at) * (uint32_t)gsz_shrink_inverse[w]) >> 15);
        int32_t narrow = edge < GSZ_SHRINK_EDGES - 1 ? edge : GSZ_SHRINK_EDGES - 1;
        int32_t wide = GSZ_SHRINK_EDGES + (w - (int32_t)GSZ_NARROW) * GSZ_SHRINK_PARTS + (at >> 10);
        int32_t g = (gsz_shrink[w < (int32_t)GSZ_NARROW ? narrow : wide] * half + 16384) >> 15;
        shift[j] = ((g ^ sign) - sign) - u;
    }
}

/* Tokens of residuals r (not yet folded): the context's, the symbol's and the low bits.  What has no symbol of its own gets
 * symbol 0; returns how many do. */
static size_t NAME(model_split)(const int32_t *restrict r, const int32_t *restrict fold, const uint8_t *restrict context,
                                const uint8_t *restrict raw, size_t n, uint16_t *restrict token, uint32_t *restrict low) {
    uint32_t others = 0;
    for (size_t j = 0; j < n; j++) {
        int32_t folded = fold[j] < 0 ? (int32_t)(0u - (uint32_t)r[j]) : r[j];
        int32_t q = folded >> raw[j];
        int ok = (r[j] != GSZ_ESCAPE) & (q >= -GSZ_LARGEST_RESIDUAL) & (q <= GSZ_LARGEST_RESIDUAL);
        low[j] = (uint32_t)folded & (((uint32_t)1 << raw[j]) - 1);     /* of an escape, 2^31: 0 */
        token[j] = (uint16_t)(context[j] * GSZ_RANS_SYMBOLS + (uint32_t)(ok ? q + GSZ_SYMBOL_ZERO : 0));
        others += (uint32_t)!ok;
    }
    return others;
}

/* What later steps may know of this one. */
static void NAME(model_learn)(gsz_model_row *row, unsigned tap, const int32_t *restrict y, const int32_t *restrict base, size_t n) {
    int32_t *restrict d = row->d + tap * row->stride, *restrict earlier = row->earlier;
    for (size_t j = 0; j < gsz_wide(n); j++) {
        int32_t v = base == NULL ? y[j] : (int32_t)((uint32_t)y[j] - (uint32_t)base[j]);
        v = v > GSZ_MAX_D ? GSZ_MAX_D : v < -GSZ_MAX_D ? -GSZ_MAX_D : v;
        d[j] = v;
        earlier[j] = (tap == 0 ? 0 : earlier[j]) + v;
    }
    memset(d + n, 0, (row->stride - n) * sizeof *d);
}

/* Adds |d| of n lanes to column sums; returns the sum of what was added. */
static uint64_t NAME(model_sum)(const int32_t *restrict d, size_t n, int32_t *restrict sums) {
    n = gsz_wide(n);
    uint64_t total = 0;
    for (size_t from = 0; from < n; from += 4096) {         /* 4,096 x 32,767 fits 32 bits */
        uint32_t part = 0;
        size_t to = GSZ_MIN(from + 4096, n);
        for (size_t j = from; j < to; j++) {
            int32_t m = d[j] < 0 ? -d[j] : d[j];
            sums[j] = gsz_wrap_add(sums[j], m);
            part += (uint32_t)m;
        }
        total += part;
    }
    return total;
}
