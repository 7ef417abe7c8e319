#include "rest.h"

#define BLOCK ((size_t)64)              /* lanes next to each other, */
#define PARTS 4u                        /* one of so many blocks */
#define LEAST_LANES ((size_t)4 * BLOCK)
#define LARGE ((uint64_t)1 << 19)       /* elements */

void gsz_rest_view(const gsz_view *v, int whole, gsz_view *rest) {
    const size_t lanes = v->row_length / v->taps;               /* of the shortest step */
    gsz_plane_view(v, rest);
    if (whole || v->elements < LARGE || lanes < LEAST_LANES) return;
    rest->lanes = ((lanes - BLOCK) / (PARTS * BLOCK) + 1) * BLOCK;
    rest->row_length = rest->row_stride = rest->lanes * v->taps;
    rest->tap_stride = rest->lanes;
    rest->elements = (uint64_t)rest->rows * rest->row_length;
    rest->parts = PARTS;
}

/* The lanes of the rest from a row that lies tap by tap; to may begin where the row does, or before. */
static void take_lanes(const gsz_view *v, const gsz_view *rest, const void *row, size_t itemsize, void *to) {
    uint8_t *next = (uint8_t *)to;
    for (unsigned tap = 0; tap < v->taps; tap++) {
        const uint8_t *from = (const uint8_t *)row + gsz_view_plane(v, v->row_length, tap) * itemsize;
        for (size_t j = 0; j < rest->lanes; j += BLOCK, next += BLOCK * itemsize) memmove(next, from + j * PARTS * itemsize, BLOCK * itemsize);
    }
}

/* Low rank of those lanes alone, b and its pairs in memory of its own. */
static void take_columns(const gsz_view *v, const gsz_view *rest, const gsz_lowrank *low, gsz_lowrank *part, int16_t *memory, int16_t *pairs) {
    *part = *low;
    part->cols = rest->row_length;
    part->b = memory;
    for (unsigned k = 0; k < low->rank; k++) take_lanes(v, rest, low->b + k * low->cols, sizeof *low->b, part->b + k * part->cols);
    gsz_lowrank_pairs(part, pairs);
}

int gsz_rest_make(gsz_work *work, const gsz_structure *s, const gsz_view *rest, const float *planes, float *left) {
    const gsz_view *v = &s->t.view;
    const float unit = 1 / (float)((uint32_t)1 << s->t.weights.unit_bits);
    if (rest->parts == 0) return gsz_lowrank_subtract(work, &s->low, s->t.pairs, planes, unit, left);
    const size_t n = (s->low.rank + GSZ_LOWRANK_PAIRS(s->low.rank) * 2) * rest->row_length;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->factors, n * sizeof(int16_t)));
    int16_t *b = (int16_t *)work->factors.data, *pairs = b + s->low.rank * rest->row_length;
    gsz_lowrank part;
    take_columns(v, rest, &s->low, &part, b, pairs);
    for (size_t i = 0; i < v->rows; i++) take_lanes(v, rest, planes + i * v->row_length, sizeof *planes, left + i * rest->row_length);
    return gsz_lowrank_subtract(work, &part, pairs, left, unit, left);
}
