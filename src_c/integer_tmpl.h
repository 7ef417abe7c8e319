/* Products of low rank in integers, one text for every feature set; included by kernels_impl.h.
 *
 * Operands are pairs of 16-bit integers, which one instruction multiplies and adds up: those of AVX2, of SSE2 or NEON where they
 * are part of the machine, or plain C.  Sums of integers do not depend on their order. */
#if defined(__clang__)
#define TILE_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define TILE_UNROLL _Pragma("GCC unroll 8")
#else
#define TILE_UNROLL
#endif
#define TILE_SUMS 8u                /* vectors of sums in registers, half of the 16 that there are: 8 rows of one or 4 of two */

#if defined(OWN_TWINS)
#define PAIRS __m256i
#define PAIRS_LANES 8u              /* columns of a vector */
#define PAIRS_SAME(both) _mm256_set1_epi32(both)
#define PAIRS_LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define PAIRS_STORE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define PAIRS_PRODUCT(a, b) _mm256_madd_epi16(a, b)
#define PAIRS_ADD(a, b) _mm256_add_epi32(a, b)
#define PAIRS_SHIFT(v, n) _mm256_sra_epi32(v, _mm_cvtsi32_si128((int)(n)))
#define PAIRS_ADD_TO(p, v) _mm256_storeu_ps(p, _mm256_add_ps(_mm256_loadu_ps(p), _mm256_cvtepi32_ps(v)))
#elif defined(__SSE2__)
#define PAIRS __m128i
#define PAIRS_LANES 4u
#define PAIRS_SAME(both) _mm_set1_epi32(both)
#define PAIRS_LOAD(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define PAIRS_STORE(p, v) _mm_storeu_si128((__m128i *)(void *)(p), v)
#define PAIRS_PRODUCT(a, b) _mm_madd_epi16(a, b)
#define PAIRS_ADD(a, b) _mm_add_epi32(a, b)
#define PAIRS_SHIFT(v, n) _mm_sra_epi32(v, _mm_cvtsi32_si128((int)(n)))
#define PAIRS_ADD_TO(p, v) _mm_storeu_ps(p, _mm_add_ps(_mm_loadu_ps(p), _mm_cvtepi32_ps(v)))
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(__ARM_BIG_ENDIAN)
#define PAIRS int32x4_t
#define PAIRS_LANES 4u
#define PAIRS_SAME(both) vdupq_n_s32(both)
#define PAIRS_LOAD(p) vreinterpretq_s32_s16(vld1q_s16(p))
#define PAIRS_STORE(p, v) vst1q_s32(p, v)
#define PAIRS_PRODUCT(a, b) NAME(pairs_product)(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b))
#define PAIRS_ADD(a, b) vaddq_s32(a, b)
#define PAIRS_SHIFT(v, n) vshlq_s32(v, vdupq_n_s32(-(int32_t)(n)))
#define PAIRS_ADD_TO(p, v) vst1q_f32(p, vaddq_f32(vld1q_f32(p), vcvtq_f32_s32(v)))
GSZ_INLINE int32x4_t NAME(pairs_product)(int16x8_t a, int16x8_t b) {
    return vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
}
#else
#define PAIRS_LANES 8u
#endif

/* A vector in one register from turn to turn: gcc copies sums and loads operands twice if left to itself. */
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define IN_PLACE(vector) __asm__("" : "+x"(vector))
#else
#define IN_PLACE(vector) (void)(vector)
#endif

/* ---- a large matrix times a few columns, in integers: exact over some terms, whatever the shape of a tile */
#define TIMES_ROWS 64u              /* of x, as integers in the first-level cache */
#define TIMES_DEPTH 64u             /* a multiple of all numbers of terms */
GSZ_STATIC_ASSERT(lowrank_times_depth, TIMES_DEPTH % GSZ_MOST_TERMS == 0);

/* The integer that stands for v, as the low half. */
GSZ_INLINE uint32_t NAME(times_integer)(float v, gsz_rounding how) {
    v *= how.scale;
    v = v < how.most ? v : how.most;
    v = v > -how.most ? v : -how.most;
    return gsz_bits_of_float(v + 0x1.8p23f) & 0xffffu;
}

#ifdef OWN_TWINS
GSZ_INLINE __m256i NAME(times_integers)(const float *x, gsz_rounding how) {
    const __m256 most = _mm256_set1_ps(how.most), v = _mm256_mul_ps(_mm256_loadu_ps(x), _mm256_set1_ps(how.scale));
    return _mm256_cvtps_epi32(_mm256_max_ps(_mm256_min_ps(v, most), _mm256_sub_ps(_mm256_setzero_ps(), most)));
}
#endif

