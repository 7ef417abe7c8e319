#include "packed.h"

#include "packed_primer.h"

/* ---- the prediction of a bit: by the longest of three contexts that was seen before */

#define ORDERS 3u
#define STATES 16u
#define LONGEST_RUN 7u
/* A context's state: 0 not seen, else run << 2 | changed << 1 | last: its last bit, how often that came in a row,
 * and whether it ever was another. */
enum { LAST = 1, CHANGED = 2, RUN = 4 };

/* Of field << 24 | above << 16 | the two bytes before. */
static const uint32_t context_mask[ORDERS] = {0xff000000u, 0xff0000ffu, 0xffffffffu};

#define LINE 16u                        /* bytes: a check, and the states of a context for half a byte, by its bits so far after a 1 */

typedef struct {
    uint8_t *lines;                     /* by a hash of the context */
    unsigned bits;                      /* of their bytes */
    uint8_t above[GSZ_FIELDS];          /* the last byte of each field */
    uint32_t before;                    /* the two bytes before, the newest lowest */
    uint32_t hash[ORDERS];              /* of the contexts of this byte */
    uint8_t *line[ORDERS];              /* of this half of the byte */
    uint16_t same[ORDERS][STATES];      /* how likely the last bit comes again, in 2^-16, by order and state >> 1 */
    uint16_t *used;                     /* the one that predicts, NULL = none */
    unsigned last;
} predictor;

static void begin_byte(predictor *p, unsigned field) {
    const uint32_t context = field << 24 | (uint32_t)p->above[field] << 16 | p->before;
    for (unsigned o = 0; o < ORDERS; o++) p->hash[o] = ((context & context_mask[o]) ^ (uint32_t)(o + 1) << 30) * 0x9e3779b1u;
}

static void end_byte(predictor *p, unsigned field, unsigned byte) {
    p->above[field] = (uint8_t)byte;
    p->before = (p->before << 8 & 0xff00) | byte;
}

/* The lines of the half of a byte that begins at this node: a 1 and then the bits of the byte so far. */
static void begin_half(predictor *p, uint32_t node) {
    for (unsigned o = 0; o < ORDERS; o++) {
        const uint32_t hash = (p->hash[o] ^ node) * 0x7feb352du;
        uint8_t *line = p->line[o] = p->lines + (hash >> (32 - p->bits) & ~(LINE - 1));
        const uint8_t check = (uint8_t)(hash >> (28 - p->bits) & 255);
        if (*line == check) continue;
        memset(line, 0, LINE);
        *line = check;
    }
}

/* How likely the next bit is 1, in 2^-16; place: a 1 and then the bits of half a byte so far. */
static uint32_t predict(predictor *p, unsigned place) {
    p->used = NULL;
    for (unsigned o = ORDERS; o-- > 0;) {
        const unsigned state = p->line[o][place];
        if (state == 0) continue;
        p->used = &p->same[o][state >> 1];
        p->last = state & LAST;
        return p->last ? *p->used : 65536u - *p->used;
    }
    return 32768u;
}

static unsigned after(unsigned state, unsigned bit) {
    if (state == 0) return RUN | bit;
    if ((state & LAST) != bit) return RUN | CHANGED | bit;
    return state / RUN < LONGEST_RUN ? state + RUN : state;
}

static void learn(predictor *p, unsigned place, unsigned bit) {
    if (p->used != NULL) {
        const unsigned chance = *p->used;
        *p->used = (uint16_t)(p->last == bit ? chance + ((65535 - chance) >> 6) : chance - (chance >> 6));
    }
    for (unsigned o = 0; o < ORDERS; o++) p->line[o][place] = (uint8_t)after(p->line[o][place], bit);
}

/* ---- arithmetic coding: an interval of 32 bits, cut at each bit, its leading bytes written when they are known */

typedef struct { uint32_t low, high; } interval;

GSZ_INLINE uint32_t cut_at(const interval *v, uint32_t chance) {
    return v->low + (uint32_t)(((uint64_t)(v->high - v->low) * chance) >> 16);
}

GSZ_INLINE void take_part(interval *v, uint32_t cut, unsigned bit) {
    if (bit) v->high = cut;
    else v->low = cut + 1;
}

