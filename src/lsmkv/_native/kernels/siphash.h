/* SipHash-2-4 (Aumasson and Bernstein, 2012): a 64-bit hash that nobody can aim without its 128-bit key.
 *
 * Where bytes chosen by a client decide what two nodes believe to be equal, a hash without a key would not
 * do: MurmurHash3 collides on demand. Test vectors of the authors: key 00 01 .. 0f, of the empty string
 * 726fdb47dd0e0e31, of 00 01 .. 0e a129ca6149be45e5.
 */
#ifndef LSMKV_SIPHASH_H
#define LSMKV_SIPHASH_H

#include "status.h"

enum { LSM_SIPHASH_KEY_SIZE = 16 };

/* The hash of the pieces one after the other, as if they were one string. */
uint64_t lsm_siphash(const uint8_t key[LSM_SIPHASH_KEY_SIZE], const lsm_slice *pieces, size_t count);

#endif
