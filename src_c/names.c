#include "names.h"

static int compare(const gsz_entry *a, const gsz_entry *b) {
    size_t n = GSZ_MIN(a->name_length, b->name_length);
    int c = n > 0 ? memcmp(a->name, b->name, n) : 0;
    return c ? c : (a->name_length > b->name_length) - (a->name_length < b->name_length);
}

/* Heap sort: no recursion and no bad case for a hostile table to choose. */
static void sift(const gsz_entry **v, size_t i, size_t n) {
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) return;
        if (child + 1 < n && compare(v[child], v[child + 1]) < 0) child++;
        if (compare(v[i], v[child]) >= 0) return;
        const gsz_entry *t = v[i];
        v[i] = v[child];
        v[child] = t;
        i = child;
    }
}

int gsz_names_distinct(gsz_heap *heap, const gsz_entry *first, size_t count, size_t stride, int *distinct) {
    size_t size = count * sizeof(gsz_entry *);      /* less than what holds the entries */
    const gsz_entry **v = (const gsz_entry **)gsz_alloc(heap, size);
    GSZ_CHECK(v != NULL, GSZ_E_MEMORY);
    for (size_t i = 0; i < count; i++) v[i] = gsz_entry_at(first, i, stride);
    for (size_t i = count / 2; i-- > 0;) sift(v, i, count);
    for (size_t n = count; n > 1; n--) {
        const gsz_entry *t = v[0];
        v[0] = v[n - 1];
        v[n - 1] = t;
        sift(v, 0, n - 1);
    }
    *distinct = 1;
    for (size_t i = 1; i < count; i++)
        if (compare(v[i - 1], v[i]) == 0) *distinct = 0;
    gsz_release(heap, (void *)v, size);
    return GSZ_OK;
}
