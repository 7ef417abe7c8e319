/* Reading a message: header and table are checked whole, sections one by one when asked for. */
#include "bound.h"
#include "fp.h"
#include "fpenv.h"
#include "message.h"
#include "model_part.h"
#include "names.h"
#include "quantisers/quantiser.h"

/* Names are put together from those before them. */
#define NAME_BLOCK ((size_t)1 << 16)
typedef struct name_block { struct name_block *next; size_t used; char bytes[NAME_BLOCK]; } name_block;

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
    name_block *names;
    uint8_t *unpacked;          /* entries, where they were packed */
    size_t unpacked_size, packed_size;
    gsz_gathered gathered;
    int streamed;
    gsz_stream stream;
    uint32_t prior_checksum;    /* of what both ends have */
    gsz_model_reader model;
};

void gsz_options_init(gsz_options *options) {
    memset(options, 0, sizeof *options);
    options->cpu_mask = GSZ_CPU_ALL;
    options->nthreads = 1;
}

/* ---- header (format.md 2) */

typedef struct { unsigned version, flags; gsz_reader table; } header;

static int read_prelude(gsz_reader *in, header *h) {
    const uint8_t *p;
    size_t known = GSZ_MIN(gsz_left(in), sizeof gsz_magic);
    GSZ_CHECK(memcmp(in->p, gsz_magic, known) == 0, GSZ_E_MAGIC);
    GSZ_CHECK(gsz_get_bytes(in, sizeof gsz_magic, &p), GSZ_E_TRUNCATED);
    GSZ_CHECK(gsz_get_u8(in, &h->version), GSZ_E_TRUNCATED);
    GSZ_CHECK(h->version == GSZ_FORMAT_VERSION, GSZ_E_VERSION);
    GSZ_CHECK(gsz_get_u8(in, &h->flags), GSZ_E_TRUNCATED);
    GSZ_CHECK((h->flags & ~(GSZ_FLAG_NAMED | GSZ_FLAG_PACKED | GSZ_FLAG_PRIOR | GSZ_FLAG_STREAM)) == 0, GSZ_E_RESERVED);
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

/* Smallest entry: three lengths of the name, dtype and codec, dimensions. */
#define SMALLEST_ENTRY(named) ((named) ? 5u : 2u)

/* Room for the longest name. */
static char *name_room(gsz_message *m) {
    if (m->names == NULL || NAME_BLOCK - m->names->used < GSZ_MAX_NAME) {
        name_block *block = (name_block *)gsz_alloc(&m->heap, sizeof *block);
        if (block == NULL) return NULL;
        block->next = m->names;
        block->used = 0;
        m->names = block;
    }
    return m->names->bytes + m->names->used;
}

/* Begins to unpack the entries that stand packed at the beginning of a table. */
static int begin_packed(gsz_message *m, gsz_reader *table, gsz_entry_reader *entries) {
    uint64_t plain, size;
    gsz_reader packed;
    GSZ_CHECK(gsz_get_varint(table, &plain) == 1 && gsz_get_varint(table, &size) == 1, GSZ_E_HEADER);
    GSZ_CHECK(gsz_get_reader(table, size, &packed), GSZ_E_HEADER);
    GSZ_CHECK(plain <= GSZ_PACKED_MOST && plain <= size * GSZ_PACKED_RATIO, GSZ_E_HEADER);
    m->unpacked_size = (size_t)plain;
    m->packed_size = (size_t)size;
    m->unpacked = (uint8_t *)gsz_alloc(&m->heap, m->unpacked_size);
    GSZ_CHECK(m->unpacked != NULL, GSZ_E_MEMORY);
    entries->plain.p = m->unpacked;
    entries->plain.end = m->unpacked + m->unpacked_size;
    return gsz_unpack_begin(&m->heap, packed, m->unpacked, m->unpacked_size, &entries->packed);
}

/* The entries as they stand; *decoded: bytes of all tensors. */
static int read_plain(gsz_message *m, gsz_entry_reader *in, uint64_t *decoded) {
    gsz_table_state state;
    uint64_t count = 1;
    if (m->named) GSZ_CHECK(gsz_get_varint(gsz_expect_varint(in, GSZ_FIELD_COUNT), &count) == 1, GSZ_E_HEADER);
    const size_t left = gsz_left(&in->plain);
    GSZ_CHECK(count <= left / SMALLEST_ENTRY(m->named), GSZ_E_HEADER);
    GSZ_CHECK(count <= SIZE_MAX / sizeof(gsz_entry) && left <= SIZE_MAX / sizeof(uint64_t), GSZ_E_TOO_LARGE);
    m->entries = (gsz_entry *)gsz_alloc(&m->heap, (size_t)count * sizeof(gsz_entry));
    m->shapes_size = left * sizeof(uint64_t);       /* a dimension takes a byte or more */
    m->shapes = (uint64_t *)gsz_alloc(&m->heap, m->shapes_size);
    m->count = (size_t)count;
    GSZ_CHECK(m->entries != NULL && m->shapes != NULL, GSZ_E_MEMORY);
    uint64_t *pool = m->shapes;
    memset(&state, 0, sizeof state);
    for (size_t i = 0; i < m->count; i++) {
        char *name = m->named ? name_room(m) : NULL;
        GSZ_CHECK(!m->named || name != NULL, GSZ_E_MEMORY);
        GSZ_TRY(gsz_entry_read(&state, in, m->named, pool, name, &m->entries[i]));
        if (m->named) m->names->used += m->entries[i].name_length;
        pool += m->entries[i].tensor.ndim;
        GSZ_CHECK(gsz_add_u64(*decoded, m->entries[i].tensor.elements * m->entries[i].tensor.itemsize, decoded), GSZ_E_TOO_LARGE);
    }
    return GSZ_OK;
}

/* The entries, plain or packed, at the beginning of a table. */
static int read_entries(gsz_message *m, gsz_reader *table, int packed, uint64_t *decoded) {
    gsz_entry_reader in = {*table, NULL};
    int status = packed ? begin_packed(m, table, &in) : GSZ_OK;
    if (status == GSZ_OK) status = read_plain(m, &in, decoded);
    if (!packed) *table = in.plain;
    if (in.packed == NULL) return status;
    const int end = gsz_unpack_end(&m->heap, in.packed);
    return status != GSZ_OK ? status : gsz_left(&in.plain) > 0 ? GSZ_E_HEADER : end;
}

static int read_table(gsz_message *m, gsz_reader *in, unsigned flags) {
    uint64_t decoded = 0, limit = m->options.max_output;
    int distinct;
    GSZ_TRY(read_entries(m, in, (flags & GSZ_FLAG_PACKED) != 0, &decoded));
    GSZ_TRY(gsz_gathered_sum(&m->gathered, m->entries, m->count, sizeof(gsz_entry)));
    GSZ_TRY(gsz_gathered_read(&m->gathered, in));
    m->streamed = (flags & GSZ_FLAG_STREAM) != 0;
    if (m->streamed) GSZ_TRY(gsz_stream_read(in, &m->stream));
    if (flags & GSZ_FLAG_PRIOR) GSZ_TRY(gsz_prior_read(in, m->entries, m->count, &m->prior_checksum));
    GSZ_TRY(gsz_model_part_open(&m->heap, in, m->entries, m->count, &m->model));
    GSZ_CHECK(gsz_left(in) == 0, GSZ_E_HEADER);
    GSZ_CHECK(limit == 0 || decoded <= limit, GSZ_E_OUTPUT_LIMIT);
    if (!m->named) return GSZ_OK;
    GSZ_TRY(gsz_names_distinct(&m->heap, m->entries, m->count, sizeof(gsz_entry), &distinct));
    GSZ_CHECK(distinct, GSZ_E_HEADER);
    return GSZ_OK;
}

/* Sections stand in the order of the table, then segments, each with its checksum, and fill the message exactly. */
static int place_section(gsz_entry *e, gsz_reader *in) {
    const uint8_t *crc;
    if (!gsz_has_section(e->tensor.codec)) return GSZ_OK;
    GSZ_CHECK(gsz_get_bytes(in, e->section_size, &e->section), GSZ_E_TRUNCATED);
    GSZ_CHECK(gsz_get_bytes(in, 4, &crc), GSZ_E_TRUNCATED);
    return GSZ_OK;
}

static int place_sections(gsz_message *m, gsz_reader *in) {
    for (size_t i = 0; i < m->count; i++) GSZ_TRY(place_section(&m->entries[i], in));
    for (unsigned d = 0; d < GSZ_DTYPES; d++) GSZ_TRY(place_section(&m->gathered.runs[d], in));
    GSZ_TRY(gsz_model_part_place(&m->model, in));
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
    m->named = (h.flags & GSZ_FLAG_NAMED) != 0;
    gsz_fpenv saved = gsz_fp_enter();       /* a bound may be subnormal */
    int status = read_table(m, &h.table, h.flags);
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
    gsz_release(&m->heap, m->unpacked, m->unpacked_size);
    gsz_model_reader_release(&m->heap, &m->model);
    while (m->names != NULL) {
        name_block *next = m->names->next;
        gsz_release(&m->heap, m->names, sizeof *m->names);
        m->names = next;
    }
    gsz_heap_destroy(&m->heap);
    hook.release(hook.opaque, m);
}

size_t gsz_message_count(const gsz_message *m) { return m->count; }
int gsz_message_named(const gsz_message *m) { return m->named; }
unsigned gsz_message_version(const gsz_message *m) { return m->version; }

int gsz_message_stream(const gsz_message *m, gsz_stream *stream) {
    if (m->streamed) *stream = m->stream;
    return m->streamed;
}

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
    info->compressed = m->unpacked == NULL ? e->entry_size : GSZ_MAX(e->entry_size * m->packed_size / m->unpacked_size, 1u);
    info->compressed += (gsz_has_section(t->codec) ? e->section_size + 4 : 0);
    if (t->codec == GSZ_CODEC_MODEL) info->compressed += gsz_model_part_share(&m->model, m->entries, index);
    if (t->codec == GSZ_CODEC_GATHERED) info->compressed += gsz_gathered_share(&m->gathered, t);
    info->codec = t->codec;
    info->mode = t->mode;
    info->grid = t->grid;
    info->predictor = t->predictor;
    info->coder = t->coder;
    info->eb = t->codec == GSZ_CODEC_SPHERICAL || t->mode > GSZ_PSNR ? gsz_double_of_bits((uint64_t)0x7ff << 52) : t->eb;
    info->scale = t->mode == GSZ_MODE_DITHERING ? gsz_step(t->dtype, t->eb) : 0;
    info->levels = t->levels;
    info->nlevels = t->nlevels;
    info->block = t->sphere.block;
    info->referenced = t->referenced;
    info->rounds = t->rounds;
    return GSZ_OK;
}

