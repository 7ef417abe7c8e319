#include "symbols.h"

/* ---- tokens: how a value or a run is named.  extra = number of raw bits that follow the token */

typedef struct { unsigned token, extra; uint32_t bits; } token;

GSZ_INLINE token token_of_value(int32_t v, unsigned direct) {
    token t = {GSZ_TOKEN_ESCAPE, 0, 0};
    if (v == GSZ_ESCAPE) return t;
    uint32_t positive = v > 0, m = positive ? (uint32_t)v : 0u - (uint32_t)v;
    if (m < (uint32_t)1 << direct) {
        t.token = GSZ_TOKEN_VALUE + 2 * (m - 1) + positive;
        return t;
    }
    unsigned e = (unsigned)gsz_floor_log2(m);
    uint32_t slot = ((1u << direct) - 1) + (e - direct) * GSZ_VALUE_OCTAVE + (m >> (e - 3) & 7);
    t.token = GSZ_TOKEN_VALUE + 2 * slot + positive;
    t.extra = e - 3;
    /* counted from the smallest value of the token, so upwards for both signs */
    uint32_t mask = ((uint32_t)1 << t.extra) - 1;
    t.bits = positive ? m & mask : mask - (m & mask);
    return t;
}

GSZ_INLINE token token_of_run(uint32_t length) { /* 1 .. GSZ_RUN_LONGEST */
    token t = {GSZ_TOKEN_RUN + length - 1, 0, 0};
    if (length <= GSZ_RUN_DIRECT) return t;
    unsigned e = (unsigned)gsz_floor_log2(length);
    t.token = GSZ_TOKEN_RUN + GSZ_RUN_DIRECT + (e - 4) * 2 + (length >> (e - 1) & 1);
    t.extra = e - 1;
    t.bits = length & (((uint32_t)1 << t.extra) - 1);
    return t;
}

/* Smallest value of a value token, and its number of extra bits: the inverse of token_of_value. */
static int32_t value_of_token(unsigned t, unsigned direct, unsigned *extra) {
    uint32_t slot = (t - GSZ_TOKEN_VALUE) / 2, positive = (t - GSZ_TOKEN_VALUE) & 1, m = slot + 1;
    *extra = 0;
    if (m >= (uint32_t)1 << direct) {
        uint32_t k = slot - ((1u << direct) - 1);
        unsigned e = direct + k / GSZ_VALUE_OCTAVE;
        *extra = e - 3;
        m = (uint32_t)(8 + k % GSZ_VALUE_OCTAVE) << (e - 3);
        if (!positive) m += ((uint32_t)1 << *extra) - 1;
    }
    return positive ? (int32_t)m : -(int32_t)m;
}

static uint32_t run_of_token(unsigned t, unsigned *extra) {
    uint32_t slot = t - GSZ_TOKEN_RUN;
    *extra = 0;
    if (slot < GSZ_RUN_DIRECT) return slot + 1;
    unsigned e = 4 + (slot - GSZ_RUN_DIRECT) / 2;
    *extra = e - 1;
    return (uint32_t)(2 + (slot - GSZ_RUN_DIRECT) % 2) << (e - 1);
}

/* Part of stream j of `streams`: [start, start of j + 1). */
GSZ_INLINE size_t stream_start(size_t n, unsigned streams, unsigned j) { return n * j / streams; }

/* ---- header byte (format.md 4.1): bit 0 four streams, bit 1 table B, bits 2..4 direct - 4, bit 7 all zero */
#define HEADER_FOUR 1u
#define HEADER_TABLE_B 2u
#define HEADER_ALL_ZERO 0x80u

/* ---- encoding */

#define BLOCK 1024u         /* symbols named at a time: their positions and values stay in the first cache */

typedef struct {
    const int32_t *symbols;
    size_t n, nonzero;
    unsigned direct, codes;
    int wide;
    uint32_t *tokens, *extra, *gaps;    /* next free places */
    uint32_t counts[2][2 * GSZ_MAX_ALPHABET];   /* by token of A, then of B; even and odd tokens apart */
    uint32_t runs[4][GSZ_LONG_RUN + 1];         /* before tokens; four apart, most are 0 */
    gsz_code code[2];
    uint32_t positions[BLOCK + 8];
    int32_t values[BLOCK + 8];
    gsz_symbol_encoder streams;
} encoder;

