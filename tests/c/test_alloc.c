/* Guarantee 12: the allocator hook is the only source of memory, the budget holds, and every refusal is a
 * clean GSZ_E_MEMORY that gives everything back. */
#include "samples.h"

typedef struct { size_t live, calls, fail_at; } counter;

static void *count_allocate(void *opaque, size_t size) {
    counter *c = (counter *)opaque;
    if (++c->calls == c->fail_at) return NULL;
    void *p = malloc(size);
    c->live += p != NULL;
    return p;
}

static void count_release(void *opaque, void *p) {
    ((counter *)opaque)->live--;
    free(p);
}

typedef struct { const sample *s; void *data; uint8_t *message; size_t size; gsz_options options; gsz_allocator hook; counter c; } setup;

static void begin(setup *t, const sample *s) {
    memset(t, 0, sizeof *t);
    t->s = s;
    t->data = sample_make(s, 4);
    gsz_options_init(&t->options);
    t->message = sample_message(s, t->data, &t->options, &t->size);
    t->hook.allocate = count_allocate;
    t->hook.release = count_release;
    t->hook.opaque = &t->c;
    t->options.allocator = &t->hook;
}

static void finish(setup *t) {
    free(t->message);
    free(t->data);
}

static int encode(setup *t) {
    gsz_input in = sample_input(t->s, t->data);
    uint8_t *message;
    size_t size;
    t->c.calls = 0;
    int status = gsz_encode(&in, 1, 0, &t->options, &message, &size);
    if (status == GSZ_OK) {
        CHECK(size == t->size && memcmp(message, t->message, size) == 0);
        CHECK_EQ(t->c.live, 1);
        gsz_free(&t->options, message);
    }
    CHECK_EQ(t->c.live, 0);
    return status;
}

static int decode(setup *t) {
    void *out;
    size_t nbytes;
    t->c.calls = 0;
    int status = sample_decode(t->message, t->size, &t->options, &out, &nbytes);
    CHECK_EQ(t->c.live, 0);
    free(out);
    return status;
}

static void each_allocation_fails(setup *t, int (*call)(setup *)) {
    t->c.fail_at = 0;
    CHECK_EQ(call(t), GSZ_OK);
    size_t calls = t->c.calls;
    CHECK(calls > 0);
    for (size_t n = 1; n <= calls; n++) {
        t->c.fail_at = n;
        CHECK_EQ(call(t), GSZ_E_MEMORY);
    }
    t->c.fail_at = 0;
}

/* From one byte up to what is needed; from there on every budget does. */
static void each_budget(setup *t, int (*call)(setup *), uint64_t step) {
    uint64_t budget = 1;
    for (; budget < (uint64_t)1 << 24; budget += step) {
        t->options.max_memory = budget;
        int status = call(t);
        if (status == GSZ_OK) break;
        CHECK_EQ(status, GSZ_E_MEMORY);
    }
    CHECK(budget < (uint64_t)1 << 24);
    for (uint64_t more = 0; more < 64; more++) {
        t->options.max_memory = budget + more * more;
        CHECK_EQ(call(t), GSZ_OK);
    }
    t->options.max_memory = 0;
}

/* Several tensors in a message: names are kept, sorted and compared, segments shared, factors of low rank made,
 * small tensors gathered, entries packed. */
static void named_tensors(const sample *samples, size_t count) {
    setup t;
    gsz_input in[SAMPLE_MOST];
    void *data[SAMPLE_MOST], *out;
    uint8_t *message;
    size_t size, nbytes, calls;
    begin(&t, &sample_set[0]);
    for (size_t i = 0; i < count; i++) {
        data[i] = sample_make(&samples[i], i);
        in[i] = sample_input(&samples[i], data[i]);
        in[i].name = &"abcdefghijklmnopqrst"[i];
        in[i].name_length = 4;
    }
    t.options.bound_over = GSZ_OVER_MESSAGE;
    gsz_options threads = t.options;
    threads.nthreads = 2;
    threads.allocator = NULL;           /* the counter is for one thread */
    CHECK_EQ(gsz_encode(in, count, 1, &threads, &message, &size), GSZ_OK);
    uint8_t *kept = check_copy(message, size);
    gsz_free(&threads, message);
    t.c.calls = 0;
    CHECK_EQ(gsz_encode(in, count, 1, &t.options, &message, &size), GSZ_OK);
    gsz_free(&t.options, message);
    calls = t.c.calls;
    for (size_t n = 1; n <= calls; n++) {
        t.c.calls = 0;
        t.c.fail_at = n;
        CHECK_EQ(gsz_encode(in, count, 1, &t.options, &message, &size), GSZ_E_MEMORY);
        CHECK_EQ(t.c.live, 0);
    }
    for (size_t n = 1;; n++) {
        t.c.calls = 0;
        t.c.fail_at = n;
        int status = sample_decode(kept, size, &t.options, &out, &nbytes);
        CHECK_EQ(t.c.live, 0);
        free(out);
        if (status == GSZ_OK) break;
        CHECK_EQ(status, GSZ_E_MEMORY);
    }
    gsz_message *m;
    gsz_bits bits;
    t.c.fail_at = 0;
    CHECK_EQ(gsz_open(kept, size, &t.options, &m), GSZ_OK);
    const size_t held = t.c.live;
    for (size_t n = 1;; n++) {
        t.c.calls = 0;
        t.c.fail_at = n;
        int status = gsz_message_bits(m, 0, &bits);
        CHECK_EQ(t.c.live, held);
        if (status == GSZ_OK) break;
        CHECK_EQ(status, GSZ_E_MEMORY);
    }
    gsz_close(m);
    for (size_t i = 0; i < count; i++) free(data[i]);
    free(kept);
    finish(&t);
}

int main(void) {
    static const sample tiny = {GSZ_FLOAT32, 1, {20}, SPECIALS, 1e-3, GSZ_ABS, GSZ_PREDICT_LORENZO1};
    setup t;
    begin(&t, &tiny);
    each_budget(&t, encode, 1);
    each_budget(&t, decode, 1);
    finish(&t);
    for (size_t i = 0; i < SAMPLE_SET; i++) {
        begin(&t, &sample_set[i]);
        each_allocation_fails(&t, encode);
        each_allocation_fails(&t, decode);
        each_budget(&t, encode, 3001);
        each_budget(&t, decode, 3001);
        t.options.nthreads = 3;
        CHECK_EQ(encode(&t), GSZ_OK);
        CHECK_EQ(decode(&t), GSZ_OK);
        finish(&t);
    }
    named_tensors(sample_shared, SAMPLE_SHARED);
    named_tensors(sample_small, SAMPLE_SMALL);
    return check_report("alloc");
}