/* ---- tensors */

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

static int decode_chunks(const gsz_workers *workers, const gsz_entry *e, void *out) {
    gsz_heap *heap = workers->heap;
    gsz_lattice lattice;
    size_t chunk, count;
    GSZ_CHECK(gsz_tensor_chunks(&e->tensor, &lattice, &chunk, &count), GSZ_E_HEADER);
    gsz_reader *parts = (gsz_reader *)gsz_alloc(heap, count * sizeof *parts);
    GSZ_CHECK(parts != NULL, GSZ_E_MEMORY);
    decoding d = {&e->tensor, workers->work, parts, out};
    int status = cut_section(e, parts, count);
    if (status == GSZ_OK) status = gsz_parallel_for(count, workers->count, decode_one, &d);
    gsz_release(heap, parts, count * sizeof *parts);
    return status;
}

static void fill_constant(const gsz_entry *e, void *out) {
    size_t itemsize = e->tensor.itemsize, n = (size_t)e->tensor.elements, done = 1;
    gsz_copy_le(out, e->constant, 1, itemsize);
    for (; done < n; done *= 2)     /* what is there, twice */
        memcpy((uint8_t *)out + done * itemsize, out, GSZ_MIN(done, n - done) * itemsize);
}

/* A tensor that has an entry and a section of its own, or none. */
static int decode_alone(const gsz_workers *workers, const gsz_entry *e, void *out) {
    const gsz_tensor *t = &e->tensor;
    if (t->codec == GSZ_CODEC_EMPTY || t->codec == GSZ_CODEC_MODEL || t->codec == GSZ_CODEC_GATHERED) return GSZ_OK;
    if (t->codec == GSZ_CODEC_CONSTANT) {
        fill_constant(e, out);
        return GSZ_OK;
    }
    uint32_t stored = gsz_load_le32(e->section + e->section_size);      /* nocheck: place_sections */
    GSZ_CHECK(stored == workers->work[0].kernels->crc32c(0, e->section, (size_t)e->section_size), GSZ_E_SECTION_CHECKSUM);
    if (t->codec != GSZ_CODEC_RAW) return decode_chunks(workers, e, out);
    gsz_copy_le(out, e->section, (size_t)t->elements, t->itemsize);
    return GSZ_OK;
}

