/* Streams, references and earlier rounds.  A message behind right checksums, decoded with arrays of any bits, some of them missing: values
 * or an error, the same from every kernel table.  And round trips: the bound, the place in the stream, no values from other arrays. */
#include "bound.h"
#include "fuzz.h"
#include "reseal.h"
#include "samples.h"

#define MOST 2048u          /* elements of a tensor, in round trips */
#define TENSORS 2u

/* What an end has of each tensor, of so many bytes. */
typedef struct { size_t count, *size; gsz_prior *priors; } held;

static void release(held *h) {
    for (size_t i = 0; i < h->count; i++) {
        free((void *)(size_t)h->priors[i].reference);
        for (unsigned k = 0; k < GSZ_MAX_PAST; k++) free((void *)(size_t)h->priors[i].past[k]);
    }
    free(h->size);
    free(h->priors);
}

/* Missing, of any bits, or numbers of a usual size. */
static void *any_array(const gsz_info *info, unsigned kind, uint64_t seed) {
    if (kind == 0) return NULL;
    void *x = fuzz_zeros((size_t)info->nbytes);
    for (size_t i = 0; i < (size_t)info->elements; i++) {
        if (kind == 1) sample_put_bits(info->dtype, x, i, check_random(&seed));
        else sample_put(info->dtype, x, i, sample_normal(&seed));
    }
    return x;
}

/* Arrays for the tensors of a message; kinds: two bits for the reference and for each round. */
static held any_arrays(const fuzz_message *f, unsigned kinds) {
    held h = {f->count, (size_t *)fuzz_zeros(f->count * sizeof *h.size), (gsz_prior *)fuzz_zeros(f->count * sizeof *h.priors)};
    for (size_t i = 0; i < f->count; i++) {
        gsz_info info;
        REQUIRE(gsz_message_info(f->m, i, &info) == GSZ_OK);
        h.size[i] = f->size[i];
        h.priors[i].reference = any_array(&info, kinds & 3, 3 * i);
        for (unsigned k = 0; k < GSZ_MAX_PAST; k++) h.priors[i].past[k] = any_array(&info, kinds >> (2 + 2 * k) & 3, 3 * i + k + 1);
    }
    return h;
}

/* 0 where an array that a message uses is missing; *crc: their checksum. */
static int has_all(const fuzz_message *f, const held *h, uint32_t *crc) {
    const gsz_kernels *portable = gsz_kernels_for(0);
    *crc = 0;
    for (size_t i = 0; i < f->count; i++) {
        gsz_info info;
        REQUIRE(gsz_message_info(f->m, i, &info) == GSZ_OK && info.rounds <= GSZ_MAX_PAST);
        const void *arrays[1 + GSZ_MAX_PAST] = {h->priors[i].reference, h->priors[i].past[0], h->priors[i].past[1]};
        for (unsigned k = !info.referenced; k < 1 + info.rounds; k++) {
            if (arrays[k] == NULL) return 0;
            *crc = gsz_crc_of_elements(portable, *crc, arrays[k], (size_t)info.elements, gsz_itemsize(info.dtype));
        }
    }
    return 1;
}

static int fits(const fuzz_message *f, const held *h) {
    return f->count == h->count && (f->count == 0 || memcmp(f->size, h->size, f->count * sizeof *h->size) == 0);
}

/* Decodes with two kernel tables; *f: the values, to be closed. */
static int decode_both(const uint8_t *data, size_t size, const gsz_options *options, const held *h, fuzz_message *f) {
    fuzz_message twin;
    gsz_options other = *options;
    other.cpu_mask = ~options->cpu_mask;
    int status = fuzz_open(data, size, options, f);
    REQUIRE(fuzz_open(data, size, &other, &twin) == status);
    if (status == GSZ_OK && fits(f, h)) {
        status = gsz_decode_with(f->m, h->priors, f->out, f->size);
        REQUIRE(gsz_decode_with(twin.m, h->priors, twin.out, twin.size) == status);
        for (size_t i = 0; status == GSZ_OK && i < f->count; i++) REQUIRE(memcmp(f->out[i], twin.out[i], f->size[i]) == 0);
    }
    fuzz_close(&twin);
    return status;
}

static int uses_any(const fuzz_message *f) {
    const held nothing = {f->count, f->size, (gsz_prior *)fuzz_zeros(f->count * sizeof(gsz_prior))};
    uint32_t crc;
    const int uses = !has_all(f, &nothing, &crc);
    free(nothing.priors);
    return uses;
}

/* ---- a message as it comes */

