/* Encoding a message: plan every tensor, code the chunks side by side, put the parts together. */
#include "fpenv.h"
#include "learn.h"
#include "message.h"
#include "model_part.h"
#include "names.h"
#include "quantisers/quantiser.h"
#include "trial.h"

typedef struct {
    const gsz_input *in;        /* as given, or `quantised` */
    const gsz_input *given;
    gsz_input quantised;        /* the values that a quantiser puts in their place, */
    size_t values_size;         /* their bytes, */
    double threshold;           /* and what its Top-K keeps */
    uint8_t levels[GSZ_MAX_LEVELS * 8];
    gsz_entry entry;
    gsz_model_source source;    /* GSZ_CODEC_MODEL */
    gsz_writer *parts;          /* coded chunks */
    size_t chunks;
    gsz_tensor modelled;        /* as it was under the model, where that is compared with going without */
    uint8_t constant[8];
    int todo;                   /* its chunks are to be coded */
    size_t turn;                /* number of the plan that is made when this one's turn comes */
} plan;

typedef struct { plan *tensor; size_t index; } job;

typedef struct {
    gsz_heap *heap;
    gsz_work *work;             /* one a worker */
    plan *plans;                /* of the tensors, and then one for each dtype of gathered ones */
    size_t count, nplans;
    gsz_gathered gathered;
    gsz_input runs[GSZ_DTYPES]; /* the gathered elements of a dtype */
    unsigned nworkers;
    job *jobs;
    size_t njobs;
    gsz_model_writer model;
    gsz_offsets offsets;
    const gsz_stream *stream;
    gsz_spread spread;          /* of all tensors with a bound, where they share it */
} encoding;

static int check_input(const gsz_input *in, int named, int over) {
    GSZ_CHECK(gsz_itemsize(in->dtype) != 0, GSZ_E_DTYPE);
    GSZ_CHECK(in->ndim <= GSZ_MAX_DIMS && (in->ndim == 0 || in->shape != NULL), GSZ_E_PARAMETER);
    GSZ_CHECK(in->bound >= 0 && in->bound <= 0x1.fffffffffffffp1023, GSZ_E_PARAMETER);
    GSZ_CHECK(in->mode >= GSZ_ABS && in->mode <= (over == GSZ_OVER_MESSAGE ? GSZ_RMS : GSZ_PSNR), GSZ_E_PARAMETER);
    GSZ_CHECK((in->predictor >= GSZ_PREDICT_NONE && in->predictor <= GSZ_PREDICT_LOW_RANK)
              || in->predictor == GSZ_PREDICT_AUTO, GSZ_E_PARAMETER);
    GSZ_CHECK(in->level >= GSZ_LEVEL_BALANCED && in->level <= GSZ_LEVEL_BEST, GSZ_E_PARAMETER);
    GSZ_CHECK((in->grid >= GSZ_GRID_ALIGNED && in->grid <= GSZ_GRID_SHRUNK) || in->grid == GSZ_GRID_AUTO, GSZ_E_PARAMETER);
    GSZ_CHECK(in->quantiser == NULL || gsz_quantiser_ok(in->quantiser), GSZ_E_PARAMETER);
    GSZ_CHECK(!named || gsz_name_ok(in->name, in->name_length), GSZ_E_PARAMETER);
    return GSZ_OK;
}

static int set_entry(const gsz_input *in, gsz_entry *e) {
    gsz_tensor *t = &e->tensor;
    e->name = in->name;
    e->name_length = in->name_length;
    t->dtype = in->dtype;
    t->ndim = in->ndim;
    t->shape = in->shape;
    t->mode = in->mode;
    return gsz_tensor_measure(t);
}

/* Smooth tensors: is the model still the better choice? */
static int model_wins(gsz_work *work, const plan *p, int *wins) {
    gsz_tensor otherwise = p->entry.tensor;
    double with, without;
    gsz_tensor_plan_uniform(&otherwise, p->in);
    GSZ_TRY(gsz_trial_model(work, &p->source.structure, p->in->data, &with));
    GSZ_TRY(gsz_trial_uniform(work, &otherwise, p->in->data, &without));
    *wins = with < without;
    return GSZ_OK;
}

/* What the model is not made for: smooth values, many that are no numbers, which it stores as they are, and few large ones among zeros. */
static int doubtful(const plan *p) {
    const gsz_tensor *t = &p->entry.tensor;
    const gsz_values_seen *seen = &p->source.structure.seen;
    const double large = seen->sum - (double)t->elements * t->eb;
    const int lonely = seen->above < t->elements / 64 && large > 16 * t->eb * (double)seen->above;
    return p->in->predictor == GSZ_PREDICT_AUTO && !gsz_is_random(t->grid) && (t->smooth || lonely || seen->strange > t->elements / 512);
}

