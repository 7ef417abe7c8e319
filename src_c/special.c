#include "special.h"

#define LOG2_HIGH 0.6931471803691238            /* ln 2 in two parts: the first has few bits, so that products are exact */
#define LOG2_LOW 1.9082149292705877e-10

static double power_of_two(int e) { return gsz_double_of_bits((uint64_t)(1023 + e) << 52); }     /* |e| <= 1022 */

/* e^x = 2^k e^y with |y| < ln 2 / 2; the series of e^y. */
double gsz_exp(double x) {
    if (x < -700) return 0;
    if (x > 700) return gsz_double_of_bits((uint64_t)0x7ff << 52);
    double k = gsz_round_double(x * 1.4426950408889634);
    double y = (x - k * LOG2_HIGH) - k * LOG2_LOW, sum = 1, term = 1;
    for (int i = 1; i < 18; i++) term *= y / i, sum += term;
    return sum * power_of_two((int)k);
}

/* ln x = e ln 2 + 2 artanh s with s = (m - 1) / (m + 1), m near 1; the series of artanh. */
double gsz_log(double x) {
    uint64_t bits = gsz_bits_of_double(x);
    int e = (int)(bits >> 52) - 1023;
    double m = gsz_double_of_bits((bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1023 << 52);
    if (m > 1.4142135623730951) m *= 0.5, e++;
    double s = (m - 1) / (m + 1), squared = s * s, term = s, sum = 0;
    for (int i = 1; i < 28; i += 2) sum += term / i, term *= squared;
    return (2 * sum + e * LOG2_LOW) + e * LOG2_HIGH;
}

/* Stirling's series, from 12 on; below, by Gamma(x) = Gamma(x + 1) / x. */
double gsz_log_gamma(double x) {
    double product = 1;
    while (x < 12) product *= x, x += 1;
    double r = 1 / x, r2 = r * r;
    double series = r * (1.0 / 12 - r2 * (1.0 / 360 - r2 * (1.0 / 1260 - r2 * (1.0 / 1680 - r2 * (1.0 / 1188 - r2 * (691.0 / 360360))))));
    return (x - 0.5) * gsz_log(x) - x + 0.9189385332046727 + series - gsz_log(product);
}

#define TERMS 500
#define TINY 0x1p-1000

/* P by its power series, for x < a + 1. */
static double lower_series(double a, double x) {
    double term = 1 / a, sum = term;
    for (int i = 1; i < TERMS && term > sum * 0x1p-54; i++) term *= x / (a + i), sum += term;
    return sum;
}

/* Q by its continued fraction, evaluated from the front (Lentz). */
static double upper_fraction(double a, double x) {
    double b = x + 1 - a, c = 1 / TINY, d = 1 / b, h = d;
    for (int i = 1; i < TERMS; i++) {
        double an = i * (a - i);
        b += 2;
        d = an * d + b;
        if (gsz_abs_double(d) < TINY) d = TINY;
        c = b + an / c;
        if (gsz_abs_double(c) < TINY) c = TINY;
        d = 1 / d;
        h *= d * c;
        if (gsz_abs_double(d * c - 1) < 0x1p-52) break;
    }
    return h;
}

gsz_gamma gsz_incomplete_gamma(double a, double x) {
    gsz_gamma g = {0, 1};
    if (!(x >= 0x1p-1020)) return g;
    double front = gsz_exp(a * gsz_log(x) - x - gsz_log_gamma(a));
    if (x < a + 1) {
        g.lower = front * lower_series(a, x);
        g.upper = 1 - g.lower;
    } else {
        g.upper = front * upper_fraction(a, x);
        g.lower = 1 - g.upper;
    }
    return g;
}
