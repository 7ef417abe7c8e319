/* Hot loops over values, one text for every type and feature set.  No include guard: kernels_*.c include it
 * once per type with
 *   T         stored type            W        working type (float or double)
 *   LOAD(v)   T to W, exact          STORE(w) W to T, one rounding
 *   NAME(f)   function name          MAGIC    1.5 * 2^(fraction bits of W): adding it rounds to an integer
 *   MAX_K     largest |k|
 *   BITS_OF(w), OF_BITS(v)  the bits of a W, of type UKEY, and back; KEY: the same, signed
 * The loops are branch free so that compilers turn them into vector code; no sum is reassociated. */

static size_t NAME(quantise)(const void *restrict xs, size_t n, const gsz_grid_params *g, int32_t *restrict k) {
    const T *restrict x = (const T *)xs;
    const W step = (W)g->step, inverse = (W)1 / step, eb = BOUND(g->eb);
    uint32_t uncertain = 0;
    for (size_t i = 0; i < n; i++) {
        W v = LOAD(x[i]);
        W r = (v * inverse + MAGIC) - MAGIC;
        W e = v - LOAD(STORE(r * step));        /* the very value that the decoder makes */
        /* rounding is monotone: a rounded difference below eb means an exact one below eb; NaN fails */
        int ok = (int)(ABS(e) < eb) & (int)(ABS(r) <= (W)MAX_K);
        W safe = ok ? r : (W)0;
        k[i] = ok ? (int32_t)safe : GSZ_ESCAPE;
        uncertain += (uint32_t)!ok;
    }
    return uncertain;
}

static void NAME(dequantise16)(const int16_t *restrict k, size_t n, double step, void *restrict ys) {
    T *restrict y = (T *)ys;
    const W s = (W)step;
    for (size_t i = 0; i < n; i++) y[i] = STORE((W)k[i] * s);
}

static void NAME(dequantise32)(const int32_t *restrict k, size_t n, double step, void *restrict ys) {
    T *restrict y = (T *)ys;
    const W s = (W)step;
    for (size_t i = 0; i < n; i++) y[i] = STORE((W)k[i] * s);
}

/* In integers of the same order as the values, which compilers reduce in vectors. */
static void NAME(range)(const void *restrict xs, size_t n, gsz_range *range) {
    const T *restrict x = (const T *)xs;
    const KEY most = (KEY)BITS_OF(HUGEST), mask = (KEY)(((UKEY)1 << (8 * sizeof(KEY) - 1)) - 1);
    KEY low = most, high = ~most;                               /* those of the largest numbers */
    size_t finite = 0;
    while (n > 0) {
        const size_t here = GSZ_MIN(n, (size_t)1 << 20);
        UKEY count = 0;
        for (size_t i = 0; i < here; i++) {
            const KEY bits = (KEY)BITS_OF(LOAD(x[i])), size = bits & mask, key = size ^ -(KEY)(bits < 0);
            const KEY a = size <= most ? key : most, b = size <= most ? key : ~most;
            low = a < low ? a : low;
            high = b > high ? b : high;
            count += (UKEY)(size <= most);
        }
        finite += (size_t)count;
        x += here;
        n -= here;
    }
    range->finite += finite;
    const double least = (double)OF_BITS((UKEY)(low < 0 ? ~low | ~mask : low)), largest = (double)OF_BITS((UKEY)(high < 0 ? ~high | ~mask : high));
    range->min = least < range->min ? least : range->min;
    range->max = largest > range->max ? largest : range->max;
}

/* Lane j sums elements j, j + 8, ...; the lanes are added in a fixed tree. */
static double NAME(sum_squares)(const void *restrict xs, size_t n, double scale) {
    const T *restrict x = (const T *)xs;
    double sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) {
            double v = (double)LOAD(x[i + (size_t)j]);
            v = gsz_abs_double(v) <= DOUBLE_HUGEST ? v * scale : 0.0;
            sum[j] += v * v;
        }
    for (int j = 0; i < n; i++, j++) {
        double v = (double)LOAD(x[i]);
        v = gsz_abs_double(v) <= DOUBLE_HUGEST ? v * scale : 0.0;
        sum[j] += v * v;
    }
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static double NAME(sum_errors)(const void *restrict xs, const int32_t *restrict k, size_t n, double step, double scale) {
    const T *restrict x = (const T *)xs;
    const W s = (W)step;
    double sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) {
            size_t at = i + (size_t)j;
            double e = ((double)LOAD(x[at]) - (double)LOAD(STORE((W)k[at] * s))) * scale;
            e = k[at] != GSZ_ESCAPE ? e : 0.0;
            sum[j] += e * e;
        }
    for (int j = 0; i < n; i++, j++) {
        double e = ((double)LOAD(x[i]) - (double)LOAD(STORE((W)k[i] * s))) * scale;
        e = k[i] != GSZ_ESCAPE ? e : 0.0;
        sum[j] += e * e;
    }
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