/* The checksum of the arrays is put right too, where it is wanted, so that what is damaged reaches the model. */
static void hostile(uint8_t *message, size_t size, const gsz_options *options, unsigned kinds) {
    const size_t at = reseal(message, size);
    fuzz_message f;
    gsz_stream s;
    uint32_t crc;
    int status = fuzz_open(message, size, options, &f);
    if (status == GSZ_OK) {
        held h = any_arrays(&f, kinds);
        const int all = has_all(&f, &h, &crc), right = at > 0 && kinds & 64;
        if (gsz_message_stream(f.m, &s)) REQUIRE(s.history <= GSZ_MAX_PAST && (!s.key || s.digest == 0));
        if (uses_any(&f)) REQUIRE(at > 0 && gsz_decode_tensors(f.m, f.out, f.size) == GSZ_E_STATE);
        fuzz_close(&f);
        if (right) {
            gsz_store_le32(message + at, crc);
            (void)reseal(message, size);
        }
        status = decode_both(message, size, options, &h, &f);
        REQUIRE(all || status == GSZ_E_STATE);
        REQUIRE(!all || !right || status != GSZ_E_STATE);
        release(&h);
    }
    fuzz_close(&f);
}

/* ---- round trips */

typedef struct { gsz_input in[TENSORS]; uint64_t shapes[TENSORS][3]; uint8_t *values[TENSORS]; held held; } sent;

/* Shape, choices and bound; kinds: number of rounds, whether there is a reference, dtype, and how often there is what is no number. */
static size_t take_tensor(fuzz_input *in, sent *s, size_t i, unsigned kinds) {
    static const int predictors[4] = {GSZ_PREDICT_STRUCTURE, GSZ_PREDICT_LOW_RANK, GSZ_PREDICT_STRUCTURE, GSZ_PREDICT_AUTO};
    const unsigned choices = fuzz_take(in);
    gsz_input *t = &s->in[i];
    size_t n = 1;
    gsz_input_init(t);
    t->name = i ? "b" : "a", t->name_length = 1;
    t->dtype = (int)(kinds >> 3 & 3), t->ndim = 1 + choices % 3, t->shape = s->shapes[i];
    for (unsigned d = 0; d < 3; d++) {
        const size_t size = (1 + fuzz_take(in) % (d < 2 ? 100u : 9u)) * (t->ndim == 1 ? 40 : 1);
        if (d < t->ndim) n *= (size_t)(s->shapes[i][d] = GSZ_MIN(size, MOST / n));
    }
    t->predictor = predictors[choices >> 2 & 3], t->level = (int)(choices >> 4 & 3) % 3, t->grid = (int)(choices >> 6);
    t->bound = 0x1p-12 * (double)(1u << fuzz_take(in) % 16);
    return n;
}

/* Values near a reference, as near as the input's bytes tell, and rounds like their difference; for low rank in the space of its
 * rows alone. */
static void make_tensor(fuzz_input *in, sent *s, size_t i, uint64_t seed) {
    const unsigned kinds = fuzz_take(in), rounds = (kinds & 3) % (GSZ_MAX_PAST + 1), strange = kinds >> 5;
    const size_t n = take_tensor(in, s, i, kinds), size = n * gsz_itemsize(s->in[i].dtype);
    const int dtype = s->in[i].dtype, stays = s->in[i].predictor == GSZ_PREDICT_LOW_RANK;
    const size_t row = s->in[i].ndim > 1 && n > 0 ? n / (size_t)s->in[i].shape[0] : 1;
    gsz_prior *prior = &s->in[i].prior;
    uint8_t *reference = (uint8_t *)fuzz_zeros(size), *past[GSZ_MAX_PAST];
    for (unsigned k = 0; k < GSZ_MAX_PAST; k++) prior->past[k] = past[k] = k < rounds ? (uint8_t *)fuzz_zeros(size) : NULL;
    s->in[i].data = s->values[i] = (uint8_t *)fuzz_zeros(size);
    for (size_t j = 0; j < n; j++) {
        const int64_t base = sample_normal(&seed), noise = sample_normal(&seed) / 256 * (in->size ? in->data[j % in->size] : 16);
        const int64_t change = stays ? sample_outer(j / row, j % row, noise / 16) : noise;
        sample_put(dtype, s->values[i], j, (kinds & 4 ? base : 0) + change);
        sample_put(dtype, reference, j, base);
        for (unsigned k = 0; k < rounds; k++) sample_put(dtype, past[k], j, (stays ? sample_outer(j / row + 1000 * (k + 1), j % row, 0) : change) + sample_normal(&seed) / 16);
        const uint64_t r = check_random(&seed);
        if (r % 1024 < strange) sample_put_bits(dtype, r & 1024 ? reference : s->values[i], j, sample_special(dtype, (unsigned)(r >> 32) % 6));
    }
    if (kinds & 4) prior->reference = reference;
    else free(reference);
    s->held.size[i] = size;
    s->held.priors[i] = *prior;
}

