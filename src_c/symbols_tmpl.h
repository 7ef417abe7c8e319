/* The hot loops of symbols.c: streams side by side, no check a token.  Included by kernels_impl.h.
 *
 * Encoding needs no proof: the caller has sized the output from the very counts and lengths.
 *
 * Decoding: safety.  A round is a refill of each lane and LOOKUPS lookups.
 *  - Reading: a refill loads 8 bytes at the byte of the lane's next bit and so has 57 bits or more.  A round starts
 *    only while every lane has ROUND_BYTES left in its own stream: what it can consume, and one more load.
 *  - Writing: a lookup without extra bits moves on by at most 16 elements (a value or a run of 1, then a run of
 *    15); one with extra bits clamps the position behind the limit.  So a round that starts within the limit
 *    writes less than GSZ_LANE_PADDING behind it.
 *  - Meaning: a round in which a lane passes its limit is undone, and the careful loop of symbols.c goes on. */
#define LOOKUPS 4
#define ROUND_BYTES 24

#ifndef GSZ_SYMBOLS_TMPL_PROOF
#define GSZ_SYMBOLS_TMPL_PROOF
GSZ_STATIC_ASSERT(lookups_fit, LOOKUPS * GSZ_CODE_BITS <= 57);
GSZ_STATIC_ASSERT(extra_fits, 13 + (LOOKUPS - 1) * GSZ_CODE_BITS <= 57);     /* after the refill of a long run */
GSZ_STATIC_ASSERT(reads_fit, LOOKUPS * (GSZ_CODE_BITS + 13) / 8 + 1 + 8 <= ROUND_BYTES);
GSZ_STATIC_ASSERT(writes_fit, LOOKUPS * 16 + 2 < GSZ_LANE_PADDING);
#endif

/* ---- encoding */

/* The state of the lanes in local variables: bits that wait, their number, where they go, the next token. */
#define LANES_LOAD(j) \
    bits[j] = e->source[j].out.bits, count[j] = e->source[j].out.count, p[j] = e->source[j].out.p
#define LANES_STORE(j) \
    e->source[j].out.bits = bits[j], e->source[j].out.count = count[j], e->source[j].out.p = p[j]

/* Adds word t of lane j to the bits that wait. */
#define ADD_TOKEN(j, t) do { \
    uint32_t t_ = (t); \
    if (GSZ_LIKELY(t_ < GSZ_SIMPLE)) { \
        gsz_ready r_ = e->simple[t_]; \
        bits[j] |= GSZ_READY_BITS(r_) << count[j]; \
        count[j] += GSZ_READY_LENGTH(r_); \
    } else { \
        LANES_STORE(j); \
        gsz_bits_store(&e->source[j].out); \
        gsz_put_other(&e->source[j].out, e, t_ & 0xffff, *e->source[j].gaps++); \
        LANES_LOAD(j); \
    } \
} while (0)

/* gsz_bits_store for lane j. */
#define STORE_BITS(j) \
    (gsz_store_le64(p[j], bits[j]), p[j] += count[j] >> 3, bits[j] >>= count[j] & 56, count[j] &= 7)

GSZ_INLINE void NAME(encode_sources)(gsz_symbol_encoder *e, const unsigned streams) {
    uint64_t bits[GSZ_STREAMS];
    unsigned count[GSZ_STREAMS];
    uint8_t *p[GSZ_STREAMS];
    const uint32_t *token[GSZ_STREAMS];
    size_t shortest = SIZE_MAX, i = 0;
    GSZ_UNROLL_LANES
    for (unsigned j = 0; j < streams; j++) {
        LANES_LOAD(j);
        token[j] = e->source[j].tokens;
        shortest = GSZ_MIN(shortest, (size_t)(e->source[j].tokens_end - token[j]));
    }
    for (; i + 2 <= shortest; i += 2) {         /* side by side, two tokens a store */
        GSZ_UNROLL_LANES
        for (unsigned j = 0; j < streams; j++) {
            ADD_TOKEN(j, token[j][i]);
            ADD_TOKEN(j, token[j][i + 1]);
            STORE_BITS(j);
        }
    }
    GSZ_UNROLL_LANES
    for (unsigned j = 0; j < streams; j++) {    /* what one has more than another */
        size_t n = (size_t)(e->source[j].tokens_end - token[j]);
        for (size_t k = i; k < n; k++) {
            ADD_TOKEN(j, token[j][k]);
            STORE_BITS(j);
        }
        LANES_STORE(j);
        if (e->source[j].zeros > 0) gsz_put_run(&e->source[j].out, e, e->source[j].zeros);
    }
}
#undef LANES_LOAD
#undef LANES_STORE
#undef ADD_TOKEN
#undef STORE_BITS

