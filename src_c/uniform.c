#include "uniform.h"

#include "bound.h"
#include "fp.h"

/* The nearest integer whose decoded value is within the bound, tested exactly, or GSZ_ESCAPE. */
static int32_t quantise_carefully(const gsz_uniform *u, double x) {
    static const int offset[3] = {0, -1, 1};
    double q = x / u->step;
    if (!(gsz_abs_double(q) <= (double)gsz_max_k(u->dtype))) return GSZ_ESCAPE;     /* NaN, infinite, too far */
    int32_t nearest = (int32_t)gsz_round_double(q);
    for (int i = 0; i < 3; i++) {
        int32_t k = nearest + offset[i];
        if (gsz_within(x, gsz_decoded_value(u->dtype, k, u->step), u->eb)) return k;
    }
    return GSZ_ESCAPE;
}

size_t gsz_uniform_quantise(const gsz_kernels *kernels, const gsz_uniform *u, const void *x, size_t n, int32_t *k) {
    gsz_grid_params g = {u->step, u->eb, 0, 0};
    size_t uncertain = kernels->quantise[u->dtype](x, n, &g, k), escapes = 0;
    for (size_t i = 0; uncertain > 0; i++) {
        if (k[i] != GSZ_ESCAPE) continue;
        uncertain--;
        k[i] = quantise_carefully(u, gsz_value_at(u->dtype, x, i));
        escapes += k[i] == GSZ_ESCAPE;
    }
    return escapes;
}

/* Residuals of k.  An escape takes the predicted integer, so that its residual would be 0 and its neighbours'
 * stay small; its symbol then says that it is one.  1, or 0 if another residual would look like an escape. */
static int predict(const gsz_uniform *u, int32_t *k, size_t n, const uint32_t *at, size_t escapes, int32_t *r) {
    for (size_t i = 0; i < escapes; i++) k[at[i]] = gsz_lorenzo_predict(&u->lattice, k, at[i]);
    gsz_lorenzo_forward(&u->lattice, k, n, r);
    if (escapes > 0)    /* without escapes sums of eight integers are far from INT32_MIN */
        for (size_t i = 0; i < n; i++)
            if (r[i] == GSZ_ESCAPE) return 0;
    for (size_t i = 0; i < escapes; i++) r[at[i]] = GSZ_ESCAPE;
    return 1;
}

static size_t itemsize_of(int dtype) { return dtype == GSZ_FLOAT64 ? 8 : dtype == GSZ_FLOAT32 ? 4 : 2; }

GSZ_INLINE void copy_element(void *dst, size_t i, const void *src, size_t j, size_t itemsize) {
    memcpy((uint8_t *)dst + i * itemsize, (const uint8_t *)src + j * itemsize, itemsize);
}

/* Length and bit-exact coding of the escaped elements, in order; a zero byte when there are none. */
static int put_escapes(gsz_work *work, const gsz_uniform *u, const void *x, const uint32_t *at, size_t count,
                       gsz_writer *out) {
    size_t itemsize = itemsize_of(u->dtype);
    if (count == 0) return gsz_put_u8(out, 0);
    gsz_writer coded;
    gsz_writer_init(&coded, work->heap);
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->escapes, count * itemsize));
    for (size_t i = 0; i < count; i++) copy_element(work->escapes.data, i, x, at[i], itemsize);
    int status = gsz_exact_encode(work, work->escapes.data, count, itemsize, GSZ_KIND_FLOAT, &coded);
    if (status == GSZ_OK && (status = gsz_put_varint(out, coded.size)) == GSZ_OK)
        status = gsz_put_bytes(out, coded.data, coded.size);
    gsz_writer_release(&coded);
    return status;
}

/* Positions of the escapes in k. */
static int locate(gsz_work *work, const int32_t *k, size_t n, size_t escapes) {
    if (escapes == 0) return GSZ_OK;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->at, escapes * sizeof(uint32_t)));
    (void)work->kernels->find32(k, n, GSZ_ESCAPE, (uint32_t *)work->at.data);
    return GSZ_OK;
}

