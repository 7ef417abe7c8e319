/* The rANS coder with sixteen states a vector (AVX-512).  Decoding: masks tell what comparisons of AVX2 spread over vectors, and words for the states that
 * run low are expanded to their lanes by one instruction.  Encoding: the words of full states are compressed by one.  Included by kernels_avx2.c;
 * the same symbols and bytes as from the other twins. */

typedef struct { __m512i usual, beside; const uint32_t *slots; } rans_tables_avx512;

/* Words for the states that run low, in the order of the lanes; reads 32 bytes. */
GSZ_INLINE __m512i rans_refill_avx512(const uint8_t **p, __m512i x) {
    const __mmask16 low = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32((int)GSZ_RANS_START));
    const __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)*p));     /* nocheck: the caller's */
    *p += 2 * (unsigned)_mm_popcnt_u32(low);
    return _mm512_mask_or_epi32(x, low, _mm512_slli_epi32(x, 16), _mm512_maskz_expand_epi32(low, words));
}

/* Sixteen states in narrow contexts, symbols the usual one or next to it: by comparisons.  0: others, or wide contexts; nothing has changed. */
GSZ_INLINE int rans_near_avx512(const rans_tables_avx512 *t, const uint8_t **p, __m512i *states, const uint8_t *context, uint8_t *symbol) {
    const __m128i contexts = _mm_loadu_si128((const __m128i *)(const void *)context), one = _mm_set1_epi8(1);
    const __m512i low16 = _mm512_set1_epi32(0xffff), x = *states;
    if (_mm_test_epi8_mask(contexts, _mm_set1_epi8((char)~(GSZ_RANS_NARROW - 1)))) return 0;
    const __m512i at = _mm512_cvtepu8_epi32(contexts);
    const __m512i e = _mm512_permutexvar_epi32(at, t->usual), g = _mm512_permutexvar_epi32(at, t->beside);
    __m512i frequency = _mm512_srli_epi32(e, 16);
    __m512i offset = _mm512_sub_epi32(_mm512_and_si512(x, _mm512_set1_epi32((int)(GSZ_RANS_SLOTS - 1))), _mm512_and_si512(e, low16));
    const __mmask16 less = _mm512_cmplt_epi32_mask(offset, _mm512_setzero_si512()), more = _mm512_cmpge_epi32_mask(offset, frequency);
    const __m512i below = _mm512_and_si512(g, low16), above = _mm512_srli_epi32(g, 16);
    offset = _mm512_mask_add_epi32(_mm512_mask_sub_epi32(offset, more, offset, frequency), less, offset, below);
    frequency = _mm512_mask_mov_epi32(_mm512_mask_mov_epi32(frequency, more, above), less, below);
    if (_mm512_cmpge_epu32_mask(offset, frequency)) return 0;
    const __m128i usual = _mm_set1_epi8((char)GSZ_RANS_USUAL), up = _mm_mask_add_epi8(usual, more, usual, one);
    _mm_storeu_si128((__m128i *)(void *)symbol, _mm_mask_sub_epi8(up, less, up, one));
    *states = rans_refill_avx512(p, _mm512_add_epi32(_mm512_mullo_epi32(frequency, _mm512_srli_epi32(x, GSZ_RANS_BITS)), offset));
    return 1;
}

/* Sixteen states: the symbols of sixteen contexts, eight by eight: loads from sixteen places take longer than twice eight. */
GSZ_INLINE __m512i rans_sixteen_avx512(const uint32_t *slots, const uint8_t **p, __m512i x, const uint8_t *context, uint8_t *symbol) {
    const __m256i first = rans_eight_avx2(slots, p, _mm512_castsi512_si256(x), context, symbol);
    const __m256i second = rans_eight_avx2(slots, p, _mm512_extracti64x4_epi64(x, 1), context + 8, symbol + 8);
    return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
}

/* The short way where it was right of late; it is tried again after a while.  It is worth more than eight by eight. */
#define LOSS_OF_SIXTEEN 1
GSZ_INLINE __m512i rans_either_avx512(const rans_tables_avx512 *t, int *trust, const uint8_t **p, __m512i x, const uint8_t *context, uint8_t *symbol) {
    if (*trust < 0) *trust += 1;
    else if (rans_near_avx512(t, p, &x, context, symbol)) {
        *trust = GSZ_MIN(*trust + 1, TRUST);
        return x;
    } else *trust = *trust < LOSS_OF_SIXTEEN ? -DISTRUST : *trust - LOSS_OF_SIXTEEN;
    return rans_sixteen_avx512(t->slots, p, x, context, symbol);
}

/* Steps of `vectors` times sixteen states; then sixteen alone, and eight. */
GSZ_INLINE size_t rans_vectors_avx512(gsz_rans_decoder *d, const uint8_t *context, size_t n, uint8_t *symbol, const unsigned vectors) {
    const rans_tables_avx512 t = {_mm512_loadu_si512(d->usual), _mm512_loadu_si512(d->beside), d->slots};
    const uint8_t *p = d->p, *end = d->end;
    __m512i x[GSZ_RANS_STATES / 16];
    int trust = d->trust;
    size_t i = 0;
    for (unsigned k = 0; k < vectors; k++) x[k] = _mm512_loadu_si512(d->state + 16 * k);
    for (; i + 16 * vectors <= n && end - p >= (ptrdiff_t)(32 * vectors); i += 16 * vectors)
        for (unsigned k = 0; k < vectors; k++) x[k] = rans_either_avx512(&t, &trust, &p, x[k], context + i + 16 * k, symbol + i + 16 * k);
    if (vectors > 1 && i + 16 <= n && end - p >= 32) x[0] = rans_either_avx512(&t, &trust, &p, x[0], context + i, symbol + i), i += 16;
    for (unsigned k = 0; k < vectors; k++) _mm512_storeu_si512(d->state + 16 * k, x[k]);
    if (i + 8 <= n && end - p >= 16) {
        __m256i *eight = (__m256i *)(void *)(d->state + (i & (16 * vectors - 1)));
        _mm256_storeu_si256(eight, rans_either_avx2(d, &trust, &p, _mm256_loadu_si256(eight), context + i, symbol + i));
        i += 8;
    }
    d->p = p;
    d->trust = trust;
    return i;
}

