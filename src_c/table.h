/* The tensor table of a message: one entry to bytes and back (format.md 3). */
#ifndef GSZ_TABLE_H
#define GSZ_TABLE_H

#include "tensor.h"

typedef struct {
    gsz_tensor tensor;
    const char *name;
    size_t name_length;
    const uint8_t *constant;    /* GSZ_CODEC_CONSTANT: the element's bytes, little-endian */
    const uint8_t *section;     /* payload, GSZ_CODEC_RAW and above */
    uint64_t section_size;
    uint64_t entry_size;        /* bytes of this entry in the table */
} gsz_entry;

/* Twins.  The reader puts the shape into the pool, which has room for a dimension a byte of the table. */
int gsz_entry_write(const gsz_entry *e, int named, gsz_writer *out);
int gsz_entry_read(gsz_reader *in, int named, uint64_t *shape_pool, gsz_entry *e);

/* Whether a name may stand in a table: UTF-8, no surrogates, not too long. */
int gsz_name_ok(const char *name, size_t length);

#endif
