/* Nanoseconds per put and get, and arena bytes per entry, of the memtable alone; run by hand:
 *
 *     K=src/lsmkv/_native/kernels
 *     cc -O3 -DNDEBUG -std=gnu11 -fno-strict-aliasing -I$K tests/native/c/memtable_bench.c \
 *        $K/memtable*.c $K/arena.c $K/allocator.c -o memtable_bench && ./memtable_bench 1000000
 *
 * Keys: %016d and 16 random bytes; values of 100 bytes; one reserve per put, as the store does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "memtable.h"

enum { KEY_SIZE_MAX = 64, VALUE_SIZE = 100 };

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static size_t write_key(char *key, int family, uint32_t number) {
    uint64_t mixed = (number + 1) * 0x9E3779B97F4A7C15u;
    switch (family) {
        case 0: return (size_t)sprintf(key, "%016u", number);
        case 1: {
            uint64_t other = (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9u;
            memcpy(key, &other, 8);
            memcpy(key + 8, &mixed, 8);
            return 16;
        }
        case 2: return (size_t)sprintf(key, "/srv/app/users/%05u/items/%04u", number % 20000, number / 20000);
        default: return (size_t)sprintf(key, "%s:%08u", (const char *[]){"a", "user", "user:mail", "zone"}[mixed >> 62], number);
    }
}

static void shuffle(uint32_t *order, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(next_random() % (i + 1));
        uint32_t swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
}

static double run_puts(lsm_memtable *memtable, const char *keys, const uint8_t *sizes, const uint32_t *order,
                       uint32_t count) {
    static uint8_t value[VALUE_SIZE];
    static uint64_t sequence;
    double start = seconds();
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = order ? order[i] : i;
        lsm_slice key = {(const uint8_t *)keys + (size_t)n * KEY_SIZE_MAX, sizes[n]};
        if (lsm_memtable_reserve(memtable, 1, key.size + VALUE_SIZE) != 0) abort();
        lsm_memtable_insert(memtable, key, lsm_trailer(++sequence, LSM_KIND_PUT), (lsm_slice){value, VALUE_SIZE}, 0);
    }
    return (seconds() - start) * 1e9 / count;
}

static double run_gets(lsm_memtable *memtable, const char *keys, const uint8_t *sizes, const uint32_t *order,
                       uint32_t count) {
    uint64_t sum = 0;
    double start = seconds();
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = order ? order[i] : i;
        lsm_found found;
        lsm_memtable_get(memtable, (lsm_slice){(const uint8_t *)keys + (size_t)n * KEY_SIZE_MAX, sizes[n]},
                         LSM_SEQUENCE_MAX, &found);
        if (!found.found) abort();
        sum += found.value.data[0];
    }
    double elapsed = seconds() - start;
    if (sum != 0) abort();
    return elapsed * 1e9 / count;
}

static double run_scan(lsm_memtable *memtable, uint32_t count, int backwards) {
    lsm_cursor *cursor = lsm_memtable_cursor(memtable);
    uint32_t seen = 0;
    uint64_t sum = 0;
    double start = seconds();
    if (backwards) cursor->ops->last(cursor); else cursor->ops->first(cursor);
    while (cursor->valid) {
        sum += cursor->key.data[0] + cursor->value.data[0];
        seen++;
        if (backwards) cursor->ops->previous(cursor); else cursor->ops->next(cursor);
    }
    double elapsed = seconds() - start;
    lsm_cursor_destroy(cursor);
    if (seen != count || sum == 1) abort();
    return elapsed * 1e9 / count;
}

int main(int argc, char **argv) {
    uint32_t count = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000000;
    const char *names[] = {"decimal", "random", "paths", "families"};
    /* The same key bytes are read in shuffled order, so copy them into that order: the caller's key is warm. */
    char *keys = calloc(count, KEY_SIZE_MAX), *mixed = calloc(count, KEY_SIZE_MAX), *again = calloc(count, KEY_SIZE_MAX);
    uint8_t *sizes = malloc(count), *mixed_sizes = malloc(count), *again_sizes = malloc(count);
    uint32_t *order = malloc(count * sizeof *order);
    for (int family = 0; family < 4; family++) {
        for (uint32_t i = 0; i < count; i++) sizes[i] = (uint8_t)write_key(keys + (size_t)i * KEY_SIZE_MAX, family, i);
        shuffle(order, count);
        for (uint32_t i = 0; i < count; i++) {
            memcpy(mixed + (size_t)i * KEY_SIZE_MAX, keys + (size_t)order[i] * KEY_SIZE_MAX, KEY_SIZE_MAX);
            mixed_sizes[i] = sizes[order[i]];
        }
        shuffle(order, count);
        for (uint32_t i = 0; i < count; i++) {
            memcpy(again + (size_t)i * KEY_SIZE_MAX, keys + (size_t)order[i] * KEY_SIZE_MAX, KEY_SIZE_MAX);
            again_sizes[i] = sizes[order[i]];
        }
        lsm_memtable_usage usage;
        lsm_memtable *memtable = lsm_memtable_create();
        double ordered_put = run_puts(memtable, keys, sizes, NULL, count);
        double ordered_get = run_gets(memtable, keys, sizes, NULL, count);
        lsm_memtable_read_usage(memtable, &usage);
        double ordered_bytes = (double)usage.arena_bytes / count;
        lsm_memtable_release(memtable);
        memtable = lsm_memtable_create();
        double random_put = run_puts(memtable, mixed, mixed_sizes, NULL, count);
        lsm_memtable_read_usage(memtable, &usage);
        double random_bytes = (double)usage.arena_bytes / count;
        double random_get = run_gets(memtable, again, again_sizes, NULL, count);
        double scan = run_scan(memtable, count, 0);
        double back = run_scan(memtable, count, 1);
        double overwrite = run_puts(memtable, again, again_sizes, NULL, count);
        double release = seconds();
        lsm_memtable_release(memtable);
        release = (seconds() - release) * 1e3;
        printf("%-9s ordered put %4.0f get %4.0f (%.0f B)  random put %4.0f get %4.0f overwrite %4.0f (%.0f B)  "
               "next %3.0f previous %3.0f  free %.1f ms\n", names[family], ordered_put, ordered_get, ordered_bytes,
               random_put, random_get, overwrite, random_bytes, scan, back, release);
    }
    return 0;
}
