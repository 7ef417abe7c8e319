/* Loops that compilers do not turn into vector code by themselves.  kernels_impl.h includes this file in place of
 * their portable twins, to which they are bit-equal. */

/* Twin of the portable loop: eight integers at a time, those that are not zero moved to the front. */
static size_t compact_int_avx2(const int32_t *v, size_t n, uint32_t *positions, int32_t *values) {
    size_t count = 0, i = 0;
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (; i + 8 <= n; i += 8) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(v + i));
        unsigned zero = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(x, _mm256_setzero_si256())));
        /* byte k of `order` = lane of the k-th integer that is not zero: 3 bits a lane, spread to bytes */
        uint64_t keep = _pdep_u64(~zero & 255u, 0x0101010101010101u) * 255u;
        uint64_t order = _pext_u64(0x0706050403020100u, keep);
        __m256i move = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)order));
        __m256i at = _mm256_add_epi32(_mm256_set1_epi32((int)i), lanes);
        _mm256_storeu_si256((__m256i *)(void *)(values + count), _mm256_permutevar8x32_epi32(x, move));
        _mm256_storeu_si256((__m256i *)(void *)(positions + count), _mm256_permutevar8x32_epi32(at, move));
        count += (size_t)_mm_popcnt_u32(~zero & 255u);
    }
    for (; i < n; i++) {
        positions[count] = (uint32_t)i;
        values[count] = v[i];
        count += v[i] != 0;
    }
    return count;
}

/* Eight lanes of a tap: a load for each, placed so that its element falls into its lane of the vector.  What else it reads lies between
 * the first element and the last one. */
#define LANE_OF(sum, p, i) _mm256_blend_epi32(sum, _mm256_loadu_si256((const __m256i *)(const void *)((p) - 4 * (i))), 1 << (i))

static void gather_taps_int_avx2(const void *row, size_t lanes, unsigned taps, void *planes) {
    const size_t step = 4 * (size_t)taps;
    size_t j = 0;
    for (; j + 8 <= lanes; j += 8)
        for (unsigned tap = 0; tap < taps; tap++) {
            const uint8_t *p = (const uint8_t *)row + j * step + 4 * tap;
            __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
            v = LANE_OF(v, p + step, 1);
            v = LANE_OF(v, p + 2 * step, 2);
            v = LANE_OF(v, p + 3 * step, 3);
            v = LANE_OF(v, p + 4 * step, 4);
            v = LANE_OF(v, p + 5 * step, 5);
            v = LANE_OF(v, p + 6 * step, 6);
            v = LANE_OF(v, p + 7 * step, 7);
            _mm256_storeu_si256((__m256i *)(void *)((uint8_t *)planes + 4 * (tap * lanes + j)), v);
        }
    gather_rest_int_avx2(row, j, lanes, taps, planes);
}

/* Eight elements of eight lanes of nine taps, the k-th eight: each from its plane, likewise; planes go on for eight lanes either way. */
GSZ_INLINE __m256i nine_taps(const uint8_t *planes, size_t plane, const unsigned k) {
#define PLACE(i) (planes + (8 * k + (i)) % 9 * plane + 4 * ((8 * k + (i)) / 9))
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)PLACE(0));
    v = LANE_OF(v, PLACE(1), 1);
    v = LANE_OF(v, PLACE(2), 2);
    v = LANE_OF(v, PLACE(3), 3);
    v = LANE_OF(v, PLACE(4), 4);
    v = LANE_OF(v, PLACE(5), 5);
    v = LANE_OF(v, PLACE(6), 6);
    return LANE_OF(v, PLACE(7), 7);
#undef PLACE
}
#undef LANE_OF

