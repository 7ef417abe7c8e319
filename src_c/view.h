/* How the gradient model sees a tensor: rows x columns x taps (docs/model.md, "View").
 *
 * A row is coded in `taps` steps, each a vector of `lanes` elements.  Kernels: a step is one tap of all columns.  Matrices:
 * the even columns, then the odd ones, so that a step knows both neighbours.  Other shapes become one of these two. */
#ifndef GSZ_VIEW_H
#define GSZ_VIEW_H

#include "kernels.h"

#define GSZ_FOLD ((size_t)512)                  /* row length of what has no rows of its own */
#define GSZ_MAX_ROW ((uint64_t)1 << 16)         /* longer rows are folded */
#define GSZ_MAX_TAPS 128u

typedef struct {
    uint64_t elements;
    size_t rows, row_length;                    /* only the last row may be shorter, and only in a matrix, */
    unsigned shorter;                           /* or each row by so many than the one before */
    size_t lanes;                               /* of the longest step */
    unsigned parts;                             /* there are so many times as many lanes, of which these stand for all; 0: these are all */
    unsigned taps, side;                        /* side: taps a line of the kernel, 0 for matrices */
    int matrix;
    size_t row_stride, lane_stride, tap_stride; /* in elements, C order */
} gsz_view;

void gsz_view_of(const uint64_t *shape, unsigned ndim, gsz_view *view);

/* Elements of a row, and of one of its steps. */
GSZ_INLINE size_t gsz_view_row(const gsz_view *v, size_t row) {
    uint64_t left = v->elements - (uint64_t)row * v->row_length;
    return left < v->row_length ? (size_t)left : v->row_length - v->shorter * row;
}
GSZ_INLINE size_t gsz_view_step(const gsz_view *v, size_t row_length, unsigned tap) {
    return (row_length + v->taps - 1 - tap) / v->taps;
}

/* Elements that it stands for, and those of a row. */
GSZ_INLINE double gsz_view_worth(const gsz_view *v) { return (double)v->elements * GSZ_MAX(v->parts, 1u); }
GSZ_INLINE double gsz_view_row_worth(const gsz_view *v) { return (double)v->row_length * GSZ_MAX(v->parts, 1u); }

/* Where a step's elements begin when a row lies step by step ("planes"), and whether it does so anyway. */
GSZ_INLINE size_t gsz_view_plane(const gsz_view *v, size_t row_length, unsigned tap) {
    return v->matrix ? (tap > 0 ? gsz_view_step(v, row_length, 0) : 0) : tap * v->lanes;
}
GSZ_INLINE int gsz_view_in_planes(const gsz_view *v) {
    return v->lane_stride == 1 && (v->taps == 1 || (!v->matrix && v->tap_stride == v->lanes));
}

/* Whether a row is one piece of memory. */
GSZ_INLINE int gsz_view_whole(const gsz_view *v) {
    return gsz_view_in_planes(v) || (v->tap_stride == 1 && v->lane_stride == v->taps);
}

/* Twins: the elements of a row to planes and back. */
void gsz_row_gather(const gsz_kernels *kernels, const gsz_view *v, const void *row, size_t row_length, size_t itemsize, void *planes);
void gsz_row_scatter(const gsz_kernels *kernels, const gsz_view *v, const void *planes, size_t row_length, size_t itemsize, void *row);

#endif