int gsz_uniform_encode(gsz_work *work, const gsz_uniform *u, const void *x, size_t n, gsz_writer *out) {
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->k, n * sizeof(int32_t)));
    if (u->lattice.dims > 0) GSZ_TRY(gsz_scratch_reserve(work->heap, &work->predicted, n * sizeof(int32_t)));
    int32_t *k = (int32_t *)work->k.data, *r = u->lattice.dims > 0 ? (int32_t *)work->predicted.data : k;
    size_t escapes = gsz_uniform_quantise(work->kernels, u, x, n, k);
    GSZ_TRY(locate(work, k, n, escapes));
    if (u->lattice.dims > 0 && !predict(u, k, n, (const uint32_t *)work->at.data, escapes, r)) {
        for (size_t i = 0; i < n; i++) r[i] = GSZ_ESCAPE;       /* contrived data only: all of it exact */
        escapes = n;
        GSZ_TRY(locate(work, r, n, n));
    }
    GSZ_TRY(put_escapes(work, u, x, (const uint32_t *)work->at.data, escapes, out));
    return gsz_symbols_encode(work, r, n, out);
}

/* ---- decoding */

/* Positions of the escapes in decoded symbols. */
static int find_escapes(gsz_work *work, const gsz_symbols *s, size_t n, size_t *count) {
    *count = 0;
    if (!s->may_escape) return GSZ_OK;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->at, n * sizeof(uint32_t)));
    uint32_t *at = (uint32_t *)work->at.data;
    *count = s->wide != NULL ? work->kernels->find32(s->wide, n, GSZ_ESCAPE, at)
                             : work->kernels->find16(s->narrow, n, GSZ_ESCAPE16, at);
    return GSZ_OK;
}

static int undo_prediction(gsz_work *work, const gsz_uniform *u, const gsz_symbols *s, size_t n, size_t escapes,
                           const int32_t **k) {
    const uint32_t *at = (const uint32_t *)work->at.data;
    int32_t *r = s->wide;
    if (r == NULL) {
        GSZ_TRY(gsz_scratch_reserve(work->heap, &work->k, n * sizeof(int32_t)));
        r = (int32_t *)work->k.data;
        for (size_t i = 0; i < n; i++) r[i] = s->narrow[i];
    }
    for (size_t i = 0; i < escapes; i++) r[at[i]] = 0;
    gsz_lorenzo_inverse(work->kernels, &u->lattice, r, n);
    *k = r;
    return GSZ_OK;
}

static int restore_escapes(gsz_work *work, const gsz_uniform *u, gsz_reader in, size_t count, void *x) {
    size_t itemsize = itemsize_of(u->dtype);
    if (count == 0) {
        GSZ_CHECK(gsz_left(&in) == 0, GSZ_E_SECTION);
        return GSZ_OK;
    }
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->escapes, count * itemsize));
    GSZ_TRY(gsz_exact_decode(work, in, count, itemsize, work->escapes.data));
    const uint32_t *at = (const uint32_t *)work->at.data;
    for (size_t i = 0; i < count; i++) copy_element(x, at[i], work->escapes.data, i, itemsize);
    return GSZ_OK;
}

int gsz_uniform_decode(gsz_work *work, const gsz_uniform *u, gsz_reader in, size_t n, void *x) {
    uint64_t size;
    gsz_reader escaped;
    gsz_symbols s;
    size_t escapes;
    GSZ_CHECK(gsz_get_varint(&in, &size) == 1 && gsz_get_reader(&in, size, &escaped), GSZ_E_SECTION);
    GSZ_TRY(gsz_symbols_decode(work, in, n, &s));
    GSZ_TRY(find_escapes(work, &s, n, &escapes));
    if (u->lattice.dims > 0) {
        const int32_t *k;
        GSZ_TRY(undo_prediction(work, u, &s, n, escapes, &k));
        work->kernels->dequantise32[u->dtype](k, n, u->step, x);
    } else if (s.wide != NULL) {
        work->kernels->dequantise32[u->dtype](s.wide, n, u->step, x);
    } else {
        work->kernels->dequantise16[u->dtype](s.narrow, n, u->step, x);
    }
    return restore_escapes(work, u, escaped, escapes, x);
}
