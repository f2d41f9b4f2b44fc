/* The key hash, CRC-32C and the Bloom filter. */
#include <string.h>

#include "bench.h"
#include "bloom.h"
#include "crc32c.h"
#include "murmur3.h"

/* --- hash and CRC: a sum over items --------------------------------------------------------------------- */

typedef struct items_bench {
    bench base;
    bench_items items;
} items_bench;

static uint64_t run_hash(bench *self, uint64_t operations) {
    const bench_items *items = &((const items_bench *)self)->items;
    uint64_t sum = 0, index = 0;
    for (uint64_t i = 0; i < operations; i++) {
        lsm_slice key = bench_item(items, index);
        sum += lsm_key_hash(key.data, key.size);
        index = bench_next(index, items->count);
    }
    return sum;
}

static uint64_t run_crc32c(bench *self, uint64_t operations) {
    const bench_items *items = &((const items_bench *)self)->items;
    uint64_t sum = 0, index = 0;
    for (uint64_t i = 0; i < operations; i++) {
        lsm_slice block = bench_item(items, index);
        sum += lsm_crc32c(0, block.data, block.size);
        index = bench_next(index, items->count);
    }
    return sum;
}

static bench *create_items(uint64_t (*run)(bench *, uint64_t), const bench_items *items) {
    items_bench *created = bench_allocate(sizeof *created);
    *created = (items_bench){{NULL, run, NULL, bench_free}, *items};
    return &created->base;
}

BENCH_API bench *bench_hash(const bench_items *keys) { return create_items(run_hash, keys); }

BENCH_API bench *bench_crc32c(const bench_items *blocks) { return create_items(run_crc32c, blocks); }

/* --- Bloom filter --------------------------------------------------------------------------------------- */

typedef struct bloom_bench {
    bench base;
    lsm_bloom filter;
    uint8_t *lines; /* of `filter` */
    const uint64_t *hashes;
    uint64_t hash_count;
    uint64_t is_far; /* the filter misses the caches: one operation at a time */
} bloom_bench;

static void clear_lines(bench *self) {
    bloom_bench *bloom = (bloom_bench *)self;
    memset(bloom->lines, 0, (size_t)bloom->filter.line_count * LSM_BLOOM_LINE_SIZE);
}

static uint64_t run_bloom_add(bench *self, uint64_t operations) {
    const bloom_bench *bloom = (const bloom_bench *)self;
    uint64_t index = 0;
    for (uint64_t i = 0; i < operations; i++) {
        lsm_bloom_add(bloom->lines, bloom->filter.line_count, bloom->filter.probe_count,
                      bloom->hashes[index]);
        if (bloom->is_far) bench_fence();
        index = bench_next(index, bloom->hash_count);
    }
    return 0;
}

static uint64_t run_bloom_probe(bench *self, uint64_t operations) {
    const bloom_bench *bloom = (const bloom_bench *)self;
    uint64_t hits = 0, index = 0;
    for (uint64_t i = 0; i < operations; i++) {
        hits += (uint64_t)lsm_bloom_may_contain(&bloom->filter, bloom->hashes[index]);
        if (bloom->is_far) bench_fence();
        index = bench_next(index, bloom->hash_count);
    }
    return hits;
}

/* How many of the hashes that were added are found: all of them, if each was. */
static uint64_t count_added(bench *self, uint64_t operations) {
    const bloom_bench *bloom = (const bloom_bench *)self;
    uint64_t found = 0;
    for (uint64_t i = 0; i < operations && i < bloom->hash_count; i++) {
        found += (uint64_t)lsm_bloom_may_contain(&bloom->filter, bloom->hashes[i]);
    }
    return found;
}

static void destroy_bloom(bench *self) {
    free(((bloom_bench *)self)->lines);
    free(self);
}

static bloom_bench *create_bloom(const uint64_t *hashes, uint64_t hash_count, uint64_t line_count,
                                 uint64_t is_far) {
    bloom_bench *bloom = bench_allocate(sizeof *bloom);
    bloom->base.destroy = destroy_bloom;
    bloom->lines = bench_allocate(line_count * LSM_BLOOM_LINE_SIZE);
    bloom->filter = (lsm_bloom){bloom->lines, (uint32_t)line_count, lsm_bloom_probe_count(10)};
    bloom->hashes = hashes;
    bloom->hash_count = hash_count;
    bloom->is_far = is_far;
    return bloom;
}

BENCH_API bench *bench_bloom_add(const uint64_t *hashes, uint64_t hash_count, uint64_t line_count,
                                 uint64_t is_far) {
    bloom_bench *bloom = create_bloom(hashes, hash_count, line_count, is_far);
    bloom->base.prepare = clear_lines;
    bloom->base.run = run_bloom_add;
    bloom->base.verify = count_added;
    return &bloom->base;
}

/* Every hash is in the filter: a probe of an absent key ends earlier. */
BENCH_API bench *bench_bloom_probe(const uint64_t *hashes, uint64_t hash_count, uint64_t line_count,
                                   uint64_t is_far) {
    bloom_bench *bloom = create_bloom(hashes, hash_count, line_count, is_far);
    bloom->base.run = run_bloom_probe;
    for (uint64_t i = 0; i < hash_count; i++) {
        lsm_bloom_add(bloom->lines, bloom->filter.line_count, bloom->filter.probe_count, hashes[i]);
    }
    return &bloom->base;
}