static void rans_decode_avx512(gsz_rans_decoder *d, const uint8_t *context, size_t n, uint8_t *symbol) {
    size_t i = 0;
    if (d->states < 16) {
        rans_decode_int_avx2(d, context, n, symbol);
        return;
    }
    if (d->states == 16) i = rans_vectors_avx512(d, context, n, symbol, 1);
    else i = rans_vectors_avx512(d, context, n, symbol, 2);
    rans_rest_int_avx2(d, context, i, n, symbol);
}

/* ---- encoding */

/* The codes of four tokens, 16 bytes each. */
GSZ_INLINE __m512i rans_codes_avx512(const gsz_rans_code *codes, const uint16_t *tokens, size_t i) {
    const __m128i *c[4];
    for (size_t k = 0; k < 4; k++) c[k] = (const __m128i *)(const void *)&codes[tokens[i + 4 * k]];
    const __m256i first = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(c[0])), _mm_loadu_si128(c[1]), 1);
    const __m256i second = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(c[2])), _mm_loadu_si128(c[3]), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
}

/* Sixteen tokens.  Words go to memory that ends at *p, in the order of the lanes. */
GSZ_INLINE __m512i rans_put_sixteen_avx512(const gsz_rans_code *codes, const uint16_t *tokens, __m512i x, uint8_t **p) {
    const __m512i low16 = _mm512_set1_epi32(0xffff), even = _mm512_set1_epi64(0xffffffff);
    __m512i row[4];
    for (size_t k = 0; k < 4; k++) row[k] = rans_codes_avx512(codes, tokens, k);            /* lane l: token 4 l + k */
    __m512i a = _mm512_unpacklo_epi32(row[0], row[1]), b = _mm512_unpacklo_epi32(row[2], row[3]);
    const __m512i reciprocal = _mm512_unpacklo_epi64(a, b), limit = _mm512_unpackhi_epi64(a, b);
    a = _mm512_unpackhi_epi32(row[0], row[1]), b = _mm512_unpackhi_epi32(row[2], row[3]);
    const __m512i slots = _mm512_unpacklo_epi64(a, b), shift = _mm512_unpackhi_epi64(a, b);
    const __mmask16 full = _mm512_cmpge_epu32_mask(x, limit);
    const unsigned count = (unsigned)_mm_popcnt_u32(full);
    *p -= 2 * count;
    _mm256_mask_storeu_epi16(*p, (__mmask16)((1u << count) - 1), _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(full, x)));
    x = _mm512_mask_srli_epi32(x, full, x, 16);
    a = _mm512_srlv_epi64(_mm512_mul_epu32(x, reciprocal), _mm512_and_si512(shift, even));
    b = _mm512_srlv_epi64(_mm512_mul_epu32(_mm512_srli_epi64(x, 32), _mm512_srli_epi64(reciprocal, 32)), _mm512_srli_epi64(shift, 32));
    const __m512i q = _mm512_mask_mov_epi32(a, 0xaaaa, _mm512_slli_epi64(b, 32));
    x = _mm512_add_epi32(x, _mm512_and_si512(slots, low16));
    return _mm512_add_epi32(x, _mm512_mullo_epi32(q, _mm512_srli_epi32(slots, 16)));
}

/* The last tokens of a step but those that do not fill sixteen; `vectors` times sixteen states. */
GSZ_INLINE uint8_t *rans_put_vectors_avx512(const gsz_rans_code *codes, const uint16_t *tokens, size_t i, const unsigned vectors, uint32_t *state, uint8_t *p) {
    __m512i x[GSZ_RANS_STATES / 16];
    for (unsigned k = 0; k < vectors; k++) x[k] = _mm512_loadu_si512(state + 16 * k);
    if (vectors > 1 && i / 16 % 2 == 1) i -= 16, x[0] = rans_put_sixteen_avx512(codes, tokens + i, x[0], &p);
    while (i > 0) {
        i -= 16 * vectors;
        for (unsigned k = vectors; k-- > 0;) x[k] = rans_put_sixteen_avx512(codes, tokens + i + 16 * k, x[k], &p);
    }
    for (unsigned k = 0; k < vectors; k++) _mm512_storeu_si512(state + 16 * k, x[k]);
    return p;
}

static uint8_t *rans_encode_avx512(const gsz_rans_code *codes, const uint16_t *tokens, size_t n, unsigned states, uint32_t *state, uint8_t *p) {
    const size_t i = n & ~(size_t)15, eight = n & ~(size_t)7;
    if (states < 16 || i == 0) return rans_encode_int_avx2(codes, tokens, n, states, state, p);
    p = rans_put_int_avx2(codes, tokens, n, eight, states, state, p);
    if (eight > i) {
        __m256i *x = (__m256i *)(void *)(state + (i & (states - 1)));
        _mm256_storeu_si256(x, rans_put_eight_avx2(codes, tokens + i, _mm256_loadu_si256(x), &p));
    }
    if (states == 16) return rans_put_vectors_avx512(codes, tokens, i, 1, state, p);
    return rans_put_vectors_avx512(codes, tokens, i, 2, state, p);
}
