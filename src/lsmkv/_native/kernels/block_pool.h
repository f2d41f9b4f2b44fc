/* Memory for cached blocks: slots of similar size side by side in huge pages.
 *
 * A cache of blocks that come one by one from malloc pays a page fault for nearly every block it loads, and
 * an address translation for every block it visits at random. From huge pages, warm reads at random take
 * about two thirds of the time (1 M entries of 16 + 100 bytes).
 *
 *     chunk        = one huge page of 2 MiB, cut into slots of one size class, at multiples of 64 bytes
 *     size classes = sixteen to a doubling, from 1 KiB to 1 MiB: a slot wastes 6 % at most
 *
 * Not taken are larger blocks, and those of which too few would fit to fill a chunk.
 *
 * A class takes from the chunk that was given a slot back last; a chunk without a taken slot goes back to the
 * system unless it is the only one of its class with room. Not locked: the owner holds the core lock for
 * every call. The pool lives until it is closed and its last slot was given back.
 */
#ifndef LSMKV_BLOCK_POOL_H
#define LSMKV_BLOCK_POOL_H

#include <stddef.h>

typedef struct lsm_block_pool lsm_block_pool;
typedef struct lsm_block_chunk lsm_block_chunk;

/* NULL: no memory. */
lsm_block_pool *lsm_block_pool_create(void);
void lsm_block_pool_close(lsm_block_pool *pool); /* NULL-safe; taken slots live on */

/* The bytes that a slot for `size` bytes occupies, its share of what a chunk leaves over included; 0 when the
 * pool does not take it. */
size_t lsm_block_pool_slot_size(size_t size);

/* A slot, 64-byte aligned, and the chunk to give it back to. NULL: too large, or no memory. */
void *lsm_block_pool_take(lsm_block_pool *pool, size_t size, lsm_block_chunk **chunk);
void lsm_block_pool_give(lsm_block_chunk *chunk, void *slot);

#endif
