# Operations collected for one atomic write, already in the log's encoding. See batch.pyx.
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from lsmkv._native.failure cimport lsm_slice

cdef class OperationBuffer:
    cdef uint8_t *data
    cdef size_t size
    cdef size_t capacity
    cdef uint32_t count
    cdef bint sealed
    cdef size_t payload_bytes  # keys and values alone: what the memtable must have room for

    cdef int check(self) except -1
    cdef int append(self, uint8_t kind, lsm_slice key, lsm_slice value) except -1
    cdef int add_pair(self, object key, object value) except -1
    cdef int add_delete(self, object key) except -1
