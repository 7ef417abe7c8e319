/* Reading a message: header and table are checked whole, sections one by one when asked for. */
#include "fpenv.h"
#include "message.h"
#include "names.h"

struct gsz_message {
    gsz_heap heap;
    gsz_options options;
    gsz_allocator allocator;
    const gsz_kernels *kernels;
    unsigned version;
    int named;
    size_t count;
    gsz_entry *entries;
    uint64_t *shapes;           /* of all tensors, one after another */
    size_t shapes_size;
};

void gsz_options_init(gsz_options *options) {
    memset(options, 0, sizeof *options);
    options->cpu_mask = GSZ_CPU_ALL;
    options->nthreads = 1;
}

/* ---- header (format.md 2) */

typedef struct { unsigned version; int named; gsz_reader table; } header;

static int read_prelude(gsz_reader *in, header *h) {
    const uint8_t *p;
    unsigned flags;
    size_t known = GSZ_MIN(gsz_left(in), sizeof gsz_magic);
    GSZ_CHECK(memcmp(in->p, gsz_magic, known) == 0, GSZ_E_MAGIC);
    GSZ_CHECK(gsz_get_bytes(in, sizeof gsz_magic, &p), GSZ_E_TRUNCATED);
    GSZ_CHECK(gsz_get_u8(in, &h->version), GSZ_E_TRUNCATED);
    GSZ_CHECK(h->version == GSZ_FORMAT_VERSION, GSZ_E_VERSION);
    GSZ_CHECK(gsz_get_u8(in, &flags), GSZ_E_TRUNCATED);
    GSZ_CHECK((flags & ~GSZ_FLAG_NAMED) == 0, GSZ_E_RESERVED);
    h->named = (flags & GSZ_FLAG_NAMED) != 0;
    return GSZ_OK;
}

static int read_header(const gsz_kernels *kernels, gsz_reader *in, header *h) {
    const uint8_t *start = in->p;
    uint64_t size;
    uint32_t crc;
    if (gsz_left(in) == 0) return GSZ_E_TRUNCATED;
    GSZ_TRY(read_prelude(in, h));
    int got = gsz_get_varint(in, &size);
    GSZ_CHECK(got != 0, GSZ_E_TRUNCATED);
    GSZ_CHECK(got == 1 && size <= GSZ_MAX_BYTES, GSZ_E_HEADER);
    GSZ_CHECK(gsz_get_reader(in, size, &h->table), GSZ_E_TRUNCATED);
    size_t covered = (size_t)(in->p - start);
    GSZ_CHECK(gsz_get_le32(in, &crc), GSZ_E_TRUNCATED);
    GSZ_CHECK(crc == kernels->crc32c(0, start, covered), GSZ_E_HEADER_CHECKSUM);
    return GSZ_OK;
}

/* ---- table */

/* Smallest entry: name length, dtype, dimensions, codec. */
#define SMALLEST_ENTRY(named) ((named) ? 4u : 3u)

static int read_table(gsz_message *m, gsz_reader *in) {
    uint64_t count = 1, decoded = 0, limit = m->options.max_output;
    int distinct;
    if (m->named) GSZ_CHECK(gsz_get_varint(in, &count) == 1, GSZ_E_HEADER);
    GSZ_CHECK(count <= gsz_left(in) / SMALLEST_ENTRY(m->named), GSZ_E_HEADER);
    GSZ_CHECK(count <= SIZE_MAX / sizeof(gsz_entry) && gsz_left(in) <= SIZE_MAX / sizeof(uint64_t), GSZ_E_TOO_LARGE);
    m->entries = (gsz_entry *)gsz_alloc(&m->heap, (size_t)count * sizeof(gsz_entry));
    m->shapes_size = gsz_left(in) * sizeof(uint64_t);       /* a dimension takes a byte or more */
    m->shapes = (uint64_t *)gsz_alloc(&m->heap, m->shapes_size);
    m->count = (size_t)count;
    GSZ_CHECK(m->entries != NULL && m->shapes != NULL, GSZ_E_MEMORY);
    uint64_t *pool = m->shapes;
    for (size_t i = 0; i < m->count; i++) {
        GSZ_TRY(gsz_entry_read(in, m->named, pool, &m->entries[i]));
        pool += m->entries[i].tensor.ndim;
        GSZ_CHECK(gsz_add_u64(decoded, m->entries[i].tensor.elements * m->entries[i].tensor.itemsize, &decoded), GSZ_E_TOO_LARGE);
    }
    GSZ_CHECK(gsz_left(in) == 0, GSZ_E_HEADER);
    GSZ_CHECK(limit == 0 || decoded <= limit, GSZ_E_OUTPUT_LIMIT);
    if (!m->named) return GSZ_OK;
    GSZ_TRY(gsz_names_distinct(&m->heap, m->entries, m->count, sizeof(gsz_entry), &distinct));
    GSZ_CHECK(distinct, GSZ_E_HEADER);
    return GSZ_OK;
}

