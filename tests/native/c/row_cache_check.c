/* The row cache under sanitizers: row_cache_check SEED CAPACITY.
 *
 * Random puts, gets and removes against an array that knows what is newest: what the cache says is that, or
 * nothing; its budget holds at every moment; some allocations fail; closed, it leaves nothing behind. Prints
 * the most rows it held, hits, misses and evictions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator.h"
#include "check.h"
#include "murmur3.h"
#include "row_cache.h"

enum { KEYS = 4000, OPERATIONS = 400000, VALUE_SIZE_MAX = 300 };

typedef struct entry {
    int is_there;
    uint32_t size;
    uint8_t fill;
} entry;

static entry newest[KEYS];

static lsm_slice key_of(uint32_t number, char *room) {
    int size = snprintf(room, 32, "%.*s%u", (int)(number % 9), "some key", number);
    return (lsm_slice){(const uint8_t *)room, (size_t)size};
}

static void check_value(const entry *expected, lsm_slice value) {
    CHECK(expected->is_there && value.size == expected->size, "not the newest value");
    for (size_t i = 0; i < value.size; i++) CHECK(value.data[i] == expected->fill, "other bytes");
}

static int found(lsm_row_cache *cache, lsm_slice key, lsm_slice *value) {
    return lsm_row_cache_get(cache, key, lsm_key_hash(key.data, key.size), value);
}

/* Mostly short ones; a few that are too large to be kept. */
static uint32_t some_size(void) {
    uint64_t draw = random_below(1000);
    if (draw == 0) return LSM_ROW_CACHE_ROW_SIZE_MAX + (uint32_t)random_below(2);
    return draw < 100 ? 0 : (uint32_t)random_below(VALUE_SIZE_MAX);
}

static void step(lsm_row_cache *cache, uint8_t *room) {
    char name[32];
    uint32_t number = (uint32_t)random_below(random_below(2) ? KEYS : KEYS / 20); /* some are hot */
    entry *expected = &newest[number];
    lsm_slice key = key_of(number, name), value;
    uint64_t draw = random_below(10);
    if (draw < 6) {
        if (found(cache, key, &value)) check_value(expected, value);
    } else if (draw < 9) {
        *expected = (entry){1, some_size(), (uint8_t)random_next()};
        memset(room, expected->fill, expected->size);
        lsm_row_cache_put(cache, key, (lsm_slice){room, expected->size});
    } else {
        expected->is_there = 0;
        lsm_row_cache_remove(cache, key);
        CHECK(!found(cache, key, &value), "removed, and there");
    }
    CHECK(cache->usage <= cache->capacity, "%zu bytes of %zu", cache->usage, cache->capacity);
}

int main(int argc, char **argv) {
    CHECK(argc == 3, "usage: row_cache_check SEED CAPACITY");
    random_state = strtoull(argv[1], NULL, 10) * 2654435761u + 1;
    lsm_memory_state *memory = lsm_memory_shared();
    static uint8_t room[LSM_ROW_CACHE_ROW_SIZE_MAX + 1];
    lsm_row_cache cache;
    lsm_row_cache_init(&cache, (size_t)atoll(argv[2]));
    size_t most = 0;
    for (int i = 0; i < OPERATIONS; i++) {
        if (i % 1000 == 999) memory->fail_at = memory->calls + 1 + (int64_t)random_below(50);
        step(&cache, room);
        if (cache.count > most) most = cache.count;
        if (i == OPERATIONS / 2) {
            lsm_row_cache_clear(&cache);
            CHECK(cache.count == 0 && cache.usage == 0, "not cleared");
        }
    }
    printf("%zu %llu %llu %llu\n", most, (unsigned long long)cache.hits, (unsigned long long)cache.misses,
           (unsigned long long)cache.evictions);
    lsm_row_cache_clear(&cache);
    CHECK(memory->bytes == 0 && memory->blocks == 0, "a leak");
    return 0;
}
