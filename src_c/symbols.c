#include "symbols.h"

/* ---- runs: tokens with extra bits behind them (format.md 4.2) */

typedef struct { unsigned token, extra; uint32_t bits; } run_token;

GSZ_INLINE run_token token_of_run(uint32_t length) { /* 1 .. GSZ_RUN_LONGEST */
    run_token t = {GSZ_TOKEN_RUN + length - 1, 0, 0};
    if (length <= GSZ_RUN_DIRECT) return t;
    unsigned e = (unsigned)gsz_floor_log2(length);
    t.token = GSZ_TOKEN_RUN + GSZ_RUN_DIRECT + (e - 4) * 2 + (length >> (e - 1) & 1);
    t.extra = e - 1;
    t.bits = length & (((uint32_t)1 << t.extra) - 1);
    return t;
}

/* Shortest run of a token, and its number of extra bits: the inverse. */
static uint32_t run_of_token(unsigned t, unsigned *extra) {
    uint32_t slot = t - GSZ_TOKEN_RUN;
    *extra = 0;
    if (slot < GSZ_RUN_DIRECT) return slot + 1;
    unsigned e = 4 + (slot - GSZ_RUN_DIRECT) / 2;
    *extra = e - 1;
    return (uint32_t)(2 + (slot - GSZ_RUN_DIRECT) % 2) << (e - 1);
}

/* Start of stream j's part of n symbols; that of j + 1 is its end. */
GSZ_INLINE size_t stream_start(size_t n, unsigned streams, unsigned j) { return n * j / streams; }

/* ---- header byte (format.md 4.1) */
#define HEADER_FOUR 1u          /* four streams, else one */
#define HEADER_TABLE_B 2u       /* code B has a table of its own, else it is A's */
#define HEADER_LOW 4u           /* values have raw low bits: their number and the bytes they take follow */
#define HEADER_FAR 8u           /* there is a list of far classes: the bytes it takes follow */
#define HEADER_ALL_ZERO 0x80u   /* nothing follows */

/* ---- encoding */

#define BLOCK 1024u         /* symbols named at a time: their positions and values stay in the first cache */

typedef struct {
    const int32_t *symbols;
    size_t n, nonzero;
    unsigned low, codes;
    uint32_t classes;                   /* magnitude classes that have tokens */
    unsigned alphabet;                  /* tokens that may occur are below */
    uint32_t *tokens, *gaps;            /* next free places */
    gsz_bitwriter low_bits;
    gsz_writer far;                     /* list of far classes */
    uint32_t simple[2][GSZ_SIMPLE];             /* how often each word occurs; even and odd ones apart */
    uint32_t counts[2][GSZ_MAX_ALPHABET];       /* of tokens of A and B */
    gsz_code code[2];
    uint32_t positions[8 + BLOCK + 8];          /* the first is before the block */
    int32_t values[BLOCK + 8];
    gsz_symbol_encoder streams;
} encoder;

/* How many classes a table may hold before it costs more than it gains, by the number of values. */
static uint32_t affordable_classes(size_t nonzero) {
    unsigned bits = 4;
    while (bits < 10 && nonzero >> (bits + 3) != 0) bits++;
    return ((uint32_t)1 << bits) - 1;
}

/* 256 log2(v) for v > 0, interpolated: errs by less than 0.09 bits, the same way for all alternatives. */
static uint64_t log2_256(uint64_t v) {
    unsigned e = v >> 32 ? 32 + (unsigned)gsz_floor_log2((uint32_t)(v >> 32)) : (unsigned)gsz_floor_log2((uint32_t)v);
    return e * 256 + ((e >= 8 ? v >> (e - 8) : v << (8 - e)) & 255);
}

#define HISTOGRAM 2048u
#define FAR_COST (24 * 256u)        /* token and list, 1/256 bits */
#define TABLE_COST (4 * 256u)       /* a token's code length */
#define BIAS 185u                   /* what a sample's entropy misses for each used class: log2(e) / 2 (Miller, Madow) */

/* Estimated cost, in 1/256 bits, of coding `total` sampled classes (counts of classes 0 .. n - 1), with `shift` raw
 * bits each, when the tensor has `scale` times as many. */
static uint64_t cost_of_shift(const uint32_t *count, uint32_t n, uint32_t total, unsigned shift, uint32_t classes,
                              uint64_t scale) {
    uint64_t cost = (uint64_t)total * shift * 256, table = 0;
    for (uint32_t c = 0; c < n; c++) {
        if (count[c] == 0) continue;
        cost += (uint64_t)count[c] * (log2_256(total) - log2_256(count[c]));
        cost += BIAS;
        if (c < classes) table += TABLE_COST;
        else cost += (uint64_t)count[c] * FAR_COST;
    }
    return cost * scale + table;
}

