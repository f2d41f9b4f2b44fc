# The Bloom filter kernel and its Python holder, for other native modules.
cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "bloom.h" nogil:
    enum:
        LSM_BLOOM_LINE_SIZE
        LSM_BLOOM_PROBES_MAX
        LSM_BLOOM_BITS_PER_KEY_MAX
    ctypedef struct lsm_bloom:
        const uint8_t *lines
        uint32_t line_count
        uint32_t probe_count
    uint32_t lsm_bloom_line_count(uint64_t key_count, double bits_per_key)
    uint32_t lsm_bloom_probe_count(double bits_per_key)
    void lsm_bloom_add(uint8_t *lines, uint32_t line_count, uint32_t probe_count, uint64_t hash)
    bint lsm_bloom_may_contain(const lsm_bloom *filter, uint64_t hash)
    void lsm_bloom_prefetch(const lsm_bloom *filter, uint64_t hash)


@cython.final
cdef class BloomFilter:
    cdef uint8_t *lines  # owned; NULL in an empty filter
    cdef lsm_bloom filter

    cdef int allocate(self, uint32_t line_count, uint32_t probe_count) except -1
