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
    out->codec = GSZ_CODEC_EXACT;
    if (in->settings->scheme == GSZ_SPARSE_DITHERING) gsz_sparse_dithering(in, values, out);
    else if (in->settings->scheme == GSZ_M22) gsz_m22(in, values, out);
    else out->codec = GSZ_CODEC_SPHERICAL;
}

int gsz_levels_apply(int dtype, const uint8_t *levels, unsigned nlevels, void *x, size_t n) {
    double level[GSZ_MAX_LEVELS + 1] = {0};
    gsz_element element;
    const size_t itemsize = gsz_itemsize(dtype);
    for (unsigned j = 0; j < nlevels; j++) {
        gsz_copy_le(&element, levels + j * itemsize, 1, itemsize);
        level[j + 1] = gsz_value_at(dtype, &element, 0);
    }
    for (size_t i = 0; i < n; i++) {
        double label = gsz_value_at(dtype, x, i), size = gsz_abs_double(label);
        if (!gsz_is_finite(label)) continue;
        GSZ_CHECK(size <= nlevels, GSZ_E_SECTION);
        unsigned j = (unsigned)size;
        GSZ_CHECK((double)j == size, GSZ_E_SECTION);
        gsz_put_value(dtype, x, i, label < 0 ? -level[j] : level[j]);
    }
    return GSZ_OK;
}