/* What both ends have is used where it is given. */
static void know(plan *p) {
    const gsz_prior *prior = &p->in->prior;
    unsigned rounds = 0;
    while (rounds < GSZ_MAX_PAST && prior->past[rounds] != NULL) rounds++;
    p->source.structure.t.prior = prior;
    gsz_structure_know(&p->source.structure, prior->reference != NULL, rounds);
}

/* What the model needs to know; a tensor that it cannot hold, or that is better off so, goes without. */
static int learn(gsz_work *work, const gsz_offsets *offsets, plan *p, size_t index) {
    gsz_tensor *t = &p->entry.tensor;
    int possible = 0, low_rank = t->predictor == GSZ_PREDICT_LOW_RANK;
    GSZ_TRY(gsz_structure_init(work->heap, &p->source.structure, t->dtype, t->grid, t->eb, t->shape, t->ndim));
    gsz_structure_offsets(&p->source.structure, offsets, index);
    know(p);
    GSZ_TRY(gsz_structure_learn(work, &p->source.structure, p->in->data, low_rank, p->in->level == GSZ_LEVEL_BEST, &possible));
    if (possible && doubtful(p)) GSZ_TRY(model_wins(work, p, &possible));
    if (!possible) gsz_tensor_plan_otherwise(t, p->in);
    else t->eb = p->source.structure.t.eb;
    t->referenced = possible && p->source.structure.t.referenced;
    t->rounds = possible ? p->source.structure.t.rounds : 0;
    return GSZ_OK;
}

/* The codec for values that a quantiser gave. */
static int plan_quantised(encoding *c, unsigned worker, plan *p, const gsz_quantised *q) {
    gsz_tensor *t = &p->entry.tensor;
    p->quantised.bound = q->eb;
    p->quantised.mode = t->mode = GSZ_ABS;
    p->quantised.predictor = GSZ_PREDICT_AUTO;
    p->quantised.grid = GSZ_GRID_ALIGNED;
    memset(&p->quantised.prior, 0, sizeof p->quantised.prior);
    p->in = &p->quantised;
    GSZ_TRY(gsz_tensor_plan(&c->work[worker], t, p->in));
    t->mode = q->mode;
    t->nlevels = q->nlevels;
    t->levels = p->levels;
    for (unsigned j = 0; j < q->nlevels; j++) {
        gsz_element level;
        gsz_store_values(t->dtype, &q->levels[j], 1, &level, 0);
        gsz_copy_le(p->levels + j * t->itemsize, &level, 1, t->itemsize);
    }
    if (t->codec != GSZ_CODEC_CONSTANT || q->mode != GSZ_MODE_LEVELS) return GSZ_OK;
    return gsz_levels_apply(t->dtype, p->levels, t->nlevels, (void *)(size_t)p->quantised.data, 1);
}

/* What a quantiser makes of a tensor; one that it is not for stays bit-exact. */
static int quantise(encoding *c, unsigned worker, plan *p, size_t index) {
    gsz_tensor *t = &p->entry.tensor;
    gsz_quantising from = {p->in->quantiser, c->work[worker].kernels, t->dtype, p->in->data, (size_t)t->elements, 0, p->threshold};
    gsz_quantised to;
    p->quantised = *p->in;
    p->quantised.bound = 0;
    GSZ_TRY(gsz_tensor_plan(&c->work[worker], t, &p->quantised));
    if (t->codec != GSZ_CODEC_EXACT || t->dtype > GSZ_FLOAT64) return GSZ_OK;
    from.key = gsz_random_at(c->offsets.seed, index);
    if (from.settings->scheme == GSZ_SPHERICAL) {
        t->codec = GSZ_CODEC_SPHERICAL;
        t->sphere = (gsz_sphere){t->dtype, from.settings->block, from.key, from.settings->target};
        return GSZ_OK;
    }
    p->values_size = (size_t)t->elements * t->itemsize;
    void *values = gsz_alloc(c->heap, p->values_size);
    p->quantised.data = values;
    GSZ_CHECK(values != NULL, GSZ_E_MEMORY);
    gsz_quantise(&from, values, &to);
    return to.useful ? plan_quantised(c, worker, p, &to) : GSZ_OK;
}

