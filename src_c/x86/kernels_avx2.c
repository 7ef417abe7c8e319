/* The kernel table compiled for AVX2, BMI2 and F16C: the same text as the portable one, no FMA. */
#include "../checksum.h"
#include "../cpu.h"

#if GSZ_X86
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,popcnt,f16c")
#endif

/* Twin of the portable loop: eight integers at a time, those that are not zero moved to the front. */
#define HAVE_COMPACT
static size_t compact_int_avx2(const int32_t *v, size_t n, uint32_t *positions, int32_t *values) {
    size_t count = 0, i = 0;
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (; i + 8 <= n; i += 8) {
        __m256i x = _mm256_loadu_si256((const __m256i *)(v + i));
        unsigned zero = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(x, _mm256_setzero_si256())));
        /* byte k of `order` = lane of the k-th integer that is not zero: 3 bits a lane, spread to bytes */
        uint64_t keep = _pdep_u64(~zero & 255u, 0x0101010101010101u) * 255u;
        uint64_t order = _pext_u64(0x0706050403020100u, keep);
        __m256i move = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)order));
        __m256i at = _mm256_add_epi32(_mm256_set1_epi32((int)i), lanes);
        _mm256_storeu_si256((__m256i *)(void *)(values + count), _mm256_permutevar8x32_epi32(x, move));
        _mm256_storeu_si256((__m256i *)(void *)(positions + count), _mm256_permutevar8x32_epi32(at, move));
        count += (size_t)_mm_popcnt_u32(~zero & 255u);
    }
    for (; i < n; i++) {
        positions[count] = (uint32_t)i;
        values[count] = v[i];
        count += v[i] != 0;
    }
    return count;
}

#define SUFFIX avx2
#define HALF_HARDWARE 1
#include "../kernels_impl.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const gsz_kernels gsz_kernels_avx2 = KERNEL_TABLE(GSZ_CPU_AVX2 | GSZ_CPU_SSE42, gsz_crc32c_sse42);
#else
typedef int gsz_kernels_avx2_unused;
#endif