static void scatter_taps_int_avx2(const void *planes, size_t lanes, unsigned taps, void *row) {
    size_t j = GSZ_MIN((size_t)8, lanes);
    if (taps != 9 || lanes < 24) {
        scatter_rest_int_avx2(planes, 0, lanes, taps, row);
        return;
    }
    for (size_t i = 0; i < j; i++)
        for (size_t tap = 0; tap < 9; tap++) memcpy((uint8_t *)row + 4 * (9 * i + tap), (const uint8_t *)planes + 4 * (tap * lanes + i), 4);
    for (; j + 16 <= lanes; j += 8) {
        const uint8_t *from = (const uint8_t *)planes + 4 * j;
        uint8_t *to = (uint8_t *)row + 36 * j;
#define EIGHT(k) _mm256_storeu_si256((__m256i *)(void *)(to + 32 * (k)), nine_taps(from, 4 * lanes, k));
        EIGHT(0) EIGHT(1) EIGHT(2) EIGHT(3) EIGHT(4) EIGHT(5) EIGHT(6) EIGHT(7) EIGHT(8)
#undef EIGHT
    }
    scatter_rest_int_avx2(planes, j, lanes, 9, row);
}

/* Eight words at a time as if all were simple; where one is not, the portable loop names the eight.  (An escape is
 * the largest magnitude, and GSZ_MAX_LOW leaves it a class that is not simple.) */
static size_t name_tokens_int_avx2(const uint32_t *positions, const int32_t *values, size_t count, unsigned low,
                                   uint32_t classes, uint32_t *tokens) {
    const uint32_t simple = GSZ_MIN(classes, GSZ_SIMPLE_TOKENS / 2);
    const __m256i class_limit = _mm256_set1_epi32((int)simple), gap_limit = _mm256_set1_epi32((int)GSZ_SIMPLE_GAPS);
    const __m256i one = _mm256_set1_epi32(1);
    const __m128i shift = _mm_cvtsi32_si128((int)low);
    size_t others = 0, i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i at = _mm256_loadu_si256((const __m256i *)(const void *)(positions + i));
        __m256i before = _mm256_loadu_si256((const __m256i *)(const void *)(positions + i - 1));
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(values + i));
        __m256i gap = _mm256_sub_epi32(_mm256_sub_epi32(at, before), one);
        __m256i class = _mm256_srl_epi32(_mm256_sub_epi32(_mm256_abs_epi32(v), one), shift);
        __m256i fits = _mm256_and_si256(_mm256_cmpgt_epi32(class_limit, class), _mm256_cmpgt_epi32(gap_limit, gap));
        if (_mm256_movemask_epi8(fits) != -1) {
            others += name_rest_int_avx2(positions, values, i, i + 8, low, classes, tokens);
            continue;
        }
        __m256i positive = _mm256_cmpgt_epi32(v, _mm256_setzero_si256());       /* -1 where it is */
        __m256i token = _mm256_sub_epi32(_mm256_add_epi32(class, class), positive);
        token = _mm256_add_epi32(token, _mm256_slli_epi32(gap, GSZ_SIMPLE_GAP_SHIFT));
        _mm256_storeu_si256((__m256i *)(void *)(tokens + i), token);
    }
    return others + name_rest_int_avx2(positions, values, i, count, low, classes, tokens);
}

/* Twins of the portable loops for up to 7 bits: the fields of eight elements are one word, which pext gathers from
 * a byte each and pdep spreads to the bytes of the elements that have one. */
#define BYTES_OF_ONE 0x0101010101010101u

static void put_low_int_avx2(const int32_t *values, size_t count, unsigned low, gsz_bitwriter *out) {
    const __m256i mask = _mm256_set1_epi32((1 << low) - 1), escape = _mm256_set1_epi32(GSZ_ESCAPE);
    const uint64_t fields = BYTES_OF_ONE * ((1u << (low & 7)) - 1);
    size_t i = 0;
    for (; low <= 7 && i + 8 <= count; i += 8) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(values + i));
        __m256i m = _mm256_and_si256(_mm256_sub_epi32(_mm256_abs_epi32(v), _mm256_set1_epi32(1)), mask);
        m = _mm256_andnot_si256(_mm256_cmpeq_epi32(v, escape), m);
        __m128i half = _mm_packus_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
        uint64_t bytes = (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(half, half));
        gsz_bits_put(out, _pext_u64(bytes, fields), 8 * low);
    }
    for (; i < count; i++) gsz_bits_put(out, low_of_int_avx2(values[i], ((uint32_t)1 << low) - 1), low);
}