/* Counts the classes of up to three blocks of values, `base` bits shifted off; returns how many there are, and the
 * sum of their magnitudes less one. */
static uint32_t sample_classes(gsz_work *work, encoder *e, unsigned base, uint32_t *count, uint64_t *sum) {
    uint32_t total = 0;
    size_t blocks = GSZ_MIN(e->n / (8 * BLOCK) + 1, (size_t)3), apart = e->n / blocks;
    *sum = 0;
    for (size_t from = 0; blocks > 0; blocks--, from += apart) {
        size_t got = work->kernels->compact(e->symbols + from, GSZ_MIN(BLOCK, e->n - from), e->positions, e->values);
        for (size_t i = 0; i < got; i++) {
            if (e->values[i] == GSZ_ESCAPE) continue;
            uint32_t m = gsz_magnitude(e->values[i]);
            *sum += m;
            count[GSZ_MIN(m >> base, HISTOGRAM - 1)]++;
            total++;
        }
    }
    return total;
}

/* Counts of classes with one more bit shifted off. */
static uint32_t halve_classes(uint32_t *count, uint32_t n) {
    for (uint32_t c = 0; c < n; c += 2) count[c / 2] = count[c] + (c + 1 < n ? count[c + 1] : 0);
    return (n + 1) / 2;
}

/* The number of raw bits, from a sample of the values: the most that cost at most 1 % over the best. */
static unsigned choose_low(gsz_work *work, encoder *e, uint32_t largest) {
    uint32_t count[HISTOGRAM] = {0};
    uint64_t sum, least = UINT64_MAX, cost[GSZ_MAX_LOW + 1];
    unsigned base = 0;
    if (largest < 8) return 0;
    while (base < GSZ_MAX_LOW && largest >> base >= HISTOGRAM) base++;
    uint32_t total = sample_classes(work, e, base, count, &sum);
    if (total == 0 || (base == 0 && sum < (uint64_t)total * 6)) return base;    /* no noise below the values */
    /* finer than an eighth of the mean nothing is gained: begin there */
    unsigned mean = (unsigned)gsz_floor_log2((uint32_t)(sum / total) + 1), first = mean > 3 ? mean - 3 : 0;
    first = GSZ_MIN(GSZ_MAX(first, base), GSZ_MAX_LOW);
    uint32_t n = GSZ_MIN((largest >> base) + 1, HISTOGRAM);
    unsigned end = first, best = first;
    for (unsigned low = base; low < first; low++) n = halve_classes(count, n);
    for (; end <= GSZ_MAX_LOW && n > 1 && (end == first || cost[end - 1] <= least + least / 16); end++) {
        cost[end] = cost_of_shift(count, n, total, end, e->classes, GSZ_MAX(e->nonzero / total, (size_t)1));
        least = GSZ_MIN(least, cost[end]);
        n = halve_classes(count, n);
    }
    for (unsigned low = first; low < end; low++)
        if (cost[low] <= least + least / 100) best = low;
    return best;
}

static void choose_shape(gsz_work *work, encoder *e, uint32_t largest) {
    e->classes = affordable_classes(e->nonzero);
    e->low = choose_low(work, e, largest);
    e->alphabet = GSZ_TOKEN_VALUE + 2 * GSZ_MIN(e->classes, (largest >> e->low) + 1);
    e->streams.streams = e->nonzero >= 512 ? GSZ_STREAMS : 1;
}

/* Longest code: long enough for the alphabet, and tables no larger than the data deserves. */
static unsigned code_limit(const encoder *e) {
    unsigned limit = e->nonzero >= 131072 ? 12 : e->nonzero >= 65536 ? 11 : e->nonzero >= 4096 ? 10 : 9, used = 0;
    for (unsigned t = 0; t < e->alphabet; t++) used += (e->counts[0][t] | e->counts[1][t]) != 0;
    while (limit < GSZ_CODE_BITS && used > (unsigned)1 << (limit - 2)) limit++;
    return limit;
}

/* The tokens of a run: the first by A, further ones by B. */
static void count_run(encoder *e, uint32_t length, uint32_t times) {
    for (unsigned table = 0; length > 0; table = 1) {
        uint32_t part = GSZ_MIN(length, GSZ_RUN_LONGEST);
        e->counts[table][token_of_run(part).token] += times;
        length -= part;
    }
}

