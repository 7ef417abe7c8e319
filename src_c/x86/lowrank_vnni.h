/* Products of low rank for processors that multiply pairs of integers and add them up in one step (AVX-512 VNNI): the same sums, sixteen
 * columns at a time.  Included by kernels_avx2.c. */
#define VNNI_ROWS 8u                    /* sums in registers: as many as hide the time that one takes */

#if defined(__clang__)
#define VNNI_EACH(r, n) _Pragma("clang loop unroll(full)") for (unsigned r = 0; r < (n); r++)
#else
#define VNNI_EACH(r, n) _Pragma("GCC unroll 8") for (unsigned r = 0; r < (n); r++)
#endif

#define IN_PLACE_VNNI(vector) __asm__("" : "+v"(vector))        /* see integer_tmpl.h */

/* Eight rows, `vectors` times sixteen columns, of c += a * b over pairs of terms from `at` on. */
GSZ_INLINE void times_tile_vnni(const uint32_t *const *a, size_t a_pair, const int16_t *b, size_t b_pair, size_t at, size_t pairs,
                                float *const *c, const unsigned vectors) {
    __m512i sum[2][VNNI_ROWS], right[2];
    VNNI_EACH(v, vectors) VNNI_EACH(r, VNNI_ROWS) sum[v][r] = _mm512_setzero_si512();
    for (size_t k = 0; k < pairs; k++) {
        VNNI_EACH(v, vectors) right[v] = _mm512_loadu_si512(b + (at + k) * b_pair + 32 * v);
        VNNI_EACH(r, VNNI_ROWS) {
            const __m512i left = _mm512_set1_epi32((int32_t)a[r][(at + k) * a_pair]);
            VNNI_EACH(v, vectors) {
                sum[v][r] = _mm512_dpwssd_epi32(sum[v][r], left, right[v]);
                IN_PLACE_VNNI(sum[v][r]);
            }
        }
    }
    VNNI_EACH(r, VNNI_ROWS) VNNI_EACH(v, vectors) {
        float *to = c[r] + 16 * v;
        _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), _mm512_cvtepi32_ps(sum[v][r])));
    }
}

/* So many columns of c += a * b; rows that a tile has too many repeat the last one, for nobody. */
GSZ_INLINE void times_strip_vnni(const uint32_t *a, size_t a_row, size_t a_pair, const int16_t *b, size_t b_pair, size_t rows, size_t depth,
                                 unsigned terms, float *c, size_t c_row, const unsigned vectors) {
    float nowhere[32] = {0};
    for (size_t i = 0; i < rows; i += VNNI_ROWS) {
        const uint32_t *from[VNNI_ROWS];
        float *to[VNNI_ROWS];
        for (size_t r = 0; r < VNNI_ROWS; r++) {
            from[r] = a + GSZ_MIN(i + r, rows - 1) * a_row;
            to[r] = i + r < rows ? c + (i + r) * c_row : nowhere;
        }
        for (size_t k = 0; k < depth; k += terms)
            times_tile_vnni(from, a_pair, b, b_pair, k / 2, (GSZ_MIN((size_t)terms, depth - k) + 1) / 2, to, vectors);
    }
}

static void times_panel_vnni(const uint32_t *a, size_t a_row, size_t a_pair, const int16_t *b, size_t rows, size_t depth, unsigned terms,
                             size_t n, float *c, size_t c_row) {
    size_t j = 0;
    for (; j + 32 <= n; j += 32) times_strip_vnni(a, a_row, a_pair, b + 2 * j, 2 * n, rows, depth, terms, c + j, c_row, 2);
    if (j + 16 <= n) times_strip_vnni(a, a_row, a_pair, b + 2 * j, 2 * n, rows, depth, terms, c + j, c_row, 1), j += 16;
    if (j < n) times_strip_int_avx2(a, a_row, a_pair, b + 2 * j, 2 * n, rows, depth, terms, c + j, c_row, 1);
}

static void lowrank_times_vnni(const float *x, size_t x_row, size_t x_col, const gsz_rounding *how, const int16_t *b,
                               size_t rows, size_t depth, size_t n, float *c, size_t c_row) {
    lowrank_times_by_int_avx2(times_panel_vnni, x, x_row, x_col, how, b, rows, depth, n, c, c_row);
}

/* `strips` strips of GSZ_BASE_ROWS rows of a base. */
GSZ_INLINE void strips_vnni(const int16_t *a, unsigned pairs, const int16_t *b, unsigned shift, int32_t *base, size_t stride, const unsigned strips) {
    const __m512i half = _mm512_set1_epi32(1 << (shift - 1));
    const __m128i count = _mm_cvtsi32_si128((int)shift);
    __m512i sum[2][GSZ_BASE_ROWS];
    VNNI_EACH(s, strips) VNNI_EACH(r, GSZ_BASE_ROWS) sum[s][r] = half;
    for (unsigned k = 0; k < pairs; k++, a += 2 * GSZ_BASE_ROWS, b += 2 * GSZ_STRIP)
        VNNI_EACH(s, strips) {
            const __m512i right = _mm512_loadu_si512(b + s * 2 * pairs * GSZ_STRIP);
            VNNI_EACH(r, GSZ_BASE_ROWS) {
                int32_t both;
                memcpy(&both, a + 2 * r, 4);
                sum[s][r] = _mm512_dpwssd_epi32(sum[s][r], _mm512_set1_epi32(both), right);
                IN_PLACE_VNNI(sum[s][r]);
            }
        }
    VNNI_EACH(s, strips) VNNI_EACH(r, GSZ_BASE_ROWS) _mm512_storeu_si512(base + r * stride + s * GSZ_STRIP, _mm512_sra_epi32(sum[s][r], count));
}

static void lowrank_rows_vnni(const int16_t *a, unsigned pairs, const int16_t *b, size_t cols, unsigned shift, int32_t *base, size_t stride) {
    size_t c = 0;
    for (; c + 2 * GSZ_STRIP <= cols; c += 2 * GSZ_STRIP) strips_vnni(a, pairs, b + 2 * pairs * c, shift, base + c, stride, 2);
    if (c + GSZ_STRIP <= cols) strips_vnni(a, pairs, b + 2 * pairs * c, shift, base + c, stride, 1), c += GSZ_STRIP;
    lowrank_rest_int_avx2(a, pairs, b, c, cols, shift, base, stride);
}
#undef VNNI_ROWS
#undef VNNI_EACH
#undef IN_PLACE_VNNI
