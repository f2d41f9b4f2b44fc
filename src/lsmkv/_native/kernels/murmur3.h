/* MurmurHash3 x64-128 (Austin Appleby, public domain algorithm), bit-identical to the mmh3 package.
 *
 * lsm_key_hash is the low 64 bits with seed 0: the hash of the Bloom filters, and therefore persistent.
 */
#ifndef LSMKV_MURMUR3_H
#define LSMKV_MURMUR3_H

#include <stddef.h>
#include <stdint.h>

void lsm_murmur3_x64_128(const uint8_t *data, size_t size, uint32_t seed, uint64_t out[2]);
uint64_t lsm_key_hash(const uint8_t *data, size_t size);

#endif
