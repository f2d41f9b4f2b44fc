# The row cache (kernels/row_cache.h), for the store that owns one.
from libc.stdint cimport uint64_t

from lsmkv._native.failure cimport lsm_slice

cdef extern from "row_cache.h" nogil:
    ctypedef struct lsm_row_cache:
        size_t capacity
        size_t usage
        size_t count
        uint64_t hits, misses, insertions, evictions
    void lsm_row_cache_init(lsm_row_cache *cache, size_t capacity)
    void lsm_row_cache_clear(lsm_row_cache *cache)
    int lsm_row_cache_get(lsm_row_cache *cache, lsm_slice key, uint64_t hash, lsm_slice *value)
    void lsm_row_cache_put(lsm_row_cache *cache, lsm_slice key, lsm_slice value)
    void lsm_row_cache_remove(lsm_row_cache *cache, lsm_slice key)
    void lsm_row_cache_expect(const lsm_row_cache *cache, uint64_t hash)
    void lsm_row_cache_expect_row(const lsm_row_cache *cache, uint64_t hash)
