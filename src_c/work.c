#include "work.h"

void gsz_work_init(gsz_work *work, gsz_heap *heap, const gsz_kernels *kernels) {
    memset(work, 0, sizeof *work);
    work->heap = heap;
    work->kernels = kernels;
}

void gsz_work_release(gsz_work *work) {
    gsz_scratch *all[] = {&work->k, &work->predicted, &work->signed_bytes, &work->gaps, &work->at, &work->far_at, &work->codes, &work->tables,
                          &work->bytes, &work->low, &work->symbols, &work->wide, &work->planes, &work->escapes,
                          &work->model, &work->scales, &work->values, &work->prior, &work->rest, &work->factors, &work->bins, &work->lowrank, &work->turn};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) gsz_scratch_release(work->heap, all[i]);
}
