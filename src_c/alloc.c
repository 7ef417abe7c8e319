#if defined(__linux__)
#define _DEFAULT_SOURCE                 /* MAP_ANONYMOUS, madvise */
#endif
#include "alloc.h"

#include <stdlib.h>

/* ---- large blocks: mappings of their own, of huge pages where the system has them.  A call touches most of its memory a few times, so
 * that faults were a tenth of its time; and malloc keeps what is given back between smaller blocks. */

#define LARGE ((size_t)1 << 22)        /* smaller ones malloc has again the next time */

/* Under the address sanitizer every block is one of malloc's, between its red zones. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

#if defined(__linux__) && !defined(SANITIZED)
#include <sys/mman.h>
#define MAPS 1
#define PAGES ((size_t)1 << 16)         /* a multiple of every page */
#define HUGE ((size_t)1 << 21)          /* huge pages begin at multiples */

static size_t whole_pages(size_t size) { return (size + (PAGES - 1)) & ~(PAGES - 1); }

static void *map(size_t size) {
    if (size > SIZE_MAX / 2) return NULL;
    const size_t whole = whole_pages(size);
    void *p = mmap(NULL, whole + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    const size_t before = (size_t)(0 - (uintptr_t)p) & (HUGE - 1);
    uint8_t *start = (uint8_t *)p + before;
    if (before > 0) (void)munmap(p, before);
    (void)munmap(start + whole, HUGE - before);
#if defined(MADV_HUGEPAGE)
    (void)madvise(start, whole & ~(HUGE - 1), MADV_HUGEPAGE);       /* the rest is touched in part only */
#endif
    return start;
}

static void unmap(void *p, size_t size) { (void)munmap(p, whole_pages(size)); }
#else
#define MAPS 0
static void *map(size_t size) { (void)size; return NULL; }
static void unmap(void *p, size_t size) { (void)p, (void)size; }
#endif

/* ---- the heap */

static void *default_allocate(void *opaque, size_t size) { (void)opaque; return malloc(size); }
static void default_release(void *opaque, void *pointer) { (void)opaque; free(pointer); }

void gsz_heap_init(gsz_heap *heap, const gsz_options *options) {
    memset(heap, 0, sizeof *heap);
    heap->hook.allocate = default_allocate;
    heap->hook.release = default_release;
    if (options->allocator != NULL) heap->hook = *options->allocator;
    heap->maps = MAPS && options->allocator == NULL;
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

static int is_mapped(const gsz_heap *heap, size_t size) { return heap->maps && size >= LARGE; }

static void *alloc(gsz_heap *heap, size_t size, int mapped) {
    if (!take_budget(heap, size)) return NULL;
    void *p = mapped ? map(size) : heap->hook.allocate(heap->hook.opaque, size ? size : 1);
    if (p == NULL) give_budget(heap, size);
    return p;
}

static void release(gsz_heap *heap, void *pointer, size_t size, int mapped) {
    if (pointer == NULL) return;
    if (mapped) unmap(pointer, size);
    else heap->hook.release(heap->hook.opaque, pointer);
    give_budget(heap, size);
}

void *gsz_alloc(gsz_heap *heap, size_t size) { return alloc(heap, size, is_mapped(heap, size)); }
void gsz_release(gsz_heap *heap, void *pointer, size_t size) { release(heap, pointer, size, is_mapped(heap, size)); }
void *gsz_alloc_kept(gsz_heap *heap, size_t size) { return alloc(heap, size, 0); }
void gsz_release_kept(gsz_heap *heap, void *pointer, size_t size) { release(heap, pointer, size, 0); }

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