static uint64_t join_low_int_avx2(const int16_t *classes, size_t n, unsigned low, const uint8_t *fields, size_t size,
                                  int32_t *v) {
    const uint64_t each = BYTES_OF_ONE * ((1u << (low & 7)) - 1);
    const __m256i one = _mm256_set1_epi32(1), escape = _mm256_set1_epi32(GSZ_ESCAPE16);
    const __m128i shift = _mm_cvtsi32_si128((int)low);
    size_t bit = 0, i = 0;
    for (; low <= 7 && i + 8 <= n && (bit >> 3) + 8 <= size; i += 8) {
        __m128i c16 = _mm_loadu_si128((const __m128i *)(const void *)(classes + i));
        __m128i zero = _mm_cmpeq_epi16(c16, _mm_setzero_si128());
        uint64_t keep = ~(uint64_t)_mm_cvtsi128_si64(_mm_packs_epi16(zero, zero));      /* a byte of ones a field */
        uint64_t word = gsz_load_le64(fields + (bit >> 3)) >> (bit & 7);    /* nocheck: the loop's condition */
        __m256i field = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)_pdep_u64(word, keep & each)));
        __m256i c = _mm256_cvtepi16_epi32(c16);
        __m256i m = _mm256_sll_epi32(_mm256_sub_epi32(_mm256_abs_epi32(c), one), shift);
        m = _mm256_sign_epi32(_mm256_add_epi32(_mm256_or_si256(m, field), one), c);     /* 0 for class 0 */
        m = _mm256_blendv_epi8(m, _mm256_set1_epi32(GSZ_ESCAPE), _mm256_cmpeq_epi32(c, escape));
        _mm256_storeu_si256((__m256i *)(void *)(v + i), m);
        bit += (size_t)_mm_popcnt_u64(keep & BYTES_OF_ONE) * low;
    }
    return join_rest_int_avx2(classes, i, n, low, fields, size, bit, v);
}

/* Ones in each byte, as many as its width of at most 7. */
GSZ_INLINE uint64_t fields_of_avx2(const uint8_t *width) {
    const __m128i ones = _mm_setr_epi8(0, 1, 3, 7, 15, 31, 63, 127, 0, 0, 0, 0, 0, 0, 0, 0);
    return (uint64_t)_mm_cvtsi128_si64(_mm_shuffle_epi8(ones, _mm_loadl_epi64((const __m128i *)(const void *)width)));
}

static void put_fields_int_avx2(gsz_bitwriter *b, const uint32_t *v, const uint8_t *width, size_t n, unsigned most) {
    size_t i = 0;
    for (; most <= 7 && i + 8 <= n; i += 8) {
        uint64_t fields = fields_of_avx2(width + i);
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(v + i));
        __m128i half = _mm_packus_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
        uint64_t bytes = (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(half, half));
        gsz_bits_put(b, _pext_u64(bytes, fields), (unsigned)_mm_popcnt_u64(fields));
    }
    gsz_bits_put_fields(b, v + i, width + i, n - i, most);
}

static void get_fields_int_avx2(gsz_bitreader *b, const uint8_t *width, size_t n, unsigned most, uint32_t *v) {
    size_t i = 0;
    for (; most <= 7 && i + 8 <= n && (b->count >= 56 || gsz_bits_refill_word(b)); i += 8) {
        uint64_t fields = fields_of_avx2(width + i);
        unsigned bits = (unsigned)_mm_popcnt_u64(fields);           /* at most 56 */
        __m256i x = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)_pdep_u64(b->bits, fields)));
        _mm256_storeu_si256((__m256i *)(void *)(v + i), x);
        b->bits >>= bits;
        b->count -= bits;
    }
    gsz_bits_drop_loose(b);
    gsz_bits_get_fields(b, width + i, n - i, most, v + i);
}

static void running_sum_int_avx2(int32_t *v, size_t n) {
    __m256i sum = _mm256_setzero_si256();           /* so far, in every lane */
    const __m256i last = _mm256_set1_epi32(7);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(v + i));
        x = _mm256_add_epi32(x, _mm256_slli_si256(x, 4));
        x = _mm256_add_epi32(x, _mm256_slli_si256(x, 8));       /* sums within each half */
        x = _mm256_add_epi32(x, _mm256_shuffle_epi32(_mm256_permute2x128_si256(x, x, 0x08), 0xff));
        x = _mm256_add_epi32(x, sum);
        _mm256_storeu_si256((__m256i *)(void *)(v + i), x);
        sum = _mm256_permutevar8x32_epi32(x, last);
    }
    sum_rest_int_avx2(v, i, n, (uint32_t)_mm256_cvtsi256_si32(sum));
}

