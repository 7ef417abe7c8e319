/* One tensor: what is chosen for it, and its chunks.  Knows no message. */
#ifndef GSZ_TENSOR_H
#define GSZ_TENSOR_H

#include "bound.h"
#include "quantisers/spherical.h"
#include "uniform.h"

GSZ_INLINE int gsz_is_float(int dtype) { return dtype >= GSZ_FLOAT16 && dtype <= GSZ_FLOAT64; }

/* Grids with random offsets. */
GSZ_INLINE int gsz_is_random(int grid) { return grid == GSZ_GRID_DITHERED || grid == GSZ_GRID_SHRUNK; }

/* What the table of a message says of a tensor (format.md 3). */
typedef struct {
    int dtype;
    unsigned ndim;
    const uint64_t *shape;
    uint64_t elements;
    size_t itemsize;
    int codec, mode, grid, predictor, coder;
    double eb;
    const gsz_spread *joint;    /* encoder: of the whole message, NULL = each tensor has its own */
    int referenced;         /* GSZ_CODEC_MODEL: whether it uses a reference, and of how many earlier rounds */
    unsigned rounds;
    const uint8_t *levels;  /* GSZ_MODE_LEVELS: their bytes, little-endian */
    unsigned nlevels;
    gsz_sphere sphere;      /* GSZ_CODEC_SPHERICAL */
    int smooth;             /* encoder: Lorenzo prediction looks much better than none */
} gsz_tensor;

GSZ_INLINE int gsz_tensor_is_random(const gsz_tensor *t) { return t->codec == GSZ_CODEC_MODEL && gsz_is_random(t->grid); }

/* Elements and bytes of a shape; GSZ_E_TOO_LARGE beyond GSZ_MAX_BYTES or the address space. */
int gsz_tensor_measure(gsz_tensor *t);

/* Whether the shape admits the predictor, and the chunks it gives: elements a chunk and their number. */
int gsz_tensor_chunks(const gsz_tensor *t, gsz_lattice *lattice, size_t *chunk, size_t *count);

/* Codec, bound, grid and predictor for the values of an input. */
int gsz_tensor_plan(gsz_work *work, gsz_tensor *t, const gsz_input *in);
/* The same by the uniform quantiser; and for a tensor planned with the gradient model that is better off without it. */
void gsz_tensor_plan_uniform(gsz_tensor *t, const gsz_input *in);
void gsz_tensor_plan_otherwise(gsz_tensor *t, const gsz_input *in);

/* Twins: chunk `index` of a tensor whose codec is EXACT, UNIFORM or SPHERICAL; x is the whole tensor. */
int gsz_tensor_encode_chunk(gsz_work *work, const gsz_tensor *t, const void *x, size_t index, gsz_writer *out);
int gsz_tensor_decode_chunk(gsz_work *work, const gsz_tensor *t, gsz_reader in, size_t index, void *x);

#endif