/* The run of gathered elements of a dtype, and from it the tensors that are wanted. */
static int decode_run(const gsz_workers *workers, const gsz_message *m, const gsz_entry *run, void *const *out) {
    const size_t size = (size_t)run->tensor.elements * run->tensor.itemsize;
    size_t wanted = 0, at = 0;
    for (size_t i = 0; i < m->count; i++)
        wanted += out[i] != NULL && m->entries[i].tensor.codec == GSZ_CODEC_GATHERED && m->entries[i].tensor.dtype == run->tensor.dtype;
    if (wanted == 0) return GSZ_OK;
    uint8_t *elements = (uint8_t *)gsz_alloc(workers->heap, size);
    GSZ_CHECK(elements != NULL, GSZ_E_MEMORY);
    int status = decode_alone(workers, run, elements);
    for (size_t i = 0; status == GSZ_OK && i < m->count; i++) {
        const gsz_tensor *t = &m->entries[i].tensor;
        if (t->codec != GSZ_CODEC_GATHERED || t->dtype != run->tensor.dtype) continue;
        if (out[i] != NULL) memcpy(out[i], elements + at, (size_t)t->elements * t->itemsize);
        at += (size_t)t->elements * t->itemsize;
    }
    gsz_release(workers->heap, elements, size);
    return status;
}

