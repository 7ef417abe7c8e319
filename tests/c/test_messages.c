/* gsz_decode_tensors: every subset of a message's tensors decodes to the same values as each alone, from any number of
 * threads; what is not asked for is neither checked nor written.  gsz_message_info and gsz_message_bits add up. */
#include "samples.h"

static gsz_options options;

typedef struct { uint8_t *data; size_t size, count; gsz_message *m; void *alone[SAMPLE_MOST]; size_t sizes[SAMPLE_MOST]; } subject;

static void begin(subject *s, const sample *samples, size_t count) {
    s->data = sample_tensors(samples, count, 7, &options, &s->size);
    s->count = count;
    CHECK_EQ(gsz_open(s->data, s->size, &options, &s->m), GSZ_OK);
    CHECK_EQ(gsz_message_count(s->m), count);
    for (size_t i = 0; i < count; i++) {
        gsz_info info;
        CHECK_EQ(gsz_message_info(s->m, i, &info), GSZ_OK);
        s->sizes[i] = (size_t)info.nbytes;
        s->alone[i] = malloc(s->sizes[i] + 1);
        CHECK_EQ(gsz_decode(s->m, i, s->alone[i], s->sizes[i]), GSZ_OK);
    }
}

static void end(subject *s) {
    for (size_t i = 0; i < s->count; i++) free(s->alone[i]);
    gsz_close(s->m);
    free(s->data);
}

/* The tensors of `set`, bit i for tensor i. */
static int decode_set(const gsz_message *m, const subject *s, unsigned set) {
    void *out[SAMPLE_MOST];
    for (size_t i = 0; i < s->count; i++) out[i] = set >> i & 1 ? malloc(s->sizes[i] + 1) : NULL;
    int status = gsz_decode_tensors(m, out, s->sizes);
    for (size_t i = 0; i < s->count; i++) {
        if (out[i] != NULL && status == GSZ_OK) CHECK(memcmp(out[i], s->alone[i], s->sizes[i]) == 0);
        free(out[i]);
    }
    return status;
}

static void subsets(const sample *samples, size_t count, unsigned step) {
    subject s;
    begin(&s, samples, count);
    for (unsigned threads = 1; threads <= 4; threads++) {
        gsz_options o = options;
        gsz_message *m;
        size_t size;
        o.nthreads = threads;
        uint8_t *again = sample_tensors(samples, count, 7, &o, &size);
        CHECK(size == s.size && memcmp(again, s.data, size) == 0);
        CHECK_EQ(gsz_open(again, size, &o, &m), GSZ_OK);
        for (unsigned set = 0; set < 1u << count; set += step) CHECK_EQ(decode_set(m, &s, set), GSZ_OK);
        gsz_close(m);
        free(again);
    }
    end(&s);
}

/* A tensor is refused where anything of its segment is damaged; others are not touched by it. */
static void damage(void) {
    subject s;
    gsz_message *m;
    begin(&s, sample_shared, SAMPLE_SHARED);
    uint8_t *data = check_copy(s.data, s.size);
    data[s.size - 6] ^= 4;                              /* the segment that all model tensors share */
    CHECK_EQ(gsz_open(data, s.size, &options, &m), GSZ_OK);
    for (unsigned set = 0; set < 1u << s.count; set++) {
        int touched = 0;
        for (size_t i = 0; i < s.count; i++) {
            gsz_info info;
            CHECK_EQ(gsz_message_info(m, i, &info), GSZ_OK);
            touched |= (set >> i & 1) && info.codec == GSZ_CODEC_MODEL;
        }
        CHECK_EQ(decode_set(m, &s, set), touched ? GSZ_E_SECTION_CHECKSUM : GSZ_OK);
    }
    gsz_close(m);
    free(data);
    end(&s);
}

