#include "alloc.h"

#include <stdlib.h>

static void *default_allocate(void *opaque, size_t size) { (void)opaque; return malloc(size); }
static void default_release(void *opaque, void *pointer) { (void)opaque; free(pointer); }

void gsz_heap_init(gsz_heap *heap, const gsz_options *options) {
    memset(heap, 0, sizeof *heap);
    heap->hook.allocate = default_allocate;
    heap->hook.release = default_release;
    if (options->allocator != NULL) heap->hook = *options->allocator;
    heap->limit = options->max_memory;
    GSZ_MUTEX_INIT(&heap->lock);
}

void gsz_heap_destroy(gsz_heap *heap) { GSZ_MUTEX_DESTROY(&heap->lock); }

static int take_budget(gsz_heap *heap, uint64_t size) {
    GSZ_MUTEX_LOCK(&heap->lock);
    int ok = heap->limit == 0 || (size <= heap->limit && heap->used <= heap->limit - size);
    if (ok) {
        heap->used += size;
        heap->peak = GSZ_MAX(heap->peak, heap->used);
    }
    GSZ_MUTEX_UNLOCK(&heap->lock);
    return ok;
}

static void give_budget(gsz_heap *heap, uint64_t size) {
    GSZ_MUTEX_LOCK(&heap->lock);
    heap->used -= size;
    GSZ_MUTEX_UNLOCK(&heap->lock);
}

void *gsz_alloc(gsz_heap *heap, size_t size) {
    if (!take_budget(heap, size)) return NULL;
    void *p = heap->hook.allocate(heap->hook.opaque, size ? size : 1);
    if (p == NULL) give_budget(heap, size);
    return p;
}

void gsz_release(gsz_heap *heap, void *pointer, size_t size) {
    if (pointer == NULL) return;
    heap->hook.release(heap->hook.opaque, pointer);
    give_budget(heap, size);
}

int gsz_scratch_reserve(gsz_heap *heap, gsz_scratch *scratch, size_t size) {
    if (size <= scratch->size) return GSZ_OK;
    gsz_scratch_release(heap, scratch);
    scratch->data = gsz_alloc(heap, size);
    GSZ_CHECK(scratch->data != NULL, GSZ_E_MEMORY);
    scratch->size = size;
    return GSZ_OK;
}

void gsz_scratch_release(gsz_heap *heap, gsz_scratch *scratch) {
    gsz_release(heap, scratch->data, scratch->size);
    scratch->data = NULL;
    scratch->size = 0;
}
