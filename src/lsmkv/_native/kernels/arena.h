/* A chunked bump allocator: first reserve what an operation may need at worst, then take without failing.
 *
 * - Nothing is freed before the whole arena is, so a pointer taken from it is good for the arena's life.
 * - Two chunks are open: takes go to the older one while they fit and to the spare one otherwise. After a
 *   reserve of n bytes one of the two has n bytes left, hence takes of n bytes in all cannot fail, and the
 *   rest of a chunk is not lost when one large reserve does not fit into it.
 * - Chunks double from LSM_ARENA_CHUNK_MIN to LSM_ARENA_CHUNK_MAX, so a tiny database stays tiny; a reserve
 *   that is larger still gets a chunk of its own size. What was reserved and not taken serves later takes.
 * - Not for sharing between threads that write.
 */
#ifndef LSMKV_ARENA_H
#define LSMKV_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "allocator.h"
#include "status.h"

#define LSM_ARENA_CHUNK_MIN ((size_t)16 * 1024)
#define LSM_ARENA_CHUNK_MAX LSM_CHUNK_SIZE

typedef struct lsm_arena_chunk lsm_arena_chunk;

typedef struct lsm_arena {
    uint8_t *cursor;       /* the open chunk */
    size_t left;
    uint8_t *spare_cursor; /* the spare chunk */
    size_t spare_left;
    lsm_arena_chunk *chunks;
    size_t next_size;
    size_t taken;          /* bytes handed out */
} lsm_arena;

void lsm_arena_init(lsm_arena *arena);
void lsm_arena_destroy(lsm_arena *arena);

/* The slow path of lsm_arena_reserve: opens a new chunk. */
int lsm_arena_grow(lsm_arena *arena, size_t size);

/* Makes sure that takes of `size` bytes in all succeed. Reserves do not add up: the last one counts.
 * 0 or LSM_E_MEMORY; on failure nothing has changed. */
static inline int lsm_arena_reserve(lsm_arena *arena, size_t size) {
    if (LSM_LIKELY(size <= arena->left || size <= arena->spare_left)) return 0;
    return lsm_arena_grow(arena, size);
}

/* Where the next take of `size` bytes will lie: room that may be filled before it is taken.
 * REQUIRES: covered by a reserve. */
static inline void *lsm_arena_peek(const lsm_arena *arena, size_t size) {
    return size <= arena->left ? arena->cursor : arena->spare_cursor;
}

/* REQUIRES: covered by a reserve. Never NULL. `size` keeps the alignment: chunks begin at a cache line, and
 * every take is a multiple of what the arena's user wants to be aligned to. */
static inline void *lsm_arena_take(lsm_arena *arena, size_t size) {
    uint8_t *result;
    if (LSM_LIKELY(size <= arena->left)) {
        result = arena->cursor;
        arena->cursor += size;
        arena->left -= size;
    } else {
        if (LSM_UNLIKELY(size > arena->spare_left)) __builtin_trap(); /* better than a wild write */
        result = arena->spare_cursor;
        arena->spare_cursor += size;
        arena->spare_left -= size;
    }
    arena->taken += size;
    return result;
}

#endif