static void arguments(void) {
    subject s;
    void *out[SAMPLE_MOST] = {NULL};
    begin(&s, sample_shared, SAMPLE_SHARED);
    CHECK_EQ(gsz_decode_tensors(s.m, NULL, s.sizes), GSZ_E_PARAMETER);
    CHECK_EQ(gsz_decode_tensors(s.m, out, NULL), GSZ_E_PARAMETER);
    CHECK_EQ(gsz_decode_tensors(s.m, out, s.sizes), GSZ_OK);
    for (size_t i = 0; i < s.count; i++) {
        out[i] = s.alone[i];
        s.sizes[i]++;
        CHECK_EQ(gsz_decode_tensors(s.m, out, s.sizes), GSZ_E_OUTPUT_SIZE);
        CHECK_EQ(gsz_decode(s.m, i, out[i], s.sizes[i]), GSZ_E_OUTPUT_SIZE);
        s.sizes[i]--;
        out[i] = NULL;
    }
    CHECK_EQ(gsz_decode(s.m, s.count, out, 8), GSZ_E_PARAMETER);
    CHECK_EQ(gsz_decode(s.m, 0, NULL, s.sizes[0]), GSZ_E_PARAMETER);
    end(&s);

    gsz_message *m;                                     /* a message of nothing */
    uint8_t *data;
    size_t size;
    CHECK_EQ(gsz_encode(NULL, 0, 1, &options, &data, &size), GSZ_OK);
    CHECK_EQ(gsz_open(data, size, &options, &m), GSZ_OK);
    CHECK_EQ(gsz_decode_tensors(m, NULL, NULL), GSZ_OK);
    gsz_close(m);
    gsz_free(&options, data);
}

/* What info says of the tensors is the message, but for its prelude, coding tables and roundings. */
static void sizes(const sample *samples, size_t count, size_t most_besides) {
    subject s;
    uint64_t sum = 0;
    begin(&s, samples, count);
    for (size_t i = 0; i < count; i++) {
        gsz_info info;
        CHECK_EQ(gsz_message_info(s.m, i, &info), GSZ_OK);
        CHECK(info.compressed > 0 && info.compressed <= s.size);
        sum += info.compressed;
        CHECK((info.codec == GSZ_CODEC_MODEL) == (info.coder == GSZ_CODER_RANS));
    }
    CHECK(sum <= s.size + count && sum + most_besides >= s.size);
    end(&s);
}

/* Where the bits went: of the segments, no more than they have; a rank where there is one. */
static void bits(const sample *samples, size_t count) {
    subject s;
    gsz_bits b;
    double sum = 0;
    unsigned ranks = 0;
    begin(&s, samples, count);
    for (size_t i = 0; i < count; i++) {
        gsz_info info;
        CHECK_EQ(gsz_message_info(s.m, i, &info), GSZ_OK);
        CHECK_EQ(gsz_message_bits(s.m, i, &b), GSZ_OK);
        double own = b.weights + b.scales + b.factors + b.symbols + b.low + b.others;
        CHECK(info.codec == GSZ_CODEC_MODEL ? b.weights > 0 : own == 0 && b.rank == 0);
        CHECK(b.weights >= 0 && b.scales >= 0 && b.factors >= 0 && b.symbols >= 0 && b.low >= 0 && b.others >= 0);
        ranks += b.rank;
        sum += own;
    }
    CHECK(sum > 0 && sum < 8.0 * (double)s.size);
    CHECK((samples[0].kind == OUTER) == (ranks > 0));
    CHECK_EQ(gsz_message_bits(s.m, count, &b), GSZ_E_PARAMETER);
    end(&s);
}

/* Low rank, several segments, a shared one: the samples are what they are meant to be. */
static void samples_reach(void) {
    for (size_t i = SAMPLE_FIRST_MODEL; i < SAMPLE_FIRST_QUANTISED; i++) {
        sample s = sample_set[i];
        size_t size, other;
        gsz_message *m;
        gsz_info info;
        void *data = sample_make(&s, 3);
        uint8_t *message = sample_message(&s, data, &options, &size);
        CHECK_EQ(gsz_open(message, size, &options, &m), GSZ_OK);
        CHECK_EQ(gsz_message_info(m, 0, &info), GSZ_OK);
        CHECK_EQ(info.codec, GSZ_CODEC_MODEL);
        CHECK_EQ(info.grid, (int)s.grid - 1);
        gsz_close(m);
        free(message);
        if (s.kind == OUTER) {
            s.predictor = GSZ_PREDICT_STRUCTURE;
            message = sample_message(&s, data, &options, &other);
            CHECK(size < other);
            free(message);
        }
        free(data);
    }
}