static int plan_one(void *arg, unsigned worker, size_t turn) {
    encoding *c = (encoding *)arg;
    const size_t i = c->plans[turn].turn;
    plan *p = &c->plans[i];
    gsz_tensor *t = &p->entry.tensor;
    if (p->in->quantiser != NULL) GSZ_TRY(quantise(c, worker, p, i));
    else GSZ_TRY(gsz_tensor_plan(&c->work[worker], t, p->in));
    if (t->codec == GSZ_CODEC_CONSTANT) {
        gsz_copy_le(p->constant, p->in->data, 1, t->itemsize);
        p->entry.constant = p->constant;
    }
    p->source.data = p->in->data;
    if (t->codec == GSZ_CODEC_MODEL) GSZ_TRY(learn(&c->work[worker], &c->offsets, p, i));
    p->todo = t->codec == GSZ_CODEC_EXACT || t->codec == GSZ_CODEC_UNIFORM || t->codec == GSZ_CODEC_SPHERICAL;
    return GSZ_OK;
}

static unsigned octave_of(const plan *p) {
    unsigned octave = 0;
    for (uint64_t n = p->entry.tensor.elements; n > 0; n >>= 1) octave++;
    return octave;
}

/* Large tensors first, by octaves: scratch memory is then taken once, and threads end together. */
static void set_turns(encoding *c) {
    size_t first[65] = {0};
    for (size_t i = 0; i < c->count; i++) first[64 - octave_of(&c->plans[i])]++;
    for (unsigned k = 1; k < 65; k++) first[k] += first[k - 1];
    for (size_t i = c->count; i-- > 0;) c->plans[--first[64 - octave_of(&c->plans[i])]].turn = i;
}

static int code_one(void *arg, unsigned worker, size_t i) {
    encoding *c = (encoding *)arg;
    job *j = &c->jobs[i];
    return gsz_tensor_encode_chunk(&c->work[worker], &j->tensor->entry.tensor, j->tensor->in->data, j->index,
                                   &j->tensor->parts[j->index]);
}

static void release_parts(gsz_heap *heap, plan *p) {
    for (size_t k = 0; p->parts != NULL && k < p->chunks; k++) gsz_writer_release(&p->parts[k]);
    gsz_release(heap, p->parts, p->chunks * sizeof(gsz_writer));
    p->parts = NULL;
}

static int make_parts(gsz_heap *heap, plan *p) {
    gsz_lattice lattice;
    size_t chunk;
    GSZ_CHECK(gsz_tensor_chunks(&p->entry.tensor, &lattice, &chunk, &p->chunks), GSZ_E_PARAMETER);
    GSZ_CHECK(p->chunks <= SIZE_MAX / sizeof(gsz_writer), GSZ_E_TOO_LARGE);
    p->parts = (gsz_writer *)gsz_alloc(heap, p->chunks * sizeof(gsz_writer));
    GSZ_CHECK(p->parts != NULL, GSZ_E_MEMORY);
    for (size_t k = 0; k < p->chunks; k++) gsz_writer_init(&p->parts[k], heap);
    return GSZ_OK;
}

/* Codes the chunks of all tensors that are to be done, side by side. */
static int code_chunks(encoding *c) {
    uint64_t n = 0;
    for (size_t i = 0; i < c->nplans; i++) {
        if (!c->plans[i].todo) continue;
        GSZ_TRY(make_parts(c->heap, &c->plans[i]));
        n += c->plans[i].chunks;
    }
    GSZ_CHECK(n <= SIZE_MAX / sizeof(job), GSZ_E_TOO_LARGE);
    c->njobs = (size_t)n;
    c->jobs = (job *)gsz_alloc(c->heap, c->njobs * sizeof(job));
    GSZ_CHECK(c->jobs != NULL, GSZ_E_MEMORY);
    job *next = c->jobs;
    for (size_t i = 0; i < c->nplans; i++)
        for (size_t k = 0; c->plans[i].todo && k < c->plans[i].chunks; k++) next->tensor = &c->plans[i], next++->index = k;
    int status = gsz_parallel_for(c->njobs, c->nworkers, code_one, c);
    gsz_release(c->heap, c->jobs, c->njobs * sizeof(job));
    c->jobs = NULL;
    return status;
}

/* M22's levels stand in the table, and are as much as a small tensor: they count with its section. */
static uint64_t levels_size(const gsz_tensor *t) {
    return gsz_has_bound(t->codec) && t->mode == GSZ_MODE_LEVELS ? (uint64_t)t->nlevels * t->itemsize : 0;
}

/* Sizes of the sections.  What did not get smaller within its bound is tried bit-exactly (1 = there is such a
 * tensor), and what that does not make smaller either is stored. */
