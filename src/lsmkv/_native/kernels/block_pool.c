/* Slots by size class (block_pool.h). Free slots of a chunk form a list through their first bytes; slots that
 * were never taken lie behind `fresh`. */
#include "block_pool.h"

#include <stdint.h>

#include "allocator.h"

enum {
    CLASSES_PER_DOUBLING = 16,
    SMALLEST_SHIFT = 10, /* 1 KiB is the smallest slot */
    WASTE_DIVISOR = 8,   /* of a chunk no more may be left over than this part */
    LARGEST_SHIFT = 20,  /* 1 MiB the largest: two to a chunk */
    CLASS_COUNT = (LARGEST_SHIFT - SMALLEST_SHIFT) * CLASSES_PER_DOUBLING + 1
};

typedef struct free_slot {
    struct free_slot *next;
} free_slot;

struct lsm_block_chunk {
    uint8_t *slots;
    lsm_block_pool *pool;
    lsm_block_chunk *next, *previous; /* among those of the class with room; not there when full */
    free_slot *freed;
    uint32_t slot_size, class_index;
    uint32_t fresh;                   /* offset of the first slot never taken */
    uint32_t taken;
};

struct lsm_block_pool {
    lsm_block_chunk *with_room[CLASS_COUNT];
    size_t chunk_count;
    int closed;
};

/* --- size classes ------------------------------------------------------------------------------------- */

/* The smallest class of at least `size` bytes; CLASS_COUNT when there is none. */
static uint32_t class_of(size_t size, size_t *slot_size) {
    if (size <= (size_t)1 << SMALLEST_SHIFT) {
        *slot_size = (size_t)1 << SMALLEST_SHIFT;
        return 0;
    }
    if (size > (size_t)1 << LARGEST_SHIFT) return CLASS_COUNT;
    /* 2^shift < size <= 2^(shift + 1) */
    uint32_t shift = 63 - (uint32_t)__builtin_clzll((uint64_t)(size - 1));
    size_t step = ((size_t)1 << shift) / CLASSES_PER_DOUBLING;
    size_t steps = (size - ((size_t)1 << shift) + step - 1) / step;
    *slot_size = ((size_t)1 << shift) + steps * step;
    return (shift - SMALLEST_SHIFT) * CLASSES_PER_DOUBLING + (uint32_t)steps;
}

size_t lsm_block_pool_slot_size(size_t size) {
    size_t slot_size;
    if (class_of(size, &slot_size) == CLASS_COUNT) return 0;
    size_t share = LSM_HUGE_PAGE_SIZE / (LSM_HUGE_PAGE_SIZE / slot_size);
    return share <= slot_size + slot_size / WASTE_DIVISOR ? share : 0;
}

/* --- chunks ------------------------------------------------------------------------------------------- */

static int has_room(const lsm_block_chunk *chunk) {
    return chunk->freed != NULL || chunk->fresh + chunk->slot_size <= LSM_HUGE_PAGE_SIZE;
}

static void link_first(lsm_block_chunk *chunk) {
    lsm_block_chunk **head = &chunk->pool->with_room[chunk->class_index];
    chunk->previous = NULL;
    chunk->next = *head;
    if (chunk->next != NULL) chunk->next->previous = chunk;
    *head = chunk;
}

static void unlink_chunk(lsm_block_chunk *chunk) {
    if (chunk->previous != NULL) chunk->previous->next = chunk->next;
    else chunk->pool->with_room[chunk->class_index] = chunk->next;
    if (chunk->next != NULL) chunk->next->previous = chunk->previous;
    chunk->next = chunk->previous = NULL;
}

static lsm_block_chunk *add_chunk(lsm_block_pool *pool, uint32_t class_index, size_t slot_size) {
    lsm_block_chunk *chunk = lsm_alloc(sizeof *chunk);
    if (chunk == NULL) return NULL;
    *chunk = (lsm_block_chunk){.pool = pool, .slot_size = (uint32_t)slot_size, .class_index = class_index};
    chunk->slots = lsm_alloc_huge_page();
    if (chunk->slots == NULL) {
        lsm_free(chunk);
        return NULL;
    }
    pool->chunk_count++;
    link_first(chunk);
    return chunk;
}

static void free_chunk(lsm_block_chunk *chunk) {
    lsm_block_pool *pool = chunk->pool;
    lsm_free_huge_page(chunk->slots);
    lsm_free(chunk);
    pool->chunk_count--;
    if (pool->closed && pool->chunk_count == 0) lsm_free(pool);
}

/* --- the pool ----------------------------------------------------------------------------------------- */

lsm_block_pool *lsm_block_pool_create(void) { return lsm_calloc(1, sizeof(lsm_block_pool)); }

void lsm_block_pool_close(lsm_block_pool *pool) {
    if (pool == NULL) return;
    for (uint32_t i = 0; i < CLASS_COUNT; i++) {
        for (lsm_block_chunk *chunk = pool->with_room[i], *next; chunk != NULL; chunk = next) {
            next = chunk->next;
            if (chunk->taken != 0) continue;
            unlink_chunk(chunk);
            free_chunk(chunk); /* not yet closed: the pool stays */
        }
    }
    pool->closed = 1;
    if (pool->chunk_count == 0) lsm_free(pool);
}

void *lsm_block_pool_take(lsm_block_pool *pool, size_t size, lsm_block_chunk **chunk_out) {
    size_t slot_size;
    if (lsm_block_pool_slot_size(size) == 0) return NULL;
    uint32_t class_index = class_of(size, &slot_size);
    lsm_block_chunk *chunk = pool->with_room[class_index];
    if (chunk == NULL) chunk = add_chunk(pool, class_index, slot_size);
    if (chunk == NULL) return NULL;
    void *slot;
    if (chunk->freed != NULL) {
        slot = chunk->freed;
        chunk->freed = chunk->freed->next;
    } else {
        slot = chunk->slots + chunk->fresh;
        chunk->fresh += chunk->slot_size;
    }
    chunk->taken++;
    if (!has_room(chunk)) unlink_chunk(chunk);
    *chunk_out = chunk;
    return slot;
}

void lsm_block_pool_give(lsm_block_chunk *chunk, void *slot) {
    int was_full = !has_room(chunk);
    free_slot *freed = slot;
    freed->next = chunk->freed;
    chunk->freed = freed;
    chunk->taken--;
    lsm_block_pool *pool = chunk->pool;
    int is_only = pool->with_room[chunk->class_index] == chunk && chunk->next == NULL;
    if (chunk->taken == 0 && (pool->closed || (!was_full && !is_only))) {
        if (!was_full) unlink_chunk(chunk);
        free_chunk(chunk);
    } else if (was_full) {
        link_first(chunk);
    } else if (chunk->previous != NULL) { /* the one given to last is warm: take from it next */
        unlink_chunk(chunk);
        link_first(chunk);
    }
}
