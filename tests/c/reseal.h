/* Makes a damaged message look whole again: recomputes the checksums where they stand, so that the damage
 * reaches the code behind them. */
#ifndef RESEAL_H
#define RESEAL_H

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "model_part.h"

/* The checksum behind n bytes at *at; 0 where the message ends before. */
static inline int reseal_one(uint8_t *data, size_t size, size_t *at, uint64_t n) {
    if (size - *at < 4 || n > size - *at - 4) return 0;
    gsz_store_le32(data + *at + n, gsz_crc32c_portable(0, data + *at, (size_t)n));
    *at += (size_t)n + 4;
    return 1;
}

/* Sections, and segments where the table can be read to its end. */
static inline void reseal_parts(uint8_t *data, size_t size, gsz_reader table, size_t at, int named) {
    const size_t room = gsz_left(&table);
    char names[2][GSZ_MAX_NAME];            /* an entry's and the one's before */
    uint64_t count = 1;
    if (named && (gsz_get_varint(&table, &count) != 1 || count > room)) return;
    gsz_entry *entries = (gsz_entry *)malloc(((size_t)count + 1) * sizeof *entries);
    uint64_t *shapes = (uint64_t *)malloc((room + 1) * sizeof *shapes), *pool = shapes;
    if (entries == NULL || shapes == NULL) abort();
    gsz_table_state state;
    gsz_model_reader model;
    gsz_options options;
    gsz_heap heap;
    int ok = 1;
    memset(&state, 0, sizeof state);
    memset(&model, 0, sizeof model);
    gsz_options_init(&options);
    gsz_heap_init(&heap, &options);
    for (size_t i = 0; ok && i < count; i++) {
        ok = gsz_entry_read(&state, &table, named, pool, names[i & 1], &entries[i]) == GSZ_OK;
        if (ok && gsz_has_section(entries[i].tensor.codec)) ok = reseal_one(data, size, &at, entries[i].section_size);
        pool += entries[i].tensor.ndim;
    }
    if (ok && gsz_model_part_open(&heap, &table, entries, (size_t)count, room, &model) == GSZ_OK)
        for (size_t i = 0; ok && i < model.cut.nsegments; i++) ok = reseal_one(data, size, &at, model.segments[i].size);
    gsz_model_reader_release(&heap, &model);
    gsz_heap_destroy(&heap);
    free(entries);
    free(shapes);
}

static inline void reseal(uint8_t *data, size_t size) {
    gsz_reader in = {data, data + size}, table;
    const uint8_t *prelude;
    uint64_t length;
    if (!gsz_get_bytes(&in, 5, &prelude) || gsz_get_varint(&in, &length) != 1) return;
    if (!gsz_get_reader(&in, length, &table) || gsz_left(&in) < 4) return;
    size_t covered = (size_t)(in.p - data);
    gsz_store_le32(data + covered, gsz_crc32c_portable(0, data, covered));
    reseal_parts(data, size, table, covered + 4, prelude[4] & 1);
}

#endif
