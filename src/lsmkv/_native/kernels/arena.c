/* Chunks of the bump allocator (arena.h): how they grow and how they go. */
#include "arena.h"

#include <string.h>

enum { LINE_SIZE = 64 };

/* Stands at the beginning of each chunk; the first take follows one cache line later. */
struct lsm_arena_chunk {
    lsm_arena_chunk *next;
    size_t size; /* header included */
};

void lsm_arena_init(lsm_arena *arena) {
    memset(arena, 0, sizeof *arena);
    arena->next_size = LSM_ARENA_CHUNK_MIN;
}

/* In huge pages: a memtable is visited at random. Measured at 0.4 and 1 M entries: puts and gets take 5 to
 * 30 % less time, freeing half. */
static lsm_arena_chunk *allocate_chunk(size_t size) {
    lsm_arena_chunk *chunk = size == LSM_CHUNK_SIZE ? lsm_alloc_chunk() : lsm_alloc_aligned(size);
    if (chunk == NULL) return NULL;
    if (size != LSM_CHUNK_SIZE) lsm_prefer_huge_pages(chunk, size);
    chunk->size = size;
    return chunk;
}

static void free_chunk(lsm_arena_chunk *chunk) {
    if (chunk->size == LSM_CHUNK_SIZE) lsm_free_chunk(chunk);
    else lsm_free_aligned(chunk);
}

void lsm_arena_destroy(lsm_arena *arena) {
    lsm_arena_chunk *chunk = arena->chunks;
    while (chunk != NULL) {
        lsm_arena_chunk *next = chunk->next;
        free_chunk(chunk);
        chunk = next;
    }
    lsm_arena_init(arena);
}

int lsm_arena_grow(lsm_arena *arena, size_t size) {
    if (size > SIZE_MAX - 2 * LINE_SIZE) return LSM_E_MEMORY;
    size_t room = (size + LINE_SIZE - 1) & ~(size_t)(LINE_SIZE - 1);
    int is_regular = room + LINE_SIZE <= arena->next_size;
    if (is_regular) room = arena->next_size - LINE_SIZE;
    lsm_arena_chunk *chunk = allocate_chunk(room + LINE_SIZE);
    if (chunk == NULL) return LSM_E_MEMORY;
    if (is_regular && arena->next_size < LSM_ARENA_CHUNK_MAX) arena->next_size *= 2;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    /* Of the two open chunks the one with less room is closed. */
    if (arena->spare_left >= arena->left) {
        arena->cursor = arena->spare_cursor;
        arena->left = arena->spare_left;
    }
    arena->spare_cursor = (uint8_t *)chunk + LINE_SIZE;
    arena->spare_left = room;
    return 0;
}
