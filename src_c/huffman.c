#include "huffman.h"

/* ---- code lengths: Moffat and Katajainen's in-place construction on sorted counts, then a limit */

typedef struct { uint32_t count; uint16_t token; } leaf;

/* Stable radix sort by count, 8 bits a pass; passes whose digit is the same everywhere are skipped. */
static leaf *sort_leaves(leaf *a, leaf *b, unsigned n) {
    for (unsigned shift = 0; shift < 32; shift += 8) {
        unsigned at[257] = {0};
        for (unsigned i = 0; i < n; i++) at[(a[i].count >> shift & 255) + 1]++;
        if (at[(a[0].count >> shift & 255) + 1] == n) continue;
        for (unsigned d = 0; d < 256; d++) at[d + 1] += at[d];
        for (unsigned i = 0; i < n; i++) b[at[a[i].count >> shift & 255]++] = a[i];
        leaf *t = a; a = b; b = t;
    }
    return a;
}

/* w: n >= 2 counts in rising order; becomes the depths of the leaves, in falling order. */
static void depths_in_place(uint32_t *w, int n) {
    int root = 0, next_leaf = 2, next;
    w[0] += w[1];
    for (next = 1; next < n - 1; next++) {          /* internal nodes, their parents left behind */
        if (next_leaf >= n || w[root] < w[next_leaf]) w[next] = w[root], w[root++] = (uint32_t)next;
        else w[next] = w[next_leaf++];
        if (next_leaf >= n || (root < next && w[root] < w[next_leaf])) w[next] += w[root], w[root++] = (uint32_t)next;
        else w[next] += w[next_leaf++];
    }
    w[n - 2] = 0;
    for (next = n - 3; next >= 0; next--) w[next] = w[w[next]] + 1;
    int available = 1, used = 0;                    /* depths of internal nodes to depths of leaves */
    uint32_t depth = 0;
    root = n - 2;
    next = n - 1;
    while (available > 0) {
        while (root >= 0 && w[root] == depth) used++, root--;
        while (available > used) w[next--] = depth, available--;
        available = 2 * used;
        depth++;
        used = 0;
    }
}

/* Number of leaves at each depth, none deeper than limit: leaves that are too deep come up to the limit,
 * and the room they take is made by pushing the deepest shallower leaves down. */
static void limit_depths(const uint32_t *depth, unsigned n, unsigned limit, unsigned *at) {
    uint32_t room = (uint32_t)1 << limit, taken = 0;
    for (unsigned i = 0; i < n; i++) {
        unsigned d = GSZ_MIN(depth[i], limit);
        at[d]++;
        taken += room >> d;
    }
    while (taken > room) {                          /* one leaf at d goes to d + 1: frees half of its room */
        unsigned d = limit - 1;
        while (at[d] == 0) d--;
        at[d]--;
        at[d + 1]++;
        taken -= room >> (d + 1);
    }
    for (unsigned d = limit; taken < room && d > 1;) {      /* give back what is left over, deepest first */
        if (at[d] != 0 && room - taken >= room >> d) at[d]--, at[d - 1]++, taken += room >> d;
        else d--;
    }
}

void gsz_code_build(gsz_code *code, const uint32_t *counts, unsigned alphabet, unsigned limit) {
    leaf store[2][GSZ_MAX_ALPHABET];
    uint32_t depth[GSZ_MAX_ALPHABET];
    unsigned used = 0, at[GSZ_CODE_BITS + 1] = {0};
    memset(code->length, 0, alphabet);
    code->alphabet = alphabet;
    code->longest = 0;
    code->lone = 0;
    for (unsigned t = 0; t < alphabet; t++)
        if (counts[t]) store[0][used].count = counts[t], store[0][used++].token = (uint16_t)t;
    if (used == 0) return;
    if (used == 1) {
        code->length[store[0][0].token] = 1;
        (void)gsz_code_assign(code);
        return;
    }
    const leaf *sorted = sort_leaves(store[0], store[1], used);
    for (unsigned i = 0; i < used; i++) depth[i] = sorted[i].count;
    depths_in_place(depth, (int)used);
    limit_depths(depth, used, limit, at);
    unsigned i = 0;
    for (unsigned d = limit; d >= 1; d--)           /* rarest tokens first, so the deepest first */
        for (unsigned k = at[d]; k > 0; k--) code->length[sorted[i++].token] = (uint8_t)d;
    (void)gsz_code_assign(code);
}

