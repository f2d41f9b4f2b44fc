# The ordered in-memory map, for the modules that work on it without Python in between.
from libc.stdint cimport uint8_t, uint64_t

from lsmkv._native.cursor cimport lsm_cursor, lsm_cursor_destroy, lsm_cursor_ops, lsm_found
from lsmkv._native.failure cimport lsm_slice

cdef extern from "constants.h" nogil:
    const size_t LSM_KEY_SIZE_MAX
    const size_t LSM_VALUE_SIZE_MAX
    const uint64_t LSM_SEQUENCE_MAX
    bint lsm_kind_is_known(uint8_t kind)
    uint64_t lsm_trailer(uint64_t sequence, uint8_t kind)
    uint64_t lsm_trailer_sequence(uint64_t trailer)
    uint8_t lsm_trailer_kind(uint64_t trailer)

cdef extern from "memtable.h" nogil:
    ctypedef struct lsm_memtable
    ctypedef struct lsm_memtable_usage:
        uint64_t arena_bytes
        uint64_t garbage_bytes
        uint64_t entry_count
        uint64_t tombstone_count
        uint64_t first_sequence
        uint64_t last_sequence
    lsm_memtable *lsm_memtable_create()
    void lsm_memtable_retain(lsm_memtable *memtable)
    void lsm_memtable_release(lsm_memtable *memtable)
    int lsm_memtable_reserve(lsm_memtable *memtable, size_t operation_count, size_t payload_size)
    void lsm_memtable_insert(lsm_memtable *memtable, lsm_slice key, uint64_t trailer,
                             lsm_slice value, uint64_t pinned_sequence)
    void lsm_memtable_get(const lsm_memtable *memtable, lsm_slice key, uint64_t sequence,
                          lsm_found *found)
    lsm_cursor *lsm_memtable_cursor(lsm_memtable *memtable)
    void lsm_memtable_read_usage(const lsm_memtable *memtable, lsm_memtable_usage *usage)

cdef class Memtable:
    cdef lsm_memtable *memtable
    cdef int insert_slices(self, lsm_slice key, uint64_t sequence, uint8_t kind, lsm_slice value,
                           uint64_t pinned_sequence) except -1

cdef class MemtableCursor:
    cdef lsm_cursor *cursor
    cdef int require_valid(self) except -1
