/* Chunks of the bump allocator (arena.h): how they grow and how they go. */
#include "arena.h"

#include <string.h>
#include <sys/mman.h>

#include "allocator.h"

enum { LINE_SIZE = 64, PAGE_SIZE = 4096, HUGE_PAGE_SIZE = 2 * 1024 * 1024 };

/* Stands at the beginning of each chunk; the first take follows one cache line later. */
struct lsm_arena_chunk {
    lsm_arena_chunk *next;
};

void lsm_arena_init(lsm_arena *arena) {
    memset(arena, 0, sizeof *arena);
    arena->next_size = LSM_ARENA_CHUNK_MIN;
}

void lsm_arena_destroy(lsm_arena *arena) {
    lsm_arena_chunk *chunk = arena->chunks;
    while (chunk != NULL) {
        lsm_arena_chunk *next = chunk->next;
        lsm_free_aligned(chunk);
        chunk = next;
    }
    lsm_arena_init(arena);
}

/* Asks for huge pages: a memtable is visited at random, and with small pages every visit misses the TLB too.
 * Measured at 0.4 and 1 M entries: puts and gets take 5 to 30 % less time, freeing half. Only advice, so
 * the range is widened to whole pages (neighbouring chunks then share huge pages) and the result ignored. */
static void prefer_huge_pages(const void *chunk, size_t size) {
#ifdef MADV_HUGEPAGE
    if (size < HUGE_PAGE_SIZE) return;
    uintptr_t begin = (uintptr_t)chunk & ~(uintptr_t)(PAGE_SIZE - 1);
    (void)madvise((void *)begin, (uintptr_t)chunk + size - begin, MADV_HUGEPAGE);
#else
    (void)chunk;
    (void)size;
#endif
}

int lsm_arena_grow(lsm_arena *arena, size_t size) {
    if (size > SIZE_MAX - 2 * LINE_SIZE) return LSM_E_MEMORY;
    size_t room = (size + LINE_SIZE - 1) & ~(size_t)(LINE_SIZE - 1);
    int is_regular = room + LINE_SIZE <= arena->next_size;
    if (is_regular) room = arena->next_size - LINE_SIZE;
    lsm_arena_chunk *chunk = lsm_alloc_aligned(room + LINE_SIZE);
    if (chunk == NULL) return LSM_E_MEMORY;
    prefer_huge_pages(chunk, room + LINE_SIZE);
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
