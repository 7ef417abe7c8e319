#include "lorenzo.h"

GSZ_INLINE int32_t add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
GSZ_INLINE int32_t sub(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }

/* Two dimensions in one pass: everywhere as if inside, then the first column and the first row again. */
static void forward2(const int32_t *restrict k, size_t n, size_t row, int32_t *restrict r) {
    for (size_t i = row + 1; i < n; i++) r[i] = sub(sub(k[i], k[i - 1]), sub(k[i - row], k[i - row - 1]));
    for (size_t i = row; i < n; i += row) r[i] = sub(k[i], k[i - row]);
    for (size_t i = 1; i < GSZ_MIN(row, n); i++) r[i] = sub(k[i], k[i - 1]);
    r[0] = k[0];
}

/* In place: the sum of a row so far, plus what is above. */
static void inverse2(const gsz_kernels *kernels, int32_t *r, size_t n, size_t row) {
    kernels->running_sum(r, GSZ_MIN(row, n));
    for (size_t start = row; start < n; start += row) {
        size_t count = GSZ_MIN(row, n - start);
        kernels->running_sum(r + start, count);
        for (size_t i = start; i < start + count; i++) r[i] = add(r[i], r[i - row]);
    }
}

/* The same for short rows (kernels of convolutions), what is above in registers. */
GSZ_INLINE void inverse2_short(int32_t *r, size_t n, const size_t row) {
    int32_t above[8] = {0};
    size_t start = 0;
    for (; start + row <= n; start += row) {
        int32_t sum = 0;
        for (size_t c = 0; c < row; c++) {
            sum = add(sum, r[start + c]);
            r[start + c] = above[c] = add(above[c], sum);
        }
    }
    for (int32_t sum = 0, c = 0; start < n; start++, c++) {
        sum = add(sum, r[start]);
        r[start] = add(above[c], sum);
    }
}

static void inverse_plane(const gsz_kernels *kernels, int32_t *r, size_t n, size_t row) {
    switch (row) {
    case 2: inverse2_short(r, n, 2); break;
    case 3: inverse2_short(r, n, 3); break;
    case 4: inverse2_short(r, n, 4); break;
    case 5: inverse2_short(r, n, 5); break;
    case 7: inverse2_short(r, n, 7); break;
    default: inverse2(kernels, r, n, row);
    }
}

void gsz_lorenzo_forward(const gsz_lattice *lattice, const int32_t *k, size_t n, int32_t *residuals) {
    size_t row = lattice->dims == 1 ? n : lattice->columns, plane = lattice->dims < 3 ? n : row * lattice->rows;
    for (size_t i = 0; i < n; i += plane) forward2(k + i, GSZ_MIN(plane, n - i), row, residuals + i);
    for (size_t i = n; i-- > plane;) residuals[i] = sub(residuals[i], residuals[i - plane]);
}

void gsz_lorenzo_inverse(const gsz_kernels *kernels, const gsz_lattice *lattice, int32_t *residuals, size_t n) {
    size_t row = lattice->dims == 1 ? n : lattice->columns, plane = lattice->dims < 3 ? n : row * lattice->rows;
    for (size_t i = 0; i < n; i += plane) inverse_plane(kernels, residuals + i, GSZ_MIN(plane, n - i), row);
    for (size_t i = plane; i < n; i++) residuals[i] = add(residuals[i], residuals[i - plane]);
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