/* Equal neighbours are common, and a counter takes a while before it can be counted up again: hence two. */
static void count_simple(encoder *e, size_t count) {
    const uint32_t *t = e->tokens;
    size_t i = 0;
    for (; i + 2 <= count; i += 2) {
        if (GSZ_LIKELY(t[i] < GSZ_SIMPLE)) e->simple[0][t[i]]++;
        if (GSZ_LIKELY(t[i + 1] < GSZ_SIMPLE)) e->simple[1][t[i + 1]]++;
    }
    if (i < count && t[i] < GSZ_SIMPLE) e->simple[0][t[i]]++;
}

/* The `left` words of a block that are not simple: their runs, and their classes if these are far. */
static int count_others(encoder *e, size_t left) {
    const uint32_t *position = e->positions + 8;
    for (size_t i = 0; left > 0; i++) {
        if (e->tokens[i] < GSZ_SIMPLE) continue;
        uint32_t token = e->tokens[i] & 0xffff, gap = position[i] - position[(ptrdiff_t)i - 1] - 1;
        *e->gaps++ = gap;
        count_run(e, gap, 1);
        e->counts[gap != 0][token]++;
        left--;
        if (token != GSZ_TOKEN_FAR) continue;
        uint32_t m = gsz_magnitude(e->values[i]);
        GSZ_TRY(gsz_put_varint(&e->far, (uint64_t)(m >> e->low) << 1 | (e->values[i] > 0)));
    }
    return GSZ_OK;
}

/* Names the tokens of symbols [from, to); *next moves behind the last that is not zero. */
static int name_block(const gsz_kernels *kernels, encoder *e, uint32_t from, uint32_t to, uint32_t *next) {
    uint32_t *positions = e->positions + 8;     /* counted from the block, modulo 2^32 */
    size_t count = kernels->compact(e->symbols + from, to - from, positions, e->values);
    positions[-1] = *next - from - 1;
    size_t others = kernels->name_tokens(positions, e->values, count, e->low, e->classes, e->tokens);
    if (e->low > 0) kernels->put_low(e->values, count, e->low, &e->low_bits);
    count_simple(e, count);
    GSZ_TRY(count_others(e, others));
    e->tokens += count;
    if (count > 0) *next = from + positions[count - 1] + 1;
    return GSZ_OK;
}

static int name_stream(const gsz_kernels *kernels, encoder *e, uint32_t from, uint32_t to, gsz_source *s) {
    uint32_t next = from;
    s->tokens = e->tokens;
    s->gaps = e->gaps;
    for (uint32_t at = from; at < to; at += BLOCK)
        GSZ_TRY(name_block(kernels, e, at, GSZ_MIN(at + BLOCK, to), &next));
    s->tokens_end = e->tokens;
    s->zeros = to - next;
    count_run(e, s->zeros, 1);
    return GSZ_OK;
}

static int name_all(const gsz_kernels *kernels, encoder *e) {
    const unsigned streams = e->streams.streams, values = GSZ_MIN(e->alphabet - GSZ_TOKEN_VALUE, GSZ_SIMPLE_TOKENS);
    memset(e->simple, 0, sizeof e->simple);
    for (unsigned c = 0; c < 2; c++) memset(e->counts[c], 0, e->alphabet * sizeof(uint32_t));
    for (unsigned j = 0; j < streams; j++)
        GSZ_TRY(name_stream(kernels, e, (uint32_t)stream_start(e->n, streams, j),
                            (uint32_t)stream_start(e->n, streams, j + 1), &e->streams.source[j]));
    for (uint32_t gap = 0; gap < GSZ_SIMPLE_GAPS; gap++) {
        uint32_t runs = 0;
        for (unsigned t = 0; t < values; t++) {
            uint32_t word = gap * GSZ_SIMPLE_TOKENS + t, n = e->simple[0][word] + e->simple[1][word];
            e->counts[gap != 0][GSZ_TOKEN_VALUE + t] += n;
            runs += n;
        }
        count_run(e, gap, runs);
    }
    return GSZ_OK;
}

