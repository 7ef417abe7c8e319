#include "coding_tables.h"

#define SENT_ORDER 4u
enum { KIND_ZERO = 0, KIND_GEOMETRIC = 1, KIND_LISTED = 2, KIND_BINARY = 3 };
#define ZERO (GSZ_RANS_SYMBOLS / 2)             /* the symbol that all others are arranged around; 0 stands for "elsewhere" */

/* ---- two-sided geometric: how often not zero, and the ratio of neighbours */
#define LEVELS 66u
#define RATIOS 64u
#define PARAMETER_BITS 13u                      /* 7 and 6 */

/* Slots that are not the zero's: about 2^(level / 6). */
static uint32_t slots_of_level(unsigned level) {
    static const uint32_t sixth[6] = {64, 72, 81, 91, 102, 114};
    return GSZ_MAX(sixth[level % 6] << level / 6 >> 6, 1u);
}

static uint32_t ratio_of(unsigned index) { return 4 * index + 2; }      /* in 1/256 */

/* Frequencies: half of the slots a side, each next symbol `ratio` times the one before as long as that is 1 or more; one slot
 * for symbol 0 where there are three or more; the zero has what is left. */
static void geometric(unsigned level, unsigned index, gsz_frequencies *f) {
    uint32_t slots = slots_of_level(level), ratio = ratio_of(index), used = slots >= 3;
    uint32_t left = (slots - used) / 2, share = left * (256 - ratio);       /* of a side; share: in 1/256 slots */
    memset(f, 0, sizeof *f);
    f->of[0] = (uint16_t)used;
    used += 2 * left;
    for (unsigned k = 1; k < ZERO && left > 0; k++) {
        uint32_t now = GSZ_MIN(GSZ_MAX((share + 128) >> 8, 1u), left);
        f->of[ZERO + k] = f->of[ZERO - k] = (uint16_t)now;
        left -= now;
        share = share * ratio >> 8;
    }
    f->of[ZERO] = (uint16_t)(GSZ_RANS_SLOTS - used + 2 * left);
}

typedef struct { unsigned level, ratio; uint64_t cost; } choice;

static uint32_t sum_counts(uint32_t a, uint32_t b) { return b > UINT32_MAX - a ? UINT32_MAX : a + b; }

/* The cheapest parameters near the counts' own; cost UINT64_MAX where a symbol that occurs would have no slot.  Both sides
 * have the same frequencies, and so they are looked at as one. */
static choice choose_geometric(const uint32_t counts[GSZ_RANS_SYMBOLS]) {
    uint32_t folded[GSZ_RANS_SYMBOLS] = {0};
    uint64_t others = counts[0], magnitude = counts[0];
    unsigned end = ZERO + 1;                            /* behind the last symbol that occurs */
    choice best = {0, 0, UINT64_MAX};
    folded[0] = counts[0], folded[ZERO] = counts[ZERO];
    for (unsigned k = 1; k < ZERO; k++) {
        folded[ZERO + k] = sum_counts(counts[ZERO + k], counts[ZERO - k]);
        others += folded[ZERO + k];
        if (folded[ZERO + k] > 0) end = ZERO + k + 1;
        magnitude += (uint64_t)folded[ZERO + k] * k;
    }
    uint32_t wanted = (uint32_t)(others * GSZ_RANS_SLOTS / (others + counts[ZERO]));
    unsigned level = 0, ratio = (unsigned)(others == 0 ? 0 : (magnitude - others) * RATIOS / magnitude);
    while (level + 1 < LEVELS && slots_of_level(level) < wanted) level++;
    for (unsigned l = level > 1 ? level - 1 : 0; l < GSZ_MIN(level + 2, LEVELS); l++)
        for (unsigned r = ratio > 2 ? ratio - 2 : 0; r < GSZ_MIN(ratio + 4, RATIOS); r++) {
            gsz_frequencies f;
            geometric(l, r, &f);
            if (counts[0] > 0 && f.of[0] == 0) continue;
            uint64_t cost = gsz_frequencies_cost_of(&f, folded, ZERO, end), far = gsz_frequencies_cost_of(&f, folded, 0, 1);
            if (cost < best.cost && cost + far < best.cost) best.level = l, best.ratio = r, best.cost = cost + far;
        }
    return best;
}

