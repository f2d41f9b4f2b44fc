/* Cache-line-blocked Bloom filter: one probe touches one 64-byte line.
 *
 * Bytes: `line_count` lines of 64 bytes, then nothing; the line count and the probe count stand in the
 * table's filter section (table.h). A key's 64-bit hash (lsm_key_hash) picks the line with its high half
 * (multiply-shift, no modulo) and `probe_count` bits in the line from the low half.
 */
#ifndef LSMKV_BLOOM_H
#define LSMKV_BLOOM_H

#include <stddef.h>
#include <stdint.h>

enum { LSM_BLOOM_LINE_SIZE = 64, LSM_BLOOM_PROBES_MAX = 16, LSM_BLOOM_BITS_PER_KEY_MAX = 32 };

typedef struct lsm_bloom {
    const uint8_t *lines; /* 64-byte aligned for speed, any alignment for correctness */
    uint32_t line_count;  /* 0 = an empty filter, which contains nothing */
    uint32_t probe_count; /* 1..LSM_BLOOM_PROBES_MAX */
} lsm_bloom;

/* How many lines and probes serve `key_count` keys at `bits_per_key` (1..32). Never fails; at least one line. */
uint32_t lsm_bloom_line_count(uint64_t key_count, double bits_per_key);
uint32_t lsm_bloom_probe_count(double bits_per_key);

/* Sets the bits of one hash. REQUIRES: `lines` zeroed before the first add, line_count > 0. */
void lsm_bloom_add(uint8_t *lines, uint32_t line_count, uint32_t probe_count, uint64_t hash);

/* 1 when the key may be present, 0 when it is certainly absent. */
int lsm_bloom_may_contain(const lsm_bloom *filter, uint64_t hash);

/* Starts loading the line of `hash` into the cache. */
static inline void lsm_bloom_prefetch(const lsm_bloom *filter, uint64_t hash) {
    uint64_t line = ((hash >> 32) * (uint64_t)filter->line_count) >> 32;
    __builtin_prefetch(filter->lines + line * LSM_BLOOM_LINE_SIZE);
}

#endif
