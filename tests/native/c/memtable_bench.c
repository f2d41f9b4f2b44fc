/* Nanoseconds per put and get, and arena bytes per entry, of the memtable alone; run by hand:
 *
 *     K=src/lsmkv/_native/kernels
 *     cc -O3 -DNDEBUG -std=gnu11 -fno-strict-aliasing -I$K tests/native/c/memtable_bench.c \
 *        $K/memtable*.c $K/arena.c $K/allocator.c -o memtable_bench && ./memtable_bench 1000000
 *
 * Keys: %016d, 16 random bytes, paths with 50 keys to a directory, four prefixes mixed; values of 100 bytes;
 * one reserve per put, as the store does; CPU time.
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
        default: {
            static const char *const names[] = {"a", "user", "user:mail", "zone"};
            return (size_t)sprintf(key, "%s:%08u", names[mixed >> 62], number);
        }
    }
}

/* Keys lie in the order in which they are used, so that the caller's own cache misses are not measured. */
typedef struct key_list {
    uint32_t count;
    char *data;
    uint8_t *sizes;
} key_list;

static key_list new_list(uint32_t count) {
    key_list list = {count, calloc(count, KEY_SIZE_MAX), calloc(count, 1)};
    if (list.data == NULL || list.sizes == NULL) abort();
    return list;
}

static lsm_slice key_at(const key_list *list, uint32_t i) {
    return (lsm_slice){(const uint8_t *)list->data + (size_t)i * KEY_SIZE_MAX, list->sizes[i]};
}

static void fill(key_list *list, int family) {
    for (uint32_t i = 0; i < list->count; i++) {
        list->sizes[i] = (uint8_t)write_key(list->data + (size_t)i * KEY_SIZE_MAX, family, i);
    }
}

static void shuffle(const key_list *from, key_list *to) {
    uint32_t *order = calloc(from->count, sizeof *order);
    if (order == NULL) abort();
    for (uint32_t i = 0; i < from->count; i++) {
        uint32_t j = (uint32_t)(next_random() % (i + 1));
        order[i] = order[j];
        order[j] = i;
    }
    for (uint32_t i = 0; i < from->count; i++) {
        memcpy(to->data + (size_t)i * KEY_SIZE_MAX, key_at(from, order[i]).data, KEY_SIZE_MAX);
        to->sizes[i] = from->sizes[order[i]];
    }
    free(order);
}

static double run_puts(lsm_memtable *memtable, const key_list *list) {
    static const uint8_t value[VALUE_SIZE];
    static uint64_t sequence;
    double start = seconds();
    for (uint32_t i = 0; i < list->count; i++) {
        lsm_slice key = key_at(list, i);
        if (lsm_memtable_reserve(memtable, 1, key.size + VALUE_SIZE) != 0) abort();
        uint64_t trailer = lsm_trailer(++sequence, LSM_KIND_PUT);
        lsm_memtable_insert(memtable, key, trailer, (lsm_slice){value, VALUE_SIZE}, 0);
    }
    return (seconds() - start) * 1e9 / list->count;
}

static double run_gets(lsm_memtable *memtable, const key_list *list) {
    uint64_t sum = 0;
    double start = seconds();
    for (uint32_t i = 0; i < list->count; i++) {
        lsm_found found;
        lsm_memtable_get(memtable, key_at(list, i), LSM_SEQUENCE_MAX, &found);
        if (!found.found) abort();
        sum += found.value.data[0];
    }
    double elapsed = seconds() - start;
    if (sum != 0) abort();
    return elapsed * 1e9 / list->count;
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

static double bytes_per_entry(const lsm_memtable *memtable) {
    lsm_memtable_usage usage;
    lsm_memtable_read_usage(memtable, &usage);
    return (double)usage.arena_bytes / (double)usage.entry_count;
}

static void run_family(const char *name, const key_list *ordered, const key_list *mixed,
                       const key_list *again) {
    lsm_memtable *memtable = lsm_memtable_create();
    printf("%-9s ordered put %4.0f", name, run_puts(memtable, ordered));
    printf(" get %4.0f", run_gets(memtable, ordered));
    printf(" (%.0f B)", bytes_per_entry(memtable));
    lsm_memtable_release(memtable);
    memtable = lsm_memtable_create();
    printf("  random put %4.0f", run_puts(memtable, mixed));
    double bytes = bytes_per_entry(memtable);
    printf(" get %4.0f", run_gets(memtable, again));
    printf(" next %3.0f", run_scan(memtable, mixed->count, 0));
    printf(" previous %3.0f", run_scan(memtable, mixed->count, 1));
    printf(" overwrite %4.0f (%.0f B)", run_puts(memtable, again), bytes);
    double start = seconds();
    lsm_memtable_release(memtable);
    printf("  free %.1f ms\n", (seconds() - start) * 1e3);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"decimal", "random", "paths", "families"};
    uint32_t count = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000000;
    key_list ordered = new_list(count), mixed = new_list(count), again = new_list(count);
    for (int family = 0; family < 4; family++) {
        fill(&ordered, family);
        shuffle(&ordered, &mixed);
        shuffle(&ordered, &again);
        run_family(names[family], &ordered, &mixed, &again);
    }
    return 0;
}
