#include "table.h"

#include "bound.h"
#include "fp.h"
#include "quantisers/values.h"

/* ---- writing */

/* What a name has in common with the one before: up to 255 bytes of its beginning, and of the end of what is left. */
static void shared_ends(const gsz_table_state *before, const gsz_entry *e, size_t *front, size_t *back) {
    size_t most = GSZ_MIN(before->name_length, e->name_length), n = 0;
    while (n < GSZ_MIN(most, (size_t)GSZ_MAX_SHARED) && before->name[n] == e->name[n]) n++;
    *front = n;
    for (n = 0; n < GSZ_MIN(most - *front, (size_t)GSZ_MAX_SHARED); n++)
        if (before->name[before->name_length - 1 - n] != e->name[e->name_length - 1 - n]) break;
    *back = n;
}

static int write_name(gsz_table_state *state, const gsz_entry *e, gsz_entry_writer *out) {
    size_t front, back;
    shared_ends(state, e, &front, &back);
    GSZ_TRY(gsz_put_field(out, GSZ_FIELD_FRONT, gsz_put_u8(&out->bytes, (unsigned)front)));
    GSZ_TRY(gsz_put_field(out, GSZ_FIELD_BACK, gsz_put_u8(&out->bytes, (unsigned)back)));
    GSZ_TRY(gsz_put_field(out, GSZ_FIELD_NAME_LENGTH, gsz_put_varint(&out->bytes, e->name_length - front - back)));
    GSZ_TRY(gsz_put_field(out, GSZ_FIELD_NAME, gsz_put_bytes(&out->bytes, e->name + front, e->name_length - front - back)));
    state->name = e->name;
    state->name_length = e->name_length;
    return GSZ_OK;
}

/* Mode, grid and the bytes of the bound that are not 0; none where it is the bound before. */
static int write_bound(gsz_table_state *state, const gsz_tensor *t, gsz_entry_writer *out) {
    const uint64_t bits = gsz_bits_of_double(t->eb);
    unsigned bytes = 8;
    while (bytes > 2 && (bits >> (8 * (8 - bytes)) & 255) == 0) bytes--;
    if (t->eb == state->eb) bytes = 1;
    GSZ_TRY(gsz_put_field(out, GSZ_FIELD_MODE, gsz_put_u8(&out->bytes, (unsigned)t->mode | (unsigned)t->grid << 3 | (bytes - 1) << 5)));
    for (unsigned i = 0; bytes > 1 && i < bytes; i++)
        GSZ_TRY(gsz_put_field(out, gsz_field_of_bound(i), gsz_put_u8(&out->bytes, (unsigned)(bits >> (56 - 8 * i)) & 255)));
    state->eb = t->eb;
    if (t->mode != GSZ_MODE_LEVELS) return GSZ_OK;
    GSZ_TRY(gsz_put_u8(&out->bytes, t->nlevels));
    return gsz_put_field(out, GSZ_FIELD_OTHER, gsz_put_bytes(&out->bytes, t->levels, t->nlevels * t->itemsize));
}

#define SCHEME_SPHERICAL 0u

static int write_sphere(const gsz_tensor *t, gsz_entry_writer *out) {
    GSZ_TRY(gsz_put_u8(&out->bytes, SCHEME_SPHERICAL));
    GSZ_TRY(gsz_put_u8(&out->bytes, t->sphere.block - 1));
    return gsz_put_field(out, GSZ_FIELD_OTHER, gsz_put_le64(&out->bytes, t->sphere.key));
}

int gsz_entry_write(gsz_table_state *state, const gsz_entry *e, int named, gsz_entry_writer *out) {
    const gsz_tensor *t = &e->tensor;
    gsz_writer *bytes = &out->bytes;
    if (named) GSZ_TRY(write_name(state, e, out));
    GSZ_TRY(gsz_put_field(out, GSZ_FIELD_KIND, gsz_put_u8(bytes, (unsigned)t->dtype | (unsigned)t->codec << 5)));
    GSZ_TRY(gsz_put_field(out, GSZ_FIELD_NDIM, gsz_put_u8(bytes, t->ndim)));
    for (unsigned d = 0; d < t->ndim; d++) GSZ_TRY(gsz_put_field(out, gsz_field_of_dimension(d), gsz_put_varint(bytes, t->shape[d])));
    if (t->codec == GSZ_CODEC_CONSTANT) return gsz_put_field(out, GSZ_FIELD_OTHER, gsz_put_bytes(bytes, e->constant, t->itemsize));
    if (gsz_has_bound(t->codec)) GSZ_TRY(write_bound(state, t, out));
    if (t->codec == GSZ_CODEC_SPHERICAL) GSZ_TRY(write_sphere(t, out));
    if (t->codec == GSZ_CODEC_UNIFORM)
        GSZ_TRY(gsz_put_field(out, GSZ_FIELD_PREDICTOR, gsz_put_u8(bytes, (unsigned)t->predictor | (unsigned)t->coder << 4)));
    return gsz_has_section(t->codec) ? gsz_put_field(out, GSZ_FIELD_SECTION, gsz_put_varint(bytes, e->section_size)) : GSZ_OK;
}