/* How many tokens a table may hold before it costs more than it gains, by the number of values. */
static unsigned affordable_direct(size_t nonzero) {
    unsigned direct = GSZ_DIRECT_MIN;
    while (direct < GSZ_DIRECT_MAX && nonzero >> (direct + 6) != 0) direct++;
    return direct;
}

static void choose_shape(encoder *e, uint32_t largest) {
    unsigned most = affordable_direct(e->nonzero), need = GSZ_DIRECT_MIN;
    while (need < 31 && largest + 1 >= (uint32_t)1 << need) need++;    /* magnitudes up to largest + 1 */
    e->wide = need > most;
    e->direct = e->wide ? GSZ_MIN(most, 6u) : need;
    e->streams.streams = e->nonzero >= 2048 ? GSZ_STREAMS : 1;
}

/* Longest code: long enough for the alphabet, and tables no larger than the data deserves. */
static unsigned code_limit(const encoder *e) {
    unsigned limit = e->nonzero >= 131072 ? 12 : e->nonzero >= 65536 ? 11 : e->nonzero >= 4096 ? 10 : 9, used = 0;
    const uint32_t *a = e->counts[0], *b = a + GSZ_MAX_ALPHABET;
    for (unsigned t = 0; t < GSZ_TOKENS(e->direct); t++) used += (a[t] | b[t]) != 0;
    while (limit < GSZ_CODE_BITS && used > (unsigned)1 << (limit - 2)) limit++;
    return limit;
}

/* The tokens of a long run: the first by A, further ones by B. */
static void count_run(encoder *e, uint32_t length) {
    uint32_t *counts = e->counts[0];
    while (length > 0) {
        uint32_t part = GSZ_MIN(length, GSZ_RUN_LONGEST);
        counts[token_of_run(part).token]++;
        length -= part;
        counts = e->counts[0] + GSZ_MAX_ALPHABET;
    }
}

/* Equal neighbours are common, and a counter takes a while before it can be counted up again: hence the copies. */
static void count_block(encoder *e, size_t count) {
    const uint32_t *t = e->tokens;
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        e->counts[0][t[i] & 0xffff]++;
        e->counts[1][t[i + 1] & 0xffff]++;
        e->runs[0][t[i] >> GSZ_TOKEN_GAP]++;
        e->runs[1][t[i + 1] >> GSZ_TOKEN_GAP]++;
        e->counts[0][t[i + 2] & 0xffff]++;
        e->counts[1][t[i + 3] & 0xffff]++;
        e->runs[2][t[i + 2] >> GSZ_TOKEN_GAP]++;
        e->runs[3][t[i + 3] >> GSZ_TOKEN_GAP]++;
    }
    for (; i < count; i++) e->counts[0][t[i] & 0xffff]++, e->runs[0][t[i] >> GSZ_TOKEN_GAP]++;
}

/* Lengths of the `left` long runs of a block. */
static void collect_long_runs(encoder *e, size_t left, uint32_t begin) {
    for (size_t i = 0; left > 0; i++) {
        if (e->tokens[i] < GSZ_LONG_RUN << GSZ_TOKEN_GAP) continue;
        *e->gaps = e->positions[i] - (i > 0 ? e->positions[i - 1] + 1 : begin);
        count_run(e, *e->gaps++);
        left--;
    }
}

/* Names the tokens of symbols [from, to), whose last zeros go to *next. */
static void name_block(gsz_work *work, encoder *e, uint32_t from, uint32_t to, uint32_t *next) {
    size_t count = work->kernels->compact(e->symbols + from, to - from, e->positions, e->values);
    uint32_t begin = *next - from;      /* modulo 2^32: the run may have begun before the block */
    size_t long_runs = work->kernels->name_tokens(e->positions, e->values, count, begin, e->tokens);
    for (size_t i = 0; e->wide && i < count; i++) {
        token v = token_of_value(e->values[i], e->direct);
        uint32_t table = (e->tokens[i] >> GSZ_TOKEN_GAP) ? GSZ_MAX_ALPHABET : 0;
        e->tokens[i] = (e->tokens[i] >> GSZ_TOKEN_GAP << GSZ_TOKEN_GAP) | (v.token + table);
        *e->extra++ = v.bits | v.extra << 27;
    }
    count_block(e, count);
    collect_long_runs(e, long_runs, begin);
    e->tokens += count;
    if (count > 0) *next = from + e->positions[count - 1] + 1;
}

