#include "table.h"

#include "bound.h"
#include "fp.h"

int gsz_entry_write(const gsz_entry *e, int named, gsz_writer *out) {
    const gsz_tensor *t = &e->tensor;
    if (named) {
        GSZ_TRY(gsz_put_varint(out, e->name_length));
        GSZ_TRY(gsz_put_bytes(out, e->name, e->name_length));
    }
    GSZ_TRY(gsz_put_u8(out, (unsigned)t->dtype));
    GSZ_TRY(gsz_put_u8(out, t->ndim));
    for (unsigned i = 0; i < t->ndim; i++) GSZ_TRY(gsz_put_varint(out, t->shape[i]));
    GSZ_TRY(gsz_put_u8(out, (unsigned)t->codec));
    if (t->codec == GSZ_CODEC_EMPTY) return GSZ_OK;
    if (t->codec == GSZ_CODEC_CONSTANT) return gsz_put_bytes(out, e->constant, t->itemsize);
    if (t->codec == GSZ_CODEC_UNIFORM) {
        GSZ_TRY(gsz_put_u8(out, (unsigned)t->mode | (unsigned)t->grid << 4));
        GSZ_TRY(gsz_put_u8(out, (unsigned)t->predictor | (unsigned)t->coder << 4));
        GSZ_TRY(gsz_put_le64(out, gsz_bits_of_double(t->eb)));
    }
    return gsz_put_varint(out, e->section_size);
}

/* Chunks a tensor is cut into; 0 if its shape does not admit its predictor. */
static size_t count_chunks(const gsz_tensor *t) {
    gsz_lattice lattice;
    size_t chunk, count = 0;
    return gsz_tensor_chunks(t, &lattice, &chunk, &count) ? count : 0;
}

/* ---- reading: every failure is a malformed header, unless a reserved value shows a newer writer */

static int read_name(gsz_reader *in, gsz_entry *e) {
    uint64_t length;
    const uint8_t *p;
    GSZ_CHECK(gsz_get_varint(in, &length) == 1 && length <= GSZ_MAX_NAME, GSZ_E_HEADER);
    GSZ_CHECK(gsz_get_bytes(in, length, &p), GSZ_E_HEADER);
    e->name = (const char *)p;
    e->name_length = (size_t)length;
    GSZ_CHECK(gsz_name_ok(e->name, e->name_length), GSZ_E_HEADER);
    return GSZ_OK;
}

static int read_shape(gsz_reader *in, uint64_t *pool, gsz_tensor *t) {
    unsigned dtype;
    GSZ_CHECK(gsz_get_u8(in, &dtype), GSZ_E_HEADER);
    GSZ_CHECK(gsz_itemsize((int)dtype) != 0, GSZ_E_RESERVED);
    GSZ_CHECK(gsz_get_u8(in, &t->ndim) && t->ndim <= GSZ_MAX_DIMS, GSZ_E_HEADER);
    for (unsigned i = 0; i < t->ndim; i++) GSZ_CHECK(gsz_get_varint(in, &pool[i]) == 1, GSZ_E_HEADER);
    t->dtype = (int)dtype;
    t->shape = pool;
    return gsz_tensor_measure(t);
}

static int read_uniform(gsz_reader *in, gsz_tensor *t) {
    unsigned mode_grid, predictor_coder;
    uint64_t bits;
    GSZ_CHECK(gsz_get_u8(in, &mode_grid) && gsz_get_u8(in, &predictor_coder) && gsz_get_le64(in, &bits), GSZ_E_HEADER);
    t->mode = (int)(mode_grid & 15);
    t->grid = (int)(mode_grid >> 4);
    t->predictor = (int)(predictor_coder & 15);
    t->coder = (int)(predictor_coder >> 4);
    t->eb = gsz_double_of_bits(bits);
    GSZ_CHECK(t->mode <= GSZ_PSNR && t->grid == GSZ_GRID_ALIGNED && t->coder == GSZ_CODER_HUFFMAN
              && t->predictor <= GSZ_PREDICT_LORENZO3, GSZ_E_RESERVED);
    GSZ_CHECK(t->dtype <= GSZ_FLOAT64, GSZ_E_HEADER);
    GSZ_CHECK(t->eb > 0 && gsz_is_finite(t->eb) && gsz_step(t->dtype, t->eb) > 0, GSZ_E_HEADER);
    return GSZ_OK;
}

int gsz_entry_read(gsz_reader *in, int named, uint64_t *shape_pool, gsz_entry *e) {
    const uint8_t *start = in->p;
    gsz_tensor *t = &e->tensor;
    unsigned codec;
    memset(e, 0, sizeof *e);
    if (named) GSZ_TRY(read_name(in, e));
    GSZ_TRY(read_shape(in, shape_pool, t));
    GSZ_CHECK(gsz_get_u8(in, &codec), GSZ_E_HEADER);
    GSZ_CHECK(codec <= GSZ_CODEC_UNIFORM, GSZ_E_RESERVED);
    GSZ_CHECK((codec == GSZ_CODEC_EMPTY) == (t->elements == 0), GSZ_E_HEADER);
    t->codec = (int)codec;
    if (codec == GSZ_CODEC_CONSTANT) GSZ_CHECK(gsz_get_bytes(in, t->itemsize, &e->constant), GSZ_E_HEADER);
    if (codec == GSZ_CODEC_UNIFORM) GSZ_TRY(read_uniform(in, t));
    if (codec >= GSZ_CODEC_RAW) GSZ_CHECK(gsz_get_varint(in, &e->section_size) == 1, GSZ_E_HEADER);
    if (codec == GSZ_CODEC_RAW) GSZ_CHECK(e->section_size == t->elements * t->itemsize, GSZ_E_HEADER);
    GSZ_CHECK(e->section_size <= GSZ_MAX_BYTES, GSZ_E_HEADER);
    if (codec >= GSZ_CODEC_EXACT) {     /* a chunk takes a byte or more: so little input cannot claim much output */
        size_t chunks = count_chunks(t);
        GSZ_CHECK(chunks > 0 && chunks <= e->section_size, GSZ_E_HEADER);
    }
    e->entry_size = (uint64_t)(in->p - start);
    return GSZ_OK;
}

/* Bytes of the UTF-8 sequence that begins with this lead byte, 0 for none. */
static size_t sequence_length(unsigned lead) {
    return lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
}

int gsz_name_ok(const char *name, size_t length) {
    const uint8_t *p = (const uint8_t *)name;
    if (length > GSZ_MAX_NAME) return 0;
    for (size_t i = 0; i < length;) {
        size_t n = sequence_length(p[i]);
        if (n == 0 || n > length - i) return 0;
        for (size_t j = 1; j < n; j++)
            if ((p[i + j] & 0xc0) != 0x80) return 0;
        unsigned second = n > 1 ? p[i + 1] : 0;
        if (p[i] == 0xe0 && second < 0xa0) return 0;        /* over-long */
        if (p[i] == 0xed && second > 0x9f) return 0;        /* surrogates */
        if (p[i] == 0xf0 && second < 0x90) return 0;        /* over-long */
        if (p[i] == 0xf4 && second > 0x8f) return 0;        /* beyond U+10FFFF */
        i += n;
    }
    return 1;
}
