/* CLOCK over a doubly linked ring.
 *
 * The hand points at the next block to be judged: a used one loses its bit and is passed over, an unused one
 * is evicted. A new block enters behind the hand with its bit clear, so it gets one full turn to be hit again
 * and a scan that touches each block once cannot push out what is read twice. Evicting a pinned block takes
 * it out of its slot and the budget at once; its memory goes when the last pin does.
 */
#include "cache.h"

#include "allocator.h"

_Static_assert(sizeof(lsm_block) <= LSM_BLOCK_DATA_OFFSET - LSM_BLOCK_HEADER_ROOM,
               "the record leaves header room");

/* A small cache is not worth pages of two megabytes, nor is a cache that holds little yet. */
enum { POOL_CAPACITY_MIN = 32 << 20, POOL_USAGE_MIN = 4 << 20 };

static lsm_block *block_at(uint8_t *base, size_t size, lsm_block_chunk *chunk) {
    if (base == NULL) return NULL;
    lsm_block *block = (lsm_block *)base;
    *block = (lsm_block){.data = base + LSM_BLOCK_DATA_OFFSET, .size = size, .references = 1, .chunk = chunk};
    return block;
}

lsm_block *lsm_block_create(size_t size) {
    if (size > SIZE_MAX - LSM_BLOCK_DATA_OFFSET) return NULL;
    return block_at(lsm_alloc_aligned(LSM_BLOCK_DATA_OFFSET + size), size, NULL);
}

lsm_block *lsm_cache_create_block(lsm_cache *cache, size_t size) {
    if (cache->pool == NULL && cache->capacity >= POOL_CAPACITY_MIN && cache->usage >= POOL_USAGE_MIN) {
        cache->pool = lsm_block_pool_create();
    }
    lsm_block_chunk *chunk = NULL;
    uint8_t *base = NULL;
    if (cache->pool != NULL && size <= SIZE_MAX - LSM_BLOCK_DATA_OFFSET) {
        base = lsm_block_pool_take(cache->pool, LSM_BLOCK_DATA_OFFSET + size, &chunk);
    }
    return base != NULL ? block_at(base, size, chunk) : lsm_block_create(size);
}

void lsm_block_release(lsm_block *block) {
    if (block == NULL) return;
    LSM_ASSERT(block->references > 0);
    if (--block->references != 0) return;
    if (block->chunk != NULL) lsm_block_pool_give(block->chunk, block);
    else lsm_free_aligned(block);
}

void lsm_cache_init(lsm_cache *cache, size_t capacity) {
    *cache = (lsm_cache){.capacity = capacity};
}

static void link_behind_hand(lsm_cache *cache, lsm_block *block) {
    if (cache->hand == NULL) {
        block->ring_next = block->ring_previous = block;
        cache->hand = block;
        return;
    }
    block->ring_next = cache->hand;
    block->ring_previous = cache->hand->ring_previous;
    block->ring_previous->ring_next = block;
    block->ring_next->ring_previous = block;
}

void lsm_cache_remove(lsm_cache *cache, lsm_block *block) {
    LSM_ASSERT(block->resident && *block->slot == block);
    if (cache->hand == block) cache->hand = block->ring_next == block ? NULL : block->ring_next;
    block->ring_previous->ring_next = block->ring_next;
    block->ring_next->ring_previous = block->ring_previous;
    block->ring_next = block->ring_previous = NULL;
    *block->slot = NULL;
    block->slot = NULL;
    block->resident = 0;
    cache->usage -= lsm_block_charge(block);
    lsm_block_release(block);
}

static void evict_down_to(lsm_cache *cache, size_t usage) {
    while (cache->usage > usage) {
        lsm_block *block = cache->hand;
        if (block->used) {
            block->used = 0;
            cache->hand = block->ring_next;
            continue;
        }
        lsm_cache_remove(cache, block);
        cache->evictions++;
    }
}

void lsm_cache_clear(lsm_cache *cache) {
    while (cache->hand != NULL) {
        lsm_cache_remove(cache, cache->hand);
        cache->evictions++;
    }
}

void lsm_cache_close(lsm_cache *cache) {
    lsm_cache_clear(cache);
    lsm_block_pool_close(cache->pool);
    cache->pool = NULL;
}

void lsm_cache_insert(lsm_cache *cache, lsm_block **slot, lsm_block *block) {
    LSM_ASSERT(!block->resident);
    size_t charge = lsm_block_charge(block);
    if (*slot != NULL || charge > cache->capacity) return;
    evict_down_to(cache, cache->capacity - charge);
    link_behind_hand(cache, block);
    block->slot = slot;
    block->resident = 1;
    block->used = 0;
    *slot = block;
    cache->usage += charge;
    cache->insertions++;
    lsm_block_retain(block);
}