/* What both ends have, if it is what the message was made with. */
static int check_priors(const gsz_message *m, const gsz_prior *priors) {
    uint32_t checksum = 0;
    int used = 0;
    for (size_t i = 0; i < m->count; i++) {
        used |= gsz_uses_prior(&m->entries[i].tensor);
        GSZ_TRY(gsz_prior_checksum(m->kernels, &m->entries[i].tensor, priors == NULL ? NULL : &priors[i], &checksum));
    }
    GSZ_CHECK(!used || checksum == m->prior_checksum, GSZ_E_STATE);
    return GSZ_OK;
}

static int decode_wanted(const gsz_workers *workers, const gsz_message *m, const gsz_prior *priors, void *const *out) {
    GSZ_TRY(check_priors(m, priors));
    for (size_t i = 0; i < m->count; i++)
        if (out[i] != NULL) GSZ_TRY(decode_alone(workers, &m->entries[i], out[i]));
    for (unsigned d = 0; d < GSZ_DTYPES; d++)
        if (m->gathered.shapes[d] > 0) GSZ_TRY(decode_run(workers, m, &m->gathered.runs[d], out));
    GSZ_TRY(gsz_model_part_decode(workers, &m->model, m->entries, priors, m->count, out));
    for (size_t i = 0; i < m->count; i++) {
        const gsz_tensor *t = &m->entries[i].tensor;
        if (out[i] != NULL && gsz_has_bound(t->codec) && t->mode == GSZ_MODE_LEVELS)
            GSZ_TRY(gsz_levels_apply(t->dtype, t->levels, t->nlevels, out[i], (size_t)t->elements));
    }
    return GSZ_OK;
}

