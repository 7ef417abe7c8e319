#include "model_part.h"

#include "head.h"

/* ---- encoding: tokens and counts of all segments, then tables, then bytes */

typedef struct {
    const gsz_workers *workers;
    const gsz_model_source *source;
    size_t stride;
    gsz_model_writer *out;
    gsz_segment_encoder *encoders;
    gsz_rans_code (*codes)[GSZ_RANS_SYMBOLS];
} encoding;

static const gsz_model_source *source_of(const encoding *c, size_t tensor) {
    return (const gsz_model_source *)(const void *)((const uint8_t *)c->source + tensor * c->stride);
}

static size_t elements_of(const encoding *c, const gsz_segment_parts *segment) {
    size_t elements = 0;
    for (size_t k = segment->first; k < segment->last; k++) {
        const gsz_part *p = &c->out->cut.parts[k];
        elements += (p->to - p->from) * source_of(c, p->tensor)->structure.t.view.row_length;
    }
    return elements;
}

static int put_segment(void *arg, unsigned worker, size_t i) {
    encoding *c = (encoding *)arg;
    gsz_work *work = &c->workers->work[worker];
    const gsz_segment_parts *segment = &c->out->cut.segments[i];
    GSZ_TRY(gsz_segment_start(work, &c->encoders[i]));
    GSZ_TRY(gsz_segment_expect(&c->encoders[i], elements_of(c, segment)));
    for (size_t k = segment->first; k < segment->last; k++) {
        const gsz_part *p = &c->out->cut.parts[k];
        const gsz_model_source *from = source_of(c, p->tensor);
        if (!gsz_part_continues(p)) GSZ_TRY(gsz_head_put(work, &c->encoders[i], &from->structure));
        GSZ_TRY(gsz_rows_put(work, &c->encoders[i], &from->structure.t, from->data, p->from, p->to));
    }
    return GSZ_OK;
}

static int write_segment(void *arg, unsigned worker, size_t i) {
    encoding *c = (encoding *)arg;
    GSZ_TRY(gsz_segment_write(&c->workers->work[worker], &c->encoders[i], c->codes[0], &c->out->segments[i]));
    gsz_segment_release(&c->encoders[i]);
    return GSZ_OK;
}

static void add_counts(uint32_t *to, const uint32_t *from) {
    for (size_t i = 0; i < GSZ_TABLES * GSZ_RANS_SYMBOLS; i++) to[i] = from[i] > UINT32_MAX - to[i] ? UINT32_MAX : to[i] + from[i];
}

/* Tables of what all segments count; the first segment's counts become everybody's. */
static int make_tables(encoding *c) {
    gsz_model_writer *out = c->out;
    gsz_frequencies f[GSZ_TABLES];
    const uint32_t (*counts)[GSZ_RANS_SYMBOLS] = gsz_segment_counts(&c->encoders[0]);
    for (size_t i = 1; i < out->cut.nsegments; i++) add_counts(c->encoders[0].counts[0], gsz_segment_counts(&c->encoders[i])[0]);
    GSZ_TRY(gsz_writer_reserve(&out->tables, GSZ_CODING_TABLES_BYTES(GSZ_TABLES)));
    gsz_bitwriter bits = {out->tables.data, 0, 0};
    gsz_tables_write(counts, f, &bits);
    out->tables.size = (size_t)(gsz_bits_flush(&bits) - out->tables.data);
    for (unsigned k = 0; k < GSZ_TABLES; k++) gsz_rans_codes(&f[k], c->codes[k]);
    return GSZ_OK;
}

static int encode_segments(encoding *c) {
    const size_t n = c->out->cut.nsegments;
    GSZ_TRY(gsz_parallel_for(n, c->workers->count, put_segment, c));
    GSZ_TRY(make_tables(c));
    return gsz_parallel_for(n, c->workers->count, write_segment, c);
}