static int settle(encoding *c) {
    int again = 0;
    for (size_t i = 0; i < c->nplans; i++) {
        plan *p = &c->plans[i];
        gsz_tensor *t = &p->entry.tensor;
        uint64_t raw = t->elements * t->itemsize, size = 0;
        if (!p->todo) continue;
        p->todo = 0;
        for (size_t k = 0; k < p->chunks; k++)
            size += p->parts[k].size + (p->chunks > 1 ? gsz_varint_size(p->parts[k].size) : 0);
        if (size + levels_size(t) >= raw) {
            release_parts(c->heap, p);
            p->todo = t->codec == GSZ_CODEC_UNIFORM || t->codec == GSZ_CODEC_SPHERICAL;
            t->codec = p->todo ? GSZ_CODEC_EXACT : GSZ_CODEC_RAW;
            t->eb = 0;
            p->in = p->given;
            size = raw;
            again |= p->todo;
        }
        p->entry.section_size = size;
    }
    return again;
}

static int write_section(const plan *p, const gsz_kernels *kernels, gsz_writer *out) {
    const gsz_tensor *t = &p->entry.tensor;
    size_t start = out->size;
    if (t->codec == GSZ_CODEC_RAW) {
        GSZ_TRY(gsz_writer_reserve(out, (size_t)p->entry.section_size));
        gsz_copy_le(out->data + out->size, p->in->data, (size_t)t->elements, t->itemsize);
        out->size += (size_t)p->entry.section_size;
    } else {
        for (size_t k = 0; p->chunks > 1 && k < p->chunks; k++) GSZ_TRY(gsz_put_varint(out, p->parts[k].size));
        for (size_t k = 0; k < p->chunks; k++) GSZ_TRY(gsz_put_bytes(out, p->parts[k].data, p->parts[k].size));
    }
    return gsz_put_le32(out, kernels->crc32c(0, out->data + start, out->size - start));
}

/* ---- small bit-exact tensors: the elements of a dtype as one tensor of its own */

static int gather_run(encoding *c, unsigned dtype) {
    const gsz_tensor *t = &c->gathered.runs[dtype].tensor;
    gsz_input *in = &c->runs[dtype];
    plan *run = &c->plans[c->count + dtype];
    uint8_t *data = (uint8_t *)gsz_alloc(c->heap, (size_t)t->elements * t->itemsize);
    GSZ_CHECK(data != NULL, GSZ_E_MEMORY);
    in->data = data;
    for (size_t i = 0; i < c->count; i++) {
        const gsz_tensor *one = &c->plans[i].entry.tensor;
        if (one->codec != GSZ_CODEC_GATHERED || one->dtype != t->dtype) continue;
        memcpy(data, c->plans[i].in->data, (size_t)one->elements * one->itemsize);
        data += one->elements * one->itemsize;
    }
    run->in = run->given = in;
    run->entry = c->gathered.runs[dtype];
    run->todo = 1;
    return GSZ_OK;
}

static int gather(encoding *c) {
    if (c->nplans == c->count) return GSZ_OK;
    for (size_t i = 0; i < c->count; i++) {
        plan *p = &c->plans[i];
        if (p->entry.tensor.codec != GSZ_CODEC_EXACT || p->entry.tensor.elements > GSZ_SMALL) continue;
        p->entry.tensor.codec = GSZ_CODEC_GATHERED;
        p->todo = 0;
    }
    GSZ_TRY(gsz_gathered_sum(&c->gathered, &c->plans[0].entry, c->count, sizeof(plan)));
    for (unsigned d = 0; d < GSZ_DTYPES; d++)
        if (c->gathered.shapes[d] > 0) GSZ_TRY(gather_run(c, d));
    return GSZ_OK;
}

/* ---- the tensors under the model */

static uint64_t model_bytes(const gsz_model_writer *m) {
    uint64_t size = m->tables.size;
    for (size_t i = 0; i < m->cut.nsegments; i++) size += gsz_varint_size(m->segments[i].size) + m->segments[i].size + 4;
    return size;
}

static int encode_model(encoding *c) {
    const gsz_workers workers = {c->heap, c->work, c->nworkers};
    if (c->count == 0) return GSZ_OK;
    return gsz_model_part_encode(&workers, &c->plans[0].entry, &c->plans[0].source, c->count, sizeof(plan), &c->model);
}

/* Where little is to be gained, or little is left: tensors of few elements, or almost all zeros. */
#define FEW_ELEMENTS ((uint64_t)1 << 16)
#define HARDLY_ANYTHING 128u

typedef struct { uint64_t elements, raw, levels; int forced; } modelled_sum;