static void name_stream(gsz_work *work, encoder *e, uint32_t from, uint32_t to, gsz_source *s) {
    uint32_t next = from;
    s->tokens = e->tokens;
    s->extra = e->extra;
    s->gaps = e->gaps;
    for (uint32_t at = from; at < to; at += BLOCK) name_block(work, e, at, GSZ_MIN(at + BLOCK, to), &next);
    s->tokens_end = e->tokens;
    s->zeros = to - next;
    count_run(e, s->zeros);
}

static void name_all(gsz_work *work, encoder *e) {
    unsigned n = GSZ_TOKENS(e->direct);
    for (unsigned i = 0; i < 4; i++) memset(e->counts[i / 2] + i % 2 * GSZ_MAX_ALPHABET, 0, n * sizeof(uint32_t));
    memset(e->runs, 0, sizeof e->runs);
    for (unsigned j = 0; j < e->streams.streams; j++)
        name_stream(work, e, (uint32_t)stream_start(e->n, e->streams.streams, j),
                    (uint32_t)stream_start(e->n, e->streams.streams, j + 1), &e->streams.source[j]);
    for (unsigned t = 0; t < n; t++) {
        e->counts[0][t] += e->counts[1][t];
        e->counts[0][GSZ_MAX_ALPHABET + t] += e->counts[1][GSZ_MAX_ALPHABET + t];
    }
    for (uint32_t gap = 1; gap < GSZ_LONG_RUN; gap++)
        e->counts[0][token_of_run(gap).token] += e->runs[0][gap] + e->runs[1][gap] + e->runs[2][gap] + e->runs[3][gap];
}

/* One code or two: B must have enough tokens to pay for its table. */
static void build_codes(encoder *e) {
    unsigned n = GSZ_TOKENS(e->direct);
    uint32_t *a = e->counts[0], *b = a + GSZ_MAX_ALPHABET, second = 0;
    for (unsigned t = 0; t < n; t++) second += b[t];
    e->codes = second >= 64 ? 2 : 1;
    for (unsigned t = 0; e->codes == 1 && t < n; t++) a[t] += b[t], b[t] = 0;
    unsigned limit = code_limit(e);
    gsz_code_build(&e->code[0], a, n, limit);
    if (e->codes == 2) gsz_code_build(&e->code[1], b, n, limit);
    else e->code[1] = e->code[0];
}

static unsigned extra_of_token(unsigned t, unsigned direct) {
    unsigned extra = 0;
    if (t >= GSZ_TOKEN_VALUE) (void)value_of_token(t, direct, &extra);
    else if (t >= GSZ_TOKEN_RUN) (void)run_of_token(t, &extra);
    return extra;
}

/* Bits of all streams (one too many a token where a lone token costs none). */
static uint64_t stream_bits(const encoder *e) {
    uint64_t bits = 0;
    for (unsigned c = 0; c < 2; c++)
        for (unsigned t = 0; t < GSZ_TOKENS(e->direct); t++) {
            uint64_t count = e->counts[0][c * GSZ_MAX_ALPHABET + t];
            if (count) bits += count * (e->code[c].length[t] + extra_of_token(t, e->direct));
        }
    return bits;
}

/* A table: longest code, how many run and value tokens are listed, then their lengths (format.md 4.3). */
static void write_table(gsz_bitwriter *b, const gsz_code *code, unsigned direct) {
    unsigned runs = GSZ_RUN_TOKENS, values = GSZ_VALUE_TOKENS(direct);
    while (runs > 0 && code->length[GSZ_TOKEN_RUN + runs - 1] == 0) runs--;
    while (values > 0 && code->length[GSZ_TOKEN_VALUE + values - 1] == 0) values--;
    gsz_bits_put(b, code->longest, 4);
    gsz_bits_put(b, runs, 6);
    gsz_bits_put(b, values, 12);
    gsz_bits_put(b, code->length[GSZ_TOKEN_ESCAPE], 4);
    gsz_lengths_write(b, code, GSZ_TOKEN_RUN, GSZ_TOKEN_RUN + runs);
    gsz_lengths_write(b, code, GSZ_TOKEN_VALUE, GSZ_TOKEN_VALUE + values);
}
#define TABLE_BYTES ((26 + 7 * GSZ_MAX_ALPHABET) / 8 + 16)

