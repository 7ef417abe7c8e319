#include "quantisers/spherical.h"

#include "quantisers/values.h"

/* ---- directions: integers, about normal, of a key and a counter */

#define UNIT 0x1p-16

/* Coordinate i of direction j: the sum of four numbers of 16 bits, less its mean. */
GSZ_INLINE double coordinate(uint64_t key, uint64_t counter) {
    uint64_t r = gsz_random_at(key, counter);
    int32_t sum = (int32_t)((r & 0xffff) + (r >> 16 & 0xffff) + (r >> 32 & 0xffff) + (r >> 48)) - 131070;
    return (double)sum * UNIT;
}

static uint64_t key_of_block(const gsz_sphere *s, uint64_t block) { return gsz_random_at(s->key, block); }

/* ---- scales: the 16 highest bits of a binary64 (4 bits of fraction); 0 is a block of zeros */

#define SCALE_SHIFT 48
#define LARGEST_SCALE 0x7fef

static double scale_of(int32_t code) { return gsz_double_of_bits((uint64_t)code << SCALE_SHIFT); }

static int32_t nearest_scale(double v) {
    uint64_t bits = gsz_bits_of_double(v);
    if (!gsz_is_finite(v)) return LARGEST_SCALE;
    return (int32_t)GSZ_MIN((bits + ((uint64_t)1 << (SCALE_SHIFT - 1))) >> SCALE_SHIFT, (uint64_t)LARGEST_SCALE);
}

/* ---- the search */

typedef struct { int32_t scale; uint32_t index; } found;       /* scale GSZ_ESCAPE: none */
typedef struct { double u[GSZ_SPHERE_BLOCK], unit, squares; } direction;    /* values times a power of two, their squared norm */

/* 1, or 0 where a value is not finite. */
static int load_block(const gsz_sphere *s, const void *x, size_t from, size_t n, direction *d) {
    double largest = 0;
    memset(d->u, 0, s->block * sizeof *d->u);
    gsz_load_values(s->dtype, x, from, n, d->u);
    for (size_t i = 0; i < s->block; i++) {
        if (!gsz_is_finite(d->u[i])) return 0;
        largest = GSZ_MAX(largest, gsz_abs_double(d->u[i]));
    }
    int exponent = (int)(gsz_bits_of_double(largest) >> 52) - 1023;
    exponent = GSZ_MAX(-1000, GSZ_MIN(1000, exponent));
    d->unit = gsz_double_of_bits((uint64_t)(1023 - exponent) << 52);
    d->squares = 0;
    for (size_t i = 0; i < s->block; i++) {
        d->u[i] *= d->unit;
        d->squares += d->u[i] * d->u[i];
    }
    return 1;
}

/* The first direction that leaves at most alpha of the squared norm, with the scale that is sent. */
static found search(const gsz_sphere *s, const direction *d, uint64_t key) {
    const double wanted = (1 - s->alpha) * d->squares;
    found f = {GSZ_ESCAPE, 0};
    for (uint32_t j = 0; j < GSZ_SPHERE_TRIALS; j++) {
        double product = 0, squares = 0;
        for (unsigned i = 0; i < s->block; i++) {
            double c = coordinate(key, (uint64_t)j * s->block + i);
            product += d->u[i] * c;
            squares += c * c;
        }
        if (!(product > 0 && product * product >= wanted * squares)) continue;
        int32_t code = nearest_scale(product / squares / d->unit);
        double scale = scale_of(code) * d->unit, left = d->squares - 2 * scale * product + scale * scale * squares;
        if (code == 0 || !(left <= s->alpha * d->squares)) continue;
        f.scale = code;
        f.index = j;
        break;
    }
    return f;
}

static found find(const gsz_sphere *s, const void *x, size_t from, size_t n, uint64_t block) {
    static const found escape = {GSZ_ESCAPE, 0}, zeros = {0, 0};
    direction d;
    if (!load_block(s, x, from, n, &d)) return escape;
    return d.squares == 0 ? zeros : search(s, &d, key_of_block(s, block));
}

/* ---- indices: Golomb-Rice codes (format.md 10.2) */

static uint64_t rice_size(const uint32_t *index, size_t count, unsigned low) {
    uint64_t bits = 0;
    for (size_t i = 0; i < count; i++) bits += (index[i] >> low) + 1 + low;
    return bits;
}

