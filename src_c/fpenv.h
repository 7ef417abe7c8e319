/* The floating point environment of a call: round to nearest, no flushing of subnormals.
 * A host program may have changed it (flush-to-zero is common around neural networks); decoded values
 * must not depend on that, so public entry points set it and put the caller's back. */
#ifndef GSZ_FPENV_H
#define GSZ_FPENV_H

#include "common.h"

#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
typedef unsigned gsz_fpenv;
GSZ_INLINE gsz_fpenv gsz_fp_enter(void) {
    gsz_fpenv saved = _mm_getcsr();
    if ((saved & 0xffc0u) != 0x1f80u) _mm_setcsr(0x1f80u); /* exceptions masked, nearest, no FTZ, no DAZ */
    return saved;
}
GSZ_INLINE void gsz_fp_leave(gsz_fpenv saved) {
    if ((saved & 0xffc0u) != 0x1f80u) _mm_setcsr(saved);
}
#elif defined(__aarch64__) && defined(__GNUC__)
typedef uint64_t gsz_fpenv;
GSZ_INLINE gsz_fpenv gsz_fp_enter(void) {
    gsz_fpenv saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    if (saved != 0) __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return saved;
}
GSZ_INLINE void gsz_fp_leave(gsz_fpenv saved) {
    if (saved != 0) __asm__ volatile("msr fpcr, %0" : : "r"(saved));
}
#else /* other platforms: gsz_selftest refuses a wrong environment at start-up */
typedef int gsz_fpenv;
GSZ_INLINE gsz_fpenv gsz_fp_enter(void) { return 0; }
GSZ_INLINE void gsz_fp_leave(gsz_fpenv saved) { (void)saved; }
#endif

#endif