/* Codes as the hot loop wants them. */
static void prepare_codes(encoder *e) {
    gsz_symbol_encoder *s = &e->streams;
    unsigned n = GSZ_TOKENS(e->direct);
    for (unsigned c = 0; c < 2; c++) {
        const gsz_code *code = &e->code[c];
        int lone = gsz_code_is_lone(code, n);
        for (unsigned t = 0; t < n; t++) {
            gsz_ready r = GSZ_READY(code->code[t], lone ? 0 : code->length[t]);
            s->value[c * GSZ_MAX_ALPHABET + t] = r;
            if (t >= GSZ_TOKEN_RUN && t < GSZ_TOKEN_VALUE) s->long_run[c][t - GSZ_TOKEN_RUN] = r;
        }
    }
    s->run[0] = 0;
    for (uint32_t gap = 1; gap < GSZ_LONG_RUN; gap++) {
        token t = token_of_run(gap);
        gsz_ready r = s->long_run[0][t.token - GSZ_TOKEN_RUN];
        s->run[gap] = GSZ_READY(GSZ_READY_BITS(r) | t.bits << GSZ_READY_LENGTH(r), GSZ_READY_LENGTH(r) + t.extra);
    }
}

void gsz_put_run(gsz_bitwriter *b, const gsz_symbol_encoder *e, uint32_t length) {
    for (unsigned table = 0; length > 0; table = 1) {
        uint32_t part = GSZ_MIN(length, GSZ_RUN_LONGEST);
        token t = token_of_run(part);
        gsz_ready r = e->long_run[table][t.token - GSZ_TOKEN_RUN];
        gsz_bits_put(b, GSZ_READY_BITS(r) | (uint64_t)t.bits << GSZ_READY_LENGTH(r), GSZ_READY_LENGTH(r) + t.extra);
        length -= part;
    }
}

static int write_streams(gsz_work *work, encoder *e, gsz_writer *out) {
    gsz_symbol_encoder *s = &e->streams;
    size_t room = (size_t)(stream_bits(e) / 8) + 16, size = 0;      /* of each stream: all could be in one */
    const uint8_t *end[GSZ_STREAMS];
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->bytes, room * s->streams));
    for (unsigned j = 0; j < s->streams; j++) {
        gsz_bitwriter b = {(uint8_t *)work->bytes.data + j * room, 0, 0};
        s->source[j].out = b;
    }
    prepare_codes(e);
    if (e->wide) work->kernels->encode_wide(s);
    else work->kernels->encode_narrow(s);
    for (unsigned j = 0; j < s->streams; j++) {
        end[j] = gsz_bits_flush(&s->source[j].out);
        size = (size_t)(end[j] - ((uint8_t *)work->bytes.data + j * room));
        if (j + 1 < s->streams) GSZ_TRY(gsz_put_varint(out, size));
    }
    for (unsigned j = 0; j < s->streams; j++) {
        const uint8_t *start = (const uint8_t *)work->bytes.data + j * room;
        GSZ_TRY(gsz_put_bytes(out, start, (size_t)(end[j] - start)));
    }
    return GSZ_OK;
}

int gsz_symbols_encode(gsz_work *work, const int32_t *symbols, size_t n, gsz_writer *out) {
    uint32_t largest;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->codes, sizeof(encoder)));
    encoder *e = (encoder *)work->codes.data;
    e->symbols = symbols;
    e->n = n;
    e->nonzero = work->kernels->survey(symbols, n, &largest);
    if (e->nonzero == 0) return gsz_put_u8(out, HEADER_ALL_ZERO);
    choose_shape(e, largest);
    /* tokens, then extra bits, then long runs: these are fewer than n / GSZ_LONG_RUN + 1 */
    size_t words = e->nonzero * (e->wide ? 2 : 1) + n / GSZ_LONG_RUN + 1;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->tokens, words * sizeof(uint32_t)));
    e->tokens = (uint32_t *)work->tokens.data;
    e->extra = e->tokens + e->nonzero;
    e->gaps = e->extra + (e->wide ? e->nonzero : 0);
    name_all(work, e);
    build_codes(e);
    GSZ_TRY(gsz_put_u8(out, (e->streams.streams == GSZ_STREAMS ? HEADER_FOUR : 0) | (e->codes == 2 ? HEADER_TABLE_B : 0)
                            | (e->direct - GSZ_DIRECT_MIN) << 2));
    GSZ_TRY(gsz_writer_reserve(out, 2 * TABLE_BYTES));
    gsz_bitwriter b = {out->data + out->size, 0, 0};
    for (unsigned c = 0; c < e->codes; c++) write_table(&b, &e->code[c], e->direct);
    out->size = (size_t)(gsz_bits_flush(&b) - out->data);
    return write_streams(work, e, out);
}