int gsz_model_part_encode(const gsz_workers *workers, const gsz_entry *first, const gsz_model_source *source, size_t count,
                          size_t stride, gsz_model_writer *out) {
    gsz_heap *heap = workers->heap;
    encoding c = {workers, source, stride, out, NULL, NULL};
    memset(out, 0, sizeof *out);
    out->heap = heap;
    gsz_writer_init(&out->tables, heap);
    GSZ_TRY(gsz_cut_make(heap, first, count, stride, UINT64_MAX, &out->cut));
    const size_t n = out->cut.nsegments;
    if (n == 0) return GSZ_OK;
    out->segments = (gsz_writer *)gsz_alloc(heap, n * sizeof *out->segments);
    c.encoders = (gsz_segment_encoder *)gsz_alloc(heap, n * sizeof *c.encoders);
    c.codes = (gsz_rans_code (*)[GSZ_RANS_SYMBOLS])gsz_alloc(heap, GSZ_TABLES * sizeof *c.codes);
    for (size_t i = 0; out->segments != NULL && i < n; i++) gsz_writer_init(&out->segments[i], heap);
    if (c.encoders != NULL) memset(c.encoders, 0, n * sizeof *c.encoders);
    int status = out->segments != NULL && c.encoders != NULL && c.codes != NULL ? encode_segments(&c) : GSZ_E_MEMORY;
    for (size_t i = 0; c.encoders != NULL && i < n; i++) gsz_segment_release(&c.encoders[i]);
    gsz_release(heap, c.encoders, n * sizeof *c.encoders);
    gsz_release(heap, c.codes, GSZ_TABLES * sizeof *c.codes);
    return status;
}

void gsz_model_writer_release(gsz_model_writer *w) {
    if (w->heap == NULL) return;
    for (size_t i = 0; w->segments != NULL && i < w->cut.nsegments; i++) gsz_writer_release(&w->segments[i]);
    gsz_release(w->heap, w->segments, w->cut.nsegments * sizeof *w->segments);
    gsz_writer_release(&w->tables);
    gsz_cut_release(w->heap, &w->cut);
    memset(w, 0, sizeof *w);
}

/* ---- decoding */

int gsz_model_part_open(gsz_heap *heap, gsz_reader *in, const gsz_entry *entries, size_t count, gsz_model_reader *r) {
    gsz_bitreader bits;
    const uint64_t most = (uint64_t)count + gsz_left(in);        /* parts of a tensor of several are segments, whose lengths are to come */
    GSZ_TRY(gsz_cut_make(heap, entries, count, sizeof *entries, most, &r->cut));
    if (r->cut.nsegments == 0) return GSZ_OK;
    GSZ_CHECK(r->cut.nsegments <= gsz_left(in), GSZ_E_HEADER);
    r->frequencies = (gsz_frequencies *)gsz_alloc(heap, GSZ_TABLES * sizeof *r->frequencies);
    r->segments = gsz_alloc(heap, r->cut.nsegments * sizeof *r->segments);
    GSZ_CHECK(r->frequencies != NULL && r->segments != NULL, GSZ_E_MEMORY);
    int random = 0;
    for (size_t i = 0; i < count; i++) random |= gsz_tensor_is_random(&entries[i].tensor);
    if (random) GSZ_CHECK(gsz_offsets_read(in, &r->offsets), GSZ_E_HEADER);
    gsz_bits_init(&bits, in->p, in->end);
    GSZ_TRY(gsz_tables_read(&bits, r->frequencies, &r->used));
    GSZ_CHECK(gsz_bits_align(&bits, in), GSZ_E_TABLE);
    for (size_t i = 0; i < r->cut.nsegments; i++) {
        r->segments[i].p = NULL;
        GSZ_CHECK(gsz_get_varint(in, &r->segments[i].size) == 1 && r->segments[i].size <= GSZ_MAX_BYTES, GSZ_E_HEADER);
    }
    return GSZ_OK;
}

int gsz_model_part_place(gsz_model_reader *r, gsz_reader *in) {
    const uint8_t *crc;
    for (size_t i = 0; i < r->cut.nsegments; i++) {
        GSZ_CHECK(gsz_get_bytes(in, r->segments[i].size, &r->segments[i].p), GSZ_E_TRUNCATED);
        GSZ_CHECK(gsz_get_bytes(in, 4, &crc), GSZ_E_TRUNCATED);
    }
    return GSZ_OK;
}

void gsz_model_reader_release(gsz_heap *heap, gsz_model_reader *r) {
    gsz_release(heap, r->frequencies, GSZ_TABLES * sizeof *r->frequencies);
    gsz_release(heap, r->segments, r->cut.nsegments * sizeof *r->segments);
    gsz_cut_release(heap, &r->cut);
    memset(r, 0, sizeof *r);
}

/* The first segment that has parts of this tensor or of later ones: its last part tells.  Parts are in the order of tensors. */
static size_t segment_of(const gsz_cut *cut, size_t tensor) {
    size_t low = 0, high = cut->nsegments;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cut->parts[cut->segments[middle].last - 1].tensor < tensor) low = middle + 1;
        else high = middle;
    }
    return low;
}

