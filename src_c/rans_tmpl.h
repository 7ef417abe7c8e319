/* The hot loops of rans.c.  Included by kernels_impl.h.
 *
 * Safety: words are read one by one behind a check, or several at once behind a check of as many. */

/* Slots of a table; see rans.h. */
static void NAME(rans_slots)(const gsz_frequencies *f, uint32_t *restrict slots) {
    for (uint32_t s = 0; s < GSZ_RANS_SYMBOLS; s++) {
        const uint32_t frequency = f->of[s], entry = s | frequency << GSZ_RANS_FREQUENCY;
        for (uint32_t k = 0; k < frequency; k++) slots[k] = entry | k << GSZ_RANS_OFFSET;
        slots += frequency;
    }
}

/* Symbols [i, n) of a step, one by one. */
GSZ_INLINE void NAME(rans_rest)(gsz_rans_decoder *d, const uint8_t *context, size_t i, size_t n, uint8_t *symbol) {
    const unsigned last = d->states - 1;
    for (; i < n; i++) {
        uint32_t x = d->state[i & last], slot = x & (GSZ_RANS_SLOTS - 1);
        uint32_t e = d->slots[context[i] * GSZ_RANS_SLOTS + slot];
        x = (e >> GSZ_RANS_FREQUENCY & 0xfff) * (x >> GSZ_RANS_BITS) + (e >> GSZ_RANS_OFFSET);
        if (x < GSZ_RANS_START) {
            uint32_t word = 0;
            if (d->end - d->p >= 2) word = (uint32_t)d->p[0] | (uint32_t)d->p[1] << 8, d->p += 2;
            else d->overrun = 1;
            x = x << 16 | word;
        }
        d->state[i & last] = x;
        symbol[i] = (uint8_t)(e & (GSZ_RANS_SYMBOLS - 1));
    }
}

/* Tokens i - 1, i - 2 ... `to` of a step, one by one. */
GSZ_INLINE uint8_t *NAME(rans_put)(const gsz_rans_code *codes, const uint16_t *tokens, size_t i, size_t to, unsigned states,
                                   uint32_t *state, uint8_t *p) {
    while (i-- > to) {
        const gsz_rans_code *c = &codes[tokens[i]];
        uint32_t x = state[i & (states - 1)];
        uint32_t full = x >= c->limit;
        p[-2] = (uint8_t)x;                     /* written over again where the state was not full */
        p[-1] = (uint8_t)(x >> 8);
        p -= 2 * full;
        x >>= 16 * full;
        uint32_t q = (uint32_t)(((uint64_t)x * c->reciprocal) >> c->shift);
        state[i & (states - 1)] = x + c->start + q * c->complement;
    }
    return p;
}