/* ---- decoding */

static int read_table(gsz_bitreader *b, gsz_code *code, unsigned direct) {
    memset(code->length, 0, sizeof code->length);
    code->longest = gsz_bits_get(b, 4);
    unsigned longest = code->longest, runs = gsz_bits_get(b, 6), values = gsz_bits_get(b, 12);
    GSZ_CHECK(longest >= 1 && longest <= GSZ_CODE_BITS, GSZ_E_TABLE);
    GSZ_CHECK(runs <= GSZ_RUN_TOKENS && values <= GSZ_VALUE_TOKENS(direct), GSZ_E_TABLE);
    code->length[GSZ_TOKEN_ESCAPE] = (uint8_t)gsz_bits_get(b, 4);
    GSZ_CHECK(code->length[GSZ_TOKEN_ESCAPE] <= longest, GSZ_E_TABLE);
    GSZ_TRY(gsz_lengths_read(b, code, GSZ_TOKEN_RUN, GSZ_TOKEN_RUN + runs));
    GSZ_TRY(gsz_lengths_read(b, code, GSZ_TOKEN_VALUE, GSZ_TOKEN_VALUE + values));
    GSZ_CHECK(runs == 0 || code->length[GSZ_TOKEN_RUN + runs - 1] != 0, GSZ_E_TABLE);
    GSZ_CHECK(values == 0 || code->length[GSZ_TOKEN_VALUE + values - 1] != 0, GSZ_E_TABLE);
    GSZ_TRY(gsz_code_assign(code, GSZ_TOKEN_VALUE + values));
    GSZ_CHECK(code->longest == longest, GSZ_E_TABLE);
    return GSZ_OK;
}

static uint64_t entry_of_token(unsigned t, unsigned direct) {
    unsigned extra;
    if (t == GSZ_TOKEN_ESCAPE) return (uint64_t)(uint32_t)GSZ_ESCAPE | (uint64_t)1 << GSZ_ENTRY_ADVANCE;
    if (t < GSZ_TOKEN_VALUE) {
        uint64_t run = run_of_token(t, &extra);
        return run << GSZ_ENTRY_ADVANCE | (uint64_t)extra << GSZ_ENTRY_EXTRA | (uint64_t)1 << GSZ_ENTRY_NEXT;
    }
    int32_t v = value_of_token(t, direct, &extra);
    return (uint64_t)(uint32_t)v | (uint64_t)1 << GSZ_ENTRY_ADVANCE | (uint64_t)extra << GSZ_ENTRY_EXTRA
         | (uint64_t)(extra != 0) << GSZ_ENTRY_OF_VALUE;
}

/* One entry a table index: the token whose code the index begins with. */
static void fill_table(uint64_t *table, unsigned bits, const gsz_code *code, unsigned direct) {
    unsigned n = GSZ_TOKENS(direct);
    int lone = gsz_code_is_lone(code, n);
    for (unsigned t = 0; t < n; t++) {
        unsigned length = code->length[t];
        if (length == 0) continue;
        if (lone) length = 0;
        uint64_t e = entry_of_token(t, direct) | (uint64_t)length << GSZ_ENTRY_BITS;
        for (uint32_t i = lone ? 0 : code->code[t]; i < (uint32_t)1 << bits; i += (uint32_t)1 << length) table[i] = e;
    }
}

/* The entry with its value as 16 bits. */
GSZ_INLINE uint64_t narrow_of(uint64_t e) {
    uint64_t v = (uint32_t)e == (uint32_t)GSZ_ESCAPE ? (uint64_t)(uint16_t)GSZ_ESCAPE16 : e & 0xffff;
    return (e >> 32 << 32) | v;
}

/* Narrow entries: where the index bits behind a token's code hold a whole second token, both at once.  Runs above
 * 1 skip the place of value 1, so they can only come second.  `second` holds entries with the value moved there. */