typedef struct {
    const gsz_workers *workers;
    const gsz_model_reader *reader;
    const gsz_entry *entries;
    const gsz_prior *priors;
    void *const *out;
    uint32_t *slots;                /* of all contexts */
    gsz_structure *kept;            /* one a segment that has a head: of the tensor in work, or of the one that is cut */
    int continuing;                 /* second pass: segments whose heads are elsewhere */
    /* one tensor whose bits are wanted, or NULL */
    gsz_bits *bits;
    size_t index;
    uint32_t (*counts)[GSZ_RANS_SYMBOLS];
} decoding;

static int is_whole(const gsz_part *p, const gsz_structure *s) { return p->from == 0 && p->to == s->t.view.rows; }

static int decode_head(const decoding *d, gsz_work *work, gsz_segment_decoder *s, size_t index, gsz_structure *kept) {
    const gsz_tensor *t = &d->entries[index].tensor;
    const uint64_t left = gsz_bits_left(&s->side) + gsz_bits_left(&s->low);
    GSZ_TRY(gsz_structure_init(work->heap, kept, t->dtype, t->grid, t->eb, t->shape, t->ndim));
    gsz_structure_offsets(kept, &d->reader->offsets, index);
    if (d->priors != NULL) kept->t.prior = &d->priors[index];
    gsz_structure_know(kept, t->referenced, t->rounds);
    GSZ_TRY(gsz_head_get(work, s, kept));
    if (s->counts == NULL) return GSZ_OK;
    d->bits->rank = kept->low.rank;
    d->bits->unit_bits = kept->t.weights.unit_bits;
    d->bits->weights = (double)(left - gsz_bits_left(&s->side) - gsz_bits_left(&s->low));
    return GSZ_OK;
}

static int decode_part(const decoding *d, gsz_work *work, gsz_segment_decoder *s, size_t segment, const gsz_part *p) {
    gsz_structure *kept = &d->kept[gsz_part_continues(p) ? segment_of(&d->reader->cut, p->tensor) : segment];
    s->counts = d->bits != NULL && p->tensor == d->index ? d->counts : NULL;
    if (!gsz_part_continues(p)) GSZ_TRY(decode_head(d, work, s, p->tensor, kept));
    const uint64_t low = gsz_bits_left(&s->low), side = gsz_bits_left(&s->side);
    GSZ_TRY(gsz_rows_get(work, s, &kept->t, p->from, p->to, d->out[p->tensor]));
    if (s->counts != NULL) {
        d->bits->low += (double)(low - gsz_bits_left(&s->low));
        d->bits->others += (double)(side - gsz_bits_left(&s->side));
    }
    if (is_whole(p, kept)) gsz_structure_release(work->heap, kept);
    return GSZ_OK;
}

/* Is anything in it wanted in this pass? */
static int is_wanted(const decoding *d, const gsz_segment_parts *segment) {
    const gsz_part *p = &d->reader->cut.parts[segment->first];
    int wanted = 0;
    for (size_t k = 0; k < segment->last - segment->first; k++) wanted |= d->out[p[k].tensor] != NULL || (d->bits != NULL && p[k].tensor == d->index);
    return wanted && gsz_part_continues(p) == d->continuing;
}

static int decode_segment(void *arg, unsigned worker, size_t i) {
    const decoding *d = (const decoding *)arg;
    const gsz_segment_parts *segment = &d->reader->cut.segments[i];
    gsz_work *work = &d->workers->work[worker];
    const uint8_t *p = d->reader->segments[i].p;
    const size_t size = (size_t)d->reader->segments[i].size;        /* lies in the message */
    gsz_segment_decoder s;
    if (!is_wanted(d, segment)) return GSZ_OK;
    GSZ_CHECK(gsz_load_le32(p + size) == work->kernels->crc32c(0, p, size), GSZ_E_SECTION_CHECKSUM);     /* nocheck: gsz_model_part_place */
    gsz_reader in = {p, p + size};
    GSZ_TRY(gsz_segment_open(&s, in, d->slots));
    s.used = d->reader->used;
    for (size_t k = segment->first; k < segment->last; k++) GSZ_TRY(decode_part(d, work, &s, i, &d->reader->cut.parts[k]));
    return gsz_segment_close(&s);
}

static int decode_segments(decoding *d) {
    const gsz_model_reader *r = d->reader;
    for (unsigned set = 0; set < GSZ_SETS; set++)
        for (unsigned k = 0; k < gsz_set_size(set) && r->used >> set & 1; k++)
            d->workers->work->kernels->rans_slots(&r->frequencies[gsz_set_first(set) + k], d->slots + (gsz_set_first(set) + k) * GSZ_RANS_SLOTS);
    d->continuing = 0;
    GSZ_TRY(gsz_parallel_for(r->cut.nsegments, d->workers->count, decode_segment, d));
    d->continuing = 1;
    return gsz_parallel_for(r->cut.nsegments, d->workers->count, decode_segment, d);
}

