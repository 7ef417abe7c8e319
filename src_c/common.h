/* Shared by every C file: types, checks, checked sizes.  Internal; users include gradsz.h only. */
#ifndef GSZ_COMMON_H
#define GSZ_COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "gradsz.h"

/* Both ends must compute the same values: no excess precision, no fused multiply-add. */
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0
#error "gradsz needs float arithmetic without excess precision: on 32-bit x86 add -msse2 -mfpmath=sse"
#endif
#if defined(__FAST_MATH__)
#error "gradsz must not be built with -ffast-math: the error bound would not hold"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

#if defined(__GNUC__)
#define GSZ_LIKELY(x) __builtin_expect(!!(x), 1)
#define GSZ_INLINE static inline __attribute__((always_inline, unused))
#define GSZ_NOINLINE __attribute__((noinline))
#else
#define GSZ_LIKELY(x) (x)
#define GSZ_INLINE static inline
#define GSZ_NOINLINE
#endif

/* Lanes that are worked on side by side: the loop over them must disappear, so that their state is in registers. */
#if defined(__clang__)
#define GSZ_UNROLL_LANES _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define GSZ_UNROLL_LANES _Pragma("GCC unroll 4")
#else
#define GSZ_UNROLL_LANES
#endif

/* A loop that counts in an array at places which may repeat.  Clang before 19, for AVX-512, can take such places for
 * different ones, gather and scatter, and lose counts. */
#if defined(__clang__)
#define GSZ_ONE_BY_ONE _Pragma("clang loop vectorize(disable)")
#else
#define GSZ_ONE_BY_ONE
#endif

/* The only two ways to fail: a named condition, or a call that failed. */
#define GSZ_CHECK(cond, code) do { if (!(cond)) return (code); } while (0)
#define GSZ_TRY(call) do { int gsz_status_ = (call); if (gsz_status_ != GSZ_OK) return gsz_status_; } while (0)

/* Compile-time proof of a constant's derivation. */
#define GSZ_STATIC_ASSERT(name, cond) typedef char gsz_assert_##name[(cond) ? 1 : -1]

/* Sizes from outside: 1 if the result fits, 0 if it would overflow. */
GSZ_INLINE int gsz_mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    if (b != 0 && a > UINT64_MAX / b) return 0;
    *out = a * b;
    return 1;
}

GSZ_INLINE int gsz_add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    if (a > UINT64_MAX - b) return 0;
    *out = a + b;
    return 1;
}

GSZ_INLINE int gsz_floor_log2(uint32_t v) { /* v > 0 */
#if defined(__GNUC__)
    return 31 - __builtin_clz(v);
#else
    int n = 0;
    while (v >>= 1) n++;
    return n;
#endif
}

#define GSZ_MIN(a, b) ((a) < (b) ? (a) : (b))
#define GSZ_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Limits of the format (docs/format.md, section 2). */
#define GSZ_FORMAT_VERSION 0          /* 0 = draft */
#define GSZ_MAX_NAME 1023
#define GSZ_MAX_SHARED 255             /* bytes of a name that are taken from the one before, at each end */
#define GSZ_MAX_LEVELS 32u             /* of M22, above 0 */
#define GSZ_MAX_BYTES ((uint64_t)1 << 62)
/* Elements a chunk: one entropy segment, one unit of parallel work, small enough for the second-level cache.
 * Predictors need whole rows or planes, at least eight of them, so a chunk may be larger. */
#define GSZ_CHUNK ((size_t)1 << 16)
#define GSZ_CHUNK_UNITS 8u
#define GSZ_MAX_UNIT ((size_t)1 << 18)
#define GSZ_MAX_CHUNK (GSZ_MAX_UNIT * GSZ_CHUNK_UNITS)

#endif