GSZ_INLINE int byte_known(const interval *v) { return (v->low ^ v->high) >> 24 == 0; }

GSZ_INLINE void drop_byte(interval *v) {
    v->low <<= 8;
    v->high = v->high << 8 | 255;
}

/* The end: the least of the interval's values with but its first byte; missing bytes are 0. */
static uint32_t end_of(const interval *v) { return (v->low >> 24 << 24) + (v->low << 8 != 0 ? (uint32_t)1 << 24 : 0); }

/* ---- bytes that are known */

static int pack_bit(interval *v, uint32_t chance, unsigned bit, gsz_writer *out) {
    take_part(v, cut_at(v, chance), bit);
    for (; byte_known(v); drop_byte(v)) GSZ_TRY(gsz_put_u8(out, v->low >> 24));
    return GSZ_OK;
}

/* v: NULL for a byte that both ends know, from which the predictor learns; nothing fails then. */
static int pack_byte(predictor *p, interval *v, unsigned field, unsigned byte, gsz_writer *out) {
    begin_byte(p, field);
    for (unsigned half = 8; half > 0; half -= 4) {
        begin_half(p, (0x100u | byte) >> half);
        for (unsigned i = 4; i-- > 0;) {
            const unsigned whole = (byte >> (half - 4) & 15) | 16, place = whole >> (i + 1), bit = whole >> i & 1;
            const uint32_t chance = predict(p, place);
            if (v != NULL) GSZ_TRY(pack_bit(v, chance, bit, out));
            learn(p, place, bit);
        }
    }
    end_byte(p, field, byte);
    return GSZ_OK;
}

/* ---- what both ends have learned before the first byte */

static int predictor_init(gsz_heap *heap, predictor *p, size_t n) {
    memset(p, 0, sizeof *p);
    p->bits = 10;
    while (p->bits < 22 && (size_t)1 << p->bits < 64 * (n + sizeof gsz_primer)) p->bits++;
    p->lines = (uint8_t *)gsz_alloc(heap, (size_t)1 << p->bits);
    GSZ_CHECK(p->lines != NULL, GSZ_E_MEMORY);
    memset(p->lines, 0, (size_t)1 << p->bits);
    for (unsigned o = 0; o < ORDERS; o++)
        for (unsigned run = 1; run <= LONGEST_RUN; run++) {
            p->same[o][2 * run] = (uint16_t)(65536u - 8192u / run);
            p->same[o][2 * run + 1] = (uint16_t)(65536u - 32768u / run);
        }
    for (size_t i = 0; i < sizeof gsz_primer; i++) (void)pack_byte(p, NULL, (unsigned)(gsz_primer_fields[i] - 'a'), gsz_primer[i], NULL);
    return GSZ_OK;
}

static void predictor_release(gsz_heap *heap, predictor *p) { gsz_release(heap, p->lines, (size_t)1 << p->bits); }

/* ---- packing */

int gsz_pack(gsz_heap *heap, const uint8_t *plain, const uint8_t *fields, size_t n, gsz_writer *out) {
    const size_t start = out->size;
    interval v = {0, UINT32_MAX};
    predictor p;
    GSZ_TRY(predictor_init(heap, &p, n));
    int status = GSZ_OK;
    for (size_t i = 0; status == GSZ_OK && i < n; i++) status = pack_byte(&p, &v, fields[i], plain[i], out);
    predictor_release(heap, &p);
    GSZ_TRY(status);
    GSZ_TRY(gsz_put_u8(out, end_of(&v) >> 24));
    while (out->size > start && out->data[out->size - 1] == 0) out->size--;
    return GSZ_OK;
}

/* ---- unpacking */

struct gsz_unpacker {
    predictor model;
    interval v;
    uint32_t value;
    gsz_reader in;
    uint8_t *plain, *end;
    unsigned last;                      /* packed byte */
};

/* Zeros beyond the end. */
static void next_byte(gsz_unpacker *u) {
    unsigned byte = 0;
    if (gsz_get_u8(&u->in, &byte)) u->last = byte;
    u->value = u->value << 8 | byte;
}

