#include "tensor.h"

#include "bound.h"
#include "fp.h"

/* Dimensions of size 0 count as 1 here, so that every partial product is representable. */
int gsz_tensor_measure(gsz_tensor *t) {
    uint64_t bytes = t->itemsize = gsz_itemsize(t->dtype);
    t->elements = 1;
    for (unsigned i = 0; i < t->ndim; i++) {
        GSZ_CHECK(gsz_mul_u64(bytes, GSZ_MAX(t->shape[i], 1u), &bytes), GSZ_E_TOO_LARGE);
        GSZ_CHECK(bytes <= GSZ_MAX_BYTES, GSZ_E_TOO_LARGE);
        t->elements *= t->shape[i];
    }
    GSZ_CHECK(bytes <= SIZE_MAX / 2, GSZ_E_TOO_LARGE);
    return GSZ_OK;
}

/* ---- chunks (format.md 5.2): whole rows for two dimensions, whole planes for three */

int gsz_tensor_chunks(const gsz_tensor *t, gsz_lattice *lattice, size_t *chunk, size_t *count) {
    uint64_t size[3] = {1, 1, 1};       /* columns, rows, the rest; dimensions of size 1 are left out */
    unsigned used = 0;
    for (unsigned i = t->ndim; i-- > 0;)
        if (t->shape[i] != 1) size[GSZ_MIN(used, 2u)] *= t->shape[i], used++;
    unsigned dims = t->codec == GSZ_CODEC_UNIFORM ? (unsigned)t->predictor : 0;
    uint64_t unit = t->codec == GSZ_CODEC_SPHERICAL ? t->sphere.block : dims < 2 ? 1 : dims == 2 ? size[0] : size[0] * size[1];
    if (dims > 3 || dims > GSZ_MAX(used, 1u) || unit > GSZ_MAX_UNIT) return 0;
    lattice->dims = dims;
    lattice->columns = dims < 2 ? 1 : (size_t)size[0];
    lattice->rows = dims < 3 ? 1 : (size_t)size[1];
    *chunk = (size_t)(unit * GSZ_MAX(GSZ_CHUNK / unit, GSZ_CHUNK_UNITS));
    *count = (size_t)(t->elements / *chunk) + (t->elements % *chunk != 0);
    return 1;
}

/* ---- the choice of a predictor: significant bits of residuals at spread places */

#define LEVEL_SAMPLES 1024u
#define FEW_LEVELS 48u
#define SHORT_BOUND ((uint64_t)1 << 18)     /* elements */
#define SAMPLES 128u
#define SPAN 32u            /* neighbours sampled together: a cache line or two, since the data may be cold */

typedef struct { const gsz_uniform *u; const void *x; double inverse; } sampler;

/* Roughly the integer at i; values that would escape count as 0. */
static int32_t sample_at(const sampler *s, size_t i) {
    double q = gsz_value_at(s->u->dtype, s->x, i) * s->inverse;
    return gsz_abs_double(q) <= (double)gsz_max_k(s->u->dtype) ? (int32_t)gsz_round_double(q) : 0;
}

static unsigned cost_of(int32_t r) {
    uint32_t m = r < 0 ? 0u - (uint32_t)r : (uint32_t)r;
    return m == 0 ? 0 : 2 + 2 * (unsigned)gsz_floor_log2(m);
}

/* Sum of the costs of every predictor with up to `dims` dimensions. */
static void sample_costs(const sampler *s, const gsz_lattice *lattice, unsigned dims, size_t n, uint64_t cost[4]) {
    size_t row = lattice->columns, plane = lattice->columns * lattice->rows;
    size_t first = dims == 3 ? plane + row + 1 : dims == 2 ? row + 1 : 1;
    size_t samples = GSZ_MIN((size_t)SAMPLES, n / 64 + SPAN), spans = samples / SPAN, apart = (n - first) / spans;
    for (size_t j = 0; j < spans * SPAN; j++) {
        /* spread over columns too: distances share factors with rows */
        size_t i = first + GSZ_MIN(j / SPAN * apart + j / SPAN * 37 % (apart + 1) + j % SPAN, n - first - 1);
        int32_t a = sample_at(s, i), b = sample_at(s, i - 1);
        cost[0] += cost_of(a);
        cost[1] += cost_of(a - b);
        if (dims < 2) continue;
        int32_t c = sample_at(s, i - row), d = sample_at(s, i - row - 1);
        cost[2] += cost_of(a - b - c + d);
        if (dims < 3) continue;
        int32_t e = sample_at(s, i - plane), f = sample_at(s, i - plane - 1);
        int32_t g = sample_at(s, i - plane - row), h = sample_at(s, i - plane - row - 1);
        cost[3] += cost_of(a - b - c + d - e + f + g - h);
    }
}

