/* MurmurHash3 x64-128: 16 bytes at a time into two 64-bit lanes, a tail of 0..15 bytes, a final mix. */
#include "murmur3.h"

#include "coding.h"

#define C1 0x87C37B91114253D5u
#define C2 0x4CF5AD432745937Fu

static inline uint64_t rotate_left(uint64_t v, int bits) { return v << bits | v >> (64 - bits); }

static inline uint64_t scramble_first(uint64_t k) { return rotate_left(k * C1, 31) * C2; }

static inline uint64_t scramble_second(uint64_t k) { return rotate_left(k * C2, 33) * C1; }

static inline uint64_t finalize(uint64_t k) {
    k = (k ^ k >> 33) * 0xFF51AFD7ED558CCDu;
    k = (k ^ k >> 33) * 0xC4CEB9FE1A85EC53u;
    return k ^ k >> 33;
}

/* `size` (0..8) bytes as a little-endian integer. Two loads that overlap instead of one per byte. */
static inline uint64_t load_partial(const uint8_t *p, size_t size) {
    if (size >= 8) return lsm_load64(p);
    if (size >= 4) return lsm_load32(p) | (uint64_t)lsm_load32(p + size - 4) << (8 * (size - 4));
    if (size == 0) return 0;
    return p[0] | (uint64_t)p[size / 2] << (8 * (size / 2)) | (uint64_t)p[size - 1] << (8 * (size - 1));
}

static inline void hash(const uint8_t *data, size_t size, uint64_t seed, uint64_t *first, uint64_t *second) {
    uint64_t h1 = seed, h2 = seed;
    size_t left = size;
    for (; left >= 16; left -= 16, data += 16) {
        h1 ^= scramble_first(lsm_load64(data));
        h1 = (rotate_left(h1, 27) + h2) * 5 + 0x52DCE729;
        h2 ^= scramble_second(lsm_load64(data + 8));
        h2 = (rotate_left(h2, 31) + h1) * 5 + 0x38495AB5;
    }
    if (left > 8) h2 ^= scramble_second(load_partial(data + 8, left - 8));
    if (left > 0) h1 ^= scramble_first(load_partial(data, left < 8 ? left : 8));
    h1 ^= size;
    h2 ^= size;
    h1 += h2;
    h2 += h1;
    h1 = finalize(h1);
    h2 = finalize(h2);
    h1 += h2;
    *first = h1;
    *second = h2 + h1;
}

void lsm_murmur3_x64_128(const uint8_t *data, size_t size, uint32_t seed, uint64_t out[2]) {
    hash(data, size, seed, &out[0], &out[1]);
}

uint64_t lsm_key_hash(const uint8_t *data, size_t size) {
    uint64_t first, second;
    hash(data, size, 0, &first, &second);
    return first;
}
