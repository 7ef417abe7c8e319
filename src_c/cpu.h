/* Which CPU features the hot loops may use: what the machine has, limited by the caller's mask. */
#ifndef GSZ_CPU_H
#define GSZ_CPU_H
#include "common.h"

/* x86 twins are compiled where the compiler takes target attributes. */
#if defined(__GNUC__) && defined(__x86_64__)
#define GSZ_X86 1
#else
#define GSZ_X86 0
#endif

unsigned gsz_cpu_detect(void);

#endif