/* ---- binary: only the zero and the symbol above it, as with random offsets far from an edge */
#define LEVEL_BITS 7u

static void binary(unsigned level, gsz_frequencies *f) {
    memset(f, 0, sizeof *f);
    f->of[ZERO + 1] = (uint16_t)slots_of_level(level);
    f->of[ZERO] = (uint16_t)(GSZ_RANS_SLOTS - f->of[ZERO + 1]);
}

static choice choose_binary(const uint32_t counts[GSZ_RANS_SYMBOLS]) {
    choice best = {0, 0, UINT64_MAX};
    uint64_t total = 0;
    for (unsigned s = 0; s < GSZ_RANS_SYMBOLS; s++) total += counts[s];
    if (total != (uint64_t)counts[ZERO] + counts[ZERO + 1]) return best;
    uint32_t wanted = (uint32_t)((uint64_t)counts[ZERO + 1] * GSZ_RANS_SLOTS / total);
    unsigned level = 0;
    while (level + 1 < LEVELS && slots_of_level(level) < wanted) level++;
    for (unsigned l = level > 1 ? level - 1 : 0; l <= level; l++) {
        gsz_frequencies f;
        binary(l, &f);
        uint64_t cost = gsz_frequencies_cost(&f, counts);
        if (cost < best.cost) best.level = l, best.cost = cost;
    }
    return best;
}

/* ---- listed: the first and the last symbol, and all frequencies between but the zero's, which is what is left */

/* Order of a number by the one before it: about log2(before) - 1. */
static unsigned order_after(uint32_t before) { return before < 2 ? 0 : (unsigned)gsz_floor_log2(before) - 1; }

static void ends_of(const gsz_frequencies *f, unsigned *first, unsigned *last) {
    *first = *last = ZERO;
    for (unsigned s = 0; s < GSZ_RANS_SYMBOLS; s++)
        if (f->of[s] > 0) *first = GSZ_MIN(*first, s), *last = GSZ_MAX(*last, s);
}

static uint64_t listed_bits(const gsz_frequencies *f) {
    unsigned first, last;
    uint64_t bits = 14;
    uint32_t before = 0;
    ends_of(f, &first, &last);
    for (unsigned s = first; s <= last; s++) {
        if (s == ZERO) continue;
        bits += gsz_number_size(order_after(before), f->of[s]);
        before = f->of[s];
    }
    return bits;
}

static void put_listed(gsz_bitwriter *b, const gsz_frequencies *f) {
    unsigned first, last;
    uint32_t before = 0;
    ends_of(f, &first, &last);
    gsz_bits_put(b, first, 7);
    gsz_bits_put(b, last, 7);
    for (unsigned s = first; s <= last; s++) {
        if (s == ZERO) continue;
        gsz_number_put(b, order_after(before), f->of[s]);
        before = f->of[s];
    }
}

static int get_listed(gsz_bitreader *b, gsz_frequencies *f) {
    unsigned first = gsz_bits_get(b, 7), last = gsz_bits_get(b, 7);
    uint32_t before = 0, sum = 0;
    memset(f, 0, sizeof *f);
    GSZ_CHECK(first <= ZERO && last >= ZERO, GSZ_E_TABLE);
    for (unsigned s = first; s <= last; s++) {
        if (s == ZERO) continue;
        GSZ_CHECK(gsz_number_get(b, order_after(before), &before) && before <= GSZ_RANS_SLOTS - sum, GSZ_E_TABLE);
        f->of[s] = (uint16_t)before;
        sum += before;
    }
    f->of[ZERO] = (uint16_t)(GSZ_RANS_SLOTS - sum);
    return GSZ_OK;
}