/* One code or two: B must have enough tokens to pay for its table. */
static void build_codes(encoder *e) {
    uint32_t *a = e->counts[0], *b = e->counts[1], second = 0;
    for (unsigned t = 0; t < e->alphabet; t++) second += b[t];
    e->codes = second >= 64 ? 2 : 1;
    for (unsigned t = 0; e->codes == 1 && t < e->alphabet; t++) a[t] += b[t], b[t] = 0;
    unsigned limit = code_limit(e);
    gsz_code_build(&e->code[0], a, e->alphabet, limit);
    if (e->codes == 2) gsz_code_build(&e->code[1], b, e->alphabet, limit);
    else e->code[1] = e->code[0];
}

/* Bits of all streams. */
static uint64_t stream_bits(const encoder *e) {
    uint64_t bits = 0;
    for (unsigned c = 0; c < 2; c++)
        for (unsigned t = 0; t < e->alphabet; t++) {
            unsigned extra = 0;
            if (t >= GSZ_TOKEN_RUN && t < GSZ_TOKEN_VALUE) (void)run_of_token(t, &extra);
            bits += (uint64_t)e->counts[c][t] * (gsz_code_cost(&e->code[c], t) + extra);
        }
    return bits;
}

/* A table: longest code, how many run and value tokens are listed, then their lengths (format.md 4.3). */
static void write_table(gsz_bitwriter *b, const gsz_code *code) {
    unsigned runs = GSZ_RUN_TOKENS, values = code->alphabet - GSZ_TOKEN_VALUE;
    while (runs > 0 && code->length[GSZ_TOKEN_RUN + runs - 1] == 0) runs--;
    while (values > 0 && code->length[GSZ_TOKEN_VALUE + values - 1] == 0) values--;
    gsz_bits_put(b, code->longest, 4);
    gsz_bits_put(b, runs, 6);
    gsz_bits_put(b, values, 11);
    gsz_bits_put(b, code->length[GSZ_TOKEN_ESCAPE], 4);
    gsz_bits_put(b, code->length[GSZ_TOKEN_FAR], 4);
    gsz_lengths_write(b, code, GSZ_TOKEN_RUN, GSZ_TOKEN_RUN + runs);
    gsz_lengths_write(b, code, GSZ_TOKEN_VALUE, GSZ_TOKEN_VALUE + values);
}
#define TABLE_BYTES ((29 + 7 * GSZ_MAX_ALPHABET) / 8 + 16)

static int write_tables(const encoder *e, gsz_writer *out) {
    GSZ_TRY(gsz_writer_reserve(out, 2 * TABLE_BYTES));
    gsz_bitwriter b = {out->data + out->size, 0, 0};
    for (unsigned c = 0; c < e->codes; c++) write_table(&b, &e->code[c]);
    out->size = (size_t)(gsz_bits_flush(&b) - out->data);
    return GSZ_OK;
}

GSZ_INLINE gsz_ready join_ready(gsz_ready first, gsz_ready second) {
    return first + (GSZ_READY_BITS(second) << GSZ_READY_LENGTH(first)) + GSZ_READY(0, GSZ_READY_LENGTH(second));
}

/* Codes as the hot loop wants them; those of tokens that do not occur are never looked at. */
static void prepare_codes(encoder *e) {
    gsz_symbol_encoder *s = &e->streams;
    unsigned values = GSZ_MIN(e->alphabet - GSZ_TOKEN_VALUE, GSZ_SIMPLE_TOKENS);
    for (unsigned c = 0; c < 2; c++)
        for (unsigned t = 0; t < e->alphabet; t++) {
            const gsz_code *code = &e->code[c];
            s->token[c][t] = code->length[t] ? GSZ_READY(code->code[t], gsz_code_cost(code, t)) : 0;
        }
    for (uint32_t gap = 0; gap < GSZ_SIMPLE_GAPS; gap++) {
        gsz_ready run = gap > 0 ? s->token[0][token_of_run(gap).token] : 0;
        const gsz_ready *value = s->token[gap != 0] + GSZ_TOKEN_VALUE;
        for (unsigned t = 0; t < values; t++) s->simple[gap * GSZ_SIMPLE_TOKENS + t] = join_ready(run, value[t]);
    }
}

void gsz_put_run(gsz_bitwriter *b, const gsz_symbol_encoder *e, uint32_t length) {
    for (unsigned table = 0; length > 0; table = 1) {
        uint32_t part = GSZ_MIN(length, GSZ_RUN_LONGEST);
        run_token t = token_of_run(part);
        gsz_ready r = join_ready(e->token[table][t.token], GSZ_READY(t.bits, t.extra));
        gsz_bits_put(b, GSZ_READY_BITS(r), GSZ_READY_LENGTH(r));
        length -= part;
    }
}