static void NAME(encode_streams)(gsz_symbol_encoder *e) {
    if (e->streams == 1) NAME(encode_sources)(e, 1);
    else NAME(encode_sources)(e, GSZ_STREAMS);
}

/* ---- decoding */

GSZ_INLINE uint64_t NAME(refill)(const uint8_t *start, size_t bit) {
    return gsz_load_le64(start + (bit >> 3)) >> (bit & 7);     /* nocheck: ROUND_BYTES */
}

/* Two values of an entry to their places. */
GSZ_INLINE void NAME(store_values)(int16_t *out, uint64_t e) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint32_t both = (uint32_t)e;
    memcpy(out, &both, 4);
#else
    out[0] = (int16_t)(uint16_t)e;
    out[1] = (int16_t)(uint16_t)(e >> 16);
#endif
}

/* First bits at which no round may start any more. */
GSZ_INLINE void NAME(begin)(const gsz_symbol_decoder *d, unsigned lanes, size_t *bit, size_t *safe, size_t *at) {
    const uint8_t *start = d->lane[0].start;        /* the streams stand one behind the other */
    for (unsigned j = 0; j < lanes; j++) {
        size_t bytes = (size_t)(d->lane[j].end - d->lane[j].start);
        bit[j] = (size_t)(d->lane[j].start - start) * 8;
        safe[j] = bit[j] + (bytes > ROUND_BYTES ? (bytes - ROUND_BYTES) * 8 : 0);
        at[j] = d->lane[j].position;
    }
}

GSZ_INLINE void NAME(keep)(gsz_symbol_decoder *d, unsigned lanes, const size_t *bit, const size_t *at, const uint32_t *table) {
    for (unsigned j = 0; j < lanes; j++) {
        d->lane[j].bit = bit[j] - (size_t)(d->lane[j].start - d->lane[0].start) * 8;
        d->lane[j].position = at[j];
        d->lane[j].table = table[j];
    }
}

GSZ_INLINE void NAME(decode_lanes)(gsz_symbol_decoder *d, const unsigned lanes) {
    const uint32_t size = (uint32_t)1 << d->bits, mask = size - 1;
    const uint64_t *const entries = d->pairs;
    int16_t *const out = d->out;
    const uint8_t *const start = d->lane[0].start;
    size_t bit[GSZ_STREAMS] = {0}, at[GSZ_STREAMS] = {0}, safe[GSZ_STREAMS] = {0};
    uint32_t table[GSZ_STREAMS] = {0};
    NAME(begin)(d, lanes, bit, safe, at);
    for (;;) {
        int go = 1;
        for (unsigned j = 0; j < lanes; j++) go &= bit[j] < safe[j];
        NAME(keep)(d, lanes, bit, at, table);
        if (!go) return;
        uint64_t word[GSZ_STREAMS] = {0};
        GSZ_UNROLL_LANES
        for (unsigned j = 0; j < lanes; j++) word[j] = NAME(refill)(start, bit[j]);
        for (unsigned k = 0; k < LOOKUPS; k++) {
            GSZ_UNROLL_LANES
            for (unsigned j = 0; j < lanes; j++) {
                uint64_t e = entries[(word[j] & mask) + table[j]];
                unsigned code = (unsigned)(e >> GSZ_ENTRY_BITS) & 255;
                NAME(store_values)(out + at[j], e);
                at[j] += (size_t)(e >> GSZ_ENTRY_ADVANCE & 0xffff);
                bit[j] += code;
                word[j] >>= code;
                table[j] = (uint32_t)((int64_t)e >> 63) & size;
                if (e >> GSZ_ENTRY_LONG & 1) {      /* a long run: rare where values are dense, cheap where not */
                    unsigned extra = (unsigned)(e >> GSZ_ENTRY_EXTRA) & 31;
                    word[j] = NAME(refill)(start, bit[j]);
                    at[j] += (uint32_t)word[j] & (((uint32_t)1 << extra) - 1);
                    if (at[j] > d->lane[j].limit) at[j] = d->lane[j].limit + 1;
                    bit[j] += extra;
                    word[j] >>= extra;
                }
            }
        }
        for (unsigned j = 0; j < lanes; j++) go &= at[j] <= d->lane[j].limit;
        if (!go) return;
    }
}

static void NAME(decode_streams)(gsz_symbol_decoder *d) {
    if (d->streams == 1) NAME(decode_lanes)(d, 1);
    else NAME(decode_lanes)(d, GSZ_STREAMS);
}
#undef LOOKUPS
#undef ROUND_BYTES
