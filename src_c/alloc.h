/* Memory: the caller's allocator behind a budget.  A heap belongs to one call or one message. */
#ifndef GSZ_ALLOC_H
#define GSZ_ALLOC_H

#include "common.h"
#include "thread.h"

typedef struct {
    gsz_allocator hook;
    uint64_t limit;     /* 0 = none */
    int maps;           /* large blocks come from the system: the allocator is the default one */
    uint64_t used, peak;
    gsz_mutex lock;
} gsz_heap;

void gsz_heap_init(gsz_heap *heap, const gsz_options *options);
void gsz_heap_destroy(gsz_heap *heap);

/* NULL when the budget or the allocator refuses.  size 0 gives a valid pointer. */
void *gsz_alloc(gsz_heap *heap, size_t size);
void gsz_release(gsz_heap *heap, void *pointer, size_t size);
/* The same for what a caller gets: always from the allocator. */
void *gsz_alloc_kept(gsz_heap *heap, size_t size);
void gsz_release_kept(gsz_heap *heap, void *pointer, size_t size);

/* A buffer that only grows and whose contents do not survive growing: scratch for one stage. */
typedef struct { void *data; size_t size; } gsz_scratch;
int gsz_scratch_reserve(gsz_heap *heap, gsz_scratch *scratch, size_t size);
void gsz_scratch_release(gsz_heap *heap, gsz_scratch *scratch);

#endif