void gsz_put_other(gsz_bitwriter *b, const gsz_symbol_encoder *e, uint32_t token, uint32_t gap) {
    gsz_ready r = e->token[gap != 0][token];
    if (gap > 0) gsz_put_run(b, e, gap);
    gsz_bits_put(b, GSZ_READY_BITS(r), GSZ_READY_LENGTH(r));
}

static int write_streams(gsz_work *work, encoder *e, gsz_writer *out) {
    gsz_symbol_encoder *s = &e->streams;
    size_t room = (size_t)(stream_bits(e) / 8) + 16;        /* of each stream: all could be in one */
    const uint8_t *end[GSZ_STREAMS];
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->bytes, room * s->streams));
    uint8_t *start = (uint8_t *)work->bytes.data;
    for (unsigned j = 0; j < s->streams; j++) {
        gsz_bitwriter b = {start + j * room, 0, 0};
        s->source[j].out = b;
    }
    prepare_codes(e);
    work->kernels->encode_streams(s);
    for (unsigned j = 0; j < s->streams; j++) {
        end[j] = gsz_bits_flush(&s->source[j].out);
        if (j + 1 < s->streams) GSZ_TRY(gsz_put_varint(out, (uint64_t)(end[j] - (start + j * room))));
    }
    for (unsigned j = 0; j < s->streams; j++) GSZ_TRY(gsz_put_bytes(out, start + j * room, (size_t)(end[j] - (start + j * room))));
    return GSZ_OK;
}

/* Everything after naming, in the order of format.md 4.1. */
static int write_symbols(gsz_work *work, encoder *e, gsz_writer *out) {
    const uint8_t *low = (const uint8_t *)work->low.data;
    size_t low_size = e->low > 0 ? (size_t)(gsz_bits_flush(&e->low_bits) - low) : 0;
    build_codes(e);
    GSZ_TRY(gsz_put_u8(out, (e->streams.streams == GSZ_STREAMS ? HEADER_FOUR : 0) | (e->codes == 2 ? HEADER_TABLE_B : 0)
                            | (e->low > 0 ? HEADER_LOW : 0) | (e->far.size > 0 ? HEADER_FAR : 0)));
    if (e->low > 0) GSZ_TRY(gsz_put_u8(out, e->low));
    if (e->low > 0) GSZ_TRY(gsz_put_varint(out, low_size));
    if (e->far.size > 0) GSZ_TRY(gsz_put_varint(out, e->far.size));
    GSZ_TRY(write_tables(e, out));
    GSZ_TRY(write_streams(work, e, out));
    GSZ_TRY(gsz_put_bytes(out, e->far.data, e->far.size));
    return gsz_put_bytes(out, low, low_size);
}

int gsz_symbols_encode(gsz_work *work, int32_t *symbols, size_t n, gsz_writer *out) {
    uint32_t largest;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->codes, sizeof(encoder)));
    encoder *e = (encoder *)work->codes.data;
    e->symbols = symbols;
    e->n = n;
    e->nonzero = work->kernels->survey(symbols, n, &largest);
    if (e->nonzero == 0) return gsz_put_u8(out, HEADER_ALL_ZERO);
    choose_shape(work, e, largest);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->gaps, e->nonzero * sizeof(uint32_t)));
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->low, e->nonzero * e->low / 8 + 16));
    e->tokens = (uint32_t *)symbols;    /* never ahead of the block that is named: compact has taken it out before */
    e->gaps = (uint32_t *)work->gaps.data;
    gsz_bitwriter b = {(uint8_t *)work->low.data, 0, 0};
    e->low_bits = b;
    gsz_writer_init(&e->far, work->heap);
    int status = name_all(work->kernels, e);
    if (status == GSZ_OK) status = write_symbols(work, e, out);
    gsz_writer_release(&e->far);
    return status;
}

/* ---- decoding */