/* ---- canonical codes */

static uint16_t reverse_bits(uint32_t v, unsigned n) { /* n <= 16 */
    v = (v >> 1 & 0x5555) | (v & 0x5555) << 1;
    v = (v >> 2 & 0x3333) | (v & 0x3333) << 2;
    v = (v >> 4 & 0x0f0f) | (v & 0x0f0f) << 4;
    v = (v >> 8 & 0x00ff) | (v & 0x00ff) << 8;
    return (uint16_t)(v >> (16 - n));
}

int gsz_code_assign(gsz_code *code) {
    unsigned at[GSZ_CODE_BITS + 2] = {0}, used = 0;
    uint32_t next[GSZ_CODE_BITS + 2], c = 0;
    code->longest = 0;
    for (unsigned t = 0; t < code->alphabet; t++) {
        at[code->length[t]]++;
        if (code->length[t] > code->longest) code->longest = code->length[t];
    }
    at[0] = 0;
    for (unsigned d = 1; d <= GSZ_CODE_BITS; d++) {
        c = (c + at[d - 1]) << 1;
        next[d] = c;
        used += at[d];
    }
    /* complete: the code after the last one of the longest length would be 2^length */
    code->lone = used == 1 && code->longest == 1;
    GSZ_CHECK(code->lone || c + at[GSZ_CODE_BITS] == (uint32_t)1 << GSZ_CODE_BITS, GSZ_E_TABLE);
    GSZ_ONE_BY_ONE
    for (unsigned t = 0; t < code->alphabet; t++) {
        unsigned d = code->length[t];
        if (d) code->code[t] = reverse_bits(next[d]++, d);
    }
    return GSZ_OK;
}

/* ---- serialised lengths.  Each is a difference to the one before (4 at first), where a token that is not
 * used counts as longest + 1:   0: `0`   +-1: `1 0 s`   +-2: `1 1 0 s`   else `1 1 1` and four bits. */

void gsz_lengths_write(gsz_bitwriter *b, const gsz_code *code, unsigned from, unsigned to) {
    int before = 4;
    for (unsigned t = from; t < to; t++) {
        int v = code->length[t] ? code->length[t] : (int)code->longest + 1;
        int d = v - before;
        unsigned s = d < 0;
        if (d == 0) gsz_bits_put(b, 0, 1);
        else if (d == 1 || d == -1) gsz_bits_put(b, 1 | s << 2, 3);
        else if (d == 2 || d == -2) gsz_bits_put(b, 3 | s << 3, 4);
        else gsz_bits_put(b, 7 | (unsigned)v << 3, 7);
        before = v;
    }
}

int gsz_lengths_read(gsz_bitreader *b, gsz_code *code, unsigned from, unsigned to) {
    int before = 4, unused = (int)code->longest + 1;
    for (unsigned t = from; t < to; t++) {
        int v = before;
        gsz_bits_refill(b);
        unsigned w = gsz_bits_peek(b, 7);
        if ((w & 1) == 0) gsz_bits_skip(b, 1);
        else if ((w & 2) == 0) v += w & 4 ? -1 : 1, gsz_bits_skip(b, 3);
        else if ((w & 4) == 0) v += w & 8 ? -2 : 2, gsz_bits_skip(b, 4);
        else {
            v = (int)(w >> 3);
            gsz_bits_skip(b, 7);
            GSZ_CHECK(v > before + 2 || v < before - 2, GSZ_E_TABLE);
        }
        GSZ_CHECK(v >= 1 && v <= unused, GSZ_E_TABLE);
        code->length[t] = (uint8_t)(v == unused ? 0 : v);
        before = v;
    }
    return GSZ_OK;
}
