#include "segment.h"

#include "coding_tables.h"

/* ---- tables of all sets */

static int any_count(const uint32_t *counts, unsigned contexts) {
    uint32_t any = 0;
    for (size_t i = 0; i < contexts * GSZ_RANS_SYMBOLS; i++) any |= counts[i];
    return any != 0;
}

void gsz_tables_write(const uint32_t (*counts)[GSZ_RANS_SYMBOLS], gsz_frequencies *f, gsz_bitwriter *out) {
    memset(f, 0, GSZ_TABLES * sizeof *f);
    for (unsigned set = 0; set < GSZ_SETS; set++) {
        const unsigned first = gsz_set_first(set), size = gsz_set_size(set);
        const int used = any_count(counts[first], size);
        gsz_bits_put(out, (uint64_t)used, 1);
        if (used) gsz_coding_tables_write(counts + first, size, f + first, out);
    }
}

int gsz_tables_read(gsz_bitreader *in, gsz_frequencies *f, unsigned *used) {
    *used = 0;
    memset(f, 0, GSZ_TABLES * sizeof *f);
    for (unsigned set = 0; set < GSZ_SETS; set++) {
        if (gsz_bits_get(in, 1) == 0) continue;
        GSZ_TRY(gsz_coding_tables_read(in, gsz_set_size(set), f + gsz_set_first(set)));
        *used |= 1u << set;
    }
    return GSZ_OK;
}

/* ---- encoding */

#define COPIES 4            /* of the counts: equal neighbours, the usual case, would wait for each other */

int gsz_sink_reserve(gsz_bit_sink *s, size_t bytes) {
    s->bytes.size = s->bits.p == NULL ? 0 : (size_t)(s->bits.p - s->bytes.data);
    GSZ_TRY(gsz_writer_reserve(&s->bytes, bytes + 16));
    s->bits.p = s->bytes.data + s->bytes.size;
    return GSZ_OK;
}

int gsz_segment_start(gsz_work *work, gsz_segment_encoder *s) {
    memset(s, 0, sizeof *s);
    gsz_writer_init(&s->tokens, work->heap);
    gsz_writer_init(&s->steps, work->heap);
    gsz_writer_init(&s->low.bytes, work->heap);
    gsz_writer_init(&s->side.bytes, work->heap);
    s->counts = (uint32_t (*)[GSZ_RANS_SYMBOLS])gsz_alloc(work->heap, COPIES * GSZ_TABLES * sizeof *s->counts);
    GSZ_CHECK(s->counts != NULL, GSZ_E_MEMORY);
    memset(s->counts, 0, COPIES * GSZ_TABLES * sizeof *s->counts);
    memset(s->scale, GSZ_FIRST_SCALE, sizeof s->scale);
    GSZ_TRY(gsz_sink_reserve(&s->low, 0));
    return gsz_sink_reserve(&s->side, 0);
}

void gsz_segment_release(gsz_segment_encoder *s) {
    if (s->tokens.heap == NULL) return;
    gsz_release(s->tokens.heap, s->counts, COPIES * GSZ_TABLES * sizeof *s->counts);
    gsz_writer_release(&s->tokens);
    gsz_writer_release(&s->steps);
    gsz_writer_release(&s->low.bytes);
    gsz_writer_release(&s->side.bytes);
    memset(s, 0, sizeof *s);
}

int gsz_segment_expect(gsz_segment_encoder *s, size_t elements) {
    return gsz_writer_reserve(&s->tokens, elements * sizeof(uint16_t) + elements / 8);
}

uint16_t *gsz_segment_step(gsz_segment_encoder *s, size_t n) {
    uint32_t length = (uint32_t)n;
    if (gsz_put_bytes(&s->steps, &length, sizeof length) != GSZ_OK) return NULL;
    if (gsz_writer_reserve(&s->tokens, n * sizeof(uint16_t)) != GSZ_OK) return NULL;
    uint16_t *tokens = (uint16_t *)(void *)(s->tokens.data + s->tokens.size);
    s->tokens.size += n * sizeof(uint16_t);
    return tokens;
}

