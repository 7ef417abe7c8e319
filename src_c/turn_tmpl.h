/* The hot loops of turn.c, one text for every feature set; included by kernels_impl.h. */

#define TURN_SUMS 8u            /* side by side: the order of a sum of floats must not depend on the compiler */

#ifndef OWN_TWINS
GSZ_INLINE int32_t NAME(turn_cut)(int32_t v) { return v > 32767 ? 32767 : v < -32767 ? -32767 : v; }

static uint32_t NAME(turn_dot)(const int16_t *restrict v, const int16_t *restrict y, size_t n) {
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += (uint32_t)((int32_t)y[i] * (int32_t)v[i]);
    return sum;
}

static void NAME(turn_subtract)(const int16_t *restrict v, size_t n, int32_t ratio, int16_t *restrict y) {
    for (size_t i = 0; i < n; i++) {
        const int32_t part = ((int32_t)v[i] * ratio + (1 << (GSZ_TURN_RATIO - 1))) >> GSZ_TURN_RATIO;
        y[i] = (int16_t)NAME(turn_cut)((int32_t)y[i] - NAME(turn_cut)(part));
    }
}
#else
static uint32_t NAME(turn_dot)(const int16_t *restrict v, const int16_t *restrict y, size_t n) {
    __m256i sum = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i += GSZ_TURN_WIDE) {
        const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(v + i));
        const __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(y + i));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
    }
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(half);
}

static void NAME(turn_subtract)(const int16_t *restrict v, size_t n, int32_t ratio, int16_t *restrict y) {
    const __m256i by = _mm256_set1_epi16((int16_t)ratio), round = _mm256_set1_epi32(1 << (GSZ_TURN_RATIO - 1)), least = _mm256_set1_epi16(-32767);
    for (size_t i = 0; i < n; i += GSZ_TURN_WIDE) {
        const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(v + i));
        const __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(y + i));
        const __m256i low = _mm256_mullo_epi16(a, by), high = _mm256_mulhi_epi16(a, by);
        const __m256i first = _mm256_srai_epi32(_mm256_add_epi32(_mm256_unpacklo_epi16(low, high), round), GSZ_TURN_RATIO);
        const __m256i second = _mm256_srai_epi32(_mm256_add_epi32(_mm256_unpackhi_epi16(low, high), round), GSZ_TURN_RATIO);
        const __m256i part = _mm256_max_epi16(_mm256_packs_epi32(first, second), least);
        _mm256_storeu_si256((__m256i *)(void *)(y + i), _mm256_max_epi16(_mm256_subs_epi16(b, part), least));
    }
}
#endif

/* x less its part along v; the last lane of v stands beside it. */
static void NAME(turn_away)(const float *restrict v, size_t n, float last, float scale, float *restrict x) {
    float sum[TURN_SUMS] = {0};
    size_t i = 0;
    for (; i + TURN_SUMS <= n; i += TURN_SUMS)
        for (unsigned l = 0; l < TURN_SUMS; l++) sum[l] += v[i + l] * x[i + l];
    for (unsigned l = 0; i < n; i++, l++) sum[l] += v[i] * x[i];
    const float dot = ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7])), ratio = scale * (dot + last * x[n]);
    for (i = 0; i < n; i++) x[i] -= ratio * v[i];
    x[n] -= ratio * last;
}
#undef TURN_SUMS
