#include "cut.h"

#define GATHERED ((uint64_t)1 << 19)        /* elements: a segment with so many is full */
#define BLOCK ((size_t)1 << 20)             /* elements of a block of rows */

static size_t block_rows(const gsz_view *v) { return GSZ_MAX(BLOCK / v->row_length, (size_t)1); }

/* How many parts there are at most, over all tensors. */
static int count_parts(const gsz_entry *first, size_t count, size_t stride, uint64_t *parts) {
    *parts = 0;
    for (size_t i = 0; i < count; i++) {
        const gsz_tensor *t = &gsz_entry_at(first, i, stride)->tensor;
        gsz_view v;
        if (t->codec != GSZ_CODEC_MODEL) continue;
        gsz_view_of(t->shape, t->ndim, &v);
        GSZ_CHECK(gsz_add_u64(*parts, (v.rows - 1) / block_rows(&v) + 1, parts), GSZ_E_TOO_LARGE);
    }
    return GSZ_OK;
}

typedef struct { gsz_cut *cut; uint64_t elements; int open; } cutter;

static void add_part(cutter *c, size_t tensor, size_t from, size_t to, uint64_t elements) {
    gsz_cut *cut = c->cut;
    if (!c->open) {
        cut->segments[cut->nsegments].first = cut->nparts;
        cut->nsegments++;
        c->elements = 0;
        c->open = 1;
    }
    gsz_part part = {tensor, from, to};
    cut->parts[cut->nparts++] = part;
    cut->segments[cut->nsegments - 1].last = cut->nparts;
    c->elements += elements;
    cut->segments[cut->nsegments - 1].elements = c->elements;
    if (c->elements >= GATHERED) c->open = 0;
}

static void add_tensor(cutter *c, size_t i, const gsz_view *v) {
    size_t rows = block_rows(v);
    if (v->rows > rows) c->open = 0;
    for (size_t from = 0; from < v->rows; from += rows) {
        add_part(c, i, from, GSZ_MIN(from + rows, v->rows), v->elements);
        if (v->rows > rows) c->open = 0;
    }
}

int gsz_cut_make(gsz_heap *heap, const gsz_entry *first, size_t count, size_t stride, uint64_t most, gsz_cut *cut) {
    uint64_t parts;
    cutter c = {cut, 0, 0};
    memset(cut, 0, sizeof *cut);
    GSZ_TRY(count_parts(first, count, stride, &parts));
    if (parts == 0) return GSZ_OK;
    GSZ_CHECK(parts <= most, GSZ_E_HEADER);
    GSZ_CHECK(parts <= SIZE_MAX / sizeof(gsz_part), GSZ_E_TOO_LARGE);
    cut->capacity = (size_t)parts;
    cut->parts = (gsz_part *)gsz_alloc(heap, cut->capacity * sizeof(gsz_part));
    cut->segments = (gsz_segment_parts *)gsz_alloc(heap, cut->capacity * sizeof(gsz_segment_parts));
    GSZ_CHECK(cut->parts != NULL && cut->segments != NULL, GSZ_E_MEMORY);
    for (size_t i = 0; i < count; i++) {
        const gsz_tensor *t = &gsz_entry_at(first, i, stride)->tensor;
        gsz_view v;
        if (t->codec != GSZ_CODEC_MODEL) continue;
        gsz_view_of(t->shape, t->ndim, &v);
        add_tensor(&c, i, &v);
    }
    return GSZ_OK;
}

void gsz_cut_release(gsz_heap *heap, gsz_cut *cut) {
    gsz_release(heap, cut->parts, cut->capacity * sizeof(gsz_part));
    gsz_release(heap, cut->segments, cut->capacity * sizeof(gsz_segment_parts));
    memset(cut, 0, sizeof *cut);
}