static int read_table(gsz_bitreader *b, gsz_code *code) {
    memset(code->length, 0, GSZ_TOKEN_VALUE);
    code->longest = gsz_bits_get(b, 4);
    unsigned longest = code->longest, runs = gsz_bits_get(b, 6), values = gsz_bits_get(b, 11);
    GSZ_CHECK(longest >= 1 && longest <= GSZ_CODE_BITS, GSZ_E_TABLE);
    GSZ_CHECK(runs <= GSZ_RUN_TOKENS && values <= 2 * GSZ_CLASSES, GSZ_E_TABLE);
    code->length[GSZ_TOKEN_ESCAPE] = (uint8_t)gsz_bits_get(b, 4);
    code->length[GSZ_TOKEN_FAR] = (uint8_t)gsz_bits_get(b, 4);
    GSZ_CHECK(code->length[GSZ_TOKEN_ESCAPE] <= longest && code->length[GSZ_TOKEN_FAR] <= longest, GSZ_E_TABLE);
    GSZ_TRY(gsz_lengths_read(b, code, GSZ_TOKEN_RUN, GSZ_TOKEN_RUN + runs));
    GSZ_TRY(gsz_lengths_read(b, code, GSZ_TOKEN_VALUE, GSZ_TOKEN_VALUE + values));
    GSZ_CHECK(runs == 0 || code->length[GSZ_TOKEN_RUN + runs - 1] != 0, GSZ_E_TABLE);
    GSZ_CHECK(values == 0 || code->length[GSZ_TOKEN_VALUE + values - 1] != 0, GSZ_E_TABLE);
    code->alphabet = GSZ_TOKEN_VALUE + values;
    GSZ_TRY(gsz_code_assign(code));
    GSZ_CHECK(code->longest == longest, GSZ_E_TABLE);
    return GSZ_OK;
}

/* One code or two. */
static int read_codes(gsz_work *work, gsz_reader *in, unsigned codes) {
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->codes, 2 * sizeof(gsz_code)));
    gsz_code *code = (gsz_code *)work->codes.data;
    gsz_bitreader b;
    gsz_bits_init(&b, in->p, in->end);
    for (unsigned c = 0; c < codes; c++) GSZ_TRY(read_table(&b, &code[c]));
    GSZ_CHECK(gsz_bits_align(&b, in), GSZ_E_SECTION);
    return GSZ_OK;
}

static uint64_t entry_of_token(unsigned t, unsigned codes) {
    unsigned extra;
    uint64_t one = (uint64_t)1 << GSZ_ENTRY_ADVANCE;
    if (t == GSZ_TOKEN_ESCAPE) return one | (uint16_t)GSZ_ESCAPE16;
    if (t == GSZ_TOKEN_FAR) return one | (uint16_t)GSZ_FAR16;
    if (t < GSZ_TOKEN_VALUE) {
        uint64_t run = run_of_token(t, &extra);
        return run << GSZ_ENTRY_ADVANCE | (uint64_t)extra << GSZ_ENTRY_EXTRA | (uint64_t)(extra != 0) << GSZ_ENTRY_LONG
             | (uint64_t)(codes - 1) << GSZ_ENTRY_NEXT;
    }
    int class = (int)(t - GSZ_TOKEN_VALUE) / 2 + 1;
    return one | (uint16_t)(int16_t)((t - GSZ_TOKEN_VALUE) % 2 ? class : -class);
}

/* One entry a table index: the token whose code the index begins with. */
static void fill_table(uint64_t *table, unsigned bits, const gsz_code *code, unsigned codes) {
    for (unsigned t = 0; t < code->alphabet; t++) {
        unsigned length = gsz_code_cost(code, t);
        if (code->length[t] == 0) continue;
        uint64_t e = entry_of_token(t, codes) | (uint64_t)length << GSZ_ENTRY_BITS;
        for (uint32_t i = code->code[t]; i < (uint32_t)1 << bits; i += (uint32_t)1 << length) table[i] = e;
    }
}

/* Where the index bits behind a token's code hold a whole second token, both at once.  Runs above 1 skip the place
 * of value 1, so they can only come second.  `second` holds the entries with their value moved there. */
static void pair_up(uint64_t *pairs, uint64_t *second, const uint64_t *single, unsigned bits, unsigned codes, int both) {
    const uint32_t size = (uint32_t)1 << bits;
    for (uint32_t i = 0; i < codes * size; i++) second[i] = (single[i] & 0xffff) << 16 | single[i] >> 32 << 32;
    for (uint32_t table = 0; table < (both ? codes * size : size); table += size)
        for (uint32_t i = 0; i < size; i++) {
            uint64_t first = single[table + i];
            unsigned length = (unsigned)(first >> GSZ_ENTRY_BITS) & 31;
            uint64_t next = second[(first >> GSZ_ENTRY_NEXT) * size + (i >> length)];
            unsigned total = length + ((unsigned)(next >> GSZ_ENTRY_BITS) & 31);
            uint64_t pair = (first & 0xffffffffffffu) + ((uint64_t)length << GSZ_ENTRY_BITS) + next;
            pairs[table + i] = (first >> GSZ_ENTRY_ADVANCE & 0xffff) == 1 && total <= bits ? pair : first;
        }
    if (!both) memcpy(pairs + size, single + size, (codes - 1) * size * sizeof *pairs);
}

