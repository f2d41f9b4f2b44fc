/* The block cache: a byte budget over decompressed, validated blocks, evicted by CLOCK.
 *
 * Tables keep one slot per data block (`lsm_table.slots`), so a hit is one pointer load and no hashing. The
 * cache owns the ring of resident blocks and the budget. Not locked: the owner holds the core lock (the GIL)
 * for every call. Background jobs never touch it; they hold private blocks that no slot points at.
 */
#ifndef LSMKV_CACHE_H
#define LSMKV_CACHE_H

#include "block.h"
#include "block_pool.h"

/* A loaded block: one 64-byte aligned allocation that begins with this record and goes on with its bytes,
 * so that whoever holds the pointer can prefetch both. Reference counted under the core lock: the cache
 * holds one reference while resident, every pin another. Freed at zero. A private block belongs to one
 * thread. */
typedef struct lsm_block {
    lsm_block_view view;
    uint8_t *data;         /* 64-byte aligned, inside this allocation */
    size_t size;           /* of data */
    uint32_t references;
    uint8_t used;          /* CLOCK bit: set by every hit */
    uint8_t resident;
    struct lsm_block **slot; /* where the cache registered it; cleared at eviction */
    struct lsm_block *ring_next, *ring_previous;
    lsm_block_chunk *chunk;  /* of the cache's pool that the memory is from; NULL: from the allocator */
} lsm_block;

/* Where `data` begins within the allocation. The 16 bytes before it are free for a stored block's header. */
enum { LSM_BLOCK_DATA_OFFSET = 192, LSM_BLOCK_HEADER_ROOM = 16 };

typedef struct lsm_cache {
    size_t capacity; /* bytes; 0 = keep nothing */
    size_t usage;    /* bytes of resident blocks, their records included */
    uint64_t hits, misses, insertions, evictions;
    lsm_block *hand; /* the next to be judged; NULL when empty */
    lsm_block_pool *pool; /* NULL until the cache is large enough to deserve one */
} lsm_cache;

void lsm_cache_init(lsm_cache *cache, size_t capacity);
void lsm_cache_clear(lsm_cache *cache); /* evicts everything; pinned blocks live on until unpinned */
void lsm_cache_close(lsm_cache *cache); /* the same for good */

/* A private block with room for `size` bytes, its view unset and one reference, the caller's. NULL: no
 * memory. */
lsm_block *lsm_block_create(size_t size);
static inline void lsm_block_retain(lsm_block *block) { block->references++; }
void lsm_block_release(lsm_block *block); /* NULL-safe */

/* The same for a block that is about to be inserted: from the cache's pool where that serves. Under the core
 * lock, as is its release. */
lsm_block *lsm_cache_create_block(lsm_cache *cache, size_t size);

/* What the cache counts for a block. */
static inline size_t lsm_block_charge(const lsm_block *block) {
    size_t size = LSM_BLOCK_DATA_OFFSET + block->size;
    return block->chunk != NULL ? lsm_block_pool_slot_size(size) : size;
}

/* Makes `block` resident in `*slot` (adding the cache's own reference), evicting others down to capacity
 * first. If the slot is taken already (a racing load) or the block alone exceeds the capacity, nothing
 * happens. */
void lsm_cache_insert(lsm_cache *cache, lsm_block **slot, lsm_block *block);
void lsm_cache_remove(lsm_cache *cache, lsm_block *block); /* REQUIRES: resident */

#endif