/* Chunks a tensor is cut into; 0 if its shape does not admit its predictor. */
static size_t count_chunks(const gsz_tensor *t) {
    gsz_lattice lattice;
    size_t chunk, count = 0;
    return gsz_tensor_chunks(t, &lattice, &chunk, &count) ? count : 0;
}

/* ---- reading: every failure is a malformed header, unless a reserved value shows a newer writer */

static int read_name(gsz_table_state *state, gsz_entry_reader *in, char *pool, gsz_entry *e) {
    unsigned front, back;
    uint64_t length;
    const uint8_t *p;
    GSZ_CHECK(gsz_get_u8(gsz_expect(in, GSZ_FIELD_FRONT, 1), &front) && gsz_get_u8(gsz_expect(in, GSZ_FIELD_BACK, 1), &back), GSZ_E_HEADER);
    GSZ_CHECK(front + back <= state->name_length, GSZ_E_HEADER);
    GSZ_CHECK(gsz_get_varint(gsz_expect_varint(in, GSZ_FIELD_NAME_LENGTH), &length) == 1, GSZ_E_HEADER);
    GSZ_CHECK(length <= GSZ_MAX_NAME - GSZ_MIN(front + back, (unsigned)GSZ_MAX_NAME), GSZ_E_HEADER);
    GSZ_CHECK(gsz_get_bytes(gsz_expect(in, GSZ_FIELD_NAME, length), length, &p), GSZ_E_HEADER);
    if (front > 0) memcpy(pool, state->name, front);
    if (length > 0) memcpy(pool + front, p, (size_t)length);
    if (back > 0) memcpy(pool + front + length, state->name + state->name_length - back, back);
    state->name = e->name = pool;
    state->name_length = e->name_length = front + (size_t)length + back;
    GSZ_CHECK(gsz_name_ok(e->name, e->name_length), GSZ_E_HEADER);
    return GSZ_OK;
}

static int read_shape(gsz_entry_reader *in, uint64_t *pool, gsz_tensor *t) {
    unsigned kind;
    GSZ_CHECK(gsz_get_u8(gsz_expect(in, GSZ_FIELD_KIND, 1), &kind), GSZ_E_HEADER);
    t->dtype = (int)(kind & 31);
    t->codec = (int)(kind >> 5);
    GSZ_CHECK(gsz_itemsize(t->dtype) != 0, GSZ_E_RESERVED);
    GSZ_CHECK(gsz_get_u8(gsz_expect(in, GSZ_FIELD_NDIM, 1), &t->ndim) && t->ndim <= GSZ_MAX_DIMS, GSZ_E_HEADER);
    for (unsigned d = 0; d < t->ndim; d++)
        GSZ_CHECK(gsz_get_varint(gsz_expect_varint(in, gsz_field_of_dimension(d)), &pool[d]) == 1, GSZ_E_HEADER);
    t->shape = pool;
    return gsz_tensor_measure(t);
}

/* Levels of M22: numbers of the dtype, finite and not negative. */
static int read_levels(gsz_entry_reader *in, gsz_tensor *t) {
    gsz_element element;
    GSZ_CHECK(gsz_get_u8(gsz_expect(in, GSZ_FIELD_OTHER, 1), &t->nlevels) && t->nlevels <= GSZ_MAX_LEVELS, GSZ_E_HEADER);
    const size_t bytes = t->nlevels * t->itemsize;
    GSZ_CHECK(gsz_get_bytes(gsz_expect(in, GSZ_FIELD_OTHER, bytes), bytes, &t->levels), GSZ_E_HEADER);
    for (unsigned i = 0; i < t->nlevels; i++) {
        gsz_copy_le(&element, t->levels + i * t->itemsize, 1, t->itemsize);      /* nocheck: gsz_get_bytes above */
        double level = 0;
        gsz_load_values(t->dtype, &element, 0, 1, &level);
        GSZ_CHECK(gsz_bits_of_double(level) < (uint64_t)0x7ff << 52, GSZ_E_HEADER);
    }
    return GSZ_OK;
}