static int put_indices(const uint32_t *index, size_t count, gsz_writer *out) {
    unsigned low = 0;
    for (unsigned l = 1; l <= GSZ_SPHERE_INDEX_BITS; l++)
        if (rice_size(index, count, l) < rice_size(index, count, low)) low = l;
    GSZ_TRY(gsz_put_u8(out, low));
    GSZ_TRY(gsz_writer_reserve(out, (size_t)(rice_size(index, count, low) / 8) + 16));
    gsz_bitwriter b = {out->data + out->size, 0, 0};
    for (size_t i = 0; i < count; i++) {
        uint32_t ones = index[i] >> low;
        for (; ones >= 32; ones -= 32) gsz_bits_put(&b, 0xffffffff, 32);
        gsz_bits_put(&b, ((uint64_t)1 << ones) - 1, ones + 1);
        gsz_bits_put(&b, index[i] & (((uint32_t)1 << low) - 1), low);
    }
    out->size = (size_t)(gsz_bits_flush(&b) - out->data);
    return GSZ_OK;
}

static int get_index(gsz_bitreader *b, unsigned low, uint32_t *index) {
    uint32_t high = 0;
    while (gsz_bits_get(b, 1)) GSZ_CHECK(++high < GSZ_SPHERE_TRIALS, GSZ_E_SECTION);
    GSZ_CHECK(high <= (GSZ_SPHERE_TRIALS - 1) >> low, GSZ_E_SECTION);
    *index = high << low | gsz_bits_get(b, low);
    return GSZ_OK;
}

/* ---- chunks */

static size_t itemsize_of(const gsz_sphere *s) { return gsz_itemsize(s->dtype); }
static size_t block_size(const gsz_sphere *s, size_t n, size_t from) { return GSZ_MIN((size_t)s->block, n - from); }

/* A part of the chunk behind its length: the elements of blocks that escape, or the symbols of scales. */
static int put_part(gsz_writer *out, const gsz_writer *part) {
    GSZ_TRY(gsz_put_varint(out, part->size));
    return gsz_put_bytes(out, part->data, part->size);
}

/* Scales as differences of their codes; those of blocks that escape stay out of it. */
static void differences(int32_t *scale, size_t count) {
    int32_t before = 0;
    for (size_t b = 0; b < count; b++) {
        if (scale[b] == GSZ_ESCAPE) continue;
        int32_t code = scale[b];
        scale[b] = code - before;
        before = code;
    }
}

typedef struct { int32_t *scale; uint32_t *index; size_t indices, escaped; } blocks;

static int find_blocks(gsz_work *work, const gsz_sphere *s, const void *x, size_t n, uint64_t first, blocks *b) {
    const size_t count = (n + s->block - 1) / s->block, itemsize = itemsize_of(s);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->k, count * sizeof(int32_t)));
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->predicted, count * sizeof(uint32_t)));
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->escapes, n * itemsize));
    b->scale = (int32_t *)work->k.data;
    b->index = (uint32_t *)work->predicted.data;
    for (size_t i = 0; i < count; i++) {
        const size_t from = i * s->block, size = block_size(s, n, from);
        found f = find(s, x, from, size, first + i);
        b->scale[i] = f.scale;
        if (f.scale == GSZ_ESCAPE) {
            memcpy((uint8_t *)work->escapes.data + b->escaped * itemsize, (const uint8_t *)x + from * itemsize, size * itemsize);
            b->escaped += size;
        } else if (f.scale != 0) {
            b->index[b->indices++] = f.index;
        }
    }
    differences(b->scale, count);
    return GSZ_OK;
}

int gsz_spherical_encode(gsz_work *work, const gsz_sphere *s, const void *x, size_t n, uint64_t first, gsz_writer *out) {
    blocks b = {NULL, NULL, 0, 0};
    gsz_writer escaped, scales;
    GSZ_TRY(find_blocks(work, s, x, n, first, &b));
    gsz_writer_init(&escaped, work->heap);
    gsz_writer_init(&scales, work->heap);
    int status = b.escaped == 0 ? GSZ_OK : gsz_exact_encode(work, work->escapes.data, b.escaped, itemsize_of(s), GSZ_KIND_FLOAT, &escaped);
    if (status == GSZ_OK) status = gsz_symbols_encode(work, b.scale, (n + s->block - 1) / s->block, &scales);
    if (status == GSZ_OK) status = put_part(out, &escaped);
    if (status == GSZ_OK) status = put_part(out, &scales);
    if (status == GSZ_OK) status = put_indices(b.index, b.indices, out);
    gsz_writer_release(&escaped);
    gsz_writer_release(&scales);
    return status;
}

