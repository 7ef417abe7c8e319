#include "quantisers/quantiser.h"

int gsz_quantiser_ok(const gsz_quantiser *q) {
    switch (q->scheme) {
    case GSZ_SPARSE_DITHERING: return q->target >= 0x1p-40 && q->target <= 0x1p40;
    case GSZ_SPHERICAL: return q->target > 0 && q->target < 1 && q->block >= 2 && q->block <= GSZ_SPHERE_BLOCK;
    case GSZ_M22:
        return q->bits >= 1 && q->bits <= GSZ_M22_BITS && q->power >= 0 && q->power <= GSZ_M22_POWER
            && q->family >= GSZ_FAMILY_AUTO && q->family <= GSZ_DWEIBULL && q->keep > 0 && q->keep <= 1
            && q->threshold >= 0 && q->threshold <= gsz_largest(GSZ_FLOAT64)
            && (q->shape == 0 || (q->family != GSZ_FAMILY_AUTO && q->shape >= GSZ_M22_SHAPE_LEAST && q->shape <= GSZ_M22_SHAPE_MOST
                                  && q->scale > 0 && q->scale <= gsz_largest(GSZ_FLOAT64)));
    default: return 0;
    }
}

void gsz_quantise(const gsz_quantising *in, void *values, gsz_quantised *out) {
    memset(out, 0, sizeof *out);
    if (in->settings->scheme == GSZ_SPARSE_DITHERING) gsz_sparse_dithering(in, values, out);
    else gsz_m22(in, values, out);
}

/* Labels to levels; 0 for a finite value that is no label. */
static int replace(const double *level, unsigned nlevels, double *v, size_t n) {
    int good = 1;
    for (size_t i = 0; i < n; i++) {
        double size = gsz_abs_double(v[i]);
        if (!gsz_is_finite(size)) continue;
        unsigned j = size <= nlevels ? (unsigned)size : 0;
        good &= (double)j == size;
        v[i] = v[i] < 0 ? -level[j] : level[j];
    }
    return good;
}

int gsz_levels_apply(int dtype, const uint8_t *levels, unsigned nlevels, void *x, size_t n) {
    double level[GSZ_MAX_LEVELS + 1] = {0}, v[GSZ_VALUES];
    gsz_element element, before[GSZ_VALUES];
    const size_t itemsize = gsz_itemsize(dtype);
    for (unsigned j = 0; j < nlevels; j++) {
        gsz_copy_le(&element, levels + j * itemsize, 1, itemsize);
        gsz_load_values(dtype, &element, 0, 1, &level[j + 1]);
    }
    for (size_t from = 0, here; from < n; from += here) {
        uint8_t *at = (uint8_t *)x + from * itemsize;
        here = GSZ_MIN((size_t)GSZ_VALUES, n - from);
        gsz_load_values(dtype, at, 0, here, v);
        memcpy(before, at, here * itemsize);
        GSZ_CHECK(replace(level, nlevels, v, here), GSZ_E_SECTION);
        gsz_store_values(dtype, v, here, at, 0);
        gsz_copy_specials(dtype, before, 0, here, v, at);
    }
    return GSZ_OK;
}
