/* Entries of a table, plain or packed: names, shapes and bounds of a model repeat themselves (format.md 3.5). */
#ifndef GSZ_PACKED_H
#define GSZ_PACKED_H

#include "bytes.h"

/* Plain bytes that may be packed: so a short message cannot claim much memory. */
#define GSZ_PACKED_MOST ((size_t)1 << 17)
#define GSZ_PACKED_RATIO 64u            /* at most so many plain bytes a packed one */

/* The fields of entries.  SHAPE is one a dimension, the last for all others. */
enum {
    GSZ_FIELD_COUNT, GSZ_FIELD_FRONT, GSZ_FIELD_BACK, GSZ_FIELD_NAME_LENGTH, GSZ_FIELD_NAME, GSZ_FIELD_KIND, GSZ_FIELD_NDIM, GSZ_FIELD_SHAPE,
    GSZ_FIELD_MODE = GSZ_FIELD_SHAPE + 4, GSZ_FIELD_BOUND, GSZ_FIELD_BOUND_2, GSZ_FIELD_PREDICTOR, GSZ_FIELD_SECTION, GSZ_FIELD_OTHER,
    GSZ_FIELDS
};

GSZ_INLINE unsigned gsz_field_of_dimension(unsigned d) { return GSZ_FIELD_SHAPE + GSZ_MIN(d, 3u); }
GSZ_INLINE unsigned gsz_field_of_bound(unsigned byte) { return byte < 2 ? GSZ_FIELD_BOUND + byte : (unsigned)GSZ_FIELD_OTHER; }

/* ---- writing: bytes, and the field of each */

typedef struct { gsz_writer bytes, fields; } gsz_entry_writer;

void gsz_entry_writer_init(gsz_entry_writer *w, gsz_heap *heap);
void gsz_entry_writer_release(gsz_entry_writer *w);

/* What was put to w->bytes since the last call, if `status` says that it was, is of this field. */
int gsz_put_field(gsz_entry_writer *w, unsigned field, int status);

/* The entries behind `out`; *packed: whether they are packed, with both lengths before them, as that is shorter. */
int gsz_put_entries(const gsz_entry_writer *w, gsz_writer *out, int *packed);

/* Twin of gsz_unpack.  n is at most GSZ_PACKED_MOST. */
int gsz_pack(gsz_heap *heap, const uint8_t *plain, const uint8_t *fields, size_t n, gsz_writer *out);

/* ---- reading: plain bytes, which were packed where `packed` is not NULL */

typedef struct gsz_unpacker gsz_unpacker;
typedef struct { gsz_reader plain; gsz_unpacker *packed; } gsz_entry_reader;

/* Unpacks bytes into `plain`, n in all, each when it is expected.  *u is to be ended, if it is not NULL. */
int gsz_unpack_begin(gsz_heap *heap, gsz_reader packed, uint8_t *plain, size_t n, gsz_unpacker **u);
int gsz_unpack_end(gsz_heap *heap, gsz_unpacker *u);        /* GSZ_E_HEADER unless all was unpacked, and is what an encoder packs */
void gsz_unpack(gsz_unpacker *u, unsigned field, uint64_t n);
void gsz_unpack_varint(gsz_unpacker *u, unsigned field);

/* The next n bytes, or varint, of in->plain are of this field: to be called before they are taken. */
GSZ_INLINE gsz_reader *gsz_expect(gsz_entry_reader *in, unsigned field, uint64_t n) {
    if (in->packed != NULL) gsz_unpack(in->packed, field, n);
    return &in->plain;
}

GSZ_INLINE gsz_reader *gsz_expect_varint(gsz_entry_reader *in, unsigned field) {
    if (in->packed != NULL) gsz_unpack_varint(in->packed, field);
    return &in->plain;
}

#endif