static void pair_up(uint64_t *narrow, uint64_t *second, const uint64_t *single, unsigned bits) {
    const uint32_t size = (uint32_t)1 << bits;
    for (uint32_t i = 0; i < 2 * size; i++) {
        uint64_t e = narrow[i] = narrow_of(single[i]);
        second[i] = (e & 0xffff) << 16 | e >> 32 << 32;
    }
    for (uint32_t table = 0; table < 2 * size; table += size)
        for (uint32_t i = 0; i < size; i++) {
            uint64_t first = narrow[table + i];
            unsigned length = (unsigned)(first >> GSZ_ENTRY_BITS) & 31;
            uint64_t next = second[(first >> GSZ_ENTRY_NEXT) * size + (i >> length)];
            unsigned both = length + ((unsigned)(next >> GSZ_ENTRY_BITS) & 31);
            uint64_t pair = (first & 0xffffffffffffu) + ((uint64_t)length << GSZ_ENTRY_BITS) + next;
            narrow[table + i] = (first >> GSZ_ENTRY_ADVANCE & 0xffff) == 1 && both <= bits ? pair : first;
        }
}

/* The careful loop: one token at a time, every step checked, to the exact end of a stream. */
static int finish_lane(const gsz_symbol_decoder *d, gsz_lane *lane) {
    const uint32_t size = (uint32_t)1 << d->bits, mask = size - 1;
    uint32_t table = lane->table;
    gsz_bitreader b;
    gsz_bits_init(&b, lane->start + lane->bit / 8, lane->end);
    gsz_bits_refill(&b);
    gsz_bits_skip(&b, (unsigned)(lane->bit % 8));
    while (lane->position < lane->limit) {
        gsz_bits_refill(&b);
        uint64_t e = d->wide[(b.bits & mask) + table];
        unsigned extra = (unsigned)(e >> GSZ_ENTRY_EXTRA) & 31;
        gsz_bits_skip(&b, (unsigned)(e >> GSZ_ENTRY_BITS) & 31);
        uint32_t number = gsz_bits_get(&b, extra);
        GSZ_CHECK(b.overrun == 0, GSZ_E_STREAM);
        size_t advance = (size_t)(e >> GSZ_ENTRY_ADVANCE & 0xffff);
        table = (uint32_t)(e >> GSZ_ENTRY_NEXT) * size;
        if (e >> GSZ_ENTRY_OF_VALUE & 1) {
            d->out32[lane->position] = (int32_t)((uint32_t)e + number);
        } else {
            advance += number;
            GSZ_CHECK(advance <= lane->limit - lane->position, GSZ_E_STREAM);
            if (d->out32 != NULL) d->out32[lane->position] = (int32_t)(uint32_t)e;
            else d->out16[lane->position] = (uint32_t)e == (uint32_t)GSZ_ESCAPE ? GSZ_ESCAPE16 : (int16_t)(uint32_t)e;
        }
        lane->position += advance;
    }
    GSZ_CHECK(gsz_bits_end(&b), GSZ_E_STREAM);
    return GSZ_OK;
}

/* Values with extra bits do not fit the narrow tables. */
static int needs_wide(const gsz_code *code, unsigned direct) {
    unsigned first = GSZ_TOKEN_VALUE + 2 * ((1u << direct) - 1);
    for (unsigned c = 0; c < 2; c++)
        for (unsigned k = first; k < GSZ_TOKENS(direct); k++)
            if (code[c].length[k]) return 1;
    return 0;
}

/* The streams' parts are decoded with padding between them; close the gaps. */
static void close_gaps(const gsz_symbol_decoder *d, size_t n) {
    size_t itemsize = d->out32 != NULL ? 4 : 2;
    uint8_t *base = d->out32 != NULL ? (uint8_t *)d->out32 : (uint8_t *)d->out16;
    for (unsigned j = 1; j < d->streams; j++) {
        size_t start = stream_start(n, d->streams, j), end = stream_start(n, d->streams, j + 1);
        memmove(base + start * itemsize, base + (start + j * GSZ_LANE_PADDING) * itemsize, (end - start) * itemsize);
    }
}

static int set_lanes(gsz_symbol_decoder *d, gsz_reader in, size_t n) {
    uint64_t length[GSZ_STREAMS];
    for (unsigned j = 0; j + 1 < d->streams; j++) GSZ_CHECK(gsz_get_varint(&in, &length[j]) == 1, GSZ_E_SECTION);
    for (unsigned j = 0; j < d->streams; j++) {
        gsz_reader part;
        if (j + 1 == d->streams) length[j] = gsz_left(&in);
        GSZ_CHECK(gsz_get_reader(&in, length[j], &part), GSZ_E_SECTION);
        memset(&d->lane[j], 0, sizeof d->lane[j]);
        d->lane[j].start = part.p;
        d->lane[j].end = part.end;
        d->lane[j].position = stream_start(n, d->streams, j) + j * GSZ_LANE_PADDING;
        d->lane[j].limit = stream_start(n, d->streams, j + 1) + j * GSZ_LANE_PADDING;
    }
    return GSZ_OK;
}

