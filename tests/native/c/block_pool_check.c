/* The pool of cached blocks under sanitizers: block_pool_check SEED STEPS.
 *
 * Takes and gives back slots of random sizes in random order, each filled with a pattern of its own that must
 * still be there when it goes back; then empties the pool, closes it with slots still taken, and gives those
 * back too. In the end the allocator must hold nothing. Prints the most chunks' bytes held and the bytes held
 * when the pool was empty.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator.h"
#include "block_pool.h"
#include "check.h"

enum { SLOTS = 3000, SIZE_MAX_ASKED = 1200000 };

typedef struct slot {
    uint8_t *bytes; /* NULL: not taken */
    size_t size;
    uint8_t pattern;
    lsm_block_chunk *chunk;
} slot;

static slot slots[SLOTS];
static void require(int condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void take(lsm_block_pool *pool, slot *taken) {
    size_t limit = random_below(20) == 0 ? SIZE_MAX_ASKED : 20000;
    size_t size = random_below(4) == 0 ? 1 + random_below(limit) : 4000 + random_below(300);
    size_t slot_size = lsm_block_pool_slot_size(size);
    taken->bytes = lsm_block_pool_take(pool, size, &taken->chunk);
    require((taken->bytes != NULL) == (slot_size != 0), "a slot for every size that has one");
    if (taken->bytes == NULL) return;
    require(((uintptr_t)taken->bytes & 63) == 0, "alignment");
    require(slot_size >= size && (size <= 1024 || slot_size <= (size + size / 16 + 64) / 8 * 9), "slot size");
    taken->size = size;
    taken->pattern = (uint8_t)random_below(256);
    memset(taken->bytes, taken->pattern, size);
}

static void give(slot *taken) {
    if (taken->bytes == NULL) return;
    for (size_t i = 0; i < taken->size; i++) require(taken->bytes[i] == taken->pattern, "slots overlap");
    lsm_block_pool_give(taken->chunk, taken->bytes);
    taken->bytes = NULL;
}

int main(int argc, char **argv) {
    require(argc == 3, "usage: block_pool_check SEED STEPS");
    random_state = strtoull(argv[1], NULL, 10) * 2654435761u + 1;
    uint64_t steps = strtoull(argv[2], NULL, 10);
    lsm_block_pool *pool = lsm_block_pool_create();
    require(pool != NULL, "memory");
    int64_t most = 0;
    for (uint64_t i = 0; i < steps; i++) {
        slot *chosen = &slots[random_below(SLOTS)];
        if (chosen->bytes != NULL) give(chosen);
        else take(pool, chosen);
        if (lsm_memory_shared()->bytes > most) most = lsm_memory_shared()->bytes;
    }
    for (size_t i = 0; i < SLOTS; i++) give(&slots[i]);
    int64_t when_empty = lsm_memory_shared()->bytes;
    for (size_t i = 0; i < SLOTS; i++) take(pool, &slots[i]);
    lsm_block_pool_close(pool);
    for (size_t i = 0; i < SLOTS; i++) give(&slots[i]);
    require(lsm_memory_shared()->bytes == 0 && lsm_memory_shared()->blocks == 0, "memory is left");
    printf("%lld %lld\n", (long long)most, (long long)when_empty);
    return 0;
}
