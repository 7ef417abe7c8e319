/* Scratch memory of one worker, reused from chunk to chunk. */
#ifndef GSZ_WORK_H
#define GSZ_WORK_H

#include "alloc.h"
#include "kernels.h"

typedef struct {
    gsz_heap *heap;
    const gsz_kernels *kernels;
    gsz_scratch k;              /* quantised integers of a chunk */
    gsz_scratch predicted;      /* what is left of them after prediction */
    gsz_scratch signed_bytes;   /* a byte plane as symbols */
    gsz_scratch gaps;           /* runs of zeros before symbols to encode */
    gsz_scratch at;             /* positions of escapes */
    gsz_scratch far_at;         /* positions of far classes */
    gsz_scratch codes;          /* counts and codes */
    gsz_scratch tables;         /* for decoding */
    gsz_scratch bytes;          /* coded streams before their lengths are known */
    gsz_scratch low;            /* raw low bits */
    gsz_scratch symbols;        /* decoded classes */
    gsz_scratch wide;           /* decoded symbols, where they are more than classes */
    gsz_scratch planes;         /* elements and byte planes of the bit-exact mode */
    gsz_scratch escapes;        /* elements stored exactly */
    gsz_scratch model;          /* a row under the gradient model */
    gsz_scratch scales;         /* of rows */
    gsz_scratch values;         /* of a step */
    gsz_scratch prior;          /* a row of what both ends have */
    gsz_scratch rest;           /* a tensor less its reference */
    gsz_scratch factors;        /* of low rank, as floats */
    gsz_scratch bins;           /* a tensor's values in bins */
    gsz_scratch lowrank;        /* products of the subspace iteration */
    gsz_scratch turn;           /* columns of a factor and their reflections */
} gsz_work;

void gsz_work_init(gsz_work *work, gsz_heap *heap, const gsz_kernels *kernels);
void gsz_work_release(gsz_work *work);

#endif