int gsz_unpack_begin(gsz_heap *heap, gsz_reader packed, uint8_t *plain, size_t n, gsz_unpacker **unpacker) {
    gsz_unpacker *u = *unpacker = (gsz_unpacker *)gsz_alloc(heap, sizeof *u);
    GSZ_CHECK(u != NULL, GSZ_E_MEMORY);
    memset(u, 0, sizeof *u);
    u->in = packed;
    u->last = 1;                        /* of none, which is good */
    u->plain = plain;
    u->end = plain + n;
    u->v.high = UINT32_MAX;
    for (unsigned i = 0; i < 4; i++) next_byte(u);
    int status = predictor_init(heap, &u->model, n);
    if (status == GSZ_OK) return GSZ_OK;
    gsz_release(heap, u, sizeof *u);
    *unpacker = NULL;
    return status;
}

static unsigned unpack_byte(gsz_unpacker *u, unsigned field) {
    unsigned node = 1;
    begin_byte(&u->model, field);
    for (unsigned half = 0; half < 2; half++) {
        unsigned place = 1;
        begin_half(&u->model, node);
        while (place < 16) {
            const uint32_t cut = cut_at(&u->v, predict(&u->model, place));
            const unsigned bit = u->value <= cut;
            take_part(&u->v, cut, bit);
            learn(&u->model, place, bit);
            place = place << 1 | bit;
            for (; byte_known(&u->v); drop_byte(&u->v)) next_byte(u);
        }
        node = node << 4 | (place & 15);
    }
    end_byte(&u->model, field, node & 255);
    return node & 255;
}

void gsz_unpack(gsz_unpacker *u, unsigned field, uint64_t n) {
    for (; n > 0 && u->plain < u->end; n--) *u->plain++ = (uint8_t)unpack_byte(u, field);
}

void gsz_unpack_varint(gsz_unpacker *u, unsigned field) {
    while (u->plain < u->end && (*u->plain++ = (uint8_t)unpack_byte(u, field)) >= 128) {}
}

int gsz_unpack_end(gsz_heap *heap, gsz_unpacker *u) {
    const int good = u->plain == u->end && gsz_left(&u->in) == 0 && u->last != 0 && u->value == end_of(&u->v);
    predictor_release(heap, &u->model);
    gsz_release(heap, u, sizeof *u);
    return good ? GSZ_OK : GSZ_E_HEADER;
}

/* ---- entries as they are written */

#define PACK_FROM 24u           /* bytes: below, there is hardly anything to gain */

void gsz_entry_writer_init(gsz_entry_writer *w, gsz_heap *heap) {
    gsz_writer_init(&w->bytes, heap);
    gsz_writer_init(&w->fields, heap);
}

void gsz_entry_writer_release(gsz_entry_writer *w) {
    gsz_writer_release(&w->bytes);
    gsz_writer_release(&w->fields);
}

int gsz_put_field(gsz_entry_writer *w, unsigned field, int status) {
    GSZ_TRY(status);
    const size_t n = w->bytes.size - w->fields.size;
    GSZ_TRY(gsz_writer_reserve(&w->fields, n));
    memset(w->fields.data + w->fields.size, (int)field, n);
    w->fields.size += n;
    return GSZ_OK;
}

int gsz_put_entries(const gsz_entry_writer *w, gsz_writer *out, int *packed) {
    const size_t start = out->size, plain = w->bytes.size;
    gsz_writer data;
    *packed = 0;
    if (plain >= PACK_FROM && plain <= GSZ_PACKED_MOST) {
        gsz_writer_init(&data, out->heap);
        int status = gsz_pack(out->heap, w->bytes.data, w->fields.data, plain, &data);
        if (status == GSZ_OK) status = gsz_put_varint(out, plain);
        if (status == GSZ_OK) status = gsz_put_varint(out, data.size);
        if (status == GSZ_OK) status = gsz_put_bytes(out, data.data, data.size);
        *packed = out->size - start < plain && plain <= GSZ_PACKED_RATIO * data.size;
        gsz_writer_release(&data);
        GSZ_TRY(status);
        if (*packed) return GSZ_OK;
        out->size = start;
    }
    return gsz_put_bytes(out, w->bytes.data, plain);
}
