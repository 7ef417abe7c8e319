/* Small dense matrices of low rank, row-major, in double; one text for every feature set, included by kernels_impl.h.  Compilers turn
 * these loops into vectors by themselves: no sum of theirs is taken in another order. */
static double NAME(orthogonalise)(double *g, size_t n, double tolerance, double *m) {
    double least = 1, diagonal[GSZ_MOST_DENSE];
    memset(m, 0, n * n * sizeof *m);
    for (size_t k = 0; k < n; k++) diagonal[k] = g[k * n + k], m[k * n + k] = 1;
    for (size_t k = 0; k < n; k++) {
        double *restrict gk = g + k * n, *restrict mk = m + k * n;
        double left = gk[k];
        if (!(left > tolerance * diagonal[k]) || !(left > 1e-200)) {
            memset(mk, 0, n * sizeof *mk);
            continue;
        }
        least = GSZ_MIN(least, left / diagonal[k]);
        double scale = inverse_root(left);
        for (size_t j = k; j < n; j++) gk[j] *= scale;
        for (size_t j = 0; j <= k; j++) mk[j] *= scale;
        for (size_t i = k + 1; i < n; i++) {
            double *restrict gi = g + i * n, *restrict mi = m + i * n, f = gk[i];
            for (size_t j = i; j < n; j++) gi[j] -= f * gk[j];
            for (size_t j = 0; j <= k; j++) mi[j] -= f * mk[j];
        }
    }
    return least;
}

/* Householder: g (full) becomes tridiagonal (diagonal d, e[k] between k and k + 1); q has g = q t q^T. */
static void NAME(tridiagonalise)(double *g, size_t n, double *d, double *e, double *q) {
    double v[GSZ_MOST_DENSE], w[GSZ_MOST_DENSE], scales[GSZ_MOST_DENSE];
    for (size_t k = 0; k + 1 < n; k++) {
        double *restrict row = g + k * n, norm = 0, beta = 0;
        for (size_t j = k + 1; j < n; j++) norm += row[j] * row[j];
        norm = root(norm);
        d[k] = row[k];
        e[k] = row[k + 1] > 0 ? -norm : norm;
        row[k + 1] -= e[k];
        double half = norm * norm + gsz_abs_double(e[k] * (row[k + 1] + e[k]));   /* v.v / 2 */
        if (k + 2 < n && half > 1e-250) beta = 1 / half;
        if (beta == 0) e[k] = k + 2 < n ? 0 : row[k + 1] + e[k];
        scales[k] = beta;
        if (beta == 0) continue;
        memcpy(v, row, n * sizeof *v);
        memset(w, 0, sizeof w);
        for (size_t i = k + 1; i < n; i++)
            for (size_t j = k + 1; j < n; j++) w[j] += v[i] * g[i * n + j];
        double vw = 0;
        for (size_t j = k + 1; j < n; j++) w[j] *= beta, vw += v[j] * w[j];
        for (size_t j = k + 1; j < n; j++) w[j] -= 0.5 * beta * vw * v[j];
        for (size_t i = k + 1; i < n; i++)
            for (size_t j = k + 1; j < n; j++) g[i * n + j] -= v[i] * w[j] + w[i] * v[j];
    }
    d[n - 1] = g[n * n - 1];
    e[n - 1] = 0;
    memset(q, 0, n * n * sizeof *q);
    for (size_t k = 0; k < n; k++) q[k * n + k] = 1;
    for (size_t k = n - 1; k-- > 0;) {                          /* q = H_0 H_1 ... from the right end */
        const double *row = g + k * n;
        if (scales[k] == 0) continue;
        memset(w, 0, sizeof w);
        for (size_t i = k + 1; i < n; i++)
            for (size_t j = k + 1; j < n; j++) w[j] += row[i] * q[i * n + j];
        for (size_t i = k + 1; i < n; i++) {
            double f = scales[k] * row[i];
            for (size_t j = k + 1; j < n; j++) q[i * n + j] -= f * w[j];
        }
    }
}

/* One implicit QL sweep over [l, m] with Wilkinson's shift; the eigenvectors are rows of v. */
static void NAME(ql_sweep)(double *d, double *e, size_t l, size_t m, size_t n, double *v) {
    double t = (d[l + 1] - d[l]) / (2 * e[l]), r = root(t * t + 1);
    double g = d[m] - d[l] + e[l] / (t + (t < 0 ? -r : r)), s = 1, c = 1, p = 0;
    for (size_t i = m; i-- > l;) {
        double f = s * e[i], b = c * e[i], square = f * f + g * g;
        if (!(square > 1e-290)) {                               /* split here */
            d[i + 1] -= p;
            e[m] = 0;
            return;
        }
        double inverse = inverse_root_in(square, 2);            /* the longest chain of all this: rough is enough */
        e[i + 1] = square * inverse;
        s = f * inverse;
        c = g * inverse;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        double *restrict v0 = v + i * n, *restrict v1 = v0 + n;
        for (size_t k = 0; k < n; k++) {
            double x = v0[k], y = v1[k];
            v1[k] = s * x + c * y;
            v0[k] = c * x - s * y;
        }
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
}

static void NAME(eigenvectors)(double *g, size_t n, double *d, double *v, double *q) {
    double e[GSZ_MOST_DENSE];
    NAME(tridiagonalise)(g, n, d, e, q);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) v[i * n + j] = q[j * n + i];
    for (size_t l = 0; l < n; l++)
        for (int sweep = 0; sweep < 40; sweep++) {              /* two are usual; what is left after 40 is small */
            size_t m = l;
            while (m + 1 < n && gsz_abs_double(e[m]) > 1e-13) m++;
            if (m == l) break;
            NAME(ql_sweep)(d, e, l, m, n, v);
        }
}
