/* Allocation with a header that remembers the size, so that the balance of allocator.h is exact. */
#include "allocator.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEADER_SIZE = 16, LINE_SIZE = 64, PAGE_SIZE = 4096 };

static lsm_memory_state private_state;
static lsm_memory_state *state = &private_state;

void lsm_memory_attach(lsm_memory_state *shared) { state = shared; }
lsm_memory_state *lsm_memory_shared(void) { return state; }

static int must_fail(void) {
    int64_t call = __atomic_add_fetch(&state->calls, 1, __ATOMIC_RELAXED);
    int64_t fail_at = __atomic_load_n(&state->fail_at, __ATOMIC_RELAXED);
    if (fail_at == 0) return 0;
    return state->fail_for_ever ? call >= fail_at : call == fail_at;
}

static void account(int64_t bytes, int64_t blocks) {
    __atomic_add_fetch(&state->bytes, bytes, __ATOMIC_RELAXED);
    __atomic_add_fetch(&state->blocks, blocks, __ATOMIC_RELAXED);
}

static void *finish(uint8_t *base, size_t size) {
    if (base == NULL) return NULL;
    memcpy(base, &size, sizeof size);
    account((int64_t)size, 1);
    return base + HEADER_SIZE;
}

static size_t size_of(const void *pointer) {
    size_t size;
    memcpy(&size, (const uint8_t *)pointer - HEADER_SIZE, sizeof size);
    return size;
}

void *lsm_alloc(size_t size) {
    if (size == 0) size = 1;
    if (size > SIZE_MAX - HEADER_SIZE || must_fail()) return NULL;
    return finish(malloc(size + HEADER_SIZE), size);
}

void *lsm_calloc(size_t count, size_t size) {
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) return NULL;
    if (total == 0) total = 1;
    if (total > SIZE_MAX - HEADER_SIZE || must_fail()) return NULL;
    return finish(calloc(1, total + HEADER_SIZE), total);
}

void *lsm_realloc(void *pointer, size_t size) {
    if (pointer == NULL) return lsm_alloc(size);
    if (size == 0) size = 1;
    if (size > SIZE_MAX - HEADER_SIZE || must_fail()) return NULL;
    size_t old_size = size_of(pointer);
    uint8_t *base = realloc((uint8_t *)pointer - HEADER_SIZE, size + HEADER_SIZE);
    if (base == NULL) return NULL;
    account(-(int64_t)old_size, -1);
    return finish(base, size);
}

void lsm_free(void *pointer) {
    if (pointer == NULL) return;
    account(-(int64_t)size_of(pointer), -1);
    free((uint8_t *)pointer - HEADER_SIZE);
}

static void *allocate_aligned(size_t size) {
    void *base = NULL;
    if (posix_memalign(&base, LINE_SIZE, size + LINE_SIZE) != 0) return NULL;
    memcpy((uint8_t *)base + LINE_SIZE - HEADER_SIZE, &size, sizeof size);
    account((int64_t)size, 1);
    return (uint8_t *)base + LINE_SIZE;
}

void *lsm_alloc_aligned(size_t size) {
    if (size == 0) size = 1;
    if (size > SIZE_MAX - 2 * LINE_SIZE || must_fail()) return NULL;
    return allocate_aligned(size);
}

void lsm_free_aligned(void *pointer) {
    if (pointer == NULL) return;
    account(-(int64_t)size_of(pointer), -1);
    free((uint8_t *)pointer - LINE_SIZE);
}

/* Only advice: the range is widened to whole pages (neighbouring blocks then share huge pages), the result
 * ignored. */
void lsm_prefer_huge_pages(const void *block, size_t size) {
#ifdef MADV_HUGEPAGE
    if (size < LSM_HUGE_PAGE_SIZE) return;
    uintptr_t begin = (uintptr_t)block & ~(uintptr_t)(PAGE_SIZE - 1);
    (void)madvise((void *)begin, (uintptr_t)block + size - begin, MADV_HUGEPAGE);
#else
    (void)block;
    (void)size;
#endif
}

/* Slots are taken and filled by one atomic exchange each: never a lock, which a thread of the parent might
 * hold at a fork. */
void *lsm_alloc_chunk(void) {
    if (must_fail()) return NULL;
    for (int i = 0; i < LSM_CHUNKS_KEPT_MAX; i++) {
        if (__atomic_load_n(&state->chunks[i], __ATOMIC_RELAXED) == NULL) continue;
        void *chunk = __atomic_exchange_n(&state->chunks[i], NULL, __ATOMIC_ACQUIRE);
        if (chunk == NULL) continue;
        __atomic_add_fetch(&state->recycled, 1, __ATOMIC_RELAXED);
        account((int64_t)LSM_CHUNK_SIZE, 1);
        return chunk;
    }
    void *chunk = allocate_aligned(LSM_CHUNK_SIZE);
    if (chunk != NULL) lsm_prefer_huge_pages(chunk, LSM_CHUNK_SIZE);
    return chunk;
}

void lsm_free_chunk(void *chunk) {
    if (chunk == NULL) return;
    account(-(int64_t)LSM_CHUNK_SIZE, -1);
    for (int i = 0; i < LSM_CHUNKS_KEPT_MAX; i++) {
        void *expected = NULL;
        if (__atomic_compare_exchange_n(&state->chunks[i], &expected, chunk, 0, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) return;
    }
    free((uint8_t *)chunk - LINE_SIZE);
}

void lsm_trim_chunks(int only_if_idle) {
    int32_t recycled = __atomic_exchange_n(&state->recycled, 0, __ATOMIC_RELAXED);
    if (only_if_idle && recycled != 0) return;
    for (int i = 0; i < LSM_CHUNKS_KEPT_MAX; i++) {
        void *chunk = __atomic_exchange_n(&state->chunks[i], NULL, __ATOMIC_ACQUIRE);
        if (chunk != NULL) free((uint8_t *)chunk - LINE_SIZE);
    }
}

/* Mapped with room to align, of which the ends are given back. */
void *lsm_alloc_huge_page(void) {
    if (must_fail()) return NULL;
    size_t size = LSM_HUGE_PAGE_SIZE;
    uint8_t *mapped = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return NULL;
    size_t before = (size - ((uintptr_t)mapped & (size - 1))) & (size - 1);
    uint8_t *page = mapped + before;
    if (before != 0) munmap(mapped, before);
    munmap(page + size, size - before);
    lsm_prefer_huge_pages(page, size);
    account((int64_t)size, 1);
    return page;
}

void lsm_free_huge_page(void *pointer) {
    if (pointer == NULL) return;
    account(-(int64_t)LSM_HUGE_PAGE_SIZE, -1);
    munmap(pointer, LSM_HUGE_PAGE_SIZE);
}