static modelled_sum sum_modelled(const encoding *c) {
    modelled_sum sum = {0, 0, 0, 0};
    for (size_t i = 0; i < c->count; i++) {
        const gsz_tensor *t = &c->plans[i].entry.tensor;
        if (t->codec != GSZ_CODEC_MODEL) continue;
        sum.elements += t->elements;
        sum.raw += t->elements * t->itemsize;
        sum.levels += levels_size(t);
        sum.forced |= c->plans[i].in->predictor != GSZ_PREDICT_AUTO || gsz_is_random(t->grid);
    }
    return sum;
}

/* The model's tensors again without it; returns the bytes that they take so. */
static int encode_otherwise(encoding *c, uint64_t *size) {
    *size = 0;
    for (size_t i = 0; i < c->count; i++) {
        plan *p = &c->plans[i];
        if (p->entry.tensor.codec != GSZ_CODEC_MODEL) continue;
        p->modelled = p->entry.tensor;
        gsz_tensor_plan_otherwise(&p->entry.tensor, p->in);
        p->todo = 1;
    }
    do {
        GSZ_TRY(code_chunks(c));
    } while (settle(c));
    for (size_t i = 0; i < c->count; i++) {
        const gsz_entry *e = &c->plans[i].entry;
        if (c->plans[i].modelled.codec != GSZ_CODEC_MODEL) continue;
        *size += e->section_size + gsz_varint_size(e->section_size) + 4 + 1 + levels_size(&e->tensor);
    }
    return GSZ_OK;
}

/* Is the message shorter without the model?  Asked where it may be so. */
static int compare(encoding *c) {
    const modelled_sum sum = sum_modelled(c);
    const uint64_t size = model_bytes(&c->model) + sum.levels;
    uint64_t otherwise;
    const int doubtful = sum.elements <= FEW_ELEMENTS || size < sum.elements / HARDLY_ANYTHING;
    if (sum.elements == 0 || (size < sum.raw && (sum.forced || !doubtful))) return GSZ_OK;
    GSZ_TRY(encode_otherwise(c, &otherwise));
    if (otherwise <= size) {
        gsz_model_writer_release(&c->model);
        return GSZ_OK;
    }
    for (size_t i = 0; i < c->count; i++) {
        plan *p = &c->plans[i];
        if (p->modelled.codec != GSZ_CODEC_MODEL) continue;
        release_parts(c->heap, p);
        p->entry.tensor = p->modelled;
    }
    return GSZ_OK;
}

/* ---- the message */

static int write_plain(const encoding *c, int named, gsz_entry_writer *out) {
    gsz_table_state state;
    memset(&state, 0, sizeof state);
    if (named) GSZ_TRY(gsz_put_field(out, GSZ_FIELD_COUNT, gsz_put_varint(&out->bytes, c->count)));
    for (size_t i = 0; i < c->count; i++) GSZ_TRY(gsz_entry_write(&state, &c->plans[i].entry, named, out));
    return GSZ_OK;
}

static int write_entries(const encoding *c, unsigned *flags, gsz_writer *table) {
    gsz_entry_writer entries;
    int packed = 0;
    gsz_entry_writer_init(&entries, c->heap);
    int status = write_plain(c, (*flags & GSZ_FLAG_NAMED) != 0, &entries);
    if (status == GSZ_OK) status = gsz_put_entries(&entries, table, &packed);
    gsz_entry_writer_release(&entries);
    if (packed) *flags |= GSZ_FLAG_PACKED;
    return status;
}

static int write_prior(const encoding *c, unsigned *flags, gsz_writer *table) {
    uint32_t checksum = 0;
    int used = 0;
    for (size_t i = 0; i < c->count; i++) {
        const gsz_tensor *t = &c->plans[i].entry.tensor;
        used |= gsz_uses_prior(t);
        GSZ_TRY(gsz_prior_checksum(c->work[0].kernels, t, &c->plans[i].in->prior, &checksum));
    }
    if (!used) return GSZ_OK;
    *flags |= GSZ_FLAG_PRIOR;
    return gsz_prior_write(&c->plans[0].entry, c->count, sizeof(plan), checksum, table);
}

static int write_table(const encoding *c, unsigned *flags, gsz_writer *table) {
    int random = 0;
    GSZ_TRY(write_entries(c, flags, table));
    for (unsigned d = 0; d < GSZ_DTYPES; d++)
        if (c->gathered.shapes[d] > 0) GSZ_TRY(gsz_put_varint(table, c->plans[c->count + d].entry.section_size));
    if (c->stream != NULL) GSZ_TRY(gsz_stream_write(c->stream, table));
    if (c->stream != NULL) *flags |= GSZ_FLAG_STREAM;
    GSZ_TRY(write_prior(c, flags, table));
    for (size_t i = 0; i < c->count; i++) random |= gsz_tensor_is_random(&c->plans[i].entry.tensor);
    if (random) GSZ_TRY(gsz_offsets_write(&c->offsets, table));
    GSZ_TRY(gsz_put_bytes(table, c->model.tables.data, c->model.tables.size));
    for (size_t i = 0; i < c->model.cut.nsegments; i++) GSZ_TRY(gsz_put_varint(table, c->model.segments[i].size));
    return GSZ_OK;
}