/* Tables up to the last one that is in use. */
static size_t used_tables(const gsz_model_reader *r) {
    size_t tables = 0;
    for (unsigned set = 0; set < GSZ_SETS; set++)
        if (r->used >> set & 1) tables = gsz_set_first(set) + gsz_set_size(set);
    return tables;
}

static int decode_all(decoding *d) {
    gsz_heap *heap = d->workers->heap;
    const size_t count = d->reader->cut.nsegments;
    const size_t slots_size = used_tables(d->reader) * GSZ_RANS_SLOTS * sizeof(uint32_t), kept_size = count * sizeof(gsz_structure);
    GSZ_CHECK(count <= SIZE_MAX / sizeof(gsz_structure), GSZ_E_TOO_LARGE);
    d->slots = (uint32_t *)gsz_alloc(heap, slots_size);
    d->kept = (gsz_structure *)gsz_alloc(heap, kept_size);
    if (d->kept != NULL) memset(d->kept, 0, kept_size);
    int status = d->slots != NULL && d->kept != NULL ? decode_segments(d) : GSZ_E_MEMORY;
    for (size_t i = 0; d->kept != NULL && i < count; i++) gsz_structure_release(heap, &d->kept[i]);
    gsz_release(heap, d->slots, slots_size);
    gsz_release(heap, d->kept, kept_size);
    return status;
}

int gsz_model_part_decode(const gsz_workers *workers, const gsz_model_reader *r, const gsz_entry *entries, const gsz_prior *priors,
                          size_t count, void *const *out) {
    decoding d = {workers, r, entries, priors, out, NULL, NULL, 0, NULL, 0, NULL};
    int any = 0;
    for (size_t i = 0; i < count; i++) any |= out[i] != NULL && entries[i].tensor.codec == GSZ_CODEC_MODEL;
    return any ? decode_all(&d) : GSZ_OK;
}

static void add_costs(const gsz_model_reader *r, uint32_t (*counts)[GSZ_RANS_SYMBOLS], gsz_bits *bits) {
    for (unsigned set = 0; set < GSZ_SETS; set++)
        for (unsigned k = 0; k < gsz_set_size(set); k++) {
            const unsigned c = gsz_set_first(set) + k;
            double cost = (double)gsz_frequencies_cost(&r->frequencies[c], counts[c]) / 256;
            if (set == GSZ_SET_FACTORS) bits->factors += cost;
            else if (k + 1 == gsz_set_size(set)) bits->scales += cost;
            else bits->symbols += cost;
        }
}

int gsz_model_part_bits(const gsz_workers *workers, const gsz_model_reader *r, const gsz_entry *entries, size_t count,
                        size_t index, gsz_bits *bits) {
    const gsz_workers one = {workers->heap, workers->work, 1};
    const size_t outs_size = count * sizeof(void *), counts_size = GSZ_TABLES * GSZ_RANS_SYMBOLS * sizeof(uint32_t);
    decoding d = {&one, r, entries, NULL, NULL, NULL, NULL, 0, bits, index, NULL};
    void **outs = (void **)gsz_alloc(one.heap, outs_size);
    d.counts = (uint32_t (*)[GSZ_RANS_SYMBOLS])gsz_alloc(one.heap, counts_size);
    int status = GSZ_E_MEMORY;
    if (outs != NULL && d.counts != NULL) {
        memset((void *)outs, 0, outs_size);
        memset(d.counts, 0, counts_size);
        d.out = outs;
        status = decode_all(&d);
        if (status == GSZ_OK) add_costs(r, d.counts, bits);
    }
    gsz_release(one.heap, (void *)outs, outs_size);
    gsz_release(one.heap, d.counts, counts_size);
    return status;
}

uint64_t gsz_model_part_share(const gsz_model_reader *r, const gsz_entry *entries, size_t index) {
    const gsz_cut *cut = &r->cut;
    const double own = (double)entries[index].tensor.elements;
    uint64_t share = 0;
    for (size_t i = segment_of(cut, index); i < cut->nsegments && cut->parts[cut->segments[i].first].tensor <= index; i++)
        share += (uint64_t)((double)(r->segments[i].size + 4) * (own / (double)cut->segments[i].elements) + 0.5);
    return share;
}