/* Codes of scales, GSZ_ESCAPE for blocks that escape; how many elements those have. */
static int get_scales(gsz_work *work, const gsz_sphere *s, gsz_reader in, size_t n, int32_t **codes, size_t *escaped) {
    const size_t count = (n + s->block - 1) / s->block;
    gsz_symbols symbols;
    int32_t before = 0;
    GSZ_TRY(gsz_symbols_decode(work, in, count, &symbols));
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->k, count * sizeof(int32_t)));
    *codes = (int32_t *)work->k.data;
    *escaped = 0;
    for (size_t i = 0; i < count; i++) {
        int escape = symbols.wide != NULL ? symbols.wide[i] == GSZ_ESCAPE : symbols.narrow[i] == GSZ_ESCAPE16;
        int64_t code = (int64_t)before + (symbols.wide != NULL ? symbols.wide[i] : symbols.narrow[i]);
        (*codes)[i] = GSZ_ESCAPE;
        if (escape) {
            *escaped += block_size(s, n, i * s->block);
            continue;
        }
        GSZ_CHECK(code >= 0 && code <= LARGEST_SCALE, GSZ_E_SECTION);
        (*codes)[i] = before = (int32_t)code;
    }
    return GSZ_OK;
}

static int get_escaped(gsz_work *work, const gsz_sphere *s, gsz_reader in, size_t count) {
    if (count == 0) {
        GSZ_CHECK(gsz_left(&in) == 0, GSZ_E_SECTION);
        return GSZ_OK;
    }
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->escapes, count * itemsize_of(s)));
    return gsz_exact_decode(work, in, count, itemsize_of(s), work->escapes.data);
}

static void put_block(const gsz_sphere *s, void *x, size_t from, size_t size, double scale, uint64_t key, uint32_t index) {
    double v[GSZ_SPHERE_BLOCK];
    for (size_t i = 0; i < size; i++) v[i] = scale == 0 ? 0 : scale * coordinate(key, (uint64_t)index * s->block + i);
    gsz_store_values(s->dtype, v, size, x, from);
}

int gsz_spherical_decode(gsz_work *work, const gsz_sphere *s, gsz_reader in, size_t n, uint64_t first, void *x) {
    const size_t itemsize = itemsize_of(s);
    uint64_t size;
    gsz_reader part, scales;
    gsz_bitreader bits;
    int32_t *codes;
    size_t escaped, used = 0;
    unsigned low;
    GSZ_CHECK(gsz_get_varint(&in, &size) == 1 && gsz_get_reader(&in, size, &part), GSZ_E_SECTION);
    GSZ_CHECK(gsz_get_varint(&in, &size) == 1 && gsz_get_reader(&in, size, &scales), GSZ_E_SECTION);
    GSZ_CHECK(gsz_get_u8(&in, &low) && low <= GSZ_SPHERE_INDEX_BITS, GSZ_E_SECTION);
    GSZ_TRY(get_scales(work, s, scales, n, &codes, &escaped));
    GSZ_TRY(get_escaped(work, s, part, escaped));
    gsz_bits_init(&bits, in.p, in.end);
    for (size_t from = 0, b = 0; from < n; from += s->block, b++) {
        const size_t here = block_size(s, n, from);
        uint32_t index = 0;
        if (codes[b] == GSZ_ESCAPE) {
            memcpy((uint8_t *)x + from * itemsize, (const uint8_t *)work->escapes.data + used * itemsize, here * itemsize);
            used += here;
            continue;
        }
        if (codes[b] != 0) GSZ_TRY(get_index(&bits, low, &index));
        put_block(s, x, from, here, scale_of(codes[b]), key_of_block(s, first + b), index);
    }
    GSZ_CHECK(gsz_bits_end(&bits), GSZ_E_SECTION);
    return GSZ_OK;
}
