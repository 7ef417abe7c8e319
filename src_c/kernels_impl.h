/* Everything of one kernel table.  No include guard: kernels.c and x86/kernels_avx2.c include it, each
 * after defining SUFFIX (the ending of the names) and perhaps OWN_TWINS (a file of loops of its own). */

#include "bits.h"
#include "fp.h"
#include "kernels.h"
#include "model.h"
#include "rans.h"
#include "roots.h"
#include "shrink.h"
#include "symbols.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define PASTE_(a, b, c) a##_##b##_##c
#define PASTE(a, b, c) PASTE_(a, b, c)
#define DOUBLE_HUGEST 0x1.fffffffffffffp1023

/* float working type: float16, bfloat16, float32 */
#define W float
#define MAGIC 0x1.8p23f
#define MAX_K GSZ_MAX_K_FLOAT
#define HUGEST 0x1.fffffep127f
#define ABS(v) gsz_float_of_bits(gsz_bits_of_float(v) & 0x7fffffffu)
#define BOUND(eb) gsz_float_not_above(eb)
#define KEY int32_t
#define UKEY uint32_t
#define BITS_OF(w) gsz_bits_of_float(w)
#define OF_BITS(v) gsz_float_of_bits(v)

#define T uint16_t
#define NAME(f) PASTE(f, half, SUFFIX)
#define LOAD(v) gsz_float_of_half(v)
#define STORE(w) gsz_half_of_float(w)
#include "kernels_tmpl.h"
#undef NAME
#undef LOAD
#undef STORE
#define NAME(f) PASTE(f, bfloat, SUFFIX)
#define LOAD(v) gsz_float_of_bfloat(v)
#define STORE(w) gsz_bfloat_of_float(w)
#include "kernels_tmpl.h"
#undef NAME
#undef LOAD
#undef STORE
#undef T
#define T float
#define NAME(f) PASTE(f, float, SUFFIX)
#define LOAD(v) (v)
#define STORE(w) (w)
#include "kernels_tmpl.h"
#undef NAME
#undef T
#undef W
#undef MAGIC
#undef MAX_K
#undef HUGEST
#undef ABS
#undef BOUND
#undef KEY
#undef UKEY
#undef BITS_OF
#undef OF_BITS

/* double working type: float64 */
#define T double
#define W double
#define MAGIC 0x1.8p52
#define MAX_K GSZ_MAX_K_DOUBLE
#define HUGEST DOUBLE_HUGEST
#define ABS(v) gsz_abs_double(v)
#define BOUND(eb) (eb)
#define KEY int64_t
#define UKEY uint64_t
#define BITS_OF(w) gsz_bits_of_double(w)
#define OF_BITS(v) gsz_double_of_bits(v)
#define NAME(f) PASTE(f, double, SUFFIX)
#include "kernels_tmpl.h"
#undef NAME

#define NAME(f) PASTE(f, int, SUFFIX)

static size_t NAME(survey)(const int32_t *v, size_t n, uint32_t *largest) {
    uint32_t all = 0, count = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t m = (uint32_t)(v[i] ^ (v[i] >> 31));
        all |= v[i] == GSZ_ESCAPE ? 0u : m;
        count += v[i] != 0;
    }
    *largest = all;
    return count;
}

/* Words of compacted integers [i, count); see kernels.h. */
GSZ_INLINE size_t NAME(name_rest)(const uint32_t *restrict positions, const int32_t *restrict values, size_t i,
                                  size_t count, unsigned low, uint32_t classes, uint32_t *restrict tokens) {
    const uint32_t *restrict before = positions - 1;
    uint32_t others = 0;
    for (; i < count; i++) {
        uint32_t gap = positions[i] - before[i] - 1;
        int32_t v = values[i];
        uint32_t class = gsz_magnitude(v) >> low;
        uint32_t token = class < classes ? GSZ_TOKEN_VALUE + 2 * class + (uint32_t)(v > 0) : GSZ_TOKEN_FAR;
        token = v == GSZ_ESCAPE ? GSZ_TOKEN_ESCAPE : token;
        uint32_t from_first = token - GSZ_TOKEN_VALUE;
        int simple = (from_first < GSZ_SIMPLE_TOKENS) & (gap < GSZ_SIMPLE_GAPS);
        tokens[i] = simple ? from_first | gap * GSZ_SIMPLE_TOKENS : GSZ_OTHER | token;
        others += (uint32_t)!simple;
    }
    return others;
}

