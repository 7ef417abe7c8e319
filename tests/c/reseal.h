/* Makes a damaged message look whole again: recomputes the checksums where they stand, so that the damage
 * reaches the code behind them. */
#ifndef RESEAL_H
#define RESEAL_H

#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "table.h"

static inline void reseal_sections(uint8_t *data, size_t size, gsz_reader table, size_t at, int named) {
    uint64_t count = 1, *shapes = (uint64_t *)malloc((gsz_left(&table) + 1) * sizeof(uint64_t));
    if (shapes == NULL) abort();
    if (named && gsz_get_varint(&table, &count) != 1) count = 0;
    for (uint64_t i = 0; i < count; i++) {
        gsz_entry e;
        if (gsz_entry_read(&table, named, shapes, &e) != GSZ_OK) break;
        if (e.tensor.codec < GSZ_CODEC_RAW) continue;
        if (size - at < 4 || e.section_size > size - at - 4) break;
        gsz_store_le32(data + at + e.section_size, gsz_crc32c_portable(0, data + at, (size_t)e.section_size));
        at += (size_t)e.section_size + 4;
    }
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
    reseal_sections(data, size, table, covered + 4, prelude[4] & 1);
}

#endif