/* Words for the states that run low, in the order of the lanes. */
GSZ_INLINE __m256i rans_refill_avx2(const uint8_t **p, __m256i x, __m256i low, unsigned lanes) {
    uint64_t order = _pdep_u64(0x0706050403020100u, _pdep_u64(lanes, BYTES_OF_ONE) * 255u);
    __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)*p));   /* nocheck: the caller's */
    words = _mm256_permutevar8x32_epi32(words, _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)order)));
    *p += 2 * (unsigned)_mm_popcnt_u32(lanes);
    return _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), words), low);
}

GSZ_INLINE __m256i of_narrow_avx2(const uint32_t table[GSZ_RANS_NARROW], __m256i context) {
    const __m256i *both = (const __m256i *)(const void *)table;
    __m256 few = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(_mm256_loadu_si256(both), context));
    __m256 many = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(_mm256_loadu_si256(both + 1), context));
    return _mm256_castps_si256(_mm256_blendv_ps(few, many, _mm256_castsi256_ps(_mm256_slli_epi32(context, 28))));
}

/* Eight states in narrow contexts, symbols the usual one or next to it: by comparisons, without a table.  0: others, or wide contexts;
 * nothing has changed. */
GSZ_INLINE int rans_near_avx2(const uint32_t *usual, const uint32_t *beside, const uint8_t **p, __m256i *states, const uint8_t *context, uint8_t *symbol) {
    const __m256i low16 = _mm256_set1_epi32(0xffff);
    uint64_t contexts = gsz_load_le64(context);
    if (contexts & ~(BYTES_OF_ONE * (GSZ_RANS_NARROW - 1))) return 0;
    __m256i at = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)contexts)), x = *states;
    __m256i e = of_narrow_avx2(usual, at), g = of_narrow_avx2(beside, at);
    __m256i frequency = _mm256_srli_epi32(e, 16), below = _mm256_and_si256(g, low16), above = _mm256_srli_epi32(g, 16);
    __m256i offset = _mm256_sub_epi32(_mm256_and_si256(x, _mm256_set1_epi32((int)(GSZ_RANS_SLOTS - 1))), _mm256_and_si256(e, low16));
    __m256i less = _mm256_srai_epi32(offset, 31), not_more = _mm256_cmpgt_epi32(frequency, offset);
    offset = _mm256_add_epi32(_mm256_sub_epi32(offset, _mm256_andnot_si256(not_more, frequency)), _mm256_and_si256(less, below));
    frequency = _mm256_blendv_epi8(_mm256_blendv_epi8(above, frequency, not_more), below, less);
    __m256i others = _mm256_cmpeq_epi32(_mm256_max_epu32(offset, frequency), offset);           /* offset < 0 or >= frequency */
    if (!_mm256_testz_si256(others, others)) return 0;
    uint64_t more = _pdep_u64(~(unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(not_more)) & 255, BYTES_OF_ONE);
    gsz_store_le64(symbol, BYTES_OF_ONE * GSZ_RANS_USUAL + more - _pdep_u64((unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(less)), BYTES_OF_ONE));
    x = _mm256_add_epi32(_mm256_mullo_epi32(frequency, _mm256_srli_epi32(x, GSZ_RANS_BITS)), offset);
    __m256i low = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)GSZ_RANS_START), x);
    unsigned lanes = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(low));
    *states = lanes == 0 ? x : rans_refill_avx2(p, x, low, lanes);
    return 1;
}

