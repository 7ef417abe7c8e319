/* The whole test harness: CHECK stops at the first thing that is not true, check_report ends a program. */
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gradsz.h"

static unsigned long checks_done;

#define CHECK(cond) do { \
    checks_done++; \
    if (!(cond)) { fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond); exit(1); } \
} while (0)

#define CHECK_EQ(a, b) do { \
    long long check_a_ = (long long)(a), check_b_ = (long long)(b); \
    checks_done++; \
    if (check_a_ != check_b_) { \
        fprintf(stderr, "%s:%d: %s is %lld, %s is %lld\n", __FILE__, __LINE__, #a, check_a_, #b, check_b_); \
        exit(1); \
    } \
} while (0)

static inline int check_report(const char *name) {
    printf("%s: %lu checks\n", name, checks_done);
    return 0;
}

/* Splitmix64: the same numbers everywhere. */
static inline uint64_t check_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* A copy in memory of exactly this size, so that the sanitizers see a read of one byte too many. */
static inline uint8_t *check_copy(const void *data, size_t size) {
    uint8_t *p = (uint8_t *)malloc(size ? size : 1);
    if (p == NULL) abort();
    if (size) memcpy(p, data, size);
    return p;
}

#endif