int gsz_decode_tensors(const gsz_message *m, void *const *out, const size_t *size) { return gsz_decode_with(m, NULL, out, size); }

int gsz_decode_with(const gsz_message *m, const gsz_prior *priors, void *const *out, const size_t *size) {
    gsz_work work[GSZ_MAX_THREADS];
    gsz_heap heap;
    GSZ_CHECK((out != NULL && size != NULL) || m->count == 0, GSZ_E_PARAMETER);
    for (size_t i = 0; i < m->count; i++)
        GSZ_CHECK(out[i] == NULL || size[i] == m->entries[i].tensor.elements * m->entries[i].tensor.itemsize, GSZ_E_OUTPUT_SIZE);
    gsz_workers workers = {&heap, work, gsz_worker_count(&m->options)};
    gsz_fpenv saved = gsz_fp_enter();
    gsz_heap_init(&heap, &m->options);
    for (unsigned i = 0; i < workers.count; i++) gsz_work_init(&work[i], &heap, m->kernels);
    int status = decode_wanted(&workers, m, priors, out);
    for (unsigned i = 0; i < workers.count; i++) gsz_work_release(&work[i]);
    gsz_heap_destroy(&heap);
    gsz_fp_leave(saved);
    return status;
}

int gsz_message_bits(const gsz_message *m, size_t index, gsz_bits *bits) {
    gsz_heap heap;
    gsz_work work;
    GSZ_CHECK(index < m->count, GSZ_E_PARAMETER);
    memset(bits, 0, sizeof *bits);
    if (m->entries[index].tensor.codec != GSZ_CODEC_MODEL) return GSZ_OK;
    GSZ_TRY(check_priors(m, NULL));
    const gsz_workers workers = {&heap, &work, 1};
    gsz_fpenv saved = gsz_fp_enter();
    gsz_heap_init(&heap, &m->options);
    gsz_work_init(&work, &heap, m->kernels);
    int status = gsz_model_part_bits(&workers, &m->model, m->entries, m->count, index, bits);
    gsz_work_release(&work);
    gsz_heap_destroy(&heap);
    gsz_fp_leave(saved);
    return status;
}

int gsz_decode(const gsz_message *m, size_t index, void *out, size_t size) {
    GSZ_CHECK(index < m->count, GSZ_E_PARAMETER);
    GSZ_CHECK(size == m->entries[index].tensor.elements * m->entries[index].tensor.itemsize, GSZ_E_OUTPUT_SIZE);
    GSZ_CHECK(out != NULL || size == 0, GSZ_E_PARAMETER);
    if (out == NULL) return GSZ_OK;
    void *one = out;
    if (m->count == 1) return gsz_decode_tensors(m, &one, &size);
    gsz_heap heap;
    gsz_heap_init(&heap, &m->options);
    const size_t outs_size = m->count * sizeof(void *), sizes_size = m->count * sizeof(size_t);
    void **outs = (void **)gsz_alloc(&heap, outs_size);
    size_t *sizes = (size_t *)gsz_alloc(&heap, sizes_size);
    int status = GSZ_E_MEMORY;
    if (outs != NULL && sizes != NULL) {
        memset((void *)outs, 0, outs_size);
        outs[index] = out;
        sizes[index] = size;
        status = gsz_decode_tensors(m, outs, sizes);
    }
    gsz_release(&heap, (void *)outs, outs_size);
    gsz_release(&heap, sizes, sizes_size);
    gsz_heap_destroy(&heap);
    return status;
}

uint32_t gsz_crc32c_of(uint32_t crc, const void *data, size_t size) {
    return gsz_kernels_for(gsz_cpu_features())->crc32c(crc, (const uint8_t *)data, size);
}
