/* The row cache: the newest values of keys that were read or written lately, in front of everything else.
 *
 * What holds: what the cache says of a key is what the newest version of it says, or nothing. Whoever writes
 * tells it of every write (`put`, `remove`), and clears it when keys change in any other way. It holds values
 * only, no deletions, and none that are large: for those the block cache serves as well.
 *
 * A row is one allocation; buckets of one cache line point at them, so that a hit costs two cache misses. The
 * table grows by one bucket at a time (linear hashing), and never shrinks before it is cleared. Rows are
 * evicted by CLOCK, by the byte. Not locked: the owner holds the core lock (the GIL) for every call.
 */
#ifndef LSMKV_ROW_CACHE_H
#define LSMKV_ROW_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum {
    LSM_ROW_CACHE_WAYS = 7,              /* rows of one bucket */
    LSM_ROW_CACHE_ROW_SIZE_MAX = 16384, /* bytes of key and value; larger ones are not kept */
};

typedef struct lsm_row lsm_row;
typedef struct lsm_row_bucket lsm_row_bucket;

typedef struct lsm_row_cache {
    size_t capacity;         /* bytes; 0 = keep nothing */
    size_t usage;            /* bytes of rows and of buckets in use */
    size_t count;            /* rows */
    uint64_t hits, misses, insertions, evictions;
    lsm_row_bucket *buckets; /* NULL until the first row; room for `bucket_max` */
    size_t bucket_max;       /* a power of two */
    size_t mask;             /* buckets at the last doubling, less one */
    size_t split;            /* so many of those have been split since */
    size_t hand;             /* the next bucket to be judged */
} lsm_row_cache;

/* Memory comes with the first row. */
void lsm_row_cache_init(lsm_row_cache *cache, size_t capacity);
void lsm_row_cache_clear(lsm_row_cache *cache); /* keeps no row and no memory, but its counters */

/* 1 and the value, readable until the cache changes; or 0. hash = lsm_key_hash(key). */
int lsm_row_cache_get(lsm_row_cache *cache, lsm_slice key, uint64_t hash, lsm_slice *value);
/* A value that is too large, or finds no memory, is not kept, and neither is the one before it. */
void lsm_row_cache_put(lsm_row_cache *cache, lsm_slice key, lsm_slice value);
void lsm_row_cache_remove(lsm_row_cache *cache, lsm_slice key);

/* Before `get`, for who has several keys to look for: what each waits for is on its way meanwhile. */
void lsm_row_cache_expect(const lsm_row_cache *cache, uint64_t hash);     /* first for all keys, */
void lsm_row_cache_expect_row(const lsm_row_cache *cache, uint64_t hash); /* then for all keys */

#endif