/* Two terms next to each other, n times: of a row ... */
GSZ_INLINE void NAME(times_pack_row)(const float *restrict x, gsz_rounding how, size_t depth, uint32_t *restrict to) {
    size_t k = 0;
#ifdef OWN_TWINS
    for (; k + 16 <= depth; k += 16) {
        const __m256i both = _mm256_packs_epi32(NAME(times_integers)(x + k, how), NAME(times_integers)(x + k + 8, how));
        _mm256_storeu_si256((__m256i *)(void *)(to + k / 2), _mm256_permute4x64_epi64(both, 0xd8));
    }
#endif
    for (; k + 2 <= depth; k += 2) to[k / 2] = NAME(times_integer)(x[k], how) | NAME(times_integer)(x[k + 1], how) << 16;
    if (k < depth) to[k / 2] = NAME(times_integer)(x[k], how);
}

/* ... or of two, n columns wide. */
GSZ_INLINE void NAME(times_pack_two)(const float *restrict even, const float *restrict odd, gsz_rounding how, size_t n, uint32_t *restrict to) {
    size_t r = 0;
#ifdef OWN_TWINS
    for (; r + 8 <= n; r += 8) {
        const __m256i high = _mm256_slli_epi32(NAME(times_integers)(odd + r, how), 16);
        _mm256_storeu_si256((__m256i *)(void *)(to + r), _mm256_blend_epi16(NAME(times_integers)(even + r, how), high, 0xaa));
    }
#endif
    for (; r < n; r++) to[r] = NAME(times_integer)(even[r], how) | NAME(times_integer)(odd[r], how) << 16;
}

/* Rows of x as they lie, or turned where its columns lie next to each other. */
GSZ_INLINE void NAME(times_pack)(const float *x, size_t x_row, size_t x_col, gsz_rounding how, size_t rows, size_t depth, uint32_t *to) {
    if (x_col == 1) {
        for (size_t r = 0; r < rows; r++) NAME(times_pack_row)(x + r * x_row, how, depth, to + r * (TIMES_DEPTH / 2));
        return;
    }
    for (size_t k = 0; k + 2 <= depth; k += 2) NAME(times_pack_two)(x + k * x_col, x + (k + 1) * x_col, how, rows, to + k / 2 * TIMES_ROWS);
    for (size_t r = 0; depth % 2 && r < rows; r++) to[depth / 2 * TIMES_ROWS + r] = NAME(times_integer)(x[(depth - 1) * x_col + r], how);
}

/* A tile of c, `vectors` vectors wide, += a * b over pairs of terms from `at` on, a pair of a row and a pair of b so far apart. */
#ifdef PAIRS
GSZ_INLINE void NAME(times_tile)(const uint32_t *const *a, size_t a_pair, const int16_t *b, size_t b_pair, size_t at, size_t pairs,
                                 float *const *c, const unsigned rows, const unsigned vectors) {
    PAIRS sum[TILE_SUMS][2], right[2];
    TILE_UNROLL for (unsigned r = 0; r < rows; r++) sum[r][0] = sum[r][1] = PAIRS_SAME(0);
    for (size_t k = 0; k < pairs; k++) {
        TILE_UNROLL for (unsigned v = 0; v < vectors; v++) {
            right[v] = PAIRS_LOAD(b + (at + k) * b_pair + v * 2 * PAIRS_LANES);
            IN_PLACE(right[v]);
        }
        TILE_UNROLL for (unsigned r = 0; r < rows; r++) {
            const PAIRS left = PAIRS_SAME((int32_t)a[r][(at + k) * a_pair]);
            TILE_UNROLL for (unsigned v = 0; v < vectors; v++) {
                sum[r][v] = PAIRS_ADD(sum[r][v], PAIRS_PRODUCT(left, right[v]));
                IN_PLACE(sum[r][v]);
            }
        }
    }
    TILE_UNROLL for (unsigned r = 0; r < rows; r++)
        TILE_UNROLL for (unsigned v = 0; v < vectors; v++) PAIRS_ADD_TO(c[r] + v * PAIRS_LANES, sum[r][v]);
}
#else
GSZ_INLINE void NAME(times_tile)(const uint32_t *const *a, size_t a_pair, const int16_t *b, size_t b_pair, size_t at, size_t pairs,
                                 float *const *c, const unsigned rows, const unsigned vectors) {
    const unsigned width = vectors * PAIRS_LANES;
    for (unsigned r = 0; r < rows; r++) {
        int32_t sum[2 * PAIRS_LANES] = {0};
        for (size_t k = at; k < at + pairs; k++) {
            const int16_t *restrict right = b + k * b_pair;
            const int16_t a0 = (int16_t)(a[r][k * a_pair] & 0xffffu), a1 = (int16_t)(a[r][k * a_pair] >> 16);
            for (unsigned j = 0; j < width; j++) sum[j] += a0 * right[2 * j] + a1 * right[2 * j + 1];
        }
        for (unsigned j = 0; j < width; j++) c[r][j] += (float)sum[j];
    }
}
#endif

