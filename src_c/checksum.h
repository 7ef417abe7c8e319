/* CRC-32C (Castagnoli, reflected, initial and final xor 0xffffffff): format.md 1.4. */
#ifndef GSZ_CHECKSUM_H
#define GSZ_CHECKSUM_H
#include "common.h"

/* Checksum of the concatenation: start with crc = 0 and pass the last result on. */
uint32_t gsz_crc32c_portable(uint32_t crc, const uint8_t *p, size_t n);
uint32_t gsz_crc32c_sse42(uint32_t crc, const uint8_t *p, size_t n);

#endif
