/* Exact arithmetic on doubles, sharing nothing with the core: a number is an integer count of 2^-2200,
 * written out in full.  Slow and plain: it is the judge. */
#ifndef JUDGE_H
#define JUDGE_H

#include <stdint.h>
#include <string.h>

/* Products of two doubles reach from 2^-2148 to 2^2050. */
#define EXACT_WORDS 136
#define EXACT_UNIT 2200

typedef struct { uint32_t w[EXACT_WORDS]; } exact;     /* not negative */

typedef struct { int negative, finite; uint64_t m; int e; } exact_double;      /* +-m * 2^e */

static inline exact_double exact_take_apart(double v) {
    uint64_t b;
    exact_double d;
    memcpy(&b, &v, 8);
    int exponent = (int)(b >> 52 & 2047);
    d.negative = (int)(b >> 63);
    d.finite = exponent != 2047;
    d.m = b & 0xfffffffffffffu;
    if (exponent) d.m |= (uint64_t)1 << 52;
    d.e = (exponent ? exponent : 1) - 1075;
    return d;
}

/* a += m * 2^e, with e >= -EXACT_UNIT */
static inline void exact_add(exact *a, uint64_t m, int e) {
    unsigned at = (unsigned)(e + EXACT_UNIT), word = at / 32, bit = at % 32;
    uint32_t part[3] = {(uint32_t)(m << bit), (uint32_t)(m << bit >> 32), 0};
    if (bit) part[2] = (uint32_t)(m >> (64 - bit));
    uint64_t carry = 0;
    for (unsigned i = word; i < EXACT_WORDS && (i < word + 3 || carry); i++) {
        carry += (uint64_t)a->w[i] + (i < word + 3 ? part[i - word] : 0);
        a->w[i] = (uint32_t)carry;
        carry >>= 32;
    }
}

static inline int exact_compare(const exact *a, const exact *b) {
    for (unsigned i = EXACT_WORDS; i-- > 0;)
        if (a->w[i] != b->w[i]) return a->w[i] < b->w[i] ? -1 : 1;
    return 0;
}

/* |x - y| as a number; 0 when one is not finite. */
static inline int exact_distance(double x, double y, exact *out) {
    exact_double a = exact_take_apart(x), b = exact_take_apart(y);
    exact p, q;
    if (!a.finite || !b.finite) return 0;
    memset(&p, 0, sizeof p);
    memset(&q, 0, sizeof q);
    exact_add(&p, a.m, a.e);
    exact_add(a.negative == b.negative ? &q : &p, b.m, b.e);
    if (exact_compare(&p, &q) < 0) {
        exact t = p;
        p = q;
        q = t;
    }
    int64_t borrow = 0;
    for (unsigned i = 0; i < EXACT_WORDS; i++) {
        int64_t d = (int64_t)p.w[i] - (int64_t)q.w[i] + borrow;
        out->w[i] = (uint32_t)d;
        borrow = d < 0 ? -1 : 0;
    }
    return 1;
}

/* |x - y| <= eb */
static inline int exact_within_slow(double x, double y, double eb) {
    exact_double b = exact_take_apart(eb);
    exact distance, bound;
    if (!b.finite || (b.negative && b.m) || !exact_distance(x, y, &distance)) return 0;
    memset(&bound, 0, sizeof bound);
    exact_add(&bound, b.m, b.e);
    return exact_compare(&distance, &bound) <= 0;
}

#ifdef __SIZEOF_INT128__
__extension__ typedef __int128 exact_int;

static inline int exact_bits(exact_int v) {
    uint64_t high = (uint64_t)(v >> 64), low = (uint64_t)v;
    return high ? 128 - __builtin_clzll(high) : low ? 64 - __builtin_clzll(low) : 0;
}

/* The same where the numbers lie near each other, in 128 bits. */
static inline int exact_within(double x, double y, double eb) {
    exact_double a = exact_take_apart(x), b = exact_take_apart(y), c = exact_take_apart(eb);
    int apart = a.e - b.e;
    if (!a.finite || !b.finite || !c.finite || c.negative || apart > 60 || apart < -60) return exact_within_slow(x, y, eb);
    int e = apart < 0 ? a.e : b.e;
    exact_int p = (exact_int)a.m << (a.e - e), q = (exact_int)b.m << (b.e - e);        /* below 2^113 */
    exact_int d = (a.negative ? -p : p) - (b.negative ? -q : q), bound = (exact_int)c.m;
    if (d < 0) d = -d;
    if (d == 0) return 1;
    int top = exact_bits(d) + e, bound_top = exact_bits(bound) + c.e;
    if (bound == 0 || top != bound_top) return bound != 0 && top < bound_top;
    /* the same highest bit: aligned, both stay below 2^115 */
    return e < c.e ? d <= bound << (c.e - e) : d << (e - c.e) <= bound;
}
#else
#define exact_within exact_within_slow
#endif

/* eb <= b * |x - y|, for b >= 0 */
static inline int exact_below_product(double eb, double b, double x, double y) {
    exact_double f = exact_take_apart(b), s = exact_take_apart(eb);
    exact distance, product, small;
    if (!f.finite || !s.finite || !exact_distance(x, y, &distance)) return 0;
    memset(&product, 0, sizeof product);
    memset(&small, 0, sizeof small);
    exact_add(&small, s.m, s.e);
    for (unsigned i = 0; i < EXACT_WORDS; i++)
        if (distance.w[i]) {
            /* f.m in two halves, so that each partial product fits 64 bits */
            int e = (int)(32 * i) - EXACT_UNIT + f.e;
            uint64_t low = (f.m & 0xffffffffu) * distance.w[i], high = (f.m >> 32) * distance.w[i];
            if (e < -EXACT_UNIT) return -1;     /* cannot be: distances are multiples of 2^-1074 */
            exact_add(&product, low, e);
            exact_add(&product, high, e + 32);
        }
    return exact_compare(&small, &product) <= 0;
}

#endif