/* Whether runs are so rare, by the lengths of their codes, that table B is hardly looked at. */
static int runs_are_rare(const gsz_code *a) {
    uint32_t share = 0;
    for (unsigned t = GSZ_TOKEN_RUN; t < GSZ_TOKEN_VALUE; t++)
        if (a->length[t]) share += (uint32_t)1 << (GSZ_CODE_BITS - a->length[t]);
    return share < ((uint32_t)1 << GSZ_CODE_BITS) / 8;
}

/* Decoding tables of one or two codes, in one index width; pairs only where the streams are worth the work. */
static int build_tables(gsz_work *work, gsz_symbol_decoder *d, unsigned codes, size_t stream_bytes) {
    const gsz_code *code = (const gsz_code *)work->codes.data;
    d->bits = codes == 2 ? GSZ_MAX(code[0].longest, code[1].longest) : code[0].longest;
    size_t entries = (size_t)codes << d->bits;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->tables, 3 * entries * sizeof(uint64_t)));
    uint64_t *single = (uint64_t *)work->tables.data, *pairs = single + entries, *second = pairs + entries;
    for (unsigned c = 0; c < codes; c++) fill_table(single + ((size_t)c << d->bits), d->bits, &code[c], codes);
    d->single = d->pairs = single;
    if (stream_bytes < entries) return GSZ_OK;
    pair_up(pairs, second, single, d->bits, codes, !runs_are_rare(&code[0]));
    d->pairs = pairs;
    return GSZ_OK;
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
        uint64_t e = d->single[(b.bits & mask) + table];
        gsz_bits_skip(&b, (unsigned)(e >> GSZ_ENTRY_BITS) & 31);
        size_t advance = (size_t)(e >> GSZ_ENTRY_ADVANCE & 0xffff) + gsz_bits_get(&b, (unsigned)(e >> GSZ_ENTRY_EXTRA) & 31);
        GSZ_CHECK(b.overrun == 0, GSZ_E_STREAM);
        GSZ_CHECK(advance <= lane->limit - lane->position, GSZ_E_STREAM);
        d->out[lane->position] = (int16_t)(uint16_t)e;
        lane->position += advance;
        table = (uint32_t)(e >> GSZ_ENTRY_NEXT) * size;
    }
    GSZ_CHECK(gsz_bits_end(&b), GSZ_E_STREAM);
    return GSZ_OK;
}

static int set_lanes(gsz_symbol_decoder *d, gsz_reader in, size_t n) {
    uint64_t length[GSZ_STREAMS];
    GSZ_CHECK(gsz_left(&in) <= SIZE_MAX / 8, GSZ_E_TOO_LARGE);     /* positions are counted in bits */
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

/* The streams' parts are decoded with padding between them; close the gaps. */
static void close_gaps(const gsz_symbol_decoder *d, size_t n) {
    for (unsigned j = 1; j < d->streams; j++) {
        size_t start = stream_start(n, d->streams, j), end = stream_start(n, d->streams, j + 1);
        memmove(d->out + start, d->out + start + j * GSZ_LANE_PADDING, (end - start) * sizeof *d->out);
    }
}

/* What stands behind the streams: far classes and raw low bits (format.md 4.5 and 4.6). */
typedef struct { unsigned low; gsz_reader far_list, low_fields; } tail;

static int split_tail(gsz_reader *in, unsigned header, tail *t) {
    uint64_t low_size = 0, far_size = 0;
    memset(t, 0, sizeof *t);
    if (header & HEADER_LOW) {
        GSZ_CHECK(gsz_get_u8(in, &t->low) && gsz_get_varint(in, &low_size) == 1, GSZ_E_SECTION);
        GSZ_CHECK(t->low >= 1 && t->low <= GSZ_MAX_LOW, GSZ_E_RESERVED);
    }
    if (header & HEADER_FAR) GSZ_CHECK(gsz_get_varint(in, &far_size) == 1, GSZ_E_SECTION);
    GSZ_CHECK(low_size <= gsz_left(in) && far_size <= gsz_left(in) - low_size, GSZ_E_SECTION);
    t->low_fields.end = in->end;
    t->low_fields.p = t->far_list.end = in->end - low_size;
    t->far_list.p = in->end = t->far_list.end - far_size;
    return GSZ_OK;
}

/* Far values: their class comes from the list, their low bits are in place already. */
static int restore_far(gsz_work *work, const int16_t *classes, size_t n, tail *t, int32_t *v) {
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->far_at, n * sizeof(uint32_t)));
    uint32_t *at = (uint32_t *)work->far_at.data;
    size_t count = work->kernels->find16(classes, n, GSZ_FAR16, at);
    for (size_t i = 0; i < count; i++) {
        uint64_t far;
        GSZ_CHECK(gsz_get_varint(&t->far_list, &far) == 1 && far >> 1 <= (uint32_t)INT32_MAX >> t->low, GSZ_E_SECTION);
        uint32_t field = (0u - (uint32_t)v[at[i]] - 1) & (((uint32_t)1 << t->low) - 1);
        uint64_t m = (far >> 1 << t->low | field) + 1;
        GSZ_CHECK(m <= INT32_MAX, GSZ_E_SECTION);
        v[at[i]] = far & 1 ? (int32_t)m : -(int32_t)m;
    }
    GSZ_CHECK(gsz_left(&t->far_list) == 0, GSZ_E_SECTION);
    return GSZ_OK;
}