/* What is bit-exact and of at most 1,024 elements is gathered, and damage of a run is damage of its tensors alone. */
static void small(void) {
    subject s;
    gsz_message *m;
    unsigned gathered = 0;
    begin(&s, sample_small, SAMPLE_SMALL);
    CHECK((s.data[4] & 2) != 0);                            /* packed */
    for (size_t i = 0; i < SAMPLE_SMALL; i++) {
        gsz_info info;
        CHECK_EQ(gsz_message_info(s.m, i, &info), GSZ_OK);
        const int is = info.codec == GSZ_CODEC_GATHERED;
        CHECK_EQ(is, info.eb == 0 && info.elements <= 1024 && info.codec != GSZ_CODEC_CONSTANT);
        gathered += (unsigned)is << i;
    }
    unsigned floats = 0, others = 0;
    for (size_t i = 0; i < SAMPLE_SMALL; i++)
        if (gathered >> i & 1) *(sample_small[i].dtype == GSZ_FLOAT32 ? &floats : &others) |= 1u << i;
    const unsigned last = (1u << SAMPLE_SMALL) - 1 - gathered;
    for (size_t at = 0; at < s.size; at++) {                /* sections of runs stand behind the others */
        s.data[at] ^= 1;
        if (gsz_open(s.data, s.size, &options, &m) == GSZ_OK) {
            const unsigned bad = (decode_set(m, &s, floats) != GSZ_OK) + (decode_set(m, &s, last) != GSZ_OK) + (decode_set(m, &s, others) != GSZ_OK);
            CHECK_EQ(bad, 1);
            CHECK(decode_set(m, &s, (1u << SAMPLE_SMALL) - 1) != GSZ_OK);
            gsz_close(m);
        }
        s.data[at] ^= 1;
    }
    end(&s);
}

/* One range for all tensors that may lose: with the same bound they have the same eb; and gsz_error_bound tells that of one. */
static void bound_over_the_message(void) {
    sample s[4] = {{GSZ_FLOAT32, 1, {3000}, NORMAL, 1e-2, GSZ_REL, GSZ_PREDICT_AUTO}, {GSZ_FLOAT64, 2, {50, 40}, OUTER, 1e-2, GSZ_REL, GSZ_PREDICT_AUTO},
                   {GSZ_FLOAT16, 1, {2000}, NORMAL, 1e-2, GSZ_REL, GSZ_PREDICT_NONE, GSZ_LEVEL_FAST, ANY_GRID}, {GSZ_FLOAT32, 1, {9}, NORMAL, 0, GSZ_REL, GSZ_PREDICT_AUTO}};
    gsz_options over = options;
    gsz_message *m;
    gsz_info info[4];
    size_t size;
    double widest = 0, eb;
    for (unsigned i = 0; i < 3; i++) {
        void *data = sample_make(&s[i], i + 7);
        const gsz_input in = sample_input(&s[i], data);
        CHECK_EQ(gsz_error_bound(&in, &options, &eb), GSZ_OK);
        if (eb > widest) widest = eb;
        free(data);
    }
    over.bound_over = GSZ_OVER_MESSAGE;
    uint8_t *message = sample_tensors(s, 4, 7, &over, &size);
    CHECK_EQ(gsz_open(message, size, &options, &m), GSZ_OK);
    for (unsigned i = 0; i < 4; i++) CHECK_EQ(gsz_message_info(m, i, &info[i]), GSZ_OK);
    CHECK(info[0].eb == info[1].eb && info[1].eb == info[2].eb && info[3].eb == 0);
    CHECK(info[0].eb >= widest * (1 - 0x1p-11) && info[0].eb <= 2 * widest);        /* values of both signs: no range is inside out */
    gsz_close(m);
    free(message);

    void *data = sample_make(&s[0], 1);
    gsz_input in = sample_input(&s[0], data);
    in.mode = GSZ_L2;
    CHECK_EQ(gsz_encode(&in, 1, 0, &over, &message, &size), GSZ_E_PARAMETER);
    over.bound_over = 2;
    in.mode = GSZ_ABS;
    CHECK_EQ(gsz_encode(&in, 1, 0, &over, &message, &size), GSZ_E_PARAMETER);
    CHECK(gsz_error_bound(&in, &options, &eb) == GSZ_OK && eb == 1e-2);
    in.bound = -1;
    CHECK_EQ(gsz_error_bound(&in, &options, &eb), GSZ_E_PARAMETER);
    free(data);
}

int main(void) {
    gsz_options_init(&options);
    samples_reach();
    subsets(sample_shared, SAMPLE_SHARED, 1);
    subsets(sample_cut, SAMPLE_CUT, 1);
    subsets(sample_small, SAMPLE_SMALL, 1);
    small();
    bound_over_the_message();
    subsets(sample_set, 13, 97);
    subsets(sample_set + SAMPLE_SET - 13, 13, 97);
    damage();
    arguments();
    sizes(sample_shared, SAMPLE_SHARED, 250);
    sizes(sample_cut, SAMPLE_CUT, 250);
    sizes(sample_small, SAMPLE_SMALL, 250);
    bits(sample_shared, SAMPLE_SHARED);
    bits(sample_cut, SAMPLE_CUT);
    return check_report("messages");
}