static int choose_predictor(gsz_tensor *t, const gsz_uniform *u, const void *x) {
    uint64_t cost[4] = {0, 0, 0, 0};
    sampler s = {u, x, 1 / u->step};
    gsz_lattice lattice;
    size_t chunk, count;
    unsigned dims = 3;
    for (; dims > 0; dims--) {
        t->predictor = (int)dims;
        if (gsz_tensor_chunks(t, &lattice, &chunk, &count) && t->elements > 2 * (uint64_t)lattice.columns * lattice.rows + 8) break;
    }
    if (dims == 0) return GSZ_PREDICT_NONE;
    if (dims < 2) lattice.columns = lattice.rows = 1;
    if (dims == 2) lattice.rows = 1;
    sample_costs(&s, &lattice, dims, (size_t)t->elements, cost);
    int best = GSZ_PREDICT_NONE;
    for (int p = 1; p <= (int)dims; p++)        /* prediction must win clearly: it spreads what is zero */
        if (cost[p] + cost[p] / 16 < cost[best]) best = p;
    t->smooth = 2 * cost[best] < cost[GSZ_PREDICT_NONE];
    return best;
}

/* ---- plan */

static int all_equal(const void *x, size_t n, size_t itemsize) {
    const uint8_t *p = (const uint8_t *)x;
    return memcmp(p, p + itemsize, (n - 1) * itemsize) == 0;
}

void gsz_tensor_plan_otherwise(gsz_tensor *t, const gsz_input *in) {
    if (!gsz_is_random(in->grid)) {
        gsz_tensor_plan_uniform(t, in);
        return;
    }
    t->codec = GSZ_CODEC_EXACT;         /* no error is zero on average too */
    t->eb = 0;
}

void gsz_tensor_plan_uniform(gsz_tensor *t, const gsz_input *in) {
    gsz_uniform u = {t->dtype, t->eb, gsz_step(t->dtype, t->eb), {0, 0, 0}};
    gsz_lattice lattice;
    size_t chunk, count;
    t->codec = GSZ_CODEC_UNIFORM;
    t->grid = GSZ_GRID_ALIGNED;
    t->coder = GSZ_CODER_HUFFMAN;
    t->predictor = in->predictor <= GSZ_PREDICT_LORENZO3 ? in->predictor : choose_predictor(t, &u, in->data);
    while (!gsz_tensor_chunks(t, &lattice, &chunk, &count)) t->predictor--;     /* fewer dimensions than asked for */
}

/* ---- the gradient model or not */

/* Values that take few distinct levels, far apart: the model would store what lies between them as noise. */
static int few_levels(const gsz_tensor *t, const void *x) {
    gsz_uniform u = {t->dtype, t->eb, gsz_step(t->dtype, t->eb), {0, 0, 0}};
    sampler s = {&u, x, 1 / u.step};
    int32_t seen[FEW_LEVELS];
    const uint64_t n = t->elements, count = GSZ_MIN(n, (uint64_t)LEVEL_SAMPLES), apart = n / count;
    unsigned levels = 0;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < count; i++) {
        int32_t k = sample_at(&s, (size_t)(i * apart + i * 37 % apart));        /* spread over columns too */
        unsigned j = 0;
        sum += (uint64_t)(k < 0 ? -(int64_t)k : k);
        while (j < levels && seen[j] != k) j++;
        if (j < levels) continue;
        if (levels == FEW_LEVELS) return 0;
        seen[levels++] = k;
    }
    return sum >= count * 8 && count >= 16 * levels;
}

/* The bound with few bytes: it is sent for every tensor.  At most 2^-12, or 2^-20, is given away. */
static double short_bound(const gsz_tensor *t) {
    uint64_t mask = t->elements < SHORT_BOUND ? ~(uint64_t)0 << 40 : ~(uint64_t)0 << 32;
    double eb = gsz_double_of_bits(gsz_bits_of_double(t->eb) & mask);
    return t->mode == GSZ_ABS || eb < 0x1p-1000 ? t->eb : eb;
}

static int for_model(const gsz_tensor *t, const gsz_input *in) {
    if (gsz_is_random(in->grid)) return 1;
    if (in->predictor != GSZ_PREDICT_AUTO) return in->predictor > GSZ_PREDICT_LORENZO3;
    return in->level != GSZ_LEVEL_FAST && (in->prior.reference != NULL || !few_levels(t, in->data));
}