/* Columns [j, j + vectors) of c += a * b; rows that a tile has too many repeat the last one, for nobody. */
GSZ_INLINE void NAME(times_strip)(const uint32_t *a, size_t a_row, size_t a_pair, const int16_t *b, size_t b_pair, size_t rows, size_t depth,
                                  unsigned terms, float *c, size_t c_row, const unsigned vectors) {
    const unsigned tile = TILE_SUMS / vectors;
    float nowhere[2 * PAIRS_LANES] = {0};
    for (size_t i = 0; i < rows; i += tile) {
        const uint32_t *from[TILE_SUMS];
        float *to[TILE_SUMS];
        for (size_t r = 0; r < tile; r++) {
            from[r] = a + GSZ_MIN(i + r, rows - 1) * a_row;
            to[r] = i + r < rows ? c + (i + r) * c_row : nowhere;
        }
        for (size_t k = 0; k < depth; k += terms)
            NAME(times_tile)(from, a_pair, b, b_pair, k / 2, (GSZ_MIN((size_t)terms, depth - k) + 1) / 2, to, tile, vectors);
    }
}

static void NAME(times_panel)(const uint32_t *a, size_t a_row, size_t a_pair, const int16_t *b, size_t rows, size_t depth, unsigned terms,
                              size_t n, float *c, size_t c_row) {
    size_t j = 0;
    for (; j + 2 * PAIRS_LANES <= n; j += 2 * PAIRS_LANES) NAME(times_strip)(a, a_row, a_pair, b + 2 * j, 2 * n, rows, depth, terms, c + j, c_row, 2);
    if (j < n) NAME(times_strip)(a, a_row, a_pair, b + 2 * j, 2 * n, rows, depth, terms, c + j, c_row, 1);
}

/* Block after block of x, each as integers, times a panel of b. */
GSZ_INLINE void NAME(lowrank_times_by)(void (*const panel)(const uint32_t *a, size_t a_row, size_t a_pair, const int16_t *b,
                                                           size_t rows, size_t depth, unsigned terms, size_t n, float *c, size_t c_row),
                                       const float *x, size_t x_row, size_t x_col, const gsz_rounding *how, const int16_t *b,
                                       size_t rows, size_t depth, size_t n, float *c, size_t c_row) {
    uint32_t block[TIMES_ROWS * TIMES_DEPTH / 2];
    const size_t a_row = x_col == 1 ? TIMES_DEPTH / 2 : 1, a_pair = x_col == 1 ? 1 : TIMES_ROWS;
    for (size_t i = 0; i < rows; i += TIMES_ROWS) {
        const size_t here = GSZ_MIN((size_t)TIMES_ROWS, rows - i);
        float *to = c + i * c_row;
        for (size_t r = 0; r < here; r++) memset(to + r * c_row, 0, n * sizeof *c);
        for (size_t k = 0; k < depth; k += TIMES_DEPTH) {
            const size_t deep = GSZ_MIN((size_t)TIMES_DEPTH, depth - k);
            NAME(times_pack)(x + i * x_row + k * x_col, x_row, x_col, *how, here, deep, block);
            panel(block, a_row, a_pair, b + k * n, here, deep, how->terms, n, to, c_row);
        }
    }
}

static void NAME(lowrank_times)(const float *x, size_t x_row, size_t x_col, const gsz_rounding *how, const int16_t *b,
                                size_t rows, size_t depth, size_t n, float *c, size_t c_row) {
    NAME(lowrank_times_by)(NAME(times_panel), x, x_row, x_col, how, b, rows, depth, n, c, c_row);
}

/* Sum of squares of the same integers. */
static uint64_t NAME(lowrank_energy)(const float *restrict x, size_t n, const gsz_rounding *how) {
    uint64_t all = 0;
    const size_t block = (size_t)how->terms * how->terms / 2;   /* 2047^2 * 512 < 2^32 */
    for (size_t i = 0; i < n; i += block) {
        const size_t end = GSZ_MIN(i + block, n);
        uint32_t sum = 0;
        for (size_t j = i; j < end; j++) {
            const int32_t v = (int16_t)NAME(times_integer)(x[j], *how);
            sum += (uint32_t)(v * v);
        }
        all += sum;
    }
    return all;
}

/* ---- rows of the base, from factors of integers (lowrank.h) */

