/* The loops of fit.c over observations, one text for every feature set; included by kernels_impl.h.
 *
 * Arrays hold a multiple of FIT_LANES.  Each lane is summed alone over a block, in float; blocks in double, in order: so
 * neither the length of a vector nor the compiler changes a bit. */
#define FIT_BLOCK 256u
#define FIT_LANES GSZ_FIT_LANES
#define FIT_SUMS GSZ_FIT_SUMS

#define ALL_LANES(l) for (unsigned l = 0; l < FIT_LANES; l++)

/* Squares of n features (lower triangle), products with the target, and the target's square, all times weight^2. */
GSZ_INLINE void NAME(fit_block)(const float *const *f, const unsigned n, const float *target, const float *weight,
                                size_t from, size_t to, double *sums) {
    float acc[FIT_SUMS(4)][FIT_LANES] = {{0}};
    for (size_t i = from; i < to; i += FIT_LANES) {
        float s[5][FIT_LANES];
        unsigned at = 0;
        GSZ_UNROLL_LANES for (unsigned k = 0; k < n; k++) ALL_LANES(l) s[k][l] = f[k][i + l] * weight[i + l];
        ALL_LANES(l) s[n][l] = target[i + l] * weight[i + l];
        GSZ_UNROLL_LANES for (unsigned a = 0; a <= n; a++)
            GSZ_UNROLL_LANES for (unsigned b = 0; b <= a; b++, at++) ALL_LANES(l) acc[at][l] += s[a][l] * s[b][l];
    }
    for (unsigned k = 0; k < FIT_SUMS(n); k++) ALL_LANES(l) sums[k] += (double)acc[k][l];
}

static void NAME(fit_sums)(const float *const *f, unsigned n, const float *target, const float *weight, size_t count, double *sums) {
    memset(sums, 0, FIT_SUMS(n) * sizeof *sums);
    for (size_t from = 0; from < count; from += FIT_BLOCK) {
        const size_t to = GSZ_MIN(from + FIT_BLOCK, count);
        if (n == 3) NAME(fit_block)(f, 3, target, weight, from, to, sums);
        else NAME(fit_block)(f, 4, target, weight, from, to, sums);
    }
}

/* out = sum of w_k f_k. */
static void NAME(fit_dot)(const float *const *f, unsigned n, const float *w, size_t count, float *restrict out) {
    for (size_t i = 0; i < count; i++) out[i] = 0;
    for (unsigned k = 0; k < n; k++) {
        const float *restrict from = f[k];
        const float weight = w[k];
        for (size_t i = 0; i < count; i++) out[i] += weight * from[i];
    }
}

/* weight = 1 / max(size, floor); 0 for observations that do not count (width 0). */
static void NAME(fit_weights)(const float *restrict size, const float *restrict counts, float floor, size_t count, float *restrict weight) {
    for (size_t i = 0; i < count; i++) {
        float s = size[i] > floor ? size[i] : floor;
        weight[i] = (counts[i] > 0 ? 1.0f : 0.0f) / s;
    }
}

/* What will be coded of a residual: mostly whole bins.  In widths (1/16 unit). */
static void NAME(fit_left)(const float *restrict target, const float *restrict mean, float bin, size_t count, float *restrict left) {
    const float inverse = 1 / bin, widths = (float)(1 << GSZ_WIDTH_BITS);
    for (size_t i = 0; i < count; i++) {
        float e = target[i] - mean[i];
        e = e < 0 ? -e : e;
        float whole = ((e * inverse + 0x1.8p23f) - 0x1.8p23f) * bin;
        left[i] = (0.7f * whole + 0.3f * e) * widths;
    }
}
#undef ALL_LANES
#undef FIT_BLOCK
#undef FIT_LANES
#undef FIT_SUMS
