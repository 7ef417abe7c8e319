/* What a message says of the state of both ends: its place in a stream (format.md 3.6); which tensors use what both ends have
 * before it is sent (gsz_prior), and its checksum (3.7). */
#ifndef GSZ_PRIOR_H
#define GSZ_PRIOR_H

#include "table.h"

/* Twins: where a message of a stream belongs, and its note, which stays where it is read. */
int gsz_stream_write(const gsz_stream *s, gsz_writer *out);
int gsz_stream_read(gsz_reader *in, gsz_stream *s);

/* CRC-32C of elements as little-endian bytes, going on from `crc`. */
uint32_t gsz_crc_of_elements(const gsz_kernels *kernels, uint32_t crc, const void *x, size_t n, size_t itemsize);

/* Whether a tensor of the table uses any. */
GSZ_INLINE int gsz_uses_prior(const gsz_tensor *t) { return t->codec == GSZ_CODEC_MODEL && (t->referenced || t->rounds > 0); }

/* Twins: the checksum, and three bits for each tensor under the gradient model.  Entries stand `stride` bytes apart, when
 * writing; reading sets their `referenced` and `rounds`. */
int gsz_prior_write(const gsz_entry *first, size_t count, size_t stride, uint32_t checksum, gsz_writer *out);
int gsz_prior_read(gsz_reader *in, gsz_entry *entries, size_t count, uint32_t *checksum);

/* The checksum of what a tensor uses, going on from `crc`; GSZ_E_STATE where an array of it is missing. */
int gsz_prior_checksum(const gsz_kernels *kernels, const gsz_tensor *t, const gsz_prior *prior, uint32_t *crc);

#endif
