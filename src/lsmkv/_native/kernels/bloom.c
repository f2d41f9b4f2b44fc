/* Sizing and building of the filter of bloom.h; probing is inline there. */
#include "bloom.h"

#include "status.h"

enum { LINE_BITS = LSM_BLOOM_LINE_SIZE * 8, USEFUL_PROBES_MAX = 12 };

static double clamp_bits_per_key(double bits_per_key) {
    if (!(bits_per_key >= 1)) return 1; /* also a NaN */
    return bits_per_key > LSM_BLOOM_BITS_PER_KEY_MAX ? LSM_BLOOM_BITS_PER_KEY_MAX : bits_per_key;
}

uint32_t lsm_bloom_line_count(uint64_t key_count, double bits_per_key) {
    double lines = (double)key_count * clamp_bits_per_key(bits_per_key) / LINE_BITS;
    if (lines >= (double)UINT32_MAX) return UINT32_MAX;
    uint32_t whole = (uint32_t)lines;
    return whole < lines || whole == 0 ? whole + 1 : whole;
}

/* Lines fill unevenly, so fewer probes than the ln 2 per bit of an unblocked filter are best: 0.6, and from
 * 20 bits on a dozen, where more would only cost time. */
uint32_t lsm_bloom_probe_count(double bits_per_key) {
    uint32_t probes = (uint32_t)(clamp_bits_per_key(bits_per_key) * 0.6 + 0.5);
    return probes > USEFUL_PROBES_MAX ? USEFUL_PROBES_MAX : probes;
}

void lsm_bloom_add(uint8_t *lines, uint32_t line_count, uint32_t probe_count, uint64_t hash) {
    LSM_ASSERT(line_count > 0);
    LSM_ASSERT(probe_count >= 1);
    LSM_ASSERT(probe_count <= LSM_BLOOM_PROBES_MAX);
    uint8_t *line = lines + lsm_bloom_line_offset(line_count, hash);
    uint32_t x = (uint32_t)hash;
    for (uint32_t i = 0; i < probe_count; i++) {
        line[x >> 26] |= (uint8_t)(1u << (x >> 23 & 7));
        x *= LSM_BLOOM_MULTIPLIER;
    }
}
