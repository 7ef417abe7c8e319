#include "rans.h"

/* ---- frequencies */

/* 256 log2(v), rounded, v in 1 .. 2^11: from the integer part and a table of 32 steps of the fraction. */
static unsigned log2_256(uint32_t v) {
    static const uint16_t fraction[33] = {0, 11, 22, 33, 44, 54, 63, 73, 82, 92, 100, 109, 118, 126, 134, 142, 150,
                                         157, 165, 172, 179, 186, 193, 200, 207, 213, 220, 226, 232, 238, 244, 250, 256};
    unsigned e = (unsigned)gsz_floor_log2(v);
    uint32_t m = (v << 11 >> e) & 2047;                     /* fraction of the mantissa, 11 bits */
    unsigned at = m >> 6, rest = m & 63;
    return e * 256 + fraction[at] + ((unsigned)(fraction[at + 1] - fraction[at]) * rest + 32) / 64;
}

uint64_t gsz_frequencies_cost(const gsz_frequencies *f, const uint32_t counts[GSZ_RANS_SYMBOLS]) {
    return gsz_frequencies_cost_of(f, counts, 0, GSZ_RANS_SYMBOLS);
}

uint64_t gsz_frequencies_cost_of(const gsz_frequencies *f, const uint32_t counts[GSZ_RANS_SYMBOLS], unsigned from, unsigned to) {
    uint64_t cost = 0;
    for (unsigned s = from; s < to; s++) {
        if (counts[s] == 0) continue;
        if (f->of[s] == 0) return UINT64_MAX;
        cost += (uint64_t)counts[s] * (GSZ_RANS_BITS * 256 - log2_256(f->of[s]));
    }
    return cost;
}

void gsz_frequencies_fit(const uint32_t counts[GSZ_RANS_SYMBOLS], gsz_frequencies *f) {
    uint64_t total = 0;
    uint32_t sum = 0;
    unsigned largest = 0;
    for (unsigned s = 0; s < GSZ_RANS_SYMBOLS; s++) total += counts[s];
    for (unsigned s = 0; s < GSZ_RANS_SYMBOLS; s++) {
        uint64_t share = ((uint64_t)counts[s] * GSZ_RANS_SLOTS + total / 2) / total;
        f->of[s] = (uint16_t)(counts[s] == 0 ? 0 : GSZ_MAX(share, 1u));
        sum += f->of[s];
        if (counts[s] > counts[largest]) largest = s;
    }
    /* what rounding left over: from the largest, and where that is not enough from whoever can spare it */
    while (sum > GSZ_RANS_SLOTS) {
        unsigned from = largest;
        for (unsigned s = 0; f->of[largest] <= 1 && s < GSZ_RANS_SYMBOLS; s++)
            if (f->of[s] > f->of[from]) from = s;
        uint32_t spare = GSZ_MAX(f->of[from] / 2u, 1u), excess = sum - GSZ_RANS_SLOTS, take = GSZ_MIN(spare, excess);
        f->of[from] = (uint16_t)(f->of[from] - take);
        sum -= take;
        for (unsigned s = 0; s < GSZ_RANS_SYMBOLS; s++)
            if (f->of[s] > f->of[largest]) largest = s;
    }
    f->of[largest] = (uint16_t)(f->of[largest] + (GSZ_RANS_SLOTS - sum));
}

/* ---- encoding */

/* x / frequency for x < 2^31 is (x * reciprocal) >> shift, exactly: reciprocal = 2^shift / frequency rounded up, with
 * 31 bits more than the frequency has (Granlund and Montgomery). */
void gsz_rans_codes(const gsz_frequencies *f, gsz_rans_code code[GSZ_RANS_SYMBOLS]) {
    uint32_t start = 0;
    for (unsigned s = 0; s < GSZ_RANS_SYMBOLS; s++) {
        uint32_t frequency = f->of[s], bits = 0;
        if (frequency == 0) {
            memset(&code[s], 0, sizeof code[s]);
            continue;
        }
        while ((uint32_t)1 << bits < frequency) bits++;
        code[s].shift = 31 + bits;
        code[s].reciprocal = (uint32_t)((((uint64_t)1 << code[s].shift) + frequency - 1) / frequency);
        code[s].limit = frequency << (31 - GSZ_RANS_BITS);
        code[s].start = (uint16_t)start;
        code[s].complement = (uint16_t)(GSZ_RANS_SLOTS - frequency);
        start += frequency;
    }
}