/* Both codes; a stream without B uses A throughout. */
static int read_codes(gsz_work *work, gsz_reader *in, unsigned header, unsigned direct) {
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->codes, 2 * sizeof(gsz_code)));
    gsz_code *code = (gsz_code *)work->codes.data;
    gsz_bitreader b;
    gsz_bits_init(&b, in->p, in->end);
    GSZ_TRY(read_table(&b, &code[0], direct));
    if (header & HEADER_TABLE_B) GSZ_TRY(read_table(&b, &code[1], direct));
    else code[1] = code[0];
    GSZ_CHECK(b.overrun == 0, GSZ_E_SECTION);
    GSZ_CHECK(gsz_bits_peek(&b, b.count & 7) == 0, GSZ_E_SECTION);      /* filler of the last byte */
    in->p = b.p - b.count / 8;                                          /* whole bytes that were not used */
    return GSZ_OK;
}

/* Decoding tables of both codes, in one index width. */
static int build_tables(gsz_work *work, gsz_symbol_decoder *d, unsigned direct, int *wide, int *escape) {
    const gsz_code *code = (const gsz_code *)work->codes.data;
    d->bits = GSZ_MAX(code[0].longest, code[1].longest);
    size_t entries = (size_t)2 << d->bits;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->tables, 3 * entries * sizeof(uint64_t)));
    uint64_t *single = (uint64_t *)work->tables.data, *narrow = single + entries, *second = narrow + entries;
    for (unsigned c = 0; c < 2; c++) fill_table(single + c * entries / 2, d->bits, &code[c], direct);
    *wide = needs_wide(code, direct);
    *escape = code[0].length[GSZ_TOKEN_ESCAPE] || code[1].length[GSZ_TOKEN_ESCAPE];
    if (!*wide) pair_up(narrow, second, single, d->bits);
    d->wide = single;
    d->narrow = narrow;
    return GSZ_OK;
}

static int read_header(gsz_work *work, gsz_reader *in, gsz_symbol_decoder *d, int *wide, int *escape) {
    unsigned header;
    GSZ_CHECK(gsz_get_u8(in, &header), GSZ_E_SECTION);
    if (header == HEADER_ALL_ZERO) {
        GSZ_CHECK(gsz_left(in) == 0, GSZ_E_SECTION);
        return GSZ_OK;
    }
    unsigned direct = GSZ_DIRECT_MIN + (header >> 2 & 7);
    GSZ_CHECK(direct <= GSZ_DIRECT_MAX && (header & 0xe0) == 0, GSZ_E_RESERVED);
    d->streams = header & HEADER_FOUR ? GSZ_STREAMS : 1;
    GSZ_TRY(read_codes(work, in, header, direct));
    return build_tables(work, d, direct, wide, escape);
}

int gsz_symbols_decode(gsz_work *work, gsz_reader in, size_t n, gsz_symbols *out) {
    gsz_symbol_decoder d;
    int wide = 0, escape = 0;
    memset(&d, 0, sizeof d);
    memset(out, 0, sizeof *out);
    GSZ_TRY(read_header(work, &in, &d, &wide, &escape));
    size_t room = (n + GSZ_STREAMS * GSZ_LANE_PADDING) * (wide ? sizeof(int32_t) : sizeof(int16_t));
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->symbols, room));
    memset(work->symbols.data, 0, room);
    if (wide) out->wide = d.out32 = (int32_t *)work->symbols.data;
    else out->narrow = d.out16 = (int16_t *)work->symbols.data;
    out->may_escape = escape;
    if (d.streams == 0) return GSZ_OK;      /* all zero */
    GSZ_TRY(set_lanes(&d, in, n));
    if (wide) work->kernels->decode_wide(&d);
    else work->kernels->decode_narrow(&d);
    for (unsigned j = 0; j < d.streams; j++) GSZ_TRY(finish_lane(&d, &d.lane[j]));
    close_gaps(&d, n);
    return GSZ_OK;
}
