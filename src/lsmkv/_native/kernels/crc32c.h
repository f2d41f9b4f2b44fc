/* CRC-32C (Castagnoli, polynomial 0x1EDC6F41, reflected), as in RFC 3720 §B.4: crc("123456789") = E3069283.
 *
 * Uses the SSE4.2 or ARMv8 instruction where the processor has it, else slicing tables; both give the same
 * bits. `lsm_crc32c(0, data, size)` is the standard checksum; passing an earlier result continues it.
 */
#ifndef LSMKV_CRC32C_H
#define LSMKV_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t lsm_crc32c(uint32_t crc, const uint8_t *data, size_t size);

/* The portable path, exported so that tests can hold both against each other. */
uint32_t lsm_crc32c_table(uint32_t crc, const uint8_t *data, size_t size);

/* "sse4.2", "armv8" or "table". */
const char *lsm_crc32c_implementation(void);

/* A seed that binds a checksum to where its bytes belong: the CRC of (id, offset), both little-endian. */
uint32_t lsm_crc32c_seed(const uint8_t *id, size_t id_size, uint64_t offset);

#endif