static void check_values(const sent *s, const fuzz_message *f) {
    for (size_t i = 0; i < s->held.count; i++) {
        const int dtype = s->in[i].dtype;
        const size_t itemsize = gsz_itemsize(dtype);
        const uint8_t *y = (const uint8_t *)f->out[i];
        for (size_t j = 0; j < f->size[i] / itemsize; j++) {
            const double x = gsz_value_at(dtype, s->values[i], j);
            if (gsz_is_finite(x)) REQUIRE(gsz_within(x, gsz_value_at(dtype, y, j), s->in[i].bound));
            else REQUIRE(memcmp(s->values[i] + j * itemsize, y + j * itemsize, itemsize) == 0);
        }
    }
}

/* Each array in use is needed, to the bit. */
static void check_needed(const fuzz_message *f, held *h, unsigned at) {
    for (size_t i = 0; i < h->count; i++) {
        gsz_info info;
        REQUIRE(gsz_message_info(f->m, i, &info) == GSZ_OK);
        const void **arrays[1 + GSZ_MAX_PAST] = {&h->priors[i].reference, &h->priors[i].past[0], &h->priors[i].past[1]};
        for (unsigned k = !info.referenced; k < 1 + info.rounds; k++) {
            uint8_t *right = (uint8_t *)(size_t)*arrays[k];
            right[at % h->size[i]] ^= (uint8_t)(1u << at % 8);
            REQUIRE(gsz_decode_with(f->m, h->priors, f->out, f->size) == GSZ_E_STATE);
            right[at % h->size[i]] ^= (uint8_t)(1u << at % 8);
            *arrays[k] = NULL;
            REQUIRE(gsz_decode_with(f->m, h->priors, f->out, f->size) == GSZ_E_STATE);
            *arrays[k] = right;
        }
    }
}

static void edit(fuzz_input *in, uint8_t *message, size_t size) {
    for (unsigned n = 1 + fuzz_take(in) % 4; n > 0; n--) {
        const unsigned at = fuzz_take(in) | fuzz_take(in) << 8;
        message[at % (at & 0x8000 ? size : GSZ_MIN(size, (size_t)160))] ^= (uint8_t)(fuzz_take(in) | 1);
    }
}

static void check_message(fuzz_input *in, sent *s, const gsz_options *options, uint8_t *message, size_t size) {
    fuzz_message f;
    gsz_stream place;
    int status = decode_both(message, size, options, &s->held, &f);
    REQUIRE(status == GSZ_OK || status == GSZ_E_MEMORY);
    if (status == GSZ_OK) {
        check_values(s, &f);
        check_needed(&f, &s->held, fuzz_take(in));
        REQUIRE(gsz_message_stream(f.m, &place) && place.id == options->stream->id && place.sequence == options->stream->sequence);
        REQUIRE(place.key == options->stream->key && place.history == options->stream->history);
        REQUIRE(place.digest == (place.key ? 0 : options->stream->digest));
    }
    fuzz_close(&f);
    edit(in, message, size);
    (void)reseal(message, size);
    (void)decode_both(message, size, options, &s->held, &f);
    fuzz_close(&f);
}

static void round_trip(fuzz_input *in, gsz_options *options, unsigned control) {
    sent s;
    uint8_t *message, *again;
    size_t size, other_size;
    memset(&s, 0, sizeof s);
    s.held.count = 1 + (control >> 1) % TENSORS;
    s.held.size = (size_t *)fuzz_zeros(TENSORS * sizeof *s.held.size);
    s.held.priors = (gsz_prior *)fuzz_zeros(TENSORS * sizeof *s.held.priors);
    uint64_t seed = fuzz_take64(in);
    const gsz_stream stream = {seed, seed >> control % 64, (int)(control >> 3 & 1), (control >> 4) % (GSZ_MAX_PAST + 1), ~seed};
    options->stream = &stream;
    for (size_t i = 0; i < s.held.count; i++) make_tensor(in, &s, i, seed + i);
    int status = gsz_encode(s.in, s.held.count, 1, options, &message, &size);
    REQUIRE(status == GSZ_OK || status == GSZ_E_MEMORY);
    if (status == GSZ_OK && control & 128) {
        gsz_options other = *options;
        other.cpu_mask = ~options->cpu_mask, other.max_memory = 0, other.nthreads = 2;
        REQUIRE(gsz_encode(s.in, s.held.count, 1, &other, &again, &other_size) == GSZ_OK);
        REQUIRE(other_size == size && memcmp(again, message, size) == 0);
        gsz_free(&other, again);
    }
    if (status == GSZ_OK) {
        check_message(in, &s, options, message, size);
        gsz_free(options, message);
    }
    for (size_t i = 0; i < s.held.count; i++) free(s.values[i]);
    release(&s.held);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    gsz_options options;
    fuzz_options(&in, &options);
    options.max_output = 1u << 15;
    const unsigned control = fuzz_take(&in);
    if (control & 1) {
        round_trip(&in, &options, control);
        return 0;
    }
    uint8_t *message = fuzz_copy(&in);
    hostile(message, in.size, &options, control >> 1);
    free(message);
    return 0;
}
