#include "model.h"

int32_t gsz_scale_width(unsigned index) {
    static const uint32_t third[3] = {256, 323, 406};      /* 256 * 2^(k/3) */
    if (index == 0) return 0;
    return (int32_t)(third[(index - 1) % 3] << (index - 1) / 3 >> 8);
}

int gsz_feature_exists(unsigned feature, int matrix, unsigned rounds) {
    switch (feature) {
#define FEATURE(name, exists, first) case GSZ_FEATURE_##name: return (GSZ_WITHOUT >> GSZ_FEATURE_##name & 1) == 0 && (exists);
#include "features/list.h"
#undef FEATURE
    default: return 0;
    }
}

unsigned gsz_feature_first(unsigned feature, unsigned side) {
    switch (feature) {
#define FEATURE(name, exists, first) case GSZ_FEATURE_##name: return first;
#include "features/list.h"
#undef FEATURE
    default: return 0;
    }
}

void gsz_model_widths(const gsz_model_row *row, const gsz_model_weights *w, int32_t scale, gsz_row_widths *out) {
    memset(out, 0, sizeof *out);
    out->unit_bits = w->unit_bits;
    out->narrowest = GSZ_NARROWEST;
    out->widths = GSZ_WIDTH_CONTEXTS;
    out->rounds = row->rounds;
    memcpy(out->past, w->past, sizeof out->past);
    out->base = gsz_wrap_add(gsz_wrap_mul(w->constant, (int32_t)1 << w->unit_bits), gsz_wrap_mul(w->row, scale));
    if (row->rows == 0 || (GSZ_WITHOUT & GSZ_WITHOUT_COLUMNS)) {   /* no columns are known: they are all the same */
        out->base = gsz_wrap_add(out->base, gsz_wrap_mul(w->column, scale));
        return;
    }
    /* mean of the sums, and 1/16 bin a row for columns of which little is known */
    uint64_t cells = row->matrix ? row->lanes * row->taps : row->lanes, steps = row->matrix ? row->rows : row->rows * row->taps;
    uint64_t mean = row->total / cells + (row->relative ? 0 : (steps << w->unit_bits) >> 4) + 1;
    while (mean >> out->down >= 256) out->down++;
    uint32_t ratio = ((uint32_t)scale << 8) / (uint32_t)(mean >> out->down);
    while (ratio >> out->up >= 65536) out->up++;
    out->ratio = ratio >> out->up;
    out->column = w->column;
}

/* Factors: their rows fall in size by orders of magnitude. */
#define FADING 4u               /* 1/16 a row */
#define PART_BITS 12u           /* d is of 16 times less than a scale */
#define LARGEST_PART 65536u

static void add_parts(const int32_t *restrict d, size_t n, uint32_t inverse, int32_t *restrict sums) {
    const uint32_t most = (LARGEST_PART << 10) / inverse;       /* from here on the largest: no product is above 32 bits */
    for (size_t j = 0; j < n; j++) {
        const uint32_t size = (uint32_t)(d[j] < 0 ? -d[j] : d[j]);
        sums[j] += (int32_t)((size > most ? LARGEST_PART << 10 : size * inverse) >> 10);
    }
}

void gsz_model_sum_relative(gsz_model_row *row, int32_t scale) {
    const uint32_t inverse = ((uint32_t)1 << (PART_BITS + 10)) / (uint32_t)scale;
    row->total = 0;
    for (unsigned group = 0; group < (row->matrix ? row->taps : 1); group++) {
        int32_t *sums = row->sums + group * row->stride;
        for (size_t j = 0; j < row->lanes; j++) sums[j] -= sums[j] >> FADING;
        for (unsigned tap = group; tap < (row->matrix ? group + 1 : row->taps); tap++)
            add_parts(row->d + tap * row->stride, row->lanes, inverse, sums);
        for (size_t j = 0; j < row->lanes; j++) row->total += (uint64_t)sums[j];
    }
    row->rows++;
}

/* splitmix64's finaliser. */
static uint64_t mixed(uint64_t v) {
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
    v = (v ^ v >> 27) * 0x94d049bb133111ebu;
    return v ^ v >> 31;
}

void gsz_dither_row(uint64_t seed, uint32_t slot, uint64_t tensor, uint64_t row, gsz_dither *dither) {
    uint64_t key = mixed(mixed(seed + 0x9e3779b97f4a7c15u * (tensor + 1)) + 0x9e3779b97f4a7c15u * (row + 1));
    dither->first = (uint32_t)key;
    dither->second = (uint32_t)(key >> 32);
    dither->slot = slot;
}

void gsz_model_default_weights(unsigned unit_bits, int phased, gsz_model_weights *w) {
    memset(w, 0, sizeof *w);
    w->unit_bits = unit_bits;
    if (phased) {           /* decoded values are mostly noise: nothing but the row's scale tells anything */
        w->row = 1 << GSZ_WEIGHT_BITS;
        return;
    }
    w->constant = 16;
    w->column = 60;
    if (gsz_feature_exists(GSZ_FEATURE_earlier_taps, 0, 0)) w->mean[GSZ_FEATURE_earlier_taps] = 40;
}

int gsz_model_learns(const gsz_model_weights *w) {
    int32_t any = w->column;
    for (unsigned k = 0; k < GSZ_FEATURES; k++) any |= w->mean[k];
    return any != 0;
}

size_t gsz_model_stride(const gsz_view *v) { return gsz_wide(v->lanes + 1); }
size_t gsz_model_groups(const gsz_view *v) { return v->matrix ? v->taps : 1; }
size_t gsz_model_row_size(const gsz_view *v) { return gsz_model_stride(v) * (v->taps + 1 + gsz_model_groups(v)); }

void gsz_model_row_init(const gsz_view *v, int32_t *memory, gsz_model_row *row) {
    memset(row, 0, sizeof *row);
    row->lanes = v->lanes;
    row->stride = gsz_model_stride(v);
    row->taps = v->taps;
    row->side = v->side;
    row->matrix = v->matrix;
    row->d = memory;
    row->earlier = row->d + row->taps * row->stride;
    row->sums = row->earlier + row->stride;
    memset(memory, 0, gsz_model_row_size(v) * sizeof *memory);
}
