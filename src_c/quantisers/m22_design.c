#include "quantisers/m22_design.h"

static double exponent_of(const gsz_density *d) { return d->family == GSZ_GENNORM ? 1 : d->shape; }     /* c of the header */

static double power(double x, double p) { return x > 0 ? gsz_exp(p * gsz_log(x)) : 0; }

/* ln E|x / s|^p. */
static double log_moment(const gsz_density *d, double p) {
    double c = exponent_of(d);
    return gsz_log_gamma((c + p) / d->shape) - gsz_log_gamma(c / d->shape);
}

double gsz_density_variance(const gsz_density *d) { return d->scale * d->scale * gsz_exp(log_moment(d, 2)); }

/* (E|x|)^2 / E x^2 rises with the shape: bisection on its logarithm. */
gsz_density gsz_density_fit(int family, double mean, double square) {
    gsz_density d = {family, 1, 1};
    double low = gsz_log(GSZ_M22_SHAPE_LEAST), high = gsz_log(GSZ_M22_SHAPE_MOST), target = gsz_log(mean * mean / square);
    for (int i = 0; i < 50; i++) {
        double middle = (low + high) / 2;
        d.shape = gsz_exp(middle);
        if (2 * log_moment(&d, 1) - log_moment(&d, 2) < target) low = middle;
        else high = middle;
    }
    d.scale = gsz_square_root(square / gsz_exp(log_moment(&d, 2)));
    return d;
}

/* ---- Lloyd's conditions: each level is the weighted centroid of its cell, each threshold lies half way.
 *
 * On x > 0, scale 1, the weight x^M f is x^(a-1) exp(-x^b).  Its integral over a cell and that of x times it are
 *   A0 = Gamma(a / b) / b DP(a / b),  A1 = Gamma((a + 1) / b) / b DP((a + 1) / b)
 * with DP(q) the difference of P(q, x^b) at the cell's ends. */

typedef struct { double a, b; unsigned n; double gamma0, gamma1; } weighting;
typedef struct { double t, weight; gsz_gamma g0, g1; } edge;

static edge edge_at(const weighting *w, double t) {
    edge e;
    double z = power(t, w->b);
    e.t = t;
    e.weight = t > 0 ? power(t, w->a - 1) * gsz_exp(-z) : 0;
    e.g0 = gsz_incomplete_gamma(w->a / w->b, z);
    e.g1 = gsz_incomplete_gamma((w->a + 1) / w->b, z);
    return e;
}

/* The smaller functions are the exact ones. */
static double difference(gsz_gamma from, gsz_gamma to) {
    return from.lower > 0.5 ? from.upper - to.upper : to.lower - from.lower;
}

/* Centroids of the cells around levels, and how they move with the lower and the upper end of their cell. */
typedef struct { double at[GSZ_M22_LEVELS], by_lower[GSZ_M22_LEVELS], by_upper[GSZ_M22_LEVELS]; } centroids;

static void find_centroids(const weighting *w, const double *levels, centroids *c) {
    edge lower = edge_at(w, 0);
    for (unsigned j = 0; j < w->n; j++) {
        edge upper = {0, 0, {1, 0}, {1, 0}};        /* of the last cell: infinity */
        if (j + 1 < w->n) upper = edge_at(w, (levels[j] + levels[j + 1]) / 2);
        double mass = w->gamma0 * difference(lower.g0, upper.g0), first = w->gamma1 * difference(lower.g1, upper.g1);
        int empty = !(mass > 0x1p-900);             /* far out in the tail: the level stays */
        c->at[j] = empty ? levels[j] : first / mass;
        c->by_lower[j] = empty ? 0 : lower.weight * (c->at[j] - lower.t) / mass;
        c->by_upper[j] = empty || j + 1 == w->n ? 0 : upper.weight * (upper.t - c->at[j]) / mass;
        lower = upper;
    }
}

/* Newton's step of levels - centroids(levels) = 0: a tridiagonal system, since a cell's ends depend on the neighbours. */
static void newton_step(unsigned n, const double *levels, const centroids *c, double *step) {
    double above[GSZ_M22_LEVELS];
    for (unsigned j = 0; j < n; j++) {
        double left = j > 0 ? c->by_lower[j] / 2 : 0, right = c->by_upper[j] / 2;
        double pivot = 1 - left - right - (j > 0 ? left * above[j - 1] : 0);
        double value = c->at[j] - levels[j] + (j > 0 ? left * step[j - 1] : 0);
        above[j] = right / pivot;
        step[j] = value / pivot;
    }
    for (unsigned j = n - 1; j-- > 0;) step[j] += above[j] * step[j + 1];
}

/* One iteration; returns the largest relative change. */
static double improve(const weighting *w, double *levels, int lloyd) {
    double next[GSZ_M22_LEVELS], step[GSZ_M22_LEVELS], largest = 0;
    centroids c;
    find_centroids(w, levels, &c);
    newton_step(w->n, levels, &c, step);
    for (unsigned j = 0; j < w->n; j++) {
        next[j] = levels[j] + step[j];
        lloyd |= !(next[j] > (j > 0 ? next[j - 1] : 0) && next[j] < 4 * levels[w->n - 1]);
    }
    for (unsigned j = 0; j < w->n; j++) {
        if (lloyd) next[j] = c.at[j];               /* Newton's step is no step towards a quantiser */
        double change = gsz_abs_double(next[j] - levels[j]) / next[j];
        largest = GSZ_MAX(largest, change);
        levels[j] = next[j];
    }
    return largest;
}

/* Start: quantiles of (x^M f)^(1/3), the density of levels when there are many (Panter and Dite). */
static void place_levels(const weighting *w, double *levels) {
    const double order = ((w->a - 1) / 3 + 1) / w->b;
    double high = 1;
    while (gsz_incomplete_gamma(order, power(high, w->b) / 3).upper > 0.5 / w->n && high < 0x1p100) high *= 2;
    for (unsigned j = w->n; j-- > 0;) {
        double low = 0, to = high, target = (j + 0.5) / w->n;
        for (int i = 0; i < 30; i++) {
            double middle = (low + to) / 2;
            if (gsz_incomplete_gamma(order, power(middle, w->b) / 3).lower < target) low = middle;
            else to = middle;
        }
        high = levels[j] = (low + to) / 2;
    }
    for (unsigned j = 1; j < w->n; j++) levels[j] = GSZ_MAX(levels[j], levels[j - 1] * (1 + 0x1p-20));
}

#define LLOYD_FIRST 3
#define ITERATIONS 500
#define PRECISION 1e-11

void gsz_m22_design(const gsz_density *d, unsigned bits, int m, double levels[GSZ_M22_LEVELS]) {
    const double a = m + exponent_of(d), b = d->shape;
    const weighting w = {a, b, 1u << (bits - 1), gsz_exp(gsz_log_gamma(a / b)) / b, gsz_exp(gsz_log_gamma((a + 1) / b)) / b};
    place_levels(&w, levels);
    for (int i = 0; i < ITERATIONS; i++)
        if (improve(&w, levels, i < LLOYD_FIRST) < PRECISION) break;
    for (unsigned j = 0; j < w.n; j++) levels[j] *= d->scale;
}