/* Eight states: the symbols of eight contexts. */
GSZ_INLINE __m256i rans_eight_avx2(const uint32_t *slots, const uint8_t **p, __m256i x, const uint8_t *context, uint8_t *symbol) {
    const __m256i slot_mask = _mm256_set1_epi32((int)(GSZ_RANS_SLOTS - 1)), start = _mm256_set1_epi32((int)GSZ_RANS_START);
    __m256i at = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)context));
    at = _mm256_or_si256(_mm256_slli_epi32(at, GSZ_RANS_BITS), _mm256_and_si256(x, slot_mask));
    __m256i e = _mm256_i32gather_epi32((const int *)(const void *)slots, at, 4);
    __m256i frequency = _mm256_and_si256(_mm256_srli_epi32(e, GSZ_RANS_FREQUENCY), _mm256_set1_epi32(0xfff));
    x = _mm256_mullo_epi32(frequency, _mm256_srli_epi32(x, GSZ_RANS_BITS));
    x = _mm256_add_epi32(x, _mm256_srli_epi32(e, GSZ_RANS_OFFSET));
    __m256i low = _mm256_cmpgt_epi32(start, x);
    x = rans_refill_avx2(p, x, low, (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(low)));
    e = _mm256_and_si256(e, _mm256_set1_epi32(GSZ_RANS_SYMBOLS - 1));
    __m128i half = _mm_packus_epi32(_mm256_castsi256_si128(e), _mm256_extracti128_si256(e, 1));
    _mm_storel_epi64((__m128i *)(void *)symbol, _mm_packus_epi16(half, half));
    return x;
}

/* Eight states, the short way where it was right of late; it is tried again after a while. */
#define LOSS 4
#define TRUST 64
#define DISTRUST 256
GSZ_INLINE __m256i rans_either_avx2(const gsz_rans_decoder *d, int *trust, const uint8_t **p, __m256i x, const uint8_t *context, uint8_t *symbol) {
    if (*trust < 0) *trust += 1;
    else if (rans_near_avx2(d->usual, d->beside, p, &x, context, symbol)) {
        *trust = GSZ_MIN(*trust + 1, TRUST);
        return x;
    } else *trust = *trust < LOSS ? -DISTRUST : *trust - LOSS;
    return rans_eight_avx2(d->slots, p, x, context, symbol);
}

/* Steps of `vectors` times eight states.  Eight states read up to eight words: 16 bytes. */
GSZ_INLINE size_t rans_vectors_avx2(gsz_rans_decoder *d, const uint8_t *context, size_t n, uint8_t *symbol, unsigned vectors) {
    const uint8_t *p = d->p, *end = d->end;
    __m256i x[GSZ_RANS_STATES / 8];
    int trust = d->trust;
    size_t i = 0;
    for (unsigned k = 0; k < vectors; k++) x[k] = _mm256_loadu_si256((const __m256i *)(const void *)d->state + k);
    for (; i + 8 * vectors <= n && end - p >= (ptrdiff_t)(16 * vectors); i += 8 * vectors)
        for (unsigned k = 0; k < vectors; k++) x[k] = rans_either_avx2(d, &trust, &p, x[k], context + i + 8 * k, symbol + i + 8 * k);
    for (unsigned k = 0; k < vectors && i + 8 <= n && i % (8 * vectors) == 8 * k && end - p >= 16; k++, i += 8)
        x[k] = rans_either_avx2(d, &trust, &p, x[k], context + i, symbol + i);
    for (unsigned k = 0; k < vectors; k++) _mm256_storeu_si256((__m256i *)(void *)d->state + k, x[k]);
    d->p = p;
    d->trust = trust;
    return i;
}

/* Twin of the portable loop. */
static void rans_decode_int_avx2(gsz_rans_decoder *d, const uint8_t *context, size_t n, uint8_t *symbol) {
    size_t i = 0;
    if (d->states == 8) i = rans_vectors_avx2(d, context, n, symbol, 1);
    if (d->states == 16) i = rans_vectors_avx2(d, context, n, symbol, 2);
    if (d->states == 32) i = rans_vectors_avx2(d, context, n, symbol, 4);
    rans_rest_int_avx2(d, context, i, n, symbol);
}