static int write_header(const encoding *c, int named, gsz_writer *out) {
    gsz_writer table;
    unsigned flags = named ? GSZ_FLAG_NAMED : 0;
    gsz_writer_init(&table, c->heap);
    int status = write_table(c, &flags, &table);
    uint64_t size = table.size + model_bytes(&c->model) + 64;
    for (size_t i = 0; i < c->nplans; i++) size += c->plans[i].entry.section_size + 4;
    if (status == GSZ_OK) status = size <= SIZE_MAX / 4 ? gsz_writer_reserve(out, (size_t)size) : GSZ_E_TOO_LARGE;
    if (status == GSZ_OK) status = gsz_put_bytes(out, gsz_magic, 3);
    if (status == GSZ_OK) status = gsz_put_u8(out, GSZ_FORMAT_VERSION);
    if (status == GSZ_OK) status = gsz_put_u8(out, flags);
    if (status == GSZ_OK) status = gsz_put_varint(out, table.size);
    if (status == GSZ_OK) status = gsz_put_bytes(out, table.data, table.size);
    if (status == GSZ_OK) status = gsz_put_le32(out, c->work[0].kernels->crc32c(0, out->data, out->size));
    gsz_writer_release(&table);
    return status;
}

static int write_segment(const gsz_writer *segment, const gsz_kernels *kernels, gsz_writer *out) {
    GSZ_TRY(gsz_put_bytes(out, segment->data, segment->size));
    return gsz_put_le32(out, kernels->crc32c(0, segment->data, segment->size));
}

/* The last `size` bytes in front of *end, which write_header made room for. */
static gsz_writer place_before(const gsz_writer *out, size_t *end, uint64_t size) {
    *end -= (size_t)size;
    const gsz_writer place = {out->data + *end, 0, (size_t)size, out->heap, 0};
    return place;
}

/* From the end, each part released when it is written: what was allocated last goes first, which allocators can give back, so
 * that a large message is not twice in memory. */
static int write_message(encoding *c, int named, gsz_writer *out) {
    const gsz_kernels *kernels = c->work[0].kernels;
    GSZ_TRY(write_header(c, named, out));
    for (size_t i = 0; i < c->nplans; i++)
        if (gsz_has_section(c->plans[i].entry.tensor.codec)) out->size += (size_t)c->plans[i].entry.section_size + 4;
    for (size_t i = 0; i < c->model.cut.nsegments; i++) out->size += c->model.segments[i].size + 4;
    size_t end = out->size;
    for (size_t i = c->model.cut.nsegments; i-- > 0;) {
        gsz_writer place = place_before(out, &end, c->model.segments[i].size + 4);
        GSZ_TRY(write_segment(&c->model.segments[i], kernels, &place));
        gsz_writer_release(&c->model.segments[i]);
    }
    for (size_t i = c->nplans; i-- > 0;) {
        plan *p = &c->plans[i];
        if (!gsz_has_section(p->entry.tensor.codec)) continue;
        gsz_writer place = place_before(out, &end, p->entry.section_size + 4);
        GSZ_TRY(write_section(p, kernels, &place));
        release_parts(c->heap, p);
    }
    return GSZ_OK;
}

static int check_names(encoding *c) {
    int distinct;
    for (size_t i = 0; i < c->count; i++) {
        c->plans[i].entry.name = c->plans[i].in->name;
        c->plans[i].entry.name_length = c->plans[i].in->name_length;
    }
    GSZ_TRY(gsz_names_distinct(c->heap, &c->plans[0].entry, c->count, sizeof(plan), &distinct));
    GSZ_CHECK(distinct, GSZ_E_PARAMETER);
    return GSZ_OK;
}

/* The seed of random offsets: given, or a hash of the tensors' bytes, little-endian; of 32 bits, as it is sent. */
static void set_offsets(encoding *c, const gsz_input *in, const gsz_options *options) {
    uint32_t hash = 0;
    for (size_t i = 0; i < c->count && !options->seeded; i++) {
        if (!gsz_is_random(in[i].grid) && !gsz_quantiser_random(in[i].quantiser)) continue;
        hash = gsz_crc_of_elements(c->work[0].kernels, hash, in[i].data, (size_t)c->plans[i].entry.tensor.elements, gsz_itemsize(in[i].dtype));
    }
    c->offsets.seed = options->seeded ? options->seed : hash;
    c->offsets.slot = options->slot;
    c->offsets.slots = options->slots;
}

