/* Linear hashing into buckets of seven rows, CLOCK bits in the buckets.
 *
 * A bucket is one cache line: a byte of each row's hash, so that most rows need not be looked at, a bit for
 * each row that was hit since the hand came by, and the rows. When a bucket is full one of its own rows makes
 * room; with three rows to a bucket on average that is rare. When the bytes are used up the hand goes round.
 */
#include "row_cache.h"

#include <string.h>

#include "allocator.h"
#include "murmur3.h"

enum {
    ROWS_PER_BUCKET = 3,   /* on average, from which on the table grows */
    ROW_SIZE_LEAST = 128,  /* bytes, with its record: of smaller ones the table has not room for all */
    ROOM_UNIT = 16,        /* bytes in which rows are allocated */
    BLOCK_OVERHEAD = 32,   /* bytes that an allocation costs beside its own */
};

struct lsm_row {
    uint64_t hash;
    uint32_t key_size, value_size;
    uint32_t room; /* bytes behind this record */
    uint8_t bytes[]; /* key, value */
};

struct lsm_row_bucket {
    uint8_t tags[LSM_ROW_CACHE_WAYS];
    uint8_t used; /* CLOCK bits */
    lsm_row *rows[LSM_ROW_CACHE_WAYS];
};

_Static_assert(sizeof(lsm_row_bucket) == 64 || sizeof(void *) != 8, "a bucket is a cache line");

void lsm_row_cache_init(lsm_row_cache *cache, size_t capacity) {
    *cache = (lsm_row_cache){.capacity = capacity};
}

/* --- the table -------------------------------------------------------------------------------- */

static int ensure_table(lsm_row_cache *cache) {
    if (cache->buckets != NULL) return 0;
    size_t rows = cache->capacity / ROW_SIZE_LEAST, bucket_max = 1;
    while (bucket_max < rows / ROWS_PER_BUCKET) bucket_max *= 2;
    /* Only what is written to becomes resident. */
    cache->buckets = lsm_alloc_aligned(bucket_max * sizeof(lsm_row_bucket));
    if (cache->buckets == NULL) return LSM_E_MEMORY;
    memset(cache->buckets, 0, sizeof(lsm_row_bucket));
    cache->bucket_max = bucket_max;
    cache->mask = cache->split = cache->hand = 0;
    cache->usage = sizeof(lsm_row_bucket);
    return 0;
}

static inline size_t bucket_count(const lsm_row_cache *cache) { return cache->mask + 1 + cache->split; }

static inline lsm_row_bucket *bucket_of(const lsm_row_cache *cache, uint64_t hash) {
    size_t place = hash & cache->mask;
    if (place < cache->split) place = hash & (2 * cache->mask + 1);
    return &cache->buckets[place];
}

static inline uint8_t tag_of(uint64_t hash) { return (uint8_t)(hash >> 56); }

static inline int has_row(const lsm_row_bucket *bucket, int way, lsm_slice key, uint64_t hash) {
    const lsm_row *row = bucket->rows[way];
    return row != NULL && bucket->tags[way] == tag_of(hash) && row->hash == hash &&
           row->key_size == key.size && memcmp(row->bytes, key.data, key.size) == 0;
}

static int way_of(const lsm_row_bucket *bucket, lsm_slice key, uint64_t hash) {
    for (int way = 0; way < LSM_ROW_CACHE_WAYS; way++) {
        if (has_row(bucket, way, key, hash)) return way;
    }
    return -1;
}

static int free_way(const lsm_row_bucket *bucket) {
    for (int way = 0; way < LSM_ROW_CACHE_WAYS; way++) {
        if (bucket->rows[way] == NULL) return way;
    }
    return -1;
}

static void set_way(lsm_row_bucket *bucket, int way, lsm_row *row) {
    bucket->tags[way] = tag_of(row->hash);
    bucket->rows[way] = row;
}