/* A strip of one row of the base, up to GSZ_STRIP columns; see lowrank.h. */
GSZ_INLINE void NAME(lowrank_strip_row)(const int16_t *restrict a, unsigned pairs, const int16_t *restrict b, const size_t width,
                                        unsigned shift, int32_t *restrict base) {
    uint32_t sum[GSZ_STRIP];
    for (size_t l = 0; l < width; l++) sum[l] = (uint32_t)1 << (shift - 1);
    for (unsigned k = 0; k < pairs; k++, b += 2 * width) {
        const int16_t a0 = a[2 * GSZ_BASE_ROWS * k], a1 = a[2 * GSZ_BASE_ROWS * k + 1];
        for (size_t l = 0; l < width; l++) sum[l] += (uint32_t)(a0 * b[2 * l]) + (uint32_t)(a1 * b[2 * l + 1]);
    }
    for (size_t l = 0; l < width; l++) base[l] = (int32_t)sum[l] >> shift;
}

/* A strip of GSZ_BASE_ROWS rows side by side, so that b is read once for all of them. */
#ifdef PAIRS
GSZ_INLINE void NAME(lowrank_strip_rows)(const int16_t *a, unsigned pairs, const int16_t *b, unsigned shift, int32_t *base, size_t stride) {
    for (size_t l = 0; l < GSZ_STRIP; l += 2 * PAIRS_LANES) {
        PAIRS sum[GSZ_BASE_ROWS][2];
        TILE_UNROLL for (unsigned r = 0; r < GSZ_BASE_ROWS; r++) sum[r][0] = sum[r][1] = PAIRS_SAME(1 << (shift - 1));
        for (unsigned k = 0; k < pairs; k++) {
            PAIRS left = PAIRS_LOAD(b + 2 * (k * GSZ_STRIP + l)), right = PAIRS_LOAD(b + 2 * (k * GSZ_STRIP + l + PAIRS_LANES));
            IN_PLACE(left);
            IN_PLACE(right);
            TILE_UNROLL for (unsigned r = 0; r < GSZ_BASE_ROWS; r++) {
                int32_t both;
                memcpy(&both, a + 2 * (k * GSZ_BASE_ROWS + r), 4);
                const PAIRS v = PAIRS_SAME(both);
                sum[r][0] = PAIRS_ADD(sum[r][0], PAIRS_PRODUCT(v, left));
                sum[r][1] = PAIRS_ADD(sum[r][1], PAIRS_PRODUCT(v, right));
                IN_PLACE(sum[r][0]);
                IN_PLACE(sum[r][1]);
            }
        }
        TILE_UNROLL for (unsigned r = 0; r < GSZ_BASE_ROWS; r++) {
            PAIRS_STORE(base + r * stride + l, PAIRS_SHIFT(sum[r][0], shift));
            PAIRS_STORE(base + r * stride + l + PAIRS_LANES, PAIRS_SHIFT(sum[r][1], shift));
        }
    }
}
#else
GSZ_INLINE void NAME(lowrank_strip_rows)(const int16_t *a, unsigned pairs, const int16_t *b, unsigned shift, int32_t *base, size_t stride) {
    for (unsigned r = 0; r < GSZ_BASE_ROWS; r++) NAME(lowrank_strip_row)(a + 2 * r, pairs, b, GSZ_STRIP, shift, base + r * stride);
}
#endif

/* Columns [c, cols), less than a strip. */
GSZ_INLINE void NAME(lowrank_rest)(const int16_t *a, unsigned pairs, const int16_t *b, size_t c, size_t cols, unsigned shift, int32_t *base, size_t stride) {
    for (unsigned r = 0; c < cols && r < GSZ_BASE_ROWS; r++)
        NAME(lowrank_strip_row)(a + 2 * r, pairs, b + 2 * pairs * c, cols - c, shift, base + r * stride + c);
}

static void NAME(lowrank_rows)(const int16_t *a, unsigned pairs, const int16_t *b, size_t cols, unsigned shift, int32_t *base, size_t stride) {
    size_t c = 0;
    for (; c + GSZ_STRIP <= cols; c += GSZ_STRIP) NAME(lowrank_strip_rows)(a, pairs, b + 2 * pairs * c, shift, base + c, stride);
    NAME(lowrank_rest)(a, pairs, b, c, cols, shift, base, stride);
}
#undef PAIRS
#undef PAIRS_LANES
#undef PAIRS_SAME
#undef PAIRS_LOAD
#undef PAIRS_STORE
#undef PAIRS_PRODUCT
#undef PAIRS_ADD
#undef PAIRS_SHIFT
#undef PAIRS_ADD_TO
#undef IN_PLACE
#undef TILE_UNROLL
#undef TILE_SUMS
#undef TIMES_ROWS
#undef TIMES_DEPTH