/* Eight states take the symbols of eight codes; full ones give up their words first, in the order of the lanes. */
GSZ_INLINE __m256i rans_put_eight_avx2(const gsz_rans_code *codes, const uint16_t *tokens, __m256i x, uint8_t **p) {
    const __m256i even = _mm256_set1_epi64x(0xffffffff);
    __m256i row[4];
    for (unsigned k = 0; k < 4; k++) {
        const __m128i *a = (const __m128i *)(const void *)&codes[tokens[k]], *b = (const __m128i *)(const void *)&codes[tokens[k + 4]];
        row[k] = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(a)), _mm_loadu_si128(b), 1);
    }
    __m256i a = _mm256_unpacklo_epi32(row[0], row[1]), b = _mm256_unpacklo_epi32(row[2], row[3]);
    __m256i reciprocal = _mm256_unpacklo_epi64(a, b), limit = _mm256_unpackhi_epi64(a, b);
    a = _mm256_unpackhi_epi32(row[0], row[1]), b = _mm256_unpackhi_epi32(row[2], row[3]);
    __m256i slots = _mm256_unpacklo_epi64(a, b), shift = _mm256_unpackhi_epi64(a, b);
    __m256i full = _mm256_cmpeq_epi32(_mm256_max_epu32(x, limit), x);
    unsigned lanes = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(full)), count = (unsigned)_mm_popcnt_u32(lanes);
    __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
    __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    /* the words of full lanes at the end of 16 bytes; what is before them is written over by later ones */
    uint64_t order = _pext_u64(0x0706050403020100u, _pdep_u64(lanes, BYTES_OF_ONE) * 255u);
    order = count > 0 ? order << (64 - 8 * count) : 0;
    __m128i bytes = _mm_mullo_epi16(_mm_cvtepu8_epi16(_mm_cvtsi64_si128((long long)order)), _mm_set1_epi16(0x0202));
    words = _mm_shuffle_epi8(words, _mm_add_epi16(bytes, _mm_set1_epi16(0x0100)));
    _mm_storeu_si128((__m128i *)(void *)(*p - 16), words);      /* nocheck: the caller's 16 bytes */
    *p -= 2 * count;
    x = _mm256_blendv_epi8(x, _mm256_srli_epi32(x, 16), full);
    a = _mm256_srlv_epi64(_mm256_mul_epu32(x, reciprocal), _mm256_and_si256(shift, even));
    b = _mm256_srlv_epi64(_mm256_mul_epu32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(reciprocal, 32)), _mm256_srli_epi64(shift, 32));
    __m256i q = _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xaa);
    x = _mm256_add_epi32(x, _mm256_and_si256(slots, _mm256_set1_epi32(0xffff)));
    return _mm256_add_epi32(x, _mm256_mullo_epi32(q, _mm256_srli_epi32(slots, 16)));
}

/* The last tokens of a step but those that do not fill eight; `vectors` times eight states. */
GSZ_INLINE uint8_t *rans_put_vectors_avx2(const gsz_rans_code *codes, const uint16_t *tokens, size_t i, unsigned vectors,
                                          uint32_t *state, uint8_t *p) {
    __m256i *all = (__m256i *)(void *)state, x[GSZ_RANS_STATES / 8];
    for (unsigned k = 0; k < vectors; k++) x[k] = _mm256_loadu_si256(all + k);
    for (unsigned k = vectors; k-- > 1;)
        if (i / 8 % vectors == k) i -= 8, x[k - 1] = rans_put_eight_avx2(codes, tokens + i, x[k - 1], &p);
    while (i > 0) {
        i -= 8 * vectors;
        for (unsigned k = vectors; k-- > 0;) x[k] = rans_put_eight_avx2(codes, tokens + i + 8 * k, x[k], &p);
    }
    for (unsigned k = 0; k < vectors; k++) _mm256_storeu_si256(all + k, x[k]);
    return p;
}

/* Twin of the portable loop: what does not fill eight one by one. */
static uint8_t *rans_encode_int_avx2(const gsz_rans_code *codes, const uint16_t *tokens, size_t n, unsigned states,
                                     uint32_t *state, uint8_t *p) {
    size_t i = states >= 16 ? n & ~(size_t)7 : 0;
    p = rans_put_int_avx2(codes, tokens, n, i, states, state, p);
    if (i > 0 && states == 16) return rans_put_vectors_avx2(codes, tokens, i, 2, state, p);
    if (i > 0) return rans_put_vectors_avx2(codes, tokens, i, 4, state, p);
    return p;
}

