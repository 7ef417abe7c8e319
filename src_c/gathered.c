#include "gathered.h"

int gsz_gathered_sum(gsz_gathered *g, const gsz_entry *first, size_t count, size_t stride) {
    memset(g, 0, sizeof *g);
    for (size_t i = 0; i < count; i++) {
        const gsz_tensor *t = &gsz_entry_at(first, i, stride)->tensor;
        if (t->codec != GSZ_CODEC_GATHERED) continue;
        GSZ_CHECK(gsz_add_u64(g->shapes[t->dtype], t->elements, &g->shapes[t->dtype]), GSZ_E_TOO_LARGE);
    }
    for (unsigned d = 0; d < GSZ_DTYPES; d++) {
        gsz_tensor *t = &g->runs[d].tensor;
        if (g->shapes[d] == 0) continue;
        t->dtype = (int)d;
        t->codec = GSZ_CODEC_EXACT;
        t->ndim = 1;
        t->shape = &g->shapes[d];
        GSZ_TRY(gsz_tensor_measure(t));
    }
    return GSZ_OK;
}

int gsz_gathered_read(gsz_gathered *g, gsz_reader *in) {
    for (unsigned d = 0; d < GSZ_DTYPES; d++) {
        gsz_entry *e = &g->runs[d];
        if (g->shapes[d] == 0) continue;
        GSZ_TRY(gsz_section_size_read(in, e));
        if (e->section_size == e->tensor.elements * e->tensor.itemsize) e->tensor.codec = GSZ_CODEC_RAW;
    }
    return GSZ_OK;
}

uint64_t gsz_gathered_share(const gsz_gathered *g, const gsz_tensor *t) {
    const gsz_entry *run = &g->runs[t->dtype];
    return (uint64_t)((double)(run->section_size + 4) * ((double)t->elements / (double)run->tensor.elements) + 0.5);
}
