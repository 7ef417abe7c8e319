#include "head.h"

#include "head_fields.h"
#include "pair.h"

#define UNIT_ORDER 0u

/* Unit bits as they usually are, at coarse bounds where offsets are random. */
static unsigned usual_unit_bits(const gsz_modelled *t) { return gsz_is_phased(t) ? GSZ_MAX_UNIT_BITS : GSZ_USUAL_UNIT_BITS; }

/* ---- low rank: a by live rows; b as the rows of the tensor are */
static gsz_pair_shape outer_shape(const gsz_structure *s) {
    gsz_pair_shape p = {s->scales, {0}, {0}, !s->t.view.matrix && s->t.view.taps > 1, s->t.rounds > 0 ? &s->t : NULL};
    size_t live = 0;
    for (size_t i = 0; i < s->t.view.rows; i++) if (p.live[i] != 0) live++;
    p.left = gsz_view_of_row(live, 1, 1);
    gsz_plane_view(&s->t.view, &p.right);
    return p;
}

static int get_lowrank(gsz_work *work, gsz_segment_decoder *d, gsz_structure *s, uint32_t rank) {
    const gsz_pair_shape shape = outer_shape(s);
    GSZ_CHECK(gsz_lowrank_possible(&s->t.view) && shape.left.lanes > 0, GSZ_E_SECTION);
    GSZ_TRY(gsz_pair_get(work, d, &s->low, s->t.view.rows, s->t.view.row_length, rank, &shape));
    return gsz_structure_link(work->heap, s);
}

/* ---- the head */

int gsz_head_put(gsz_work *work, gsz_segment_encoder *e, const gsz_structure *s) {
    GSZ_TRY(gsz_sink_reserve(&e->side, GSZ_NUMBER_BITS / 8 + 1));
    gsz_number_put(&e->side.bits, UNIT_ORDER, gsz_zigzag((int32_t)s->t.weights.unit_bits - (int32_t)usual_unit_bits(&s->t)));
    GSZ_TRY(gsz_put_weights(&e->side, &s->t));
    GSZ_TRY(gsz_put_scales(e, &s->t));
    if (s->low.rank > 0) {
        const gsz_pair_shape shape = outer_shape(s);
        return gsz_pair_put(work, e, &s->low, &shape);
    }
    GSZ_TRY(gsz_sink_reserve(&e->side, GSZ_NUMBER_BITS / 8 + 1));
    gsz_number_put(&e->side.bits, GSZ_RANK_ORDER, 0);
    return GSZ_OK;
}

int gsz_head_get(gsz_work *work, gsz_segment_decoder *d, gsz_structure *s) {
    uint32_t rank, more;
    GSZ_CHECK(gsz_number_get(&d->side, UNIT_ORDER, &more), GSZ_E_SECTION);
    const unsigned unit_bits = usual_unit_bits(&s->t) + (unsigned)gsz_zigzag_back(more);        /* wraps below 0 */
    GSZ_CHECK(unit_bits <= GSZ_MAX_UNIT_BITS && (unit_bits >= GSZ_LEAST_RANDOM_BITS || !gsz_is_phased(&s->t)), GSZ_E_SECTION);
    s->t.unit = gsz_model_unit(s->t.dtype, s->t.grid, s->t.eb, unit_bits);
    GSZ_CHECK(s->t.unit > 0, GSZ_E_SECTION);
    GSZ_TRY(gsz_get_weights(&d->side, &s->t, unit_bits));
    GSZ_TRY(gsz_get_scales(work, d, s->t.set, s->t.view.rows, s->scales));
    GSZ_CHECK(gsz_number_get(&d->side, GSZ_RANK_ORDER, &rank), GSZ_E_SECTION);
    GSZ_CHECK(d->side.overrun == 0, GSZ_E_SECTION);
    return rank > 0 ? get_lowrank(work, d, s, rank) : GSZ_OK;
}