/* Sections stand in the order of the table, each with its checksum, and fill the message exactly. */
static int place_sections(gsz_message *m, gsz_reader *in) {
    for (size_t i = 0; i < m->count; i++) {
        gsz_entry *e = &m->entries[i];
        const uint8_t *crc;
        if (e->tensor.codec < GSZ_CODEC_RAW) continue;
        GSZ_CHECK(gsz_get_bytes(in, e->section_size, &e->section), GSZ_E_TRUNCATED);
        GSZ_CHECK(gsz_get_bytes(in, 4, &crc), GSZ_E_TRUNCATED);
    }
    GSZ_CHECK(gsz_left(in) == 0, GSZ_E_TRAILING);
    return GSZ_OK;
}

int gsz_open(const void *data, size_t size, const gsz_options *options, gsz_message **message) {
    gsz_heap heap;
    header h;
    *message = NULL;
    GSZ_CHECK(data != NULL || size == 0, GSZ_E_PARAMETER);
    if (size == 0) return GSZ_E_TRUNCATED;
    const gsz_kernels *kernels = gsz_kernels_for(gsz_cpu_features() & options->cpu_mask);
    gsz_reader in = {(const uint8_t *)data, (const uint8_t *)data + size};
    GSZ_TRY(read_header(kernels, &in, &h));
    gsz_heap_init(&heap, options);
    gsz_message *m = (gsz_message *)gsz_alloc(&heap, sizeof *m);
    gsz_heap_destroy(&heap);
    GSZ_CHECK(m != NULL, GSZ_E_MEMORY);
    memset(m, 0, sizeof *m);
    m->options = *options;
    if (options->allocator != NULL) {
        m->allocator = *options->allocator;
        m->options.allocator = &m->allocator;
    }
    gsz_heap_init(&m->heap, &m->options);
    m->heap.used = m->heap.peak = sizeof *m;
    m->kernels = kernels;
    m->version = h.version;
    m->named = h.named;
    gsz_fpenv saved = gsz_fp_enter();       /* a bound may be subnormal */
    int status = read_table(m, &h.table);
    gsz_fp_leave(saved);
    if (status == GSZ_OK) status = place_sections(m, &in);
    if (status == GSZ_OK) *message = m;
    else gsz_close(m);
    return status;
}

void gsz_close(gsz_message *m) {
    if (m == NULL) return;
    gsz_allocator hook = m->heap.hook;
    gsz_release(&m->heap, m->entries, m->count * sizeof(gsz_entry));
    gsz_release(&m->heap, m->shapes, m->shapes_size);
    gsz_heap_destroy(&m->heap);
    hook.release(hook.opaque, m);
}

size_t gsz_message_count(const gsz_message *m) { return m->count; }
int gsz_message_named(const gsz_message *m) { return m->named; }
unsigned gsz_message_version(const gsz_message *m) { return m->version; }

int gsz_message_info(const gsz_message *m, size_t index, gsz_info *info) {
    GSZ_CHECK(index < m->count, GSZ_E_PARAMETER);
    const gsz_entry *e = &m->entries[index];
    const gsz_tensor *t = &e->tensor;
    memset(info, 0, sizeof *info);
    info->name = e->name;
    info->name_length = e->name_length;
    info->dtype = t->dtype;
    info->ndim = t->ndim;
    info->shape = t->shape;
    info->elements = t->elements;
    info->nbytes = t->elements * t->itemsize;
    info->compressed = e->entry_size + (t->codec >= GSZ_CODEC_RAW ? e->section_size + 4 : 0);
    info->codec = t->codec;
    info->mode = t->mode;
    info->grid = t->grid;
    info->predictor = t->predictor;
    info->coder = t->coder;
    info->eb = t->eb;
    return GSZ_OK;
}