/* ---- the gradient model: eight lanes at a time, arrays have room for them */

typedef struct { __m256i base, column, ratio; __m128i down, up; } width_vectors_avx2;

GSZ_INLINE __m256i logs_of_eight_avx2(const gsz_row_widths *w, const width_vectors_avx2 *v, const int32_t *sums, const int32_t *const *past, size_t j) {
    __m256i sum = _mm256_sra_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(sums + j)), v->down);
    __m256i cell = _mm256_mullo_epi32(_mm256_min_epi32(sum, _mm256_set1_epi32(32767)), v->ratio);
    cell = _mm256_sll_epi32(_mm256_srli_epi32(cell, 8), v->up);
    __m256i s = _mm256_add_epi32(v->base, _mm256_mullo_epi32(v->column, cell));
    for (unsigned k = 0; k < w->rounds; k++) {
        __m256i value = _mm256_abs_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(past[k] + j)));
        s = _mm256_add_epi32(s, _mm256_mullo_epi32(_mm256_set1_epi32(w->past[k]), _mm256_slli_epi32(value, GSZ_WIDTH_BITS)));
    }
    s = _mm256_srai_epi32(s, GSZ_WEIGHT_BITS);
    s = _mm256_min_epi32(_mm256_max_epi32(s, _mm256_set1_epi32(1)), _mm256_set1_epi32(0xffffff));
    return _mm256_srli_epi32(_mm256_castps_si256(_mm256_cvtepi32_ps(s)), 23 - GSZ_LOG_BITS);
}

static void model_logs_int_avx2(const gsz_row_widths *w, const int32_t *sums, const int32_t *const *past, size_t n, int16_t *log) {
    const width_vectors_avx2 v = {_mm256_set1_epi32(w->base), _mm256_set1_epi32(w->column), _mm256_set1_epi32((int)w->ratio),
                                  _mm_cvtsi32_si128((int)w->down), _mm_cvtsi32_si128((int)w->up)};
    size_t j = 0;
    for (; j + 16 <= n; j += 16) {          /* stores as wide as the loads that follow */
        __m256i both = _mm256_packs_epi32(logs_of_eight_avx2(w, &v, sums, past, j), logs_of_eight_avx2(w, &v, sums, past, j + 8));
        _mm256_storeu_si256((__m256i *)(void *)(log + j), _mm256_permute4x64_epi64(both, 0xd8));
    }
    for (; j < n; j += 8) {
        __m256i one = logs_of_eight_avx2(w, &v, sums, past, j);
        _mm_storeu_si128((__m128i *)(void *)(log + j), _mm_packs_epi32(_mm256_castsi256_si128(one), _mm256_extracti128_si256(one, 1)));
    }
}

