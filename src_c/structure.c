#include "structure.h"

#define MOST_ROWS ((size_t)1 << 20)         /* of a matrix with a low-rank part */

int gsz_structure_init(gsz_heap *heap, gsz_structure *s, int dtype, int grid, double eb, const uint64_t *shape, unsigned ndim) {
    memset(s, 0, sizeof *s);
    s->t.dtype = dtype;
    s->t.grid = grid;
    s->t.eb = eb;
    gsz_structure_know(s, 0, 0);
    gsz_view_of(shape, ndim, &s->t.view);
    s->scales = (uint8_t *)gsz_alloc(heap, s->t.view.rows);
    GSZ_CHECK(s->scales != NULL, GSZ_E_MEMORY);
    s->t.scales = s->scales;
    return GSZ_OK;
}

int gsz_offsets_write(const gsz_offsets *offsets, gsz_writer *out) {
    GSZ_TRY(gsz_put_varint(out, offsets->seed));
    GSZ_TRY(gsz_put_varint(out, offsets->slots));
    return offsets->slots > 0 ? gsz_put_varint(out, offsets->slot) : GSZ_OK;
}

int gsz_offsets_read(gsz_reader *in, gsz_offsets *offsets) {
    uint64_t slots, slot = 0;
    if (gsz_get_varint(in, &offsets->seed) != 1 || gsz_get_varint(in, &slots) != 1 || slots > UINT32_MAX) return 0;
    if (slots > 0 && (gsz_get_varint(in, &slot) != 1 || slot >= slots)) return 0;
    offsets->slots = (uint32_t)slots;
    offsets->slot = (uint32_t)slot;
    return 1;
}

void gsz_structure_offsets(gsz_structure *s, const gsz_offsets *offsets, size_t index) {
    s->t.seed = offsets->seed;
    s->t.slot = offsets->slots > 0 ? (uint32_t)(((uint64_t)offsets->slot << 32) / offsets->slots) : 0;
    s->t.index = index;
}

void gsz_structure_know(gsz_structure *s, int referenced, unsigned rounds) {
    s->t.referenced = referenced;
    s->t.rounds = rounds;
    s->t.set = gsz_is_phased(&s->t) ? GSZ_SET_DITHERED : GSZ_SET_VALUES;
}

int gsz_structure_link(gsz_heap *heap, gsz_structure *s) {
    if (s->low.rank == 0) return GSZ_OK;
    s->pairs_size = GSZ_LOWRANK_PAIRS(s->low.rank) * 2 * s->low.cols * sizeof(int16_t);
    s->pairs = (int16_t *)gsz_alloc(heap, s->pairs_size);
    GSZ_CHECK(s->pairs != NULL, GSZ_E_MEMORY);
    gsz_lowrank_pairs(&s->low, s->pairs);
    s->t.low = &s->low;
    s->t.pairs = s->pairs;
    return GSZ_OK;
}

int gsz_structure_copy(gsz_heap *heap, const gsz_structure *from, gsz_structure *to) {
    memset(to, 0, sizeof *to);
    to->t = from->t;
    to->t.low = NULL;
    to->seen = from->seen;
    to->scales = (uint8_t *)gsz_alloc(heap, from->t.view.rows);
    GSZ_CHECK(to->scales != NULL, GSZ_E_MEMORY);
    memcpy(to->scales, from->scales, from->t.view.rows);
    to->t.scales = to->scales;
    return GSZ_OK;
}

void gsz_structure_move(gsz_structure *from, gsz_structure *to) {
    *to = *from;
    if (to->t.low != NULL) to->t.low = &to->low;
    memset(from, 0, sizeof *from);
}

void gsz_structure_unlink(gsz_heap *heap, gsz_structure *s) {
    gsz_release(heap, s->pairs, s->pairs_size);
    s->pairs = NULL;
    s->pairs_size = 0;
    s->t.low = NULL;
    gsz_lowrank_release(heap, &s->low);
}

void gsz_structure_release(gsz_heap *heap, gsz_structure *s) {
    gsz_release(heap, s->scales, s->t.view.rows);
    gsz_structure_unlink(heap, s);
    memset(s, 0, sizeof *s);
}

void gsz_plane_view(const gsz_view *v, gsz_view *planes) {
    *planes = *v;
    planes->row_stride = v->row_length;
    planes->lane_stride = 1;
    planes->tap_stride = v->lanes;          /* whole rows: the first step is the longest */
}

int gsz_lowrank_possible(const gsz_view *v) {
    return v->rows >= 8 && v->row_length >= 8 && v->rows <= MOST_ROWS && v->elements % v->row_length == 0;
}
