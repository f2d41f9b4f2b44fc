/* The one door to the allocator.
 *
 * Every kernel allocates here, so that tests can fail allocation k (once or for ever), leaks show as a
 * non-zero balance, and stats() can say what the engine holds. Each extension module links its own copy of
 * this file; `_native/memory.pyx` owns the one shared state and every other module attaches to it at import.
 */
#ifndef LSMKV_ALLOCATOR_H
#define LSMKV_ALLOCATOR_H

#include <stddef.h>
#include <stdint.h>

/* Chunks of memtables: one is freed with each flush and another one needed at once, so a few are kept. Fresh
 * memory has to be zeroed by the system, page by page. */
#define LSM_CHUNK_SIZE ((size_t)4 * 1024 * 1024)
enum { LSM_CHUNKS_KEPT_MAX = 24 };

typedef struct lsm_memory_state {
    int64_t bytes;         /* outstanding, atomic */
    int64_t blocks;        /* outstanding, atomic */
    int64_t calls;         /* allocations so far, atomic */
    int64_t fail_at;       /* the call number that fails, 0 = none; for tests */
    int32_t fail_for_ever; /* whether every later call fails too */
    int32_t recycled;      /* chunks taken from `chunks` since the last trim, atomic */
    void *chunks[LSM_CHUNKS_KEPT_MAX]; /* freed, kept for the next use; atomic; not in the balance */
} lsm_memory_state;

/* REQUIRES: called before the first allocation of this module; `state` lives as long as the process. */
void lsm_memory_attach(lsm_memory_state *state);
lsm_memory_state *lsm_memory_shared(void);

/* NULL on failure. Blocks are 16-byte aligned; `size` 0 is served as 1. */
void *lsm_alloc(size_t size);
void *lsm_calloc(size_t count, size_t size); /* zeroed; NULL also when count * size overflows */
void *lsm_realloc(void *pointer, size_t size); /* on failure the old block stays valid */
void lsm_free(void *pointer);                  /* NULL is allowed */

/* 64-byte aligned, for data that is searched a cache line at a time; freed by lsm_free_aligned only. */
void *lsm_alloc_aligned(size_t size);
void lsm_free_aligned(void *pointer);

/* LSM_CHUNK_SIZE bytes, 64-byte aligned, in huge pages where the system grants them; not zeroed. */
void *lsm_alloc_chunk(void);
void lsm_free_chunk(void *chunk); /* NULL is allowed */
/* Gives back to the system what is kept: all of it, or only if none was used since the last call. */
void lsm_trim_chunks(int only_if_idle);

/* Advises huge pages for a block of two megabytes and more that is visited at random, or is about to be
 * filled for the first time: one page fault instead of five hundred. */
void lsm_prefer_huge_pages(const void *block, size_t size);

/* One huge page's worth of memory, aligned to it and advised to be one: for what is visited at random.
 * Zeroed; resident as a whole once touched, where the system grants it. */
enum { LSM_HUGE_PAGE_SIZE = 2 * 1024 * 1024 };
void *lsm_alloc_huge_page(void);
void lsm_free_huge_page(void *pointer); /* NULL is allowed */

#endif