/* One range and one root mean square for all tensors that may lose. */
static int share_bound(encoding *c) {
    const size_t size = c->count * sizeof(gsz_values);
    gsz_values *values = (gsz_values *)gsz_alloc(c->heap, size);
    size_t n = 0;
    GSZ_CHECK(values != NULL, GSZ_E_MEMORY);
    for (size_t i = 0; i < c->count; i++) {
        const gsz_input *in = c->plans[i].in;
        c->plans[i].entry.tensor.joint = &c->spread;
        if (!gsz_is_float(in->dtype) || !(in->bound > 0)) continue;
        const gsz_values v = {in->dtype, in->data, (size_t)c->plans[i].entry.tensor.elements};
        values[n++] = v;
    }
    c->spread = gsz_joint_spread(c->work[0].kernels, values, n);
    gsz_release(c->heap, values, size);
    return GSZ_OK;
}

/* Inputs that share a quantiser share what its Top-K keeps. */
static int set_thresholds(encoding *c, const gsz_input *in) {
    const gsz_quantiser *last = NULL;
    double threshold = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (in[i].quantiser == NULL) continue;
        if (in[i].quantiser != last) GSZ_TRY(gsz_quantiser_threshold(c->heap, in[i].quantiser, in, c->count, &threshold));
        last = in[i].quantiser;
        c->plans[i].threshold = threshold;
    }
    return GSZ_OK;
}

static int run(encoding *c, const gsz_input *in, int named, const gsz_options *options, gsz_writer *out) {
    c->nplans = named ? c->count + GSZ_DTYPES : c->count;
    c->plans = (plan *)gsz_alloc(c->heap, c->nplans * sizeof(plan));
    GSZ_CHECK(c->plans != NULL, GSZ_E_MEMORY);
    memset(c->plans, 0, c->nplans * sizeof(plan));
    for (size_t i = 0; i < c->count; i++) {
        GSZ_TRY(check_input(&in[i], named, options->bound_over));
        c->plans[i].in = c->plans[i].given = &in[i];
    }
    if (named) GSZ_TRY(check_names(c));
    for (size_t i = 0; i < c->count; i++) {
        GSZ_TRY(set_entry(&in[i], &c->plans[i].entry));
        GSZ_CHECK(c->plans[i].entry.tensor.elements == 0 || in[i].data != NULL, GSZ_E_PARAMETER);
    }
    set_offsets(c, in, options);
    if (options->bound_over == GSZ_OVER_MESSAGE) GSZ_TRY(share_bound(c));
    GSZ_TRY(set_thresholds(c, in));
    set_turns(c);
    GSZ_TRY(gsz_parallel_for(c->count, c->nworkers, plan_one, c));
    for (unsigned i = 0; i < c->nworkers; i++) gsz_work_release(&c->work[i]);        /* learning takes much that coding does not */
    GSZ_TRY(gather(c));
    do {
        GSZ_TRY(code_chunks(c));
    } while (settle(c));
    GSZ_TRY(encode_model(c));
    GSZ_TRY(compare(c));
    return write_message(c, named, out);
}

static void release(encoding *c) {
    for (size_t i = 0; c->plans != NULL && i < c->nplans; i++) {
        release_parts(c->heap, &c->plans[i]);
        gsz_structure_release(c->heap, &c->plans[i].source.structure);
        if (c->plans[i].values_size > 0) gsz_release(c->heap, (void *)(size_t)c->plans[i].quantised.data, c->plans[i].values_size);
    }
    gsz_model_writer_release(&c->model);
    gsz_release(c->heap, c->jobs, c->njobs * sizeof(job));
    gsz_release(c->heap, c->plans, c->nplans * sizeof(plan));
    for (unsigned d = 0; d < GSZ_DTYPES; d++) {
        const gsz_tensor *t = &c->gathered.runs[d].tensor;
        gsz_release(c->heap, (void *)c->runs[d].data, (size_t)t->elements * t->itemsize);
    }
    for (unsigned i = 0; i < c->nworkers; i++) gsz_work_release(&c->work[i]);
}

