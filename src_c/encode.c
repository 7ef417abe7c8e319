/* Encoding a message: plan every tensor, code the chunks side by side, put the parts together. */
#include "fpenv.h"
#include "message.h"
#include "names.h"

typedef struct {
    const gsz_input *in;
    gsz_entry entry;
    gsz_writer *parts;          /* coded chunks */
    size_t chunks;
    uint8_t constant[8];
    int todo;                   /* its chunks are to be coded */
} plan;

typedef struct { plan *tensor; size_t index; } job;

typedef struct {
    gsz_heap *heap;
    gsz_work *work;             /* one a worker */
    plan *plans;
    size_t count;
    job *jobs;
    size_t njobs;
} encoding;

static int check_input(const gsz_input *in, int named) {
    GSZ_CHECK(gsz_itemsize(in->dtype) != 0, GSZ_E_DTYPE);
    GSZ_CHECK(in->ndim <= GSZ_MAX_DIMS && (in->ndim == 0 || in->shape != NULL), GSZ_E_PARAMETER);
    GSZ_CHECK(in->bound >= 0 && in->bound <= 0x1.fffffffffffffp1023, GSZ_E_PARAMETER);
    GSZ_CHECK(in->mode >= GSZ_ABS && in->mode <= GSZ_PSNR, GSZ_E_PARAMETER);
    GSZ_CHECK((in->predictor >= GSZ_PREDICT_NONE && in->predictor <= GSZ_PREDICT_LORENZO3)
              || in->predictor == GSZ_PREDICT_AUTO, GSZ_E_PARAMETER);
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

static int plan_one(void *arg, unsigned worker, size_t i) {
    encoding *c = (encoding *)arg;
    plan *p = &c->plans[i];
    gsz_tensor *t = &p->entry.tensor;
    GSZ_TRY(set_entry(p->in, &p->entry));
    GSZ_CHECK(t->elements == 0 || p->in->data != NULL, GSZ_E_PARAMETER);
    GSZ_TRY(gsz_tensor_plan(&c->work[worker], t, p->in->data, p->in->bound, p->in->predictor));
    if (t->codec == GSZ_CODEC_CONSTANT) {
        gsz_copy_le(p->constant, p->in->data, 1, t->itemsize);
        p->entry.constant = p->constant;
    }
    p->todo = t->codec >= GSZ_CODEC_EXACT;
    return GSZ_OK;
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
static int code_chunks(encoding *c, unsigned nthreads) {
    uint64_t n = 0;
    for (size_t i = 0; i < c->count; i++) {
        if (!c->plans[i].todo) continue;
        GSZ_TRY(make_parts(c->heap, &c->plans[i]));
        n += c->plans[i].chunks;
    }
    GSZ_CHECK(n <= SIZE_MAX / sizeof(job), GSZ_E_TOO_LARGE);
    c->njobs = (size_t)n;
    c->jobs = (job *)gsz_alloc(c->heap, c->njobs * sizeof(job));
    GSZ_CHECK(c->jobs != NULL, GSZ_E_MEMORY);
    job *next = c->jobs;
    for (size_t i = 0; i < c->count; i++)
        for (size_t k = 0; c->plans[i].todo && k < c->plans[i].chunks; k++) next->tensor = &c->plans[i], next++->index = k;
    int status = gsz_parallel_for(c->njobs, nthreads, code_one, c);
    gsz_release(c->heap, c->jobs, c->njobs * sizeof(job));
    c->jobs = NULL;
    return status;
}

/* Sizes of the sections.  What did not get smaller within its bound is tried bit-exactly (1 = there is such a
 * tensor), and what that does not make smaller either is stored. */
static int settle(encoding *c) {
    int again = 0;
    for (size_t i = 0; i < c->count; i++) {
        plan *p = &c->plans[i];
        gsz_tensor *t = &p->entry.tensor;
        uint64_t raw = t->elements * t->itemsize, size = 0;
        if (!p->todo) continue;
        p->todo = 0;
        for (size_t k = 0; k < p->chunks; k++)
            size += p->parts[k].size + (p->chunks > 1 ? gsz_varint_size(p->parts[k].size) : 0);
        if (size >= raw) {
            release_parts(c->heap, p);
            p->todo = t->codec == GSZ_CODEC_UNIFORM;
            t->codec = p->todo ? GSZ_CODEC_EXACT : GSZ_CODEC_RAW;
            t->eb = 0;
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

static int write_message(const encoding *c, int named, gsz_writer *out) {
    const gsz_kernels *kernels = c->work[0].kernels;
    gsz_writer table;
    uint64_t size;
    int status = GSZ_OK;
    gsz_writer_init(&table, c->heap);
    if (named) status = gsz_put_varint(&table, c->count);
    for (size_t i = 0; status == GSZ_OK && i < c->count; i++) status = gsz_entry_write(&c->plans[i].entry, named, &table);
    size = table.size + 64;
    for (size_t i = 0; i < c->count; i++) size += c->plans[i].entry.section_size + 4;
    if (status == GSZ_OK) status = size <= SIZE_MAX / 4 ? gsz_writer_reserve(out, (size_t)size) : GSZ_E_TOO_LARGE;
    if (status == GSZ_OK) status = gsz_put_bytes(out, gsz_magic, 3);
    if (status == GSZ_OK) status = gsz_put_u8(out, GSZ_FORMAT_VERSION);
    if (status == GSZ_OK) status = gsz_put_u8(out, named ? GSZ_FLAG_NAMED : 0);
    if (status == GSZ_OK) status = gsz_put_varint(out, table.size);
    if (status == GSZ_OK) status = gsz_put_bytes(out, table.data, table.size);
    gsz_writer_release(&table);
    GSZ_TRY(status);
    GSZ_TRY(gsz_put_le32(out, kernels->crc32c(0, out->data, out->size)));
    for (size_t i = 0; i < c->count; i++)
        if (c->plans[i].entry.tensor.codec >= GSZ_CODEC_RAW) GSZ_TRY(write_section(&c->plans[i], kernels, out));
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

static int run(encoding *c, const gsz_input *in, int named, unsigned nthreads, gsz_writer *out) {
    c->plans = (plan *)gsz_alloc(c->heap, c->count * sizeof(plan));
    GSZ_CHECK(c->plans != NULL, GSZ_E_MEMORY);
    memset(c->plans, 0, c->count * sizeof(plan));
    for (size_t i = 0; i < c->count; i++) {
        GSZ_TRY(check_input(&in[i], named));
        c->plans[i].in = &in[i];
    }
    if (named) GSZ_TRY(check_names(c));
    GSZ_TRY(gsz_parallel_for(c->count, nthreads, plan_one, c));
    do {
        GSZ_TRY(code_chunks(c, nthreads));
    } while (settle(c));
    return write_message(c, named, out);
}

static void release(encoding *c, unsigned nworkers) {
    for (size_t i = 0; c->plans != NULL && i < c->count; i++) release_parts(c->heap, &c->plans[i]);
    gsz_release(c->heap, c->jobs, c->njobs * sizeof(job));
    gsz_release(c->heap, c->plans, c->count * sizeof(plan));
    for (unsigned i = 0; i < nworkers; i++) gsz_work_release(&c->work[i]);
}

int gsz_encode(const gsz_input *tensors, size_t count, int named, const gsz_options *options,
               uint8_t **data, size_t *size) {
    gsz_heap heap;
    gsz_work work[GSZ_MAX_THREADS];
    gsz_writer out;
    unsigned nworkers = gsz_worker_count(options);
    GSZ_CHECK(named || count == 1, GSZ_E_PARAMETER);
    GSZ_CHECK(count == 0 || tensors != NULL, GSZ_E_PARAMETER);
    GSZ_CHECK(count <= SIZE_MAX / sizeof(plan), GSZ_E_TOO_LARGE);
    gsz_heap_init(&heap, options);
    gsz_writer_init(&out, &heap);
    for (unsigned i = 0; i < nworkers; i++) gsz_work_init(&work[i], &heap, gsz_kernels_for(gsz_cpu_features() & options->cpu_mask));
    encoding c = {&heap, work, NULL, count, NULL, 0};
    gsz_fpenv saved = gsz_fp_enter();
    int status = run(&c, tensors, named, nworkers, &out);
    gsz_fp_leave(saved);
    release(&c, nworkers);
    if (status == GSZ_OK) {
        *data = out.data;
        *size = out.size;
    } else {
        gsz_writer_release(&out);
    }
    gsz_heap_destroy(&heap);
    return status;
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
        if (named) entry += 2 + tensors[i].name_length;
        if (!gsz_add_u64(size, entry + e.tensor.elements * e.tensor.itemsize, &size)) return 0;
    }
    return size;
}
