#include "lorenzo.h"

GSZ_INLINE int32_t add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
GSZ_INLINE int32_t sub(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }

/* Rows of `distance` elements: each minus, or plus, the one before it; they do not overlap. */
static void subtract_row(int32_t *restrict row, const int32_t *restrict before, size_t n) {
    for (size_t i = 0; i < n; i++) row[i] = sub(row[i], before[i]);
}

static void add_row(int32_t *restrict row, const int32_t *restrict before, size_t n) {
    for (size_t i = 0; i < n; i++) row[i] = add(row[i], before[i]);
}

/* Differences at a distance, from the end so that it works in place. */
static void difference(int32_t *v, size_t n, size_t distance) {
    for (size_t r = (n - 1) / distance; r > 0; r--) {
        int32_t *row = v + r * distance;
        subtract_row(row, row - distance, GSZ_MIN(distance, n - r * distance));
    }
}

/* Running sums at a distance inside each group: the inverse. */
static void running_sum(int32_t *v, size_t n, size_t distance, size_t group) {
    for (size_t start = 0; start < n; start += group) {
        size_t end = GSZ_MIN(start + group, n);
        for (size_t i = start + distance; i < end; i += distance) add_row(v + i, v + i - distance, GSZ_MIN(distance, end - i));
    }
}

/* Running sums along each row of `group` elements. */
static void running_sum_of_neighbours(int32_t *v, size_t n, size_t group) {
    for (size_t start = 0; start < n; start += group) {
        int32_t sum = 0;
        for (size_t i = start; i < GSZ_MIN(start + group, n); i++) v[i] = sum = add(sum, v[i]);
    }
}

/* Two dimensions in one pass: everywhere as if inside, then the first column and the first row again. */
static void forward2(const int32_t *restrict k, size_t n, size_t row, int32_t *restrict r) {
    for (size_t i = row + 1; i < n; i++) r[i] = sub(sub(k[i], k[i - 1]), sub(k[i - row], k[i - row - 1]));
    for (size_t i = row; i < n; i += row) r[i] = sub(k[i], k[i - row]);
    for (size_t i = 1; i < GSZ_MIN(row, n); i++) r[i] = sub(k[i], k[i - 1]);
    r[0] = k[0];
}

void gsz_lorenzo_forward(const gsz_lattice *lattice, const int32_t *k, size_t n, int32_t *residuals) {
    size_t plane = lattice->columns * lattice->rows;
    if (lattice->dims == 1) forward2(k, n, n, residuals);
    else if (lattice->dims == 2) forward2(k, n, lattice->columns, residuals);
    else {
        for (size_t i = 0; i < n; i += plane) forward2(k + i, GSZ_MIN(plane, n - i), lattice->columns, residuals + i);
        difference(residuals, n, plane);
    }
}

void gsz_lorenzo_inverse(const gsz_lattice *lattice, int32_t *residuals, size_t n) {
    size_t row = lattice->dims == 1 ? n : lattice->columns, plane = lattice->dims == 2 ? n : row * lattice->rows;
    running_sum_of_neighbours(residuals, n, row);
    if (lattice->dims == 1) return;
    running_sum(residuals, n, row, plane);
    if (lattice->dims == 3) running_sum(residuals, n, plane, n);
}

int32_t gsz_lorenzo_predict(const gsz_lattice *lattice, const int32_t *k, size_t i) {
    size_t step[3] = {1, lattice->columns, lattice->columns * lattice->rows};
    size_t at[3] = {i, 0, 0};
    if (lattice->dims > 1) at[0] = i % step[1], at[1] = i / step[1];
    if (lattice->dims > 2) at[1] = i % step[2] / step[1], at[2] = i / step[2];
    int32_t p = 0;
    for (unsigned corner = 1; corner < 1u << lattice->dims; corner++) {     /* inclusion and exclusion */
        size_t back = 0;
        unsigned axes = 0, inside = 1;
        for (unsigned a = 0; a < lattice->dims; a++)
            if (corner >> a & 1) back += step[a], axes++, inside &= at[a] > 0;
        if (inside) p = axes & 1 ? add(p, k[i - back]) : sub(p, k[i - back]);
    }
    return p;
}