int gsz_encode(const gsz_input *tensors, size_t count, int named, const gsz_options *options,
               uint8_t **data, size_t *size) {
    gsz_heap heap;
    gsz_work work[GSZ_MAX_THREADS];
    gsz_writer out;
    unsigned nworkers = gsz_worker_count(options);
    GSZ_CHECK(named || count == 1, GSZ_E_PARAMETER);
    GSZ_CHECK(count == 0 || tensors != NULL, GSZ_E_PARAMETER);
    GSZ_CHECK(count <= SIZE_MAX / sizeof(plan) - GSZ_DTYPES, GSZ_E_TOO_LARGE);
    GSZ_CHECK(options->bound_over == GSZ_OVER_TENSOR || options->bound_over == GSZ_OVER_MESSAGE, GSZ_E_PARAMETER);
    GSZ_CHECK(options->stream == NULL || options->stream->history <= GSZ_MAX_PAST, GSZ_E_PARAMETER);
    GSZ_CHECK(options->stream == NULL || options->stream->note_size == 0 || (options->stream->note != NULL && !options->stream->key), GSZ_E_PARAMETER);
    GSZ_CHECK(options->slots == 0 || options->slot < options->slots, GSZ_E_PARAMETER);
    gsz_heap_init(&heap, options);
    gsz_writer_init(&out, &heap);
    out.kept = 1;
    for (unsigned i = 0; i < nworkers; i++) gsz_work_init(&work[i], &heap, gsz_kernels_for(gsz_cpu_features() & options->cpu_mask));
    encoding c;
    memset(&c, 0, sizeof c);
    c.heap = &heap, c.work = work, c.nworkers = nworkers, c.count = count, c.stream = options->stream;
    gsz_fpenv saved = gsz_fp_enter();
    int status = run(&c, tensors, named, options, &out);
    gsz_fp_leave(saved);
    release(&c);
    if (status == GSZ_OK) {
        *data = out.data;
        *size = out.size;
    } else {
        gsz_writer_release(&out);
    }
    gsz_heap_destroy(&heap);
    return status;
}

int gsz_error_bound(const gsz_input *tensor, const gsz_options *options, double *eb) {
    gsz_heap heap;
    gsz_entry e;
    gsz_scratch k = {NULL, 0};
    memset(&e, 0, sizeof e);
    *eb = 0;
    GSZ_TRY(check_input(tensor, 0, GSZ_OVER_TENSOR));
    GSZ_TRY(set_entry(tensor, &e));
    GSZ_CHECK(e.tensor.elements == 0 || tensor->data != NULL, GSZ_E_PARAMETER);
    if (!gsz_is_float(tensor->dtype) || e.tensor.elements == 0) return GSZ_OK;
    gsz_heap_init(&heap, options);
    gsz_fpenv saved = gsz_fp_enter();
    int status = gsz_scratch_reserve(&heap, &k, GSZ_MIN((size_t)e.tensor.elements, GSZ_CHUNK) * sizeof(int32_t));
    if (status == GSZ_OK)
        status = gsz_resolve_bound(gsz_kernels_for(gsz_cpu_features() & options->cpu_mask), tensor->dtype, tensor->data,
                                   (size_t)e.tensor.elements, tensor->mode, tensor->bound, (int32_t *)k.data, eb);
    gsz_fp_leave(saved);
    gsz_scratch_release(&heap, &k);
    gsz_heap_destroy(&heap);
    return status;
}

void gsz_input_init(gsz_input *input) {
    memset(input, 0, sizeof *input);
    input->predictor = GSZ_PREDICT_AUTO;
    input->level = GSZ_LEVEL_BALANCED;
    input->grid = GSZ_GRID_AUTO;
}

void gsz_free(const gsz_options *options, void *data) {
    gsz_heap heap;
    gsz_heap_init(&heap, options);
    if (data != NULL) heap.hook.release(heap.hook.opaque, data);
    gsz_heap_destroy(&heap);
}

/* Header and table at their largest, every section stored: settle() sees to it. */
uint64_t gsz_compress_bound(const gsz_input *tensors, size_t count, int named) {
    uint64_t size = 64;
    for (size_t i = 0; i < count; i++) {
        gsz_entry e;
        uint64_t entry = 64;
        memset(&e, 0, sizeof e);
        if (gsz_itemsize(tensors[i].dtype) == 0 || tensors[i].ndim > GSZ_MAX_DIMS) return 0;
        if ((tensors[i].ndim > 0 && tensors[i].shape == NULL) || (named && tensors[i].name_length > GSZ_MAX_NAME)) return 0;
        if (set_entry(&tensors[i], &e) != GSZ_OK) return 0;
        for (unsigned d = 0; d < e.tensor.ndim; d++) entry += gsz_varint_size(e.tensor.shape[d]);
        if (named) entry += 4 + tensors[i].name_length;
        if (!gsz_add_u64(size, entry + e.tensor.elements * e.tensor.itemsize, &size)) return 0;
    }
    return size;
}
