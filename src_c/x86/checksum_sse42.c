/* CRC-32C with the CPU's own instruction.  Twin of checksum.c. */
#include "../checksum.h"
#include "../cpu.h"

#if GSZ_X86
#include <nmmintrin.h>

__attribute__((target("sse4.2")))
uint32_t gsz_crc32c_sse42(uint32_t crc, const uint8_t *p, size_t n) {
    uint64_t c = (uint32_t)~crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        c = _mm_crc32_u64(c, v);
    }
    for (; n > 0; n--, p++) c = _mm_crc32_u8((uint32_t)c, *p);
    return ~(uint32_t)c;
}
#else
typedef int gsz_checksum_sse42_unused;
#endif