/* ---- one tensor */

typedef struct {
    const gsz_tensor *tensor;
    gsz_work *work;
    gsz_reader *parts;          /* one a chunk */
    void *out;
} decoding;

static int decode_one(void *arg, unsigned worker, size_t i) {
    decoding *d = (decoding *)arg;
    return gsz_tensor_decode_chunk(&d->work[worker], d->tensor, d->parts[i], i, d->out);
}

/* The chunks' bytes: their lengths first when there are several (format.md 3.3). */
static int cut_section(const gsz_entry *e, gsz_reader *parts, size_t count) {
    gsz_reader in = {e->section, e->section + e->section_size};
    if (count == 1) {
        parts[0] = in;
        return GSZ_OK;
    }
    gsz_reader lengths = in;
    for (size_t i = 0; i < count; i++) {
        uint64_t skip;
        GSZ_CHECK(gsz_get_varint(&in, &skip) == 1, GSZ_E_SECTION);
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t length = 0;
        (void)gsz_get_varint(&lengths, &length);
        GSZ_CHECK(gsz_get_reader(&in, length, &parts[i]), GSZ_E_SECTION);
    }
    GSZ_CHECK(gsz_left(&in) == 0, GSZ_E_SECTION);
    return GSZ_OK;
}

static int decode_chunks(gsz_heap *heap, const gsz_message *m, const gsz_entry *e, void *out) {
    gsz_work work[GSZ_MAX_THREADS];
    gsz_lattice lattice;
    size_t chunk, count;
    unsigned nworkers = gsz_worker_count(&m->options);
    GSZ_CHECK(gsz_tensor_chunks(&e->tensor, &lattice, &chunk, &count), GSZ_E_HEADER);
    gsz_reader *parts = (gsz_reader *)gsz_alloc(heap, count * sizeof *parts);
    GSZ_CHECK(parts != NULL, GSZ_E_MEMORY);
    for (unsigned i = 0; i < nworkers; i++) gsz_work_init(&work[i], heap, m->kernels);
    decoding d = {&e->tensor, work, parts, out};
    int status = cut_section(e, parts, count);
    if (status == GSZ_OK) status = gsz_parallel_for(count, nworkers, decode_one, &d);
    for (unsigned i = 0; i < nworkers; i++) gsz_work_release(&work[i]);
    gsz_release(heap, parts, count * sizeof *parts);
    return status;
}

static void fill_constant(const gsz_entry *e, void *out) {
    size_t itemsize = e->tensor.itemsize, n = (size_t)e->tensor.elements, done = 1;
    gsz_copy_le(out, e->constant, 1, itemsize);
    for (; done < n; done *= 2)     /* what is there, twice */
        memcpy((uint8_t *)out + done * itemsize, out, GSZ_MIN(done, n - done) * itemsize);
}

int gsz_decode(const gsz_message *m, size_t index, void *out, size_t size) {
    GSZ_CHECK(index < m->count, GSZ_E_PARAMETER);
    const gsz_entry *e = &m->entries[index];
    const gsz_tensor *t = &e->tensor;
    GSZ_CHECK(size == t->elements * t->itemsize, GSZ_E_OUTPUT_SIZE);
    GSZ_CHECK(out != NULL || size == 0, GSZ_E_PARAMETER);
    if (t->codec == GSZ_CODEC_EMPTY) return GSZ_OK;
    if (t->codec == GSZ_CODEC_CONSTANT) {
        fill_constant(e, out);
        return GSZ_OK;
    }
    uint32_t stored = gsz_load_le32(e->section + e->section_size);      /* nocheck: place_sections */
    GSZ_CHECK(stored == m->kernels->crc32c(0, e->section, (size_t)e->section_size), GSZ_E_SECTION_CHECKSUM);
    if (t->codec == GSZ_CODEC_RAW) {
        gsz_copy_le(out, e->section, (size_t)t->elements, t->itemsize);
        return GSZ_OK;
    }
    gsz_heap heap;
    gsz_fpenv saved = gsz_fp_enter();
    gsz_heap_init(&heap, &m->options);
    int status = decode_chunks(&heap, m, e, out);
    gsz_heap_destroy(&heap);
    gsz_fp_leave(saved);
    return status;
}
