#include "trial.h"

#include "coding_tables.h"
#include "head.h"

#define TRIED ((size_t)6 << 12)     /* elements, or a 16th of a large tensor, in blocks of rows that are spread: tensors are often several stacked */
#define RANDOM 4u            /* times as many with random offsets, where few of them have a symbol that is not 0 */
#define PART 16u
#define BLOCKS ((size_t)8)

static double sink_bits(const gsz_bit_sink *s) { return 8 * (double)(s->bits.p - s->bytes.data) + (double)s->bits.count; }

/* Bits of all that a segment holds so far. */
static int cost_of(gsz_work *work, gsz_segment_encoder *e, double *bits) {
    const uint32_t (*counts)[GSZ_RANS_SYMBOLS] = gsz_segment_counts(e);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->bytes, GSZ_TABLES * sizeof(gsz_frequencies) + GSZ_CODING_TABLES_BYTES(GSZ_TABLES)));
    gsz_frequencies *f = (gsz_frequencies *)work->bytes.data;
    uint8_t *tables = (uint8_t *)(f + GSZ_TABLES);
    gsz_bitwriter out = {tables, 0, 0};
    gsz_tables_write(counts, f, &out);
    *bits = 8 * (double)(gsz_bits_flush(&out) - tables) + sink_bits(&e->low) + sink_bits(&e->side);
    for (unsigned c = 0; c < GSZ_TABLES; c++)
        *bits += (double)gsz_frequencies_cost(&f[c], counts[c]) / 256;
    return GSZ_OK;
}

static int try_rows(gsz_work *work, gsz_segment_encoder *e, const gsz_structure *s, const void *x, double *elements) {
    const gsz_view *v = &s->t.view;
    const size_t part = (size_t)(v->elements / PART), tried = GSZ_MAX(gsz_is_random(s->t.grid) ? RANDOM * TRIED : TRIED, part), blocks = part > TRIED ? 2 * BLOCKS : BLOCKS;
    const size_t all = v->rows <= tried / v->row_length, block = all ? v->rows : tried / v->row_length / blocks + 1;
    const size_t step = GSZ_MAX(v->rows / blocks, block);
    for (size_t from = 0; from < v->rows; from += step) {
        size_t to = GSZ_MIN(from + block, v->rows);
        GSZ_TRY(gsz_rows_put(work, e, &s->t, x, from, to));
        *elements += (double)(to - from) * (double)v->row_length;
    }
    return GSZ_OK;
}

static int try_model(gsz_work *work, gsz_segment_encoder *e, const gsz_structure *s, const void *x, double *bits) {
    double head, all, elements = 0;
    GSZ_TRY(gsz_head_put(work, e, s));
    GSZ_TRY(cost_of(work, e, &head));
    GSZ_TRY(try_rows(work, e, s, x, &elements));
    GSZ_TRY(cost_of(work, e, &all));
    *bits = head / (double)s->t.view.elements + (all - head) / elements;
    return GSZ_OK;
}

int gsz_trial_model(gsz_work *work, const gsz_structure *s, const void *x, double *bits) {
    gsz_segment_encoder e;
    int status = gsz_segment_start(work, &e);
    if (status == GSZ_OK) status = try_model(work, &e, s, x, bits);
    gsz_segment_release(&e);
    return status;
}

int gsz_trial_uniform(gsz_work *work, const gsz_tensor *t, const void *x, double *bits) {
    gsz_lattice lattice;
    size_t chunk, count;
    gsz_writer out;
    GSZ_CHECK(gsz_tensor_chunks(t, &lattice, &chunk, &count), GSZ_E_PARAMETER);
    gsz_writer_init(&out, work->heap);
    int status = gsz_tensor_encode_chunk(work, t, x, count / 2, &out);
    size_t n = count / 2 + 1 < count ? chunk : (size_t)(t->elements - (uint64_t)(count / 2) * chunk);
    *bits = 8 * (double)out.size / (double)n;
    gsz_writer_release(&out);
    return status;
}
