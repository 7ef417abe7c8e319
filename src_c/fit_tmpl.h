/* The loops of fit.c over observations, one text for every feature set; included by kernels_impl.h.
 *
 * Arrays hold a multiple of FIT_LANES.  Each lane is summed alone, over a block in float, over blocks in double: so
 * neither the length of a vector nor the compiler changes a bit. */
#define FIT_BLOCK 256u
#define FIT_LANES GSZ_FIT_LANES
#define FIT_SUMS GSZ_FIT_SUMS

/* So many lanes are summed at a time: left to themselves, compilers spread the sums over memory. */
#if !defined(__GNUC__)
typedef float NAME(fit_vector);
#elif defined(OWN_TWINS)
typedef float NAME(fit_vector) __attribute__((vector_size(32)));
#else
typedef float NAME(fit_vector) __attribute__((vector_size(16)));
#endif
#if defined(__clang__)
#define FIT_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define FIT_UNROLL _Pragma("GCC unroll 16")
#else
#define FIT_UNROLL
#endif
#define FIT_WIDTH (sizeof(NAME(fit_vector)) / sizeof(float))

/* Squares of n features (lower triangle), products with the target, and the target's square, all times weight^2; adds
 * to `sums` of lanes l, l + 1 ... of observations [from, to). */
GSZ_INLINE void NAME(fit_block)(const float *const *f, const unsigned n, const float *target, const float *weight,
                                size_t from, size_t to, size_t l, double (*sums)[FIT_LANES]) {
    NAME(fit_vector) acc[FIT_SUMS(GSZ_FIT_MOST)], s[GSZ_FIT_MOST + 1], w;
    float sum[FIT_WIDTH];
    memset(acc, 0, sizeof acc);
    for (size_t i = from + l; i < to; i += FIT_LANES) {
        unsigned at = 0;
        memcpy(&w, weight + i, sizeof w);
        memcpy(&s[n], target + i, sizeof w);
        s[n] *= w;
        FIT_UNROLL for (unsigned k = 0; k < n; k++) {
            memcpy(&s[k], f[k] + i, sizeof w);
            s[k] *= w;
        }
        FIT_UNROLL for (unsigned a = 0; a <= n; a++)
            FIT_UNROLL for (unsigned b = 0; b <= a; b++, at++) acc[at] += s[a] * s[b];
    }
    FIT_UNROLL for (unsigned k = 0; k < FIT_SUMS(n); k++) {
        memcpy(sum, &acc[k], sizeof sum);
        for (unsigned j = 0; j < FIT_WIDTH; j++) sums[k][l + j] += (double)sum[j];
    }
}

static void NAME(fit_sums)(const float *const *f, unsigned n, const float *target, const float *weight, size_t count, double *sums) {
    double lanes[FIT_SUMS(GSZ_FIT_MOST)][FIT_LANES] = {{0}};
    for (size_t from = 0; from < count; from += FIT_BLOCK)
        for (size_t l = 0; l < FIT_LANES; l += FIT_WIDTH) {
            const size_t to = GSZ_MIN(from + FIT_BLOCK, count);
            if (n == 1) NAME(fit_block)(f, 1, target, weight, from, to, l, lanes);
            else if (n == 3) NAME(fit_block)(f, 3, target, weight, from, to, l, lanes);
            else if (n == 4) NAME(fit_block)(f, 4, target, weight, from, to, l, lanes);
            else if (n == 2) NAME(fit_block)(f, 2, target, weight, from, to, l, lanes);
            else NAME(fit_block)(f, GSZ_FIT_MOST, target, weight, from, to, l, lanes);
        }
    for (unsigned k = 0; k < FIT_SUMS(n); k++) {
        sums[k] = 0;
        for (unsigned l = 0; l < FIT_LANES; l++) sums[k] += lanes[k][l];
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
static void NAME(fit_left)(const float *restrict target, const float *restrict mean, float bin, float part,
                           size_t count, float *restrict left) {
    const float inverse = 1 / bin, widths = (float)(1 << GSZ_WIDTH_BITS);
    for (size_t i = 0; i < count; i++) {
        float e = target[i] - mean[i];
        e = e < 0 ? -e : e;
        float whole = ((e * inverse + 0x1.8p23f) - 0x1.8p23f) * bin;
        left[i] = (part * whole + (1 - part) * e) * widths;
    }
}
#undef FIT_BLOCK
#undef FIT_LANES
#undef FIT_SUMS
#undef FIT_WIDTH
#undef FIT_UNROLL
