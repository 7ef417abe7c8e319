/* A tensor under the gradient model with the memory that its description takes. */
#ifndef GSZ_STRUCTURE_H
#define GSZ_STRUCTURE_H

#include "rows.h"

typedef struct {
    gsz_modelled t;
    uint8_t *scales;            /* of t.view.rows */
    gsz_lowrank low;
    int16_t *pairs;
    size_t pairs_size;
    gsz_values_seen seen;       /* encoder */
} gsz_structure;

/* Random offsets of a message: a seed, and that this is client `slot` of `slots`, 0 = of none. */
typedef struct { uint64_t seed; uint32_t slot, slots; } gsz_offsets;

/* Twins.  1 read, 0 not (format.md 3). */
int gsz_offsets_write(const gsz_offsets *offsets, gsz_writer *out);
int gsz_offsets_read(gsz_reader *in, gsz_offsets *offsets);

/* View and memory; weights, scales and low rank are still to come. */
int gsz_structure_init(gsz_heap *heap, gsz_structure *s, int dtype, int grid, double eb, const uint64_t *shape, unsigned ndim);
/* Random offsets of tensor `index` of a message. */
void gsz_structure_offsets(gsz_structure *s, const gsz_offsets *offsets, size_t index);
/* What is used of what both ends have (s->t.prior). */
void gsz_structure_know(gsz_structure *s, int referenced, unsigned rounds);
/* After the factors are known: s->low becomes the base of s->t. */
int gsz_structure_link(gsz_heap *heap, gsz_structure *s);
/* A copy without low rank; and what takes everything from another, which is empty then. */
int gsz_structure_copy(gsz_heap *heap, const gsz_structure *from, gsz_structure *to);
void gsz_structure_move(gsz_structure *from, gsz_structure *to);
/* Without low rank again. */
void gsz_structure_unlink(gsz_heap *heap, gsz_structure *s);
void gsz_structure_release(gsz_heap *heap, gsz_structure *s);

/* The same tensor as a matrix of its own, row after row, each tap by tap: what low rank works on. */
void gsz_plane_view(const gsz_view *view, gsz_view *planes);
/* Whether a low-rank part is possible: whole rows, and both sides of a size for it. */
int gsz_lowrank_possible(const gsz_view *view);

#endif
