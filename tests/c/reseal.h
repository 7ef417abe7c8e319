/* Makes a damaged message look whole again: recomputes the checksums where they stand, so that the damage
 * reaches the code behind them. */
#ifndef RESEAL_H
#define RESEAL_H

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "message.h"
#include "model_part.h"

/* prior: where the checksum of what both ends have stands; 0 for none */
typedef struct { uint8_t *data; size_t size, at, prior; } resealing;

/* The checksum behind the next n bytes; 0 where the message ends before. */
static inline int reseal_one(resealing *r, uint64_t n) {
    if (r->size - r->at < 4 || n > r->size - r->at - 4) return 0;
    gsz_store_le32(r->data + r->at + n, gsz_crc32c_portable(0, r->data + r->at, (size_t)n));
    r->at += (size_t)n + 4;
    return 1;
}

static inline int reseal_section(resealing *r, const gsz_entry *e) {
    return !gsz_has_section(e->tensor.codec) || reseal_one(r, e->section_size);
}

/* Sections of `count` entries, then of the runs of gathered tensors, then segments: as far as the table can be read.  `in` has the
 * entries, `table` what follows packed ones. */
static inline void reseal_parts(resealing *r, gsz_heap *heap, gsz_entry_reader *in, gsz_reader *table, uint64_t count, unsigned flags) {
    const int named = (flags & GSZ_FLAG_NAMED) != 0;
    gsz_stream stream;
    uint32_t checksum;
    const size_t room = gsz_left(&in->plain);
    char names[2][GSZ_MAX_NAME];            /* an entry's and the one's before */
    gsz_entry *entries = (gsz_entry *)malloc(((size_t)count + 1) * sizeof *entries);
    uint64_t *shapes = (uint64_t *)malloc((room + 1) * sizeof *shapes), *pool = shapes;
    if (entries == NULL || shapes == NULL) abort();
    gsz_table_state state;
    gsz_model_reader model;
    gsz_gathered gathered;
    int ok = 1;
    memset(&state, 0, sizeof state);
    memset(&model, 0, sizeof model);
    for (size_t i = 0; ok && i < count; i++) {
        ok = gsz_entry_read(&state, in, named, pool, names[i & 1], &entries[i]) == GSZ_OK && reseal_section(r, &entries[i]);
        pool += entries[i].tensor.ndim;
    }
    if (in->packed == NULL) *table = in->plain;
    ok = ok && gsz_gathered_sum(&gathered, entries, (size_t)count, sizeof *entries) == GSZ_OK && gsz_gathered_read(&gathered, table) == GSZ_OK;
    for (unsigned d = 0; ok && d < GSZ_DTYPES; d++) ok = reseal_section(r, &gathered.runs[d]);
    if (ok && (flags & GSZ_FLAG_STREAM)) ok = gsz_stream_read(table, &stream) == GSZ_OK;
    if (ok && (flags & GSZ_FLAG_PRIOR)) r->prior = (size_t)(table->p - r->data);
    if (r->prior > 0) ok = gsz_prior_read(table, entries, (size_t)count, &checksum) == GSZ_OK;
    if (ok && gsz_model_part_open(heap, table, entries, (size_t)count, &model) == GSZ_OK)
        for (size_t i = 0; ok && i < model.cut.nsegments; i++) ok = reseal_one(r, model.segments[i].size);
    gsz_model_reader_release(heap, &model);
    free(entries);
    free(shapes);
}

/* Begins to unpack entries into memory that is given back; NULL where they cannot be. */
static inline uint8_t *reseal_unpack(gsz_heap *heap, gsz_reader *table, gsz_entry_reader *in) {
    uint64_t n, size;
    gsz_reader packed;
    if (gsz_get_varint(table, &n) != 1 || gsz_get_varint(table, &size) != 1 || n > GSZ_PACKED_MOST) return NULL;
    if (!gsz_get_reader(table, size, &packed)) return NULL;
    uint8_t *bytes = (uint8_t *)malloc((size_t)n + 1);
    if (bytes == NULL || gsz_unpack_begin(heap, packed, bytes, (size_t)n, &in->packed) != GSZ_OK) abort();
    in->plain.p = bytes;
    in->plain.end = bytes + n;
    return bytes;
}

static inline void reseal_behind(resealing *r, gsz_reader table, unsigned flags) {
    const int packed = (flags & GSZ_FLAG_PACKED) != 0, named = (flags & GSZ_FLAG_NAMED) != 0;
    gsz_entry_reader in = {table, NULL};
    uint8_t *unpacked = NULL;
    uint64_t count = 1;
    gsz_options options;
    gsz_heap heap;
    gsz_options_init(&options);
    gsz_heap_init(&heap, &options);
    if (packed) unpacked = reseal_unpack(&heap, &table, &in);
    if ((!packed || unpacked != NULL) && (!named || gsz_get_varint(gsz_expect_varint(&in, GSZ_FIELD_COUNT), &count) == 1)
        && count <= gsz_left(&in.plain))
        reseal_parts(r, &heap, &in, &table, count, flags);
    if (in.packed != NULL) gsz_unpack_end(&heap, in.packed);
    free(unpacked);
    gsz_heap_destroy(&heap);
}

/* Gives where the checksum of what both ends have stands, which is left as it is; 0 for none. */
static inline size_t reseal(uint8_t *data, size_t size) {
    gsz_reader in = {data, data + size}, table;
    const uint8_t *prelude;
    uint64_t length;
    if (!gsz_get_bytes(&in, 5, &prelude) || gsz_get_varint(&in, &length) != 1) return 0;
    if (!gsz_get_reader(&in, length, &table) || gsz_left(&in) < 4) return 0;
    size_t covered = (size_t)(in.p - data);
    gsz_store_le32(data + covered, gsz_crc32c_portable(0, data, covered));
    resealing r = {data, size, covered + 4, 0};
    reseal_behind(&r, table, prelude[4]);
    return r.prior;
}

#endif
