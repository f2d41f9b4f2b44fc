# The shared allocator state: every native module attaches its copy of the kernels to it at import.
from libc.stdint cimport int32_t, int64_t

cdef extern from "allocator.h" nogil:
    ctypedef struct lsm_memory_state:
        int64_t bytes
        int64_t blocks
        int64_t calls
        int64_t fail_at
        int32_t fail_for_ever
    void lsm_memory_attach(lsm_memory_state *state)
    void *lsm_alloc(size_t size)
    void *lsm_calloc(size_t count, size_t size)
    void *lsm_realloc(void *pointer, size_t size)
    void lsm_prefer_huge_pages(const void *block, size_t size)
    void lsm_free(void *pointer)
    void *lsm_alloc_aligned(size_t size)
    void lsm_free_aligned(void *pointer)
    void lsm_trim_chunks(int only_if_idle)

cdef lsm_memory_state *shared_state() noexcept nogil
