#include "head_fields.h"

#define WEIGHT_ORDER 5u
#define TAP_ORDER 2u

/* ---- weights: as they are without a fit, or one by one; families that this view does not have are left out */

static int has_feature(const gsz_modelled *t, unsigned feature) {
    return gsz_feature_exists(feature, t->view.matrix, t->rounds) && t->view.taps > gsz_feature_first(feature, t->view.side);
}

static int default_weights(const gsz_modelled *t) {
    const gsz_model_weights *w = &t->weights;
    gsz_model_weights usual;
    gsz_model_default_weights(w->unit_bits, gsz_is_phased(t), &usual);
    int same = w->constant == usual.constant && w->row == usual.row && w->column == usual.column;
    for (unsigned k = 0; k < t->rounds; k++) same &= w->past[k] == usual.past[k];
    for (unsigned k = 0; k < GSZ_FEATURES; k++) same &= !has_feature(t, k) || w->mean[k] == usual.mean[k];
    return same;
}

static int may_tell_taps(const gsz_modelled *t) { return !t->view.matrix && t->view.taps > 1; }

int gsz_put_weights(gsz_bit_sink *side, const gsz_modelled *t) {
    const gsz_model_weights *w = &t->weights;
    GSZ_TRY(gsz_sink_reserve(side, (3 + GSZ_MAX_PAST + GSZ_FEATURES + GSZ_MAX_TAPS) * GSZ_NUMBER_BITS / 8 + 1));
    int fitted = !default_weights(t);
    gsz_bits_put(&side->bits, (uint64_t)fitted, 1);
    if (!fitted) return GSZ_OK;
    gsz_number_put(&side->bits, WEIGHT_ORDER, gsz_zigzag(w->constant));
    gsz_number_put(&side->bits, WEIGHT_ORDER, gsz_zigzag(w->row));
    gsz_number_put(&side->bits, WEIGHT_ORDER, gsz_zigzag(w->column));
    for (unsigned k = 0; k < t->rounds; k++) gsz_number_put(&side->bits, WEIGHT_ORDER, gsz_zigzag(w->past[k]));
    for (unsigned k = 0; k < GSZ_FEATURES; k++)
        if (has_feature(t, k)) gsz_number_put(&side->bits, WEIGHT_ORDER, gsz_zigzag(w->mean[k]));
    if (!may_tell_taps(t)) return GSZ_OK;
    gsz_bits_put(&side->bits, w->by_tap != 0, 1);
    for (unsigned tap = 0; w->by_tap && tap < t->view.taps; tap++) gsz_number_put(&side->bits, TAP_ORDER, gsz_zigzag(w->tap[tap]));
    return GSZ_OK;
}

static int get_weight(gsz_bitreader *side, int32_t *weight) {
    uint32_t v;
    GSZ_CHECK(gsz_number_get(side, WEIGHT_ORDER, &v), GSZ_E_SECTION);
    *weight = gsz_zigzag_back(v);
    return GSZ_OK;
}

static int get_taps(gsz_bitreader *side, gsz_modelled *t) {
    uint32_t v;
    t->weights.by_tap = 1;
    for (unsigned tap = 0; tap < t->view.taps; tap++) {
        GSZ_CHECK(gsz_number_get(side, TAP_ORDER, &v) && v <= 2 * GSZ_MOST_TAP, GSZ_E_SECTION);
        t->weights.tap[tap] = (int8_t)gsz_zigzag_back(v);
    }
    return GSZ_OK;
}

int gsz_get_weights(gsz_bitreader *side, gsz_modelled *t, unsigned unit_bits) {
    gsz_model_weights *w = &t->weights;
    gsz_model_default_weights(unit_bits, gsz_is_phased(t), w);
    if (gsz_bits_get(side, 1) == 0) return GSZ_OK;
    GSZ_TRY(get_weight(side, &w->constant));
    GSZ_TRY(get_weight(side, &w->row));
    GSZ_TRY(get_weight(side, &w->column));
    for (unsigned k = 0; k < t->rounds; k++) GSZ_TRY(get_weight(side, &w->past[k]));
    for (unsigned k = 0; k < GSZ_FEATURES; k++)
        if (has_feature(t, k)) GSZ_TRY(get_weight(side, &w->mean[k]));
    return may_tell_taps(t) && gsz_bits_get(side, 1) != 0 ? get_taps(side, t) : GSZ_OK;
}

/* ---- scales: that of the first live row, from that of the head before; then of all rows as one step: the difference to the live
 * row before, or 127 for a row of zeros */
#define DEAD_ROW 127u
#define SCALE_ORDER 1u

int gsz_put_scales(gsz_segment_encoder *e, const gsz_modelled *t) {
    const size_t n = t->view.rows;
    uint16_t *tokens = gsz_segment_step(e, n);
    GSZ_CHECK(tokens != NULL, GSZ_E_MEMORY);
    unsigned before = 0, context = gsz_set_first(t->set) + gsz_set_size(t->set) - 1;
    for (size_t i = 0; i < n && before == 0; i++) before = t->scales[i];
    GSZ_TRY(gsz_sink_reserve(&e->side, GSZ_NUMBER_BITS / 8 + 1));
    gsz_number_put(&e->side.bits, SCALE_ORDER, gsz_zigzag((int32_t)before - (int32_t)e->scale[t->set]));
    e->scale[t->set] = (uint8_t)before;
    for (size_t i = 0; i < n; i++) {
        unsigned scale = t->scales[i], symbol = scale == 0 ? DEAD_ROW : GSZ_SYMBOL_ZERO + scale - before;
        tokens[i] = (uint16_t)(context * GSZ_RANS_SYMBOLS + symbol);
        before = scale == 0 ? before : scale;
    }
    gsz_segment_count(e, tokens, n);
    return GSZ_OK;
}

int gsz_get_scales(gsz_work *work, gsz_segment_decoder *d, unsigned set, size_t n, uint8_t *scales) {
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->scales, n));
    memset(work->scales.data, (int)gsz_set_size(set) - 1, n);
    GSZ_TRY(gsz_segment_use(d, set));
    gsz_segment_symbols(work->kernels, d, (const uint8_t *)work->scales.data, n, scales);
    uint32_t more;
    GSZ_CHECK(gsz_number_get(&d->side, SCALE_ORDER, &more), GSZ_E_SECTION);
    unsigned before = d->scale[set] + (unsigned)gsz_zigzag_back(more);         /* wraps below 0 */
    GSZ_CHECK(before < GSZ_SCALES, GSZ_E_SECTION);
    d->scale[set] = (uint8_t)before;
    for (size_t i = 0; i < n; i++) {
        if (scales[i] == DEAD_ROW) {
            scales[i] = 0;
            continue;
        }
        unsigned scale = before + scales[i] - GSZ_SYMBOL_ZERO;
        GSZ_CHECK(scale >= 1 && scale < GSZ_SCALES, GSZ_E_SECTION);
        before = scales[i] = (uint8_t)scale;
    }
    return GSZ_OK;
}