void gsz_segment_count(gsz_segment_encoder *s, const uint16_t *tokens, size_t n) {
    uint32_t *c = s->counts[0], *d = s->counts[GSZ_TABLES], *e = s->counts[2 * GSZ_TABLES], *f = s->counts[3 * GSZ_TABLES];
    size_t i = 0;
    for (; i + COPIES <= n; i += COPIES) c[tokens[i]]++, d[tokens[i + 1]]++, e[tokens[i + 2]]++, f[tokens[i + 3]]++;
    for (; i < n; i++) c[tokens[i]]++;
}

const uint32_t (*gsz_segment_counts(gsz_segment_encoder *s))[GSZ_RANS_SYMBOLS] {
    uint32_t *all = s->counts[0];
    for (unsigned k = 1; k < COPIES; k++) {
        uint32_t *copy = s->counts[k * GSZ_TABLES];
        for (size_t i = 0; i < GSZ_TABLES * GSZ_RANS_SYMBOLS; i++) all[i] += copy[i], copy[i] = 0;
    }
    return (const uint32_t (*)[GSZ_RANS_SYMBOLS])s->counts;
}

/* More states decode faster, side by side, but each costs about two bytes: less than 1 % of the segment. */
#define BYTES_OF_STATE 256

int gsz_segment_write(gsz_work *work, gsz_segment_encoder *s, const gsz_rans_code *codes, gsz_writer *out) {
    size_t ntokens = s->tokens.size / sizeof(uint16_t), nsteps = s->steps.size / sizeof(uint32_t);
    size_t room = 2 * ntokens + GSZ_RANS_STATE_BYTES * GSZ_RANS_STATES + 2;
    unsigned log2 = GSZ_RANS_LOG2_STATES;
    uint8_t *end, *start;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->bytes, room));
    end = (uint8_t *)work->bytes.data + room;
    for (;; log2--) {
        start = gsz_rans_encode(work->kernels, codes, (const uint16_t *)(void *)s->tokens.data, (const uint32_t *)(void *)s->steps.data,
                                nsteps, 1u << log2, end);
        size_t size = (size_t)(end - start);
        if (log2 == 0 || size >= (size_t)BYTES_OF_STATE << log2) break;
        while (log2 > 1 && size < (size_t)BYTES_OF_STATE << (log2 - 1)) log2--;
    }
    size_t low = (size_t)(gsz_bits_flush(&s->low.bits) - s->low.bytes.data);
    size_t side = (size_t)(gsz_bits_flush(&s->side.bits) - s->side.bytes.data);
    GSZ_TRY(gsz_put_u8(out, log2));
    GSZ_TRY(gsz_put_varint(out, low));
    GSZ_TRY(gsz_put_varint(out, side));
    GSZ_TRY(gsz_put_bytes(out, start, (size_t)(end - start)));
    GSZ_TRY(gsz_put_bytes(out, s->low.bytes.data, low));
    return gsz_put_bytes(out, s->side.bytes.data, side);
}

/* ---- decoding */

int gsz_segment_open(gsz_segment_decoder *s, gsz_reader in, const uint32_t *slots) {
    unsigned log2;
    uint64_t low, side;
    gsz_reader symbols, part;
    GSZ_CHECK(gsz_get_u8(&in, &log2) && gsz_get_varint(&in, &low) == 1 && gsz_get_varint(&in, &side) == 1, GSZ_E_SECTION);
    GSZ_CHECK(log2 <= GSZ_RANS_LOG2_STATES, GSZ_E_RESERVED);
    GSZ_CHECK(low <= gsz_left(&in) && side <= gsz_left(&in) - low, GSZ_E_SECTION);
    GSZ_CHECK(gsz_get_reader(&in, gsz_left(&in) - low - side, &symbols), GSZ_E_SECTION);
    GSZ_CHECK(gsz_get_reader(&in, low, &part), GSZ_E_SECTION);
    s->slots = slots;
    s->counts = NULL;
    s->first = GSZ_TABLES;
    memset(s->scale, GSZ_FIRST_SCALE, sizeof s->scale);
    s->used = (1u << GSZ_SETS) - 1;
    gsz_bits_init(&s->low, part.p, part.end);
    gsz_bits_init(&s->side, in.p, in.end);
    return gsz_rans_begin(&s->symbols, symbols, 1u << log2, slots);
}

int gsz_segment_close(gsz_segment_decoder *s) {
    GSZ_TRY(gsz_rans_finish(&s->symbols));
    GSZ_CHECK(gsz_bits_end(&s->low) && gsz_bits_end(&s->side), GSZ_E_SECTION);
    return GSZ_OK;
}