GSZ_INLINE uint32_t NAME(low_of)(int32_t v, uint32_t mask) {
    return v == GSZ_ESCAPE ? 0 : gsz_magnitude(v) & mask;
}

GSZ_INLINE int32_t NAME(joined)(int16_t class, unsigned low, uint32_t field) {
    uint32_t m = ((((uint32_t)(class < 0 ? -class : class) - 1) << low) | field) + 1;
    return class == 0 ? 0 : class == GSZ_ESCAPE16 ? GSZ_ESCAPE : (int32_t)(class < 0 ? 0u - m : m);
}

/* From any element on: fields one by one, bytes beyond the end read as zero. */
static uint64_t NAME(join_rest)(const int16_t *classes, size_t i, size_t n, unsigned low, const uint8_t *fields,
                            size_t size, size_t bit, int32_t *v) {
    const uint32_t mask = ((uint32_t)1 << low) - 1;
    for (; i < n; i++) {
        uint64_t word = 0;
        size_t byte = bit >> 3;
        if (byte + 8 <= size) word = gsz_load_le64(fields + byte);     /* nocheck: the line above */
        else for (size_t k = byte; k < size; k++) word |= (uint64_t)fields[k] << (8 * (k - byte));
        v[i] = NAME(joined)(classes[i], low, (uint32_t)(word >> (bit & 7)) & mask);
        bit += classes[i] != 0 ? low : 0;
    }
    return bit;
}

/* The rest of a running sum, from element i on. */
GSZ_INLINE void NAME(sum_rest)(int32_t *v, size_t i, size_t n, uint32_t sum) {
    for (; i < n; i++) v[i] = (int32_t)(sum += (uint32_t)v[i]);
}

/* Lanes [j, lanes) of both. */
#define MOVE4(to, i, from, k) memcpy((uint8_t *)(to) + 4 * (i), (const uint8_t *)(from) + 4 * (k), 4)
GSZ_INLINE void NAME(gather_rest)(const void *restrict row, size_t j, size_t lanes, size_t taps, void *restrict planes) {
    for (; j < lanes; j++)
        for (size_t tap = 0; tap < taps; tap++) MOVE4(planes, tap * lanes + j, row, j * taps + tap);
}

GSZ_INLINE void NAME(scatter_rest)(const void *restrict planes, size_t j, size_t lanes, size_t taps, void *restrict row) {
    for (; j < lanes; j++)
        for (size_t tap = 0; tap < taps; tap++) MOVE4(row, j * taps + tap, planes, tap * lanes + j);
}
#undef MOVE4

#include "rans_tmpl.h"

#ifdef OWN_TWINS
#include OWN_TWINS
#else
static void NAME(running_sum)(int32_t *v, size_t n) { NAME(sum_rest)(v, 0, n, 0); }

static void NAME(gather_taps)(const void *row, size_t lanes, unsigned taps, void *planes) { NAME(gather_rest)(row, 0, lanes, taps, planes); }
static void NAME(scatter_taps)(const void *planes, size_t lanes, unsigned taps, void *row) { NAME(scatter_rest)(planes, 0, lanes, taps, row); }

static size_t NAME(compact)(const int32_t *v, size_t n, uint32_t *positions, int32_t *values) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        positions[count] = (uint32_t)i;
        values[count] = v[i];
        count += v[i] != 0;
    }
    return count;
}

static size_t NAME(name_tokens)(const uint32_t *positions, const int32_t *values, size_t count, unsigned low,
                                uint32_t classes, uint32_t *tokens) {
    return NAME(name_rest)(positions, values, 0, count, low, classes, tokens);
}

static void NAME(put_low)(const int32_t *values, size_t count, unsigned low, gsz_bitwriter *out) {
    const uint32_t mask = ((uint32_t)1 << low) - 1;
    for (size_t i = 0; i < count; i++) gsz_bits_put(out, NAME(low_of)(values[i], mask), low);
}

static uint64_t NAME(join_low)(const int16_t *classes, size_t n, unsigned low, const uint8_t *fields, size_t size,
                               int32_t *v) {
    return NAME(join_rest)(classes, 0, n, low, fields, size, 0, v);
}