/* The next bucket's rows go to where the doubled table has them. */
static void split_one(lsm_row_cache *cache) {
    size_t place = cache->split, wide = 2 * cache->mask + 1;
    lsm_row_bucket *from = &cache->buckets[place], *to = &cache->buckets[bucket_count(cache)];
    memset(to, 0, sizeof(*to));
    int moved = 0;
    for (int way = 0; way < LSM_ROW_CACHE_WAYS; way++) {
        lsm_row *row = from->rows[way];
        if (row == NULL || (row->hash & wide) == place) continue;
        set_way(to, moved, row);
        to->used |= (uint8_t)((from->used >> way & 1) << moved);
        from->rows[way] = NULL;
        from->used &= (uint8_t)~(1 << way);
        moved++;
    }
    cache->usage += sizeof(*to);
    cache->split++;
    if (cache->split > cache->mask) {
        cache->mask = wide;
        cache->split = 0;
    }
}

/* --- rows ------------------------------------------------------------------------------------- */

static size_t charge_of(const lsm_row *row) { return sizeof(*row) + row->room + BLOCK_OVERHEAD; }

static void drop(lsm_row_cache *cache, lsm_row_bucket *bucket, int way) {
    lsm_row *row = bucket->rows[way];
    cache->usage -= charge_of(row);
    cache->count--;
    bucket->rows[way] = NULL;
    bucket->used &= (uint8_t)~(1 << way);
    lsm_free(row);
}

static void write_value(lsm_row *row, lsm_slice value) {
    row->value_size = (uint32_t)value.size;
    if (value.size) memcpy(row->bytes + row->key_size, value.data, value.size);
}

static lsm_row *create_row(lsm_slice key, lsm_slice value, uint64_t hash) {
    size_t room = (key.size + value.size + ROOM_UNIT - 1) / ROOM_UNIT * ROOM_UNIT;
    lsm_row *row = lsm_alloc(sizeof(*row) + room);
    if (row == NULL) return NULL;
    *row = (lsm_row){.hash = hash, .key_size = (uint32_t)key.size, .room = (uint32_t)room};
    if (key.size) memcpy(row->bytes, key.data, key.size);
    write_value(row, value);
    return row;
}

/* Whether a value fits into the row without wasting more than half of it. */
static int fits(const lsm_row *row, size_t value_size) {
    size_t size = row->key_size + value_size;
    return size <= row->room && row->room <= 2 * size + ROOM_UNIT;
}

static void evict(lsm_row_cache *cache, lsm_row_bucket *bucket, int way) {
    drop(cache, bucket, way);
    cache->evictions++;
}

/* The hand goes round until `size` more bytes have room. Each bucket is passed twice at most. */
static void evict_for(lsm_row_cache *cache, size_t size) {
    while (cache->count != 0 && cache->usage + size > cache->capacity) {
        if (cache->hand >= bucket_count(cache)) cache->hand = 0;
        lsm_row_bucket *bucket = &cache->buckets[cache->hand++];
        for (int way = 0; way < LSM_ROW_CACHE_WAYS; way++) {
            if (bucket->rows[way] == NULL) continue;
            if (!(bucket->used >> way & 1)) evict(cache, bucket, way);
        }
        bucket->used = 0;
    }
}

/* A way of a bucket for a new row: a free one, or that of a row that was not hit lately. */
static int make_way(lsm_row_cache *cache, lsm_row_bucket *bucket, uint64_t hash) {
    int way = free_way(bucket);
    if (way >= 0) return way;
    way = (int)((hash >> 48) % LSM_ROW_CACHE_WAYS);
    for (int passed = 0; passed < LSM_ROW_CACHE_WAYS && bucket->used >> way & 1; passed++) {
        bucket->used &= (uint8_t)~(1 << way);
        way = (way + 1) % LSM_ROW_CACHE_WAYS;
    }
    evict(cache, bucket, way);
    return way;
}

