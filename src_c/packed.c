#include "packed.h"

/* ---- the prediction of a bit: by the longest context of 1 to 3 bytes that was seen before */

#define ORDERS 3u
#define STATES 16u
#define LONGEST_RUN 7u
/* A context's state: 0 not seen, else run << 2 | changed << 1 | last: its last bit, how often that came in a row,
 * and whether it ever was another. */
enum { LAST = 1, CHANGED = 2, RUN = 4 };

typedef struct {
    uint8_t *seen;                      /* states, by a hash of the context */
    unsigned bits;                      /* of the hash */
    uint32_t before;                    /* the bytes before, the newest lowest */
    uint8_t *at[ORDERS];                /* states of the current contexts */
    uint16_t same[ORDERS][STATES];      /* how likely the last bit comes again, in 2^-16, by order and state >> 1 */
    uint16_t *used;                     /* the one that predicts, NULL = none */
    unsigned last;
} predictor;

static int predictor_init(gsz_heap *heap, predictor *p, size_t n) {
    memset(p, 0, sizeof *p);
    p->bits = 10;
    while (p->bits < 22 && (size_t)1 << p->bits < 64 * n) p->bits++;
    p->seen = (uint8_t *)gsz_alloc(heap, (size_t)1 << p->bits);
    GSZ_CHECK(p->seen != NULL, GSZ_E_MEMORY);
    memset(p->seen, 0, (size_t)1 << p->bits);
    for (unsigned o = 0; o < ORDERS; o++)
        for (unsigned s = 0; s < STATES; s++) p->same[o][s] = s & 1 ? 45875 : 58982;
    return GSZ_OK;
}

static void predictor_release(gsz_heap *heap, predictor *p) { gsz_release(heap, p->seen, (size_t)1 << p->bits); }

/* How likely the next bit is 1, in 2^-16; node: a 1 and then the bits of the byte so far. */
static uint32_t predict(predictor *p, uint32_t node) {
    p->used = NULL;
    for (unsigned order = ORDERS; order >= 1; order--) {
        const uint32_t context = p->before & (((uint32_t)1 << (8 * order)) - 1);
        const uint32_t hash = ((context << 8 | node) ^ (uint32_t)order << 30) * 0x9e3779b1u;
        uint8_t *state = p->at[order - 1] = p->seen + (hash >> (32 - p->bits));
        if (p->used != NULL || *state == 0) continue;
        p->used = &p->same[order - 1][*state >> 1];
        p->last = *state & LAST;
    }
    return p->used == NULL ? 32768u : p->last ? *p->used : 65536u - *p->used;
}

static void learn(predictor *p, unsigned bit) {
    if (p->used != NULL) {
        const unsigned chance = *p->used;
        *p->used = (uint16_t)(p->last == bit ? chance + ((65535 - chance) >> 4) : chance - (chance >> 4));
    }
    for (unsigned order = ORDERS; order >= 1; order--) {
        const unsigned state = *p->at[order - 1];
        unsigned next = state;
        if (state == 0) next = RUN | bit;
        else if ((state & LAST) != bit) next = RUN | CHANGED | bit;
        else if (state / RUN < LONGEST_RUN) next = state + RUN;
        *p->at[order - 1] = (uint8_t)next;
    }
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

static int pack_byte(predictor *p, interval *v, unsigned byte, gsz_writer *out) {
    unsigned node = 1;
    for (unsigned i = 8; i-- > 0;) {
        const unsigned bit = byte >> i & 1;
        take_part(v, cut_at(v, predict(p, node)), bit);
        learn(p, bit);
        node = node << 1 | bit;
        for (; byte_known(v); drop_byte(v)) GSZ_TRY(gsz_put_u8(out, v->low >> 24));
    }
    p->before = p->before << 8 | byte;
    return GSZ_OK;
}

int gsz_pack(gsz_heap *heap, const uint8_t *plain, size_t n, gsz_writer *out) {
    interval v = {0, UINT32_MAX};
    predictor p;
    GSZ_TRY(predictor_init(heap, &p, n));
    int status = GSZ_OK;
    for (size_t i = 0; status == GSZ_OK && i < n; i++) status = pack_byte(&p, &v, plain[i], out);
    for (unsigned shift = 32; status == GSZ_OK && shift > 0; shift -= 8) status = gsz_put_u8(out, v.low >> (shift - 8) & 255);
    predictor_release(heap, &p);
    return status;
}

static int unpack_byte(predictor *p, interval *v, uint32_t *value, gsz_reader *in, uint8_t *byte) {
    unsigned node = 1, next;
    while (node < 256) {
        const uint32_t cut = cut_at(v, predict(p, node));
        const unsigned bit = *value <= cut;
        take_part(v, cut, bit);
        learn(p, bit);
        node = node << 1 | bit;
        for (; byte_known(v); drop_byte(v)) {
            GSZ_CHECK(gsz_get_u8(in, &next), GSZ_E_HEADER);
            *value = *value << 8 | next;
        }
    }
    *byte = (uint8_t)node;
    p->before = p->before << 8 | (node & 255);
    return GSZ_OK;
}

int gsz_unpack(gsz_heap *heap, gsz_reader packed, uint8_t *plain, size_t n) {
    interval v = {0, UINT32_MAX};
    uint32_t value = 0;
    unsigned next;
    predictor p;
    for (unsigned i = 0; i < 4; i++) {
        GSZ_CHECK(gsz_get_u8(&packed, &next), GSZ_E_HEADER);
        value = value << 8 | next;
    }
    GSZ_TRY(predictor_init(heap, &p, n));
    int status = GSZ_OK;
    for (size_t i = 0; status == GSZ_OK && i < n; i++) status = unpack_byte(&p, &v, &value, &packed, &plain[i]);
    predictor_release(heap, &p);
    GSZ_TRY(status);
    GSZ_CHECK(value == v.low && gsz_left(&packed) == 0, GSZ_E_HEADER);      /* as the encoder ends */
    return GSZ_OK;
}

/* ---- in a table */

#define PACK_FROM 64u           /* bytes: below, there is hardly anything to gain */

static int put_packed(const gsz_writer *entries, const gsz_writer *data, gsz_writer *out) {
    GSZ_TRY(gsz_put_varint(out, entries->size));
    GSZ_TRY(gsz_put_varint(out, data->size));
    return gsz_put_bytes(out, data->data, data->size);
}

int gsz_pack_entries(gsz_writer *entries, int *packed) {
    gsz_writer data, out;
    *packed = 0;
    if (entries->size < PACK_FROM || entries->size > GSZ_PACKED_MOST) return GSZ_OK;
    gsz_writer_init(&data, entries->heap);
    gsz_writer_init(&out, entries->heap);
    int status = gsz_pack(entries->heap, entries->data, entries->size, &data);
    if (status == GSZ_OK) status = put_packed(entries, &data, &out);
    *packed = status == GSZ_OK && out.size < entries->size && entries->size <= GSZ_PACKED_RATIO * data.size;
    gsz_writer_release(&data);
    if (*packed) {
        gsz_writer_release(entries);
        *entries = out;
    } else {
        gsz_writer_release(&out);
    }
    return status;
}