/* A state is below 2^31 and has its highest bit, from 15 on, told in 4 bits. */
#define STATE_BITS 15u
#define EXPONENT_BITS 4u

static uint8_t *put_states(const uint32_t *state, unsigned states, uint8_t *end) {
    uint8_t bytes[GSZ_RANS_STATES * GSZ_RANS_STATE_BYTES + 8];
    gsz_bitwriter bits = {bytes, 0, 0};
    for (unsigned j = 0; j < states; j++) {
        const unsigned highest = (unsigned)gsz_floor_log2(state[j]);
        gsz_bits_put(&bits, highest - STATE_BITS, EXPONENT_BITS);
        gsz_bits_put(&bits, state[j] - ((uint32_t)1 << highest), highest);
    }
    const size_t n = (size_t)(gsz_bits_flush(&bits) - bytes);
    memcpy(end - n, bytes, n);
    return end - n;
}

uint8_t *gsz_rans_encode(const gsz_kernels *kernels, const gsz_rans_code *codes, const uint16_t *tokens, const uint32_t *steps,
                         size_t nsteps, unsigned states, uint8_t *end) {
    uint32_t state[GSZ_RANS_STATES];
    uint8_t *p = end;
    size_t at = 0;
    for (unsigned j = 0; j < GSZ_RANS_STATES; j++) state[j] = GSZ_RANS_START;
    for (size_t k = 0; k < nsteps; k++) at += steps[k];
    for (size_t k = nsteps; k-- > 0;) {
        at -= steps[k];
        p = kernels->rans_encode(codes, tokens + at, steps[k], states, state, p);
    }
    return put_states(state, states, p);
}

/* ---- decoding */

/* Of a symbol, if that is what the slot belongs to. */
static uint32_t frequency_at(const uint32_t *slots, uint32_t slot, uint32_t symbol) {
    return slot < GSZ_RANS_SLOTS && (slots[slot] & (GSZ_RANS_SYMBOLS - 1)) == symbol ? slots[slot] >> GSZ_RANS_FREQUENCY & 0xfff : 0;
}

void gsz_rans_use(gsz_rans_decoder *d, const uint32_t *slots) {
    d->slots = slots;
    for (unsigned c = 0; c < GSZ_RANS_NARROW; c++, slots += GSZ_RANS_SLOTS) {
        uint32_t start = 0;                                     /* the first slot of a symbol that is not less */
        for (uint32_t step = GSZ_RANS_SLOTS / 2; step > 0; step /= 2)
            if ((slots[start + step - 1] & (GSZ_RANS_SYMBOLS - 1)) < GSZ_RANS_USUAL) start += step;
        const uint32_t frequency = frequency_at(slots, start, GSZ_RANS_USUAL);
        d->usual[c] = frequency > 0 ? start | frequency << 16 : 0;
        d->beside[c] = frequency == 0 ? 0 : frequency_at(slots, start - 1, GSZ_RANS_USUAL - 1) | frequency_at(slots, start + frequency, GSZ_RANS_USUAL + 1) << 16;
    }
}

int gsz_rans_begin(gsz_rans_decoder *d, gsz_reader in, unsigned states, const uint32_t *slots) {
    gsz_bitreader bits;
    memset(d, 0, sizeof *d);
    gsz_bits_init(&bits, in.p, in.end);
    for (unsigned j = 0; j < states; j++) {
        const unsigned highest = STATE_BITS + gsz_bits_get(&bits, EXPONENT_BITS);
        d->state[j] = (uint32_t)1 << highest | gsz_bits_get(&bits, highest);
    }
    GSZ_CHECK(gsz_bits_align(&bits, &in), GSZ_E_STREAM);
    d->states = states;
    d->trust = 16;                                              /* enough to begin with */
    d->slots = slots;
    d->p = in.p;
    d->end = in.end;
    return GSZ_OK;
}

int gsz_rans_finish(const gsz_rans_decoder *d) {
    int ok = !d->overrun && d->p == d->end;
    for (unsigned j = 0; j < d->states; j++) ok &= d->state[j] == GSZ_RANS_START;
    return ok ? GSZ_OK : GSZ_E_STREAM;
}