/* Symbols from classes, where these are not the same. */
static int widen(gsz_work *work, const int16_t *classes, size_t n, tail *t, int far, gsz_symbols *out) {
    size_t size = gsz_left(&t->low_fields);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->wide, n * sizeof(int32_t)));
    int32_t *v = (int32_t *)work->wide.data;
    uint64_t bits = work->kernels->join_low(classes, n, t->low, t->low_fields.p, size, v);
    GSZ_CHECK(size == (bits + 7) / 8, GSZ_E_SECTION);
    GSZ_CHECK(bits % 8 == 0 || t->low_fields.end[-1] >> bits % 8 == 0, GSZ_E_SECTION);
    if (far) GSZ_TRY(restore_far(work, classes, n, t, v));
    out->wide = v;
    out->narrow = NULL;
    return GSZ_OK;
}

static int decode_classes(gsz_work *work, gsz_reader in, size_t n, unsigned header, gsz_symbol_decoder *d) {
    unsigned codes = header & HEADER_TABLE_B ? 2 : 1;
    size_t room = (n + GSZ_STREAMS * GSZ_LANE_PADDING) * sizeof(int16_t);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->symbols, room));
    memset(work->symbols.data, 0, room);
    d->out = (int16_t *)work->symbols.data;
    if (header == HEADER_ALL_ZERO) return GSZ_OK;
    GSZ_TRY(read_codes(work, &in, codes));
    GSZ_TRY(build_tables(work, d, codes, gsz_left(&in)));
    d->streams = header & HEADER_FOUR ? GSZ_STREAMS : 1;
    GSZ_TRY(set_lanes(d, in, n));
    work->kernels->decode_streams(d);
    for (unsigned j = 0; j < d->streams; j++) GSZ_TRY(finish_lane(d, &d->lane[j]));
    close_gaps(d, n);
    return GSZ_OK;
}

static int any_code_has(const gsz_work *work, unsigned header, unsigned token) {
    const gsz_code *code = (const gsz_code *)work->codes.data;
    return code[0].length[token] || (header & HEADER_TABLE_B && code[1].length[token]);
}

int gsz_symbols_decode(gsz_work *work, gsz_reader in, size_t n, gsz_symbols *out) {
    gsz_symbol_decoder d;
    unsigned header;
    tail t;
    memset(&d, 0, sizeof d);
    memset(out, 0, sizeof *out);
    GSZ_CHECK(gsz_get_u8(&in, &header), GSZ_E_SECTION);
    GSZ_CHECK(header == HEADER_ALL_ZERO || (header & 0xf0) == 0, GSZ_E_RESERVED);
    if (header == HEADER_ALL_ZERO) GSZ_CHECK(gsz_left(&in) == 0, GSZ_E_SECTION);
    GSZ_TRY(split_tail(&in, header == HEADER_ALL_ZERO ? 0 : header, &t));
    GSZ_TRY(decode_classes(work, in, n, header, &d));
    out->narrow = d.out;
    if (header == HEADER_ALL_ZERO) return GSZ_OK;
    out->may_escape = any_code_has(work, header, GSZ_TOKEN_ESCAPE);
    int far = any_code_has(work, header, GSZ_TOKEN_FAR);
    GSZ_CHECK(far == ((header & HEADER_FAR) != 0), GSZ_E_SECTION);
    return t.low > 0 || far ? widen(work, d.out, n, &t, far, out) : GSZ_OK;
}
