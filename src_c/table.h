/* The tensor table of a message: entries to bytes and back (format.md 3). */
#ifndef GSZ_TABLE_H
#define GSZ_TABLE_H

#include "packed.h"
#include "tensor.h"

typedef struct {
    gsz_tensor tensor;
    const char *name;
    size_t name_length;
    const uint8_t *constant;    /* GSZ_CODEC_CONSTANT: the element's bytes, little-endian */
    const uint8_t *section;     /* payload, GSZ_CODEC_RAW to GSZ_CODEC_UNIFORM */
    uint64_t section_size;
    uint64_t entry_size;        /* bytes of this entry in the table */
} gsz_entry;

/* Entry i of those that stand `stride` bytes apart: in an array of their own or inside larger records. */
GSZ_INLINE const gsz_entry *gsz_entry_at(const gsz_entry *first, size_t i, size_t stride) {
    return (const gsz_entry *)(const void *)((const uint8_t *)first + i * stride);
}

/* Has this codec a section of its own, a bound? */
GSZ_INLINE int gsz_has_section(int codec) { return (codec >= GSZ_CODEC_RAW && codec <= GSZ_CODEC_UNIFORM) || codec == GSZ_CODEC_SPHERICAL; }
GSZ_INLINE int gsz_has_bound(int codec) { return codec == GSZ_CODEC_UNIFORM || codec == GSZ_CODEC_MODEL; }

/* What an entry may repeat of those before it.  Zeros at the start of a table. */
typedef struct { const char *name; size_t name_length; double eb; } gsz_table_state;

/* Twins.  The reader puts the shape and the name into pools: a dimension takes a byte or more of the table, a name of
 * n bytes takes n - 2 GSZ_MAX_SHARED. */
int gsz_entry_write(gsz_table_state *state, const gsz_entry *e, int named, gsz_entry_writer *out);
int gsz_entry_read(gsz_table_state *state, gsz_entry_reader *in, int named, uint64_t *shape_pool, char *name_pool, gsz_entry *e);

/* The length of an exact, raw or uniform section. */
int gsz_section_size_read(gsz_reader *in, gsz_entry *e);

/* Whether a name may stand in a table: UTF-8, no surrogates, not too long. */
int gsz_name_ok(const char *name, size_t length);

#endif
