/* CRC-32C with the CPU's own instruction.  Twin of checksum.c. */
#include "../checksum.h"
#include "../cpu.h"

#if GSZ_X86
#include <nmmintrin.h>
#include <wmmintrin.h>
#define TARGET __attribute__((target("sse4.2,pclmul")))

/* An instruction waits three cycles for the one before it, so three lanes are taken at a time. */
#define LANE 512
#define AFTER_1_LANE 0xdd7e3b0cu        /* x^(8 * 512 - 33) modulo the polynomial, reflected */
#define AFTER_2_LANES 0x170076fau       /* x^(8 * 1024 - 33) */

TARGET static uint64_t next(uint64_t crc, const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return _mm_crc32_u64(crc, v);
}

/* The state `crc` with that many zero bytes behind it; the instruction itself multiplies by x^33 and divides. */
TARGET static uint64_t followed_by(uint64_t crc, uint32_t zeros) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi64_si128((long long)zeros), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

TARGET uint32_t gsz_crc32c_sse42(uint32_t crc, const uint8_t *p, size_t n) {
    uint64_t a = (uint32_t)~crc;
    for (; n >= 3 * LANE; n -= 3 * LANE, p += 3 * LANE) {
        uint64_t b = 0, c = 0;
        for (size_t i = 0; i < LANE; i += 8) {
            a = next(a, p + i);
            b = next(b, p + LANE + i);
            c = next(c, p + 2 * LANE + i);
        }
        a = followed_by(a, AFTER_2_LANES) ^ followed_by(b, AFTER_1_LANE) ^ c;
    }
    for (; n >= 8; n -= 8, p += 8) a = next(a, p);
    for (; n > 0; n--, p++) a = _mm_crc32_u8((uint32_t)a, *p);
    return ~(uint32_t)a;
}
#else
typedef int gsz_checksum_sse42_unused;
#endif
