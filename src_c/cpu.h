/* Where target attributes are at hand; gsz_cpu_features (gradsz.h) tells what the machine has. */
#ifndef GSZ_CPU_H
#define GSZ_CPU_H
#include "common.h"

/* x86 twins are compiled where the compiler takes target attributes. */
#if defined(__x86_64__) && (defined(__clang__) ? __clang_major__ >= 7 : defined(__GNUC__) && __GNUC__ >= 8)
#define GSZ_X86 1
#else
#define GSZ_X86 0
#endif

#endif