/* ---- all contexts */

static void zero_only(gsz_frequencies *f) {
    memset(f, 0, sizeof *f);
    f->of[ZERO] = (uint16_t)GSZ_RANS_SLOTS;
}

static int has_only_zeros(const uint32_t counts[GSZ_RANS_SYMBOLS]) {
    uint64_t others = 0;
    for (unsigned s = 0; s < GSZ_RANS_SYMBOLS; s++) others += s == ZERO ? 0 : counts[s];
    return others == 0;
}

static void write_table(const uint32_t counts[GSZ_RANS_SYMBOLS], gsz_frequencies *f, gsz_bitwriter *out) {
    if (has_only_zeros(counts)) {
        zero_only(f);
        gsz_bits_put(out, KIND_ZERO, 2);
        return;
    }
    choice g = choose_geometric(counts), b = choose_binary(counts);
    memset(f, 0, sizeof *f);
    gsz_frequencies_fit(counts, f);
    uint64_t listed = gsz_frequencies_cost(f, counts) + 256 * listed_bits(f);
    if (b.cost < UINT64_MAX && b.cost + 256 * LEVEL_BITS <= GSZ_MIN(listed, g.cost)) {
        binary(b.level, f);
        gsz_bits_put(out, KIND_BINARY, 2);
        gsz_bits_put(out, b.level, LEVEL_BITS);
    } else if (g.cost < UINT64_MAX && g.cost + 256 * PARAMETER_BITS <= listed) {
        geometric(g.level, g.ratio, f);
        gsz_bits_put(out, KIND_GEOMETRIC, 2);
        gsz_bits_put(out, g.level, 7);
        gsz_bits_put(out, g.ratio, 6);
    } else {
        gsz_bits_put(out, KIND_LISTED, 2);
        put_listed(out, f);
    }
}

static int read_table(gsz_bitreader *in, gsz_frequencies *f) {
    unsigned kind = gsz_bits_get(in, 2);
    if (kind == KIND_ZERO) {
        zero_only(f);
    } else if (kind == KIND_GEOMETRIC) {
        unsigned level = gsz_bits_get(in, 7), ratio = gsz_bits_get(in, 6);
        GSZ_CHECK(level < LEVELS, GSZ_E_TABLE);
        geometric(level, ratio, f);
    } else if (kind == KIND_BINARY) {
        unsigned level = gsz_bits_get(in, LEVEL_BITS);
        GSZ_CHECK(level < LEVELS, GSZ_E_TABLE);
        binary(level, f);
    } else {
        GSZ_TRY(get_listed(in, f));
    }
    GSZ_CHECK(in->overrun == 0, GSZ_E_TABLE);
    return GSZ_OK;
}

void gsz_coding_tables_write(const uint32_t (*counts)[GSZ_RANS_SYMBOLS], unsigned n, gsz_frequencies *f, gsz_bitwriter *out) {
    unsigned sent = n - 1;
    while (sent > 0 && has_only_zeros(counts[sent - 1])) zero_only(&f[--sent]);
    gsz_number_put(out, SENT_ORDER, sent);
    for (unsigned c = 0; c < sent; c++) write_table(counts[c], &f[c], out);
    write_table(counts[n - 1], &f[n - 1], out);
}

int gsz_coding_tables_read(gsz_bitreader *in, unsigned n, gsz_frequencies *f) {
    uint32_t sent;
    GSZ_CHECK(gsz_number_get(in, SENT_ORDER, &sent) && sent < n, GSZ_E_TABLE);
    for (unsigned c = 0; c < sent; c++) GSZ_TRY(read_table(in, &f[c]));
    for (unsigned c = sent; c + 1 < n; c++) zero_only(&f[c]);
    return read_table(in, &f[n - 1]);
}