static void NAME(put_fields)(gsz_bitwriter *b, const uint32_t *v, const uint8_t *width, size_t n, unsigned most) {
    gsz_bits_put_fields(b, v, width, n, most);
}

static void NAME(get_fields)(gsz_bitreader *b, const uint8_t *width, size_t n, unsigned most, uint32_t *v) {
    gsz_bits_get_fields(b, width, n, most, v);
}

static uint8_t *NAME(rans_encode)(const gsz_rans_code *codes, const uint16_t *tokens, size_t n, unsigned states,
                                  uint32_t *state, uint8_t *p) {
    return NAME(rans_put)(codes, tokens, n, 0, states, state, p);
}

static void NAME(rans_decode)(gsz_rans_decoder *d, const uint8_t *context, size_t n, uint8_t *symbol) {
    NAME(rans_rest)(d, context, 0, n, symbol);
}
#endif

static size_t NAME(find16)(const int16_t *v, size_t n, int16_t value, uint32_t *positions) {
    size_t count = 0, i = 0;
    for (; i + 16 <= n; i += 16) {
        int any = 0;
        for (size_t j = 0; j < 16; j++) any |= v[i + j] == value;
        for (size_t j = 0; any && j < 16; j++)
            if (v[i + j] == value) positions[count++] = (uint32_t)(i + j);
    }
    for (; i < n; i++)
        if (v[i] == value) positions[count++] = (uint32_t)i;
    return count;
}

static size_t NAME(find32)(const int32_t *v, size_t n, int32_t value, uint32_t *positions) {
    size_t count = 0, i = 0;
    for (; i + 16 <= n; i += 16) {
        int any = 0;
        for (size_t j = 0; j < 16; j++) any |= v[i + j] == value;
        for (size_t j = 0; any && j < 16; j++)
            if (v[i + j] == value) positions[count++] = (uint32_t)(i + j);
    }
    for (; i < n; i++)
        if (v[i] == value) positions[count++] = (uint32_t)i;
    return count;
}

#include "symbols_tmpl.h"
#include "model_tmpl.h"
#include "fit_tmpl.h"
#include "lowrank_tmpl.h"
#include "integer_tmpl.h"
#include "dense_tmpl.h"
#include "turn_tmpl.h"

#define FOR_TYPES(f) {PASTE(f, half, SUFFIX), PASTE(f, bfloat, SUFFIX), PASTE(f, float, SUFFIX), PASTE(f, double, SUFFIX)}
/* A table; the rANS coder and the products of low rank may be others. */
#define KERNEL_TABLE(MASK, CRC) \
    KERNEL_TABLE_WITH(MASK, CRC, NAME(rans_encode), NAME(rans_decode), NAME(lowrank_times), NAME(lowrank_rows))
#define KERNEL_TABLE_WITH(MASK, CRC, RANS_ENCODE, RANS_DECODE, TIMES, ROWS) { \
    MASK, FOR_TYPES(quantise), FOR_TYPES(dequantise16), FOR_TYPES(dequantise32), FOR_TYPES(range), \
    FOR_TYPES(sum_squares), FOR_TYPES(sum_errors), NAME(survey), NAME(compact), NAME(name_tokens), \
    NAME(put_low), NAME(join_low), NAME(put_fields), NAME(get_fields), NAME(running_sum), NAME(find16), NAME(find32), NAME(encode_streams), NAME(decode_streams), \
    RANS_ENCODE, NAME(rans_slots), RANS_DECODE, NAME(model_logs), NAME(model_contexts), NAME(model_means), NAME(model_align), NAME(model_dither), NAME(model_phases), NAME(model_shrink), NAME(model_join), NAME(model_join_narrow), \
    NAME(model_split), NAME(model_learn), NAME(model_sum), FOR_TYPES(model_quantise), FOR_TYPES(in_units), FOR_TYPES(differences), NAME(gather_taps), NAME(scatter_taps), \
    NAME(fit_sums), NAME(fit_dot), NAME(fit_weights), NAME(fit_left), NAME(lowrank_product), TIMES, NAME(lowrank_energy), NAME(lowrank_gram), ROWS, NAME(orthogonalise), NAME(eigenvectors), \
    NAME(turn_dot), NAME(turn_subtract), NAME(turn_away), FOR_TYPES(sum_sizes), CRC}