static void insert(lsm_row_cache *cache, lsm_slice key, lsm_slice value, uint64_t hash) {
    if (key.size + value.size > LSM_ROW_CACHE_ROW_SIZE_MAX || ensure_table(cache) < 0) return;
    lsm_row *row = create_row(key, value, hash);
    if (row == NULL) return;
    evict_for(cache, charge_of(row) + sizeof(lsm_row_bucket));
    if (cache->usage + charge_of(row) > cache->capacity) {
        lsm_free(row);
        return;
    }
    size_t buckets = bucket_count(cache);
    /* Unless it is empty there is room for one more bucket, too. */
    if (cache->count >= ROWS_PER_BUCKET * buckets && buckets < cache->bucket_max) split_one(cache);
    lsm_row_bucket *bucket = bucket_of(cache, hash);
    set_way(bucket, make_way(cache, bucket, hash), row);
    cache->usage += charge_of(row);
    cache->count++;
    cache->insertions++;
}

/* --- what the owner calls ---------------------------------------------------------------------- */

void lsm_row_cache_expect(const lsm_row_cache *cache, uint64_t hash) {
    if (cache->count != 0) __builtin_prefetch(bucket_of(cache, hash));
}

void lsm_row_cache_expect_row(const lsm_row_cache *cache, uint64_t hash) {
    if (cache->count == 0) return;
    const lsm_row_bucket *bucket = bucket_of(cache, hash);
    for (int way = 0; way < LSM_ROW_CACHE_WAYS; way++) {
        if (bucket->tags[way] != tag_of(hash) || bucket->rows[way] == NULL) continue;
        __builtin_prefetch(bucket->rows[way]);
        __builtin_prefetch((const uint8_t *)bucket->rows[way] + 64);
        __builtin_prefetch((const uint8_t *)bucket->rows[way] + 128);
    }
}

int lsm_row_cache_get(lsm_row_cache *cache, lsm_slice key, uint64_t hash, lsm_slice *value) {
    if (cache->count != 0) {
        lsm_row_bucket *bucket = bucket_of(cache, hash);
        int way = way_of(bucket, key, hash);
        if (way >= 0) {
            const lsm_row *row = bucket->rows[way];
            bucket->used |= (uint8_t)(1 << way);
            *value = (lsm_slice){row->bytes + row->key_size, row->value_size};
            cache->hits++;
            return 1;
        }
    }
    cache->misses++;
    return 0;
}

void lsm_row_cache_put(lsm_row_cache *cache, lsm_slice key, lsm_slice value) {
    if (cache->capacity == 0) return;
    uint64_t hash = lsm_key_hash(key.data, key.size);
    if (cache->count != 0) {
        lsm_row_bucket *bucket = bucket_of(cache, hash);
        int way = way_of(bucket, key, hash);
        if (way >= 0 && fits(bucket->rows[way], value.size)) {
            write_value(bucket->rows[way], value);
            return;
        }
        if (way >= 0) drop(cache, bucket, way);
    }
    insert(cache, key, value, hash);
}

void lsm_row_cache_remove(lsm_row_cache *cache, lsm_slice key) {
    if (cache->count == 0) return;
    uint64_t hash = lsm_key_hash(key.data, key.size);
    lsm_row_bucket *bucket = bucket_of(cache, hash);
    int way = way_of(bucket, key, hash);
    if (way >= 0) drop(cache, bucket, way);
}

void lsm_row_cache_clear(lsm_row_cache *cache) {
    if (cache->buckets == NULL) return;
    for (size_t place = 0; place < bucket_count(cache); place++) {
        for (int way = 0; way < LSM_ROW_CACHE_WAYS; way++) lsm_free(cache->buckets[place].rows[way]);
    }
    lsm_free_aligned(cache->buckets);
    cache->buckets = NULL;
    cache->mask = cache->split = cache->hand = 0;
    cache->usage = cache->count = 0;
}
