/* The part of a message that holds the tensors under the gradient model: coding tables and segments (format.md 7). */
#ifndef GSZ_MODEL_PART_H
#define GSZ_MODEL_PART_H

#include "coding_tables.h"
#include "cut.h"
#include "structure.h"

/* A worker each, and how many. */
typedef struct { gsz_heap *heap; gsz_work *work; unsigned count; } gsz_workers;

/* ---- encoding */
typedef struct {
    gsz_heap *heap;
    gsz_cut cut;
    gsz_writer tables;              /* description of the coding tables */
    gsz_writer *segments;           /* of cut.nsegments */
} gsz_model_writer;

/* What is to be encoded: records `stride` bytes apart, each with a pointer to its values and its structure. */
typedef struct { const void *data; gsz_structure structure; } gsz_model_source;

/* sources: as many as entries, `source_stride` bytes apart; only those of tensors under the model are looked at. */
int gsz_model_part_encode(const gsz_workers *workers, const gsz_entry *first, const gsz_model_source *source, size_t count,
                          size_t stride, gsz_model_writer *out);
void gsz_model_writer_release(gsz_model_writer *w);

/* ---- decoding */
typedef struct {
    gsz_cut cut;
    gsz_offsets offsets;
    gsz_frequencies *frequencies;   /* of GSZ_TABLES contexts */
    unsigned used;                  /* bit k: set k has tables */
    struct { const uint8_t *p; uint64_t size; } *segments;      /* of cut.nsegments; behind each its checksum */
} gsz_model_reader;

/* Tables and lengths at the end of the table; the segments are found later. */
int gsz_model_part_open(gsz_heap *heap, gsz_reader *in, const gsz_entry *entries, size_t count, gsz_model_reader *r);
/* The segments in what follows the sections. */
int gsz_model_part_place(gsz_model_reader *r, gsz_reader *in);
void gsz_model_reader_release(gsz_heap *heap, gsz_model_reader *r);

/* Decodes the tensors with an out; checksums first.  priors: one a tensor, all there that entries ask for; or NULL. */
int gsz_model_part_decode(const gsz_workers *workers, const gsz_model_reader *r, const gsz_entry *entries, const gsz_prior *priors,
                          size_t count, void *const *out);

/* Decodes what holds one tensor, for its bits. */
int gsz_model_part_bits(const gsz_workers *workers, const gsz_model_reader *r, const gsz_entry *entries, size_t count,
                        size_t index, gsz_bits *bits);

/* A tensor's bytes in the segments, where several share one by elements. */
uint64_t gsz_model_part_share(const gsz_model_reader *r, const gsz_entry *entries, size_t index);

#endif