static size_t NAME(model_quantise)(const void *restrict xs, size_t n, const gsz_grid_params *g, unsigned unit_bits,
                                   const int32_t *restrict centre, const int32_t *restrict shift, int32_t *restrict r,
                                   int32_t *restrict y) {
    const T *restrict x = (const T *)xs;
    const W step = (W)g->step, inverse = (W)1 / step, eb = BOUND(g->eb), bins = (W)1 / (W)((int32_t)1 << unit_bits);
    const W offset = (W)g->offset, first = (W)(g->aligned ? 0 : 1), after = (W)1 - first;
    uint32_t uncertain = 0;
    for (size_t j = 0; j < n; j++) {
        W v = LOAD(x[j]), c = (W)centre[j];         /* aligned: subtracted after rounding, so that the centre decides nothing */
        W q = ((v * inverse - (c * first + offset)) * bins + MAGIC) - MAGIC - c * after * bins;
        int inside = (int)(ABS(q) <= (W)GSZ_MAX_RESIDUAL);
        W safe = inside ? q : (W)0;
        int32_t middle = gsz_wrap_add(centre[j], shift[j]);
        int32_t k = (int32_t)safe, to = (int32_t)((uint32_t)middle + ((uint32_t)k << unit_bits));
        W e = v - LOAD(STORE((W)to * step));        /* the very value that the decoder makes */
        int ok = inside & (int)(ABS(e) < eb);
        int32_t keep = -ok;                         /* masks: with branches compilers give up */
        r[j] = (k & keep) | (GSZ_ESCAPE & ~keep);
        y[j] = (to & keep) | (middle & ~keep);
        uncertain += (uint32_t)!ok;
    }
    return uncertain;
}

static void NAME(in_units)(const void *restrict xs, size_t n, double unit, int32_t most, int32_t *restrict out) {
    const T *restrict x = (const T *)xs;
    const double high = (double)most;
    for (size_t i = 0; i < n; i++) {
        double q = (double)LOAD(x[i]) / unit;
        q = q == q ? q : 0;
        q = q < high ? q : high;
        q = q > -high ? q : -high;
        out[i] = (int32_t)((q + 0x1.8p52) - 0x1.8p52);
    }
}

static void NAME(differences)(const void *restrict xs, const void *restrict ys, size_t n, void *restrict out) {
    const T *restrict x = (const T *)xs, *restrict y = (const T *)ys;
    T *restrict d = (T *)out;
    for (size_t i = 0; i < n; i++) d[i] = STORE(LOAD(x[i]) - LOAD(y[i]));
}

GSZ_INLINE double NAME(sum_lanes)(const double *sum) {
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* Lane j sums elements j, j + 8, ...; the lanes are added in a fixed tree.  At first as if all were finite, and apart from
 * the counts: compilers turn only plain loops into vectors. */
static double NAME(sum_sizes)(const void *restrict xs, size_t n, double eb, size_t *finite, size_t *above) {
    const T *restrict x = (const T *)xs;
    const W least = BOUND(eb);
    double sum[8] = {0};
    uint32_t large = 0;
    size_t i = 0, count = 0;
    for (size_t j = 0; j < n; j++) large += (uint32_t)!(ABS(LOAD(x[j])) <= least);
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++) sum[j] += (double)ABS(LOAD(x[i + j]));
    for (size_t j = 0; i < n; i++, j++) sum[j] += (double)ABS(LOAD(x[i]));
    *above += large;
    if (gsz_is_finite(NAME(sum_lanes)(sum))) {
        *finite += n;
        return NAME(sum_lanes)(sum);
    }
    memset(sum, 0, sizeof sum);
    for (i = 0; i < n; i++) {
        W v = ABS(LOAD(x[i]));
        sum[i % 8] += v <= HUGEST ? (double)v : 0.0;
        count += (size_t)(v <= HUGEST);
    }
    *finite += count;
    return NAME(sum_lanes)(sum);
}