static unsigned model_contexts_int_avx2(const gsz_row_widths *w, const int16_t *log, size_t n, uint8_t *context, uint8_t *raw) {
    const __m128i zero = _mm_setzero_si128(), tap = _mm_set1_epi16((short)w->tap), widest = _mm_set1_epi16(GSZ_WIDEST);
    const __m128i first = _mm_set1_epi16((short)gsz_first_width(w)), top = _mm_set1_epi16((short)((int)w->widths - 2));
    const __m128i fine = _mm_cvtsi32_si128((int)w->fine), octave = _mm_cvtsi32_si128((int)w->fine + 1), rest = _mm_cvtsi32_si128((int)(GSZ_LOG_BITS - 1 - w->fine));
    __m128i most = zero;
    uint8_t lane[16];
    size_t j = 0;
    for (; j + 16 <= n; j += 16) {
        __m256i size = _mm256_add_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(log + j)), _mm256_broadcastw_epi16(tap));
        size = _mm256_srl_epi16(_mm256_min_epi16(size, _mm256_broadcastw_epi16(widest)), rest);
        size = _mm256_max_epi16(_mm256_sub_epi16(size, _mm256_broadcastw_epi16(first)), _mm256_setzero_si256());
        __m256i bits = _mm256_sub_epi16(_mm256_srl_epi16(size, fine), _mm256_broadcastw_epi16(top));
        bits = _mm256_srli_epi16(_mm256_max_epi16(bits, _mm256_setzero_si256()), 1);
        size = _mm256_sub_epi16(size, _mm256_sll_epi16(bits, octave));
        __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(size, bits), 0xd8);
        __m128i low = _mm256_extracti128_si256(bytes, 1);
        _mm_storeu_si128((__m128i *)(void *)(context + j), _mm256_castsi256_si128(bytes));
        _mm_storeu_si128((__m128i *)(void *)(raw + j), low);
        most = _mm_max_epu8(most, low);
    }
    for (; j < n; j += 8) {
        __m128i size = _mm_add_epi16(_mm_loadu_si128((const __m128i *)(const void *)(log + j)), tap);
        size = _mm_srl_epi16(_mm_min_epi16(size, widest), rest);
        size = _mm_max_epi16(_mm_sub_epi16(size, first), zero);
        __m128i bits = _mm_srli_epi16(_mm_max_epi16(_mm_sub_epi16(_mm_srl_epi16(size, fine), top), zero), 1);
        size = _mm_sub_epi16(size, _mm_sll_epi16(bits, octave));
        __m128i bytes = _mm_packus_epi16(size, bits);
        if (j + 8 > n) {                                    /* no low bits beyond lane n */
            uint64_t there = ~(uint64_t)0 >> 8 * (j + 8 - n);
            bytes = _mm_and_si128(bytes, _mm_set_epi64x((long long)there, -1));
        }
        _mm_storel_epi64((__m128i *)(void *)(context + j), bytes);
        bytes = _mm_srli_si128(bytes, 8);                   /* zeros above */
        _mm_storel_epi64((__m128i *)(void *)(raw + j), bytes);
        most = _mm_max_epu8(most, bytes);
    }
    if (_mm_testz_si128(most, most)) return 0;
    unsigned result = 0;
    _mm_storeu_si128((__m128i *)(void *)lane, most);
    for (unsigned k = 0; k < 16; k++) result = GSZ_MAX(result, lane[k]);
    return result;
}

/* y = centre + r * 2^unit_bits, r negated where `fold` is below 0, 0 where the symbol is. */
GSZ_INLINE void join_eight_avx2(__m256i symbol, __m256i r, const int32_t *centre, const int32_t *fold, __m128i unit_bits, int32_t *y) {
    __m256i sign = _mm256_srai_epi32(_mm256_loadu_si256((const __m256i *)(const void *)fold), 31);
    r = _mm256_and_si256(r, _mm256_cmpgt_epi32(symbol, _mm256_setzero_si256()));
    r = _mm256_sub_epi32(_mm256_xor_si256(r, sign), sign);
    __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)centre);
    _mm256_storeu_si256((__m256i *)(void *)y, _mm256_add_epi32(c, _mm256_sll_epi32(r, unit_bits)));
}

static void model_join_int_avx2(const uint8_t *symbol, const uint32_t *low, const uint8_t *raw, const int32_t *centre,
                                const int32_t *fold, size_t n, unsigned unit_bits, int32_t *y) {
    const __m128i f = _mm_cvtsi32_si128((int)unit_bits);
    for (size_t j = 0; j < n; j += 8) {
        __m256i s = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(symbol + j)));
        __m256i shift = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(raw + j)));
        __m256i q = _mm256_sllv_epi32(_mm256_sub_epi32(s, _mm256_set1_epi32(GSZ_SYMBOL_ZERO)), shift);
        q = _mm256_or_si256(q, _mm256_loadu_si256((const __m256i *)(const void *)(low + j)));
        join_eight_avx2(s, q, centre + j, fold + j, f, y + j);
    }
}

static void model_join_narrow_int_avx2(const uint8_t *symbol, const int32_t *centre, const int32_t *fold, size_t n,
                                       unsigned unit_bits, int32_t *y) {
    const __m128i f = _mm_cvtsi32_si128((int)unit_bits);
    for (size_t j = 0; j < n; j += 8) {
        __m256i s = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(symbol + j)));
        join_eight_avx2(s, _mm256_sub_epi32(s, _mm256_set1_epi32(GSZ_SYMBOL_ZERO)), centre + j, fold + j, f, y + j);
    }
}
