#include "view.h"

/* rows x columns, `columns` apart by column_stride: pairs of columns are two taps. */
static void set_matrix(gsz_view *v, uint64_t rows, uint64_t columns, uint64_t row_stride, uint64_t column_stride) {
    v->matrix = 1;
    v->rows = (size_t)rows;
    v->row_length = (size_t)columns;
    v->taps = columns > 1 ? 2 : 1;
    v->side = 0;
    v->lanes = (size_t)((columns + v->taps - 1) / v->taps);
    v->row_stride = (size_t)row_stride;
    v->lane_stride = (size_t)(v->taps * column_stride);
    v->tap_stride = (size_t)column_stride;
}

/* Elements in a line have no rows: lines of a fixed length are as good as any. */
static void set_folded(gsz_view *v) {
    uint64_t columns = GSZ_MIN(v->elements, (uint64_t)GSZ_FOLD);
    set_matrix(v, (v->elements + columns - 1) / columns, columns, columns, 1);
}

/* Few columns make short steps, so the longer side becomes the columns. */
static void set_oriented(gsz_view *v, uint64_t rows, uint64_t columns) {
    int transposed = columns < 16 && rows > columns;
    if (rows == 1 || columns == 1 || GSZ_MAX(rows, columns) > GSZ_MAX_ROW) set_folded(v);
    else if (transposed) set_matrix(v, columns, rows, 1, columns);
    else set_matrix(v, rows, columns, columns, 1);
}

static unsigned side_of(unsigned taps) {
    unsigned side = 1;
    while ((side + 1) * (side + 1) <= taps) side++;
    return side * side == taps ? side : taps;
}

static void set_kernels(gsz_view *v, uint64_t rows, uint64_t columns, uint64_t taps, int transposed) {
    v->matrix = 0;
    v->taps = (unsigned)taps;
    v->side = side_of(v->taps);
    v->rows = (size_t)(transposed ? columns : rows);
    v->lanes = (size_t)(transposed ? rows : columns);
    v->row_length = v->lanes * v->taps;
    v->row_stride = (size_t)(transposed ? taps : columns * taps);
    v->lane_stride = (size_t)(transposed ? columns * taps : taps);
    v->tap_stride = 1;
}

void gsz_view_of(const uint64_t *shape, unsigned ndim, gsz_view *v) {
    uint64_t rows = ndim > 0 ? shape[0] : 1, columns = ndim > 1 ? shape[1] : 1, taps = 1;
    v->elements = rows * columns;
    v->shorter = v->parts = 0;
    for (unsigned i = 2; i < ndim; i++) taps *= shape[i];
    v->elements *= taps;
    if (taps == 1) {
        set_oriented(v, rows, columns);
        return;
    }
    if (taps > GSZ_MAX_TAPS) {                          /* no kernels: the last dimension is the columns */
        set_oriented(v, v->elements / shape[ndim - 1], shape[ndim - 1]);
        return;
    }
    int transposed = columns < 16 && rows > columns;    /* with one column (depthwise): one row of all kernels */
    if ((transposed ? rows : columns) * taps > GSZ_MAX_ROW) set_folded(v);
    else set_kernels(v, rows, columns, taps, transposed);
}

/* One text for elements of 2, 4 and 8 bytes; pairs of neighbours, the usual case, as a loop that can be vectorised. */
#define MOVE(dst, d, src, s) memcpy((dst) + (d) * size, (src) + (s) * size, size)
GSZ_INLINE void gather(const gsz_view *v, const uint8_t *restrict row, size_t n, const size_t size, uint8_t *restrict planes) {
    if (v->taps == 2 && v->lane_stride == 2 && v->tap_stride == 1) {
        uint8_t *odd = planes + (n + 1) / 2 * size;
        for (size_t j = 0; j < n / 2; j++) MOVE(planes, j, row, 2 * j), MOVE(odd, j, row, 2 * j + 1);
        if (n % 2) MOVE(planes, n / 2, row, n - 1);
        return;
    }
    const size_t stride = v->lane_stride * size;
    for (unsigned tap = 0; tap < v->taps; tap++) {
        const size_t lanes = gsz_view_step(v, n, tap);
        uint8_t *restrict to = planes + gsz_view_plane(v, n, tap) * size;
        const uint8_t *restrict from = row + tap * v->tap_stride * size;
        for (size_t j = 0; j < lanes; j++, from += stride) MOVE(to, j, from, 0);
    }
}

GSZ_INLINE void scatter(const gsz_view *v, const uint8_t *restrict planes, size_t n, const size_t size, uint8_t *restrict row) {
    if (v->taps == 2 && v->lane_stride == 2 && v->tap_stride == 1) {
        const uint8_t *odd = planes + (n + 1) / 2 * size;
        for (size_t j = 0; j < n / 2; j++) MOVE(row, 2 * j, planes, j), MOVE(row, 2 * j + 1, odd, j);
        if (n % 2) MOVE(row, n - 1, planes, n / 2);
        return;
    }
    const size_t stride = v->lane_stride * size;
    for (unsigned tap = 0; tap < v->taps; tap++) {
        const size_t lanes = gsz_view_step(v, n, tap);
        const uint8_t *restrict from = planes + gsz_view_plane(v, n, tap) * size;
        uint8_t *restrict to = row + tap * v->tap_stride * size;
        for (size_t j = 0; j < lanes; j++, to += stride) MOVE(to, 0, from, j);
    }
}

/* Whether a row is the taps of lane after lane, in 4 bytes each. */
static int in_lanes(const gsz_view *v, size_t itemsize) { return itemsize == 4 && !v->matrix && v->tap_stride == 1 && v->lane_stride == v->taps; }

void gsz_row_gather(const gsz_kernels *kernels, const gsz_view *v, const void *row, size_t n, size_t itemsize, void *planes) {
    if (in_lanes(v, itemsize)) kernels->gather_taps(row, v->lanes, v->taps, planes);
    else if (itemsize == 2) gather(v, (const uint8_t *)row, n, 2, (uint8_t *)planes);
    else if (itemsize == 4) gather(v, (const uint8_t *)row, n, 4, (uint8_t *)planes);
    else gather(v, (const uint8_t *)row, n, 8, (uint8_t *)planes);
}

void gsz_row_scatter(const gsz_kernels *kernels, const gsz_view *v, const void *planes, size_t n, size_t itemsize, void *row) {
    if (in_lanes(v, itemsize)) kernels->scatter_taps(planes, v->lanes, v->taps, row);
    else if (itemsize == 2) scatter(v, (const uint8_t *)planes, n, 2, (uint8_t *)row);
    else if (itemsize == 4) scatter(v, (const uint8_t *)planes, n, 4, (uint8_t *)row);
    else scatter(v, (const uint8_t *)planes, n, 8, (uint8_t *)row);
}