int gsz_tensor_plan(gsz_work *work, gsz_tensor *t, const gsz_input *in) {
    size_t n = (size_t)t->elements;
    t->eb = 0;
    if (n == 0) t->codec = GSZ_CODEC_EMPTY;
    else if (all_equal(in->data, n, t->itemsize)) t->codec = GSZ_CODEC_CONSTANT;
    else t->codec = GSZ_CODEC_EXACT;
    if (t->codec != GSZ_CODEC_EXACT || !gsz_is_float(t->dtype) || !(in->bound > 0)) return GSZ_OK;
    /* what is measured on the data is measured on whole bins */
    const int measured = (t->mode == GSZ_L2 || t->mode == GSZ_PSNR) && (in->grid == GSZ_GRID_AUTO || in->grid == GSZ_GRID_ALIGNED);
    if (measured) GSZ_TRY(gsz_scratch_reserve(work->heap, &work->k, GSZ_MIN(n, GSZ_CHUNK) * sizeof(int32_t)));
    if (t->joint != NULL) t->eb = gsz_joint_bound(t->dtype, t->joint, t->mode, in->bound);
    else GSZ_TRY(gsz_resolve_bound(work->kernels, t->dtype, in->data, n, t->mode, in->bound, measured ? (int32_t *)work->k.data : NULL, &t->eb));
    if (!(t->eb > 0)) return GSZ_OK;
    gsz_tensor_plan_uniform(t, in);
    if (!for_model(t, in)) return GSZ_OK;
    t->codec = GSZ_CODEC_MODEL;
    t->grid = in->grid != GSZ_GRID_AUTO ? in->grid : measured || in->prior.reference != NULL ? GSZ_GRID_ALIGNED : GSZ_GRID_CENTRED;
    t->predictor = in->predictor == GSZ_PREDICT_AUTO && in->level != GSZ_LEVEL_FAST ? GSZ_PREDICT_LOW_RANK : in->predictor;
    if (t->predictor != GSZ_PREDICT_LOW_RANK) t->predictor = GSZ_PREDICT_STRUCTURE;
    t->coder = GSZ_CODER_RANS;
    if (!measured && t->joint == NULL && t->grid != GSZ_GRID_ALIGNED) t->eb = short_bound(t);
    return GSZ_OK;
}

/* ---- chunks */

static size_t chunk_size(const gsz_tensor *t, size_t chunk, size_t index) {
    return (size_t)GSZ_MIN((uint64_t)chunk, t->elements - (uint64_t)index * chunk);
}

int gsz_tensor_encode_chunk(gsz_work *work, const gsz_tensor *t, const void *x, size_t index, gsz_writer *out) {
    gsz_uniform u = {t->dtype, t->eb, 0, {0, 0, 0}};
    size_t chunk, count;
    GSZ_CHECK(gsz_tensor_chunks(t, &u.lattice, &chunk, &count), GSZ_E_PARAMETER);
    size_t n = chunk_size(t, chunk, index);
    x = (const uint8_t *)x + index * chunk * t->itemsize;
    if (t->codec == GSZ_CODEC_EXACT)
        return gsz_exact_encode(work, x, n, t->itemsize, gsz_is_float(t->dtype) ? GSZ_KIND_FLOAT : GSZ_KIND_INTEGER, out);
    if (t->codec == GSZ_CODEC_SPHERICAL) return gsz_spherical_encode(work, &t->sphere, x, n, (uint64_t)index * chunk / t->sphere.block, out);
    u.step = gsz_step(t->dtype, t->eb);
    return gsz_uniform_encode(work, &u, x, n, out);
}

int gsz_tensor_decode_chunk(gsz_work *work, const gsz_tensor *t, gsz_reader in, size_t index, void *x) {
    gsz_uniform u = {t->dtype, t->eb, 0, {0, 0, 0}};
    size_t chunk, count;
    GSZ_CHECK(gsz_tensor_chunks(t, &u.lattice, &chunk, &count), GSZ_E_HEADER);
    size_t n = chunk_size(t, chunk, index);
    x = (uint8_t *)x + index * chunk * t->itemsize;
    if (t->codec == GSZ_CODEC_EXACT) return gsz_exact_decode(work, in, n, t->itemsize, x);
    if (t->codec == GSZ_CODEC_SPHERICAL) return gsz_spherical_decode(work, &t->sphere, in, n, (uint64_t)index * chunk / t->sphere.block, x);
    u.step = gsz_step(t->dtype, t->eb);
    return gsz_uniform_decode(work, &u, in, n, x);
}
