# The iterator over live keys. See scan.pyx.
from libc.stdint cimport int64_t, uint64_t
from lsmkv._native.failure cimport lsm_error
from lsmkv._native.gate cimport Gate, Pin, Waiter
from lsmkv._native.merge cimport lsm_view
from lsmkv._native.readstate cimport ReadState
from lsmkv._native.table cimport lsm_read_context

cdef enum ScanShape:
    SCAN_ITEMS = 0
    SCAN_KEYS = 1
    SCAN_VALUES = 2

cdef class Scan:
    cdef Gate gate
    cdef ReadState state
    cdef lsm_view *view
    cdef lsm_read_context context
    cdef Waiter waiter
    cdef lsm_error error
    cdef Pin pin
    cdef int64_t left
    cdef ScanShape shape
    cdef bint busy
    cdef bint closed
    cdef bint exhausted
    cdef object __weakref__

    cdef void attach(self, Gate gate, ReadState state, uint64_t sequence) noexcept
    cdef Scan open(self, object start, object stop, object prefix, bint reverse, object limit)
    cdef int finish(self) except -1
    cdef int64_t consume(self, uint64_t *digest) except -1
    cdef void release_all(self) noexcept
    cdef object shaped(self, const void *key, Py_ssize_t key_size, const void *value,
                       Py_ssize_t value_size)

# A scan attached to its sources and pinned, not yet opened. Attaching allocates nothing, so that
# sequence and sources are of one moment; `open` may run the caller's buffer code and can fail.
cdef Scan new_scan(ScanShape shape)
