/* The kernel table compiled for AVX2 and BMI2: the same text as the portable one, no FMA.  And one for AVX-512 VNNI, with a rANS
 * coder and products of low rank of its own. */
#include "../checksum.h"
#include "../cpu.h"

#if GSZ_X86
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt")
#endif

#define SUFFIX avx2
#define OWN_TWINS "x86/twins_avx2.h"
#include "../kernels_impl.h"

#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512vnni")
#endif

#include "lowrank_vnni.h"
#include "rans_avx512.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const gsz_kernels gsz_kernels_vnni =
    KERNEL_TABLE_WITH(GSZ_CPU_VNNI | GSZ_CPU_AVX2 | GSZ_CPU_SSE42, gsz_crc32c_sse42,
                      rans_encode_avx512, rans_decode_avx512, lowrank_times_vnni, lowrank_rows_vnni);
const gsz_kernels gsz_kernels_avx2 = KERNEL_TABLE(GSZ_CPU_AVX2 | GSZ_CPU_SSE42, gsz_crc32c_sse42);
#else
typedef int gsz_kernels_avx2_unused;
#endif