static int read_bound(gsz_table_state *state, gsz_entry_reader *in, gsz_tensor *t) {
    unsigned kind, byte;
    uint64_t bits = 0;
    GSZ_CHECK(gsz_get_u8(gsz_expect(in, GSZ_FIELD_MODE, 1), &kind), GSZ_E_HEADER);
    t->mode = (int)(kind & 7);
    t->grid = (int)(kind >> 3 & 3);
    unsigned bytes = (kind >> 5) + 1;
    GSZ_CHECK(t->mode <= GSZ_MODE_LEVELS, GSZ_E_RESERVED);
    if (bytes > 1) {
        for (unsigned i = 0; i < bytes; i++) {
            GSZ_CHECK(gsz_get_u8(gsz_expect(in, gsz_field_of_bound(i), 1), &byte), GSZ_E_HEADER);
            bits |= (uint64_t)byte << (56 - 8 * i);
        }
        state->eb = gsz_double_of_bits(bits);
    }
    t->eb = state->eb;
    GSZ_CHECK(t->dtype <= GSZ_FLOAT64, GSZ_E_HEADER);
    GSZ_CHECK(t->eb > 0 && gsz_is_finite(t->eb) && gsz_step(t->dtype, t->eb) > 0, GSZ_E_HEADER);
    return t->mode == GSZ_MODE_LEVELS ? read_levels(in, t) : GSZ_OK;
}

static int read_sphere(gsz_entry_reader *in, gsz_tensor *t) {
    unsigned scheme, block;
    GSZ_CHECK(gsz_get_u8(gsz_expect(in, GSZ_FIELD_OTHER, 1), &scheme), GSZ_E_HEADER);
    GSZ_CHECK(scheme == SCHEME_SPHERICAL, GSZ_E_RESERVED);
    GSZ_CHECK(gsz_get_u8(gsz_expect(in, GSZ_FIELD_OTHER, 1), &block) && block >= 1, GSZ_E_HEADER);
    GSZ_CHECK(gsz_get_le64(gsz_expect(in, GSZ_FIELD_OTHER, 8), &t->sphere.key), GSZ_E_HEADER);
    GSZ_CHECK(t->dtype <= GSZ_FLOAT64, GSZ_E_HEADER);
    t->sphere.block = block + 1;
    t->sphere.dtype = t->dtype;
    return GSZ_OK;
}

static int read_predictor(gsz_entry_reader *in, gsz_tensor *t) {
    unsigned predictor_coder;
    GSZ_CHECK(gsz_get_u8(gsz_expect(in, GSZ_FIELD_PREDICTOR, 1), &predictor_coder), GSZ_E_HEADER);
    t->predictor = (int)(predictor_coder & 15);
    t->coder = (int)(predictor_coder >> 4);
    GSZ_CHECK(t->grid == GSZ_GRID_ALIGNED && t->coder == GSZ_CODER_HUFFMAN && t->predictor <= GSZ_PREDICT_LORENZO3, GSZ_E_RESERVED);
    return GSZ_OK;
}

int gsz_section_size_read(gsz_reader *in, gsz_entry *e) {
    const gsz_tensor *t = &e->tensor;
    GSZ_CHECK(gsz_get_varint(in, &e->section_size) == 1 && e->section_size <= GSZ_MAX_BYTES, GSZ_E_HEADER);
    if (t->codec == GSZ_CODEC_RAW) {
        GSZ_CHECK(e->section_size == t->elements * t->itemsize, GSZ_E_HEADER);
        return GSZ_OK;
    }
    size_t chunks = count_chunks(t);    /* a chunk takes a byte or more: so little input cannot claim much output */
    GSZ_CHECK(chunks > 0 && chunks <= e->section_size, GSZ_E_HEADER);
    return GSZ_OK;
}

int gsz_entry_read(gsz_table_state *state, gsz_entry_reader *in, int named, uint64_t *shape_pool, char *name_pool, gsz_entry *e) {
    const uint8_t *start = in->plain.p;
    gsz_tensor *t = &e->tensor;
    memset(e, 0, sizeof *e);
    if (named) GSZ_TRY(read_name(state, in, name_pool, e));
    GSZ_TRY(read_shape(in, shape_pool, t));
    GSZ_CHECK((t->codec == GSZ_CODEC_EMPTY) == (t->elements == 0), GSZ_E_HEADER);
    if (t->codec == GSZ_CODEC_CONSTANT) GSZ_CHECK(gsz_get_bytes(gsz_expect(in, GSZ_FIELD_OTHER, t->itemsize), t->itemsize, &e->constant), GSZ_E_HEADER);
    if (gsz_has_bound(t->codec)) GSZ_TRY(read_bound(state, in, t));
    if (t->codec == GSZ_CODEC_SPHERICAL) GSZ_TRY(read_sphere(in, t));
    if (t->codec == GSZ_CODEC_UNIFORM) GSZ_TRY(read_predictor(in, t));
    if (t->codec == GSZ_CODEC_MODEL) t->predictor = GSZ_PREDICT_STRUCTURE, t->coder = GSZ_CODER_RANS;
    if (gsz_has_section(t->codec)) GSZ_TRY(gsz_section_size_read(gsz_expect_varint(in, GSZ_FIELD_SECTION), e));
    e->entry_size = (uint64_t)(in->plain.p - start);
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
