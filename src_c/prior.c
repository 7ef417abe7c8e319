#include "prior.h"

#include "bits.h"

#define ROUND_BITS 2u
#define KEY 1u              /* of a stream's kind; between these, the rounds that are kept */
#define NOTE 128u

int gsz_stream_write(const gsz_stream *s, gsz_writer *out) {
    const int noted = s->note_size > 0;
    GSZ_TRY(gsz_put_u8(out, (s->key ? KEY : 0) | s->history << 1 | (noted ? NOTE : 0)));
    GSZ_TRY(gsz_put_le64(out, s->id));
    GSZ_TRY(gsz_put_varint(out, s->sequence));
    if (!s->key) GSZ_TRY(gsz_put_le64(out, s->digest));
    if (noted) GSZ_TRY(gsz_put_varint(out, s->note_size));
    return noted ? gsz_put_bytes(out, s->note, s->note_size) : GSZ_OK;
}

int gsz_stream_read(gsz_reader *in, gsz_stream *s) {
    unsigned kind;
    uint64_t size;
    memset(s, 0, sizeof *s);
    GSZ_CHECK(gsz_get_u8(in, &kind), GSZ_E_HEADER);
    s->key = (int)(kind & KEY);
    s->history = (kind & ~NOTE) >> 1;
    GSZ_CHECK(s->history <= GSZ_MAX_PAST, GSZ_E_RESERVED);
    GSZ_CHECK(gsz_get_le64(in, &s->id) && gsz_get_varint(in, &s->sequence) == 1, GSZ_E_HEADER);
    GSZ_CHECK(s->key || gsz_get_le64(in, &s->digest), GSZ_E_HEADER);
    if (!(kind & NOTE)) return GSZ_OK;
    GSZ_CHECK(!s->key && gsz_get_varint(in, &size) == 1 && size > 0, GSZ_E_HEADER);
    GSZ_CHECK(gsz_get_bytes(in, size, &s->note), GSZ_E_HEADER);
    s->note_size = (size_t)size;
    return GSZ_OK;
}

uint32_t gsz_crc_of_elements(const gsz_kernels *kernels, uint32_t crc, const void *x, size_t n, size_t itemsize) {
    uint8_t buffer[4096];
    const size_t chunk = sizeof buffer / itemsize;
    for (size_t at = 0; at < n; at += chunk) {
        const size_t here = GSZ_MIN(chunk, n - at);
        gsz_copy_le(buffer, (const uint8_t *)x + at * itemsize, here, itemsize);
        crc = kernels->crc32c(crc, buffer, here * itemsize);
    }
    return crc;
}

int gsz_prior_write(const gsz_entry *first, size_t count, size_t stride, uint32_t checksum, gsz_writer *out) {
    GSZ_TRY(gsz_put_le32(out, checksum));
    GSZ_TRY(gsz_writer_reserve(out, count * (1 + ROUND_BITS) / 8 + 16));
    gsz_bitwriter bits = {out->data + out->size, 0, 0};
    for (size_t i = 0; i < count; i++) {
        const gsz_tensor *t = &gsz_entry_at(first, i, stride)->tensor;
        if (t->codec == GSZ_CODEC_MODEL) gsz_bits_put(&bits, (uint64_t)(t->referenced != 0) | (uint64_t)t->rounds << 1, 1 + ROUND_BITS);
    }
    out->size = (size_t)(gsz_bits_flush(&bits) - out->data);
    return GSZ_OK;
}

int gsz_prior_read(gsz_reader *in, gsz_entry *entries, size_t count, uint32_t *checksum) {
    gsz_bitreader bits;
    gsz_reader field;
    size_t modelled = 0, users = 0;
    for (size_t i = 0; i < count; i++) modelled += entries[i].tensor.codec == GSZ_CODEC_MODEL;
    GSZ_CHECK(gsz_get_le32(in, checksum), GSZ_E_HEADER);
    GSZ_CHECK(gsz_get_reader(in, (modelled * (1 + ROUND_BITS) + 7) / 8, &field), GSZ_E_HEADER);      /* an entry took bytes: no overflow */
    gsz_bits_init(&bits, field.p, field.end);
    for (size_t i = 0; i < count; i++) {
        gsz_tensor *t = &entries[i].tensor;
        if (t->codec != GSZ_CODEC_MODEL) continue;
        t->referenced = (int)gsz_bits_get(&bits, 1);
        t->rounds = gsz_bits_get(&bits, ROUND_BITS);
        GSZ_CHECK(t->rounds <= GSZ_MAX_PAST, GSZ_E_RESERVED);
        users += (size_t)gsz_uses_prior(t);
    }
    GSZ_CHECK(users > 0 && gsz_bits_end(&bits), GSZ_E_HEADER);
    return GSZ_OK;
}

int gsz_prior_checksum(const gsz_kernels *kernels, const gsz_tensor *t, const gsz_prior *prior, uint32_t *crc) {
    const size_t n = (size_t)t->elements;
    if (!gsz_uses_prior(t)) return GSZ_OK;
    GSZ_CHECK(prior != NULL && (!t->referenced || prior->reference != NULL), GSZ_E_STATE);
    if (t->referenced) *crc = gsz_crc_of_elements(kernels, *crc, prior->reference, n, t->itemsize);
    for (unsigned k = 0; k < t->rounds; k++) {
        GSZ_CHECK(prior->past[k] != NULL, GSZ_E_STATE);
        *crc = gsz_crc_of_elements(kernels, *crc, prior->past[k], n, t->itemsize);
    }
    return GSZ_OK;
}
