# A consistent view of one moment. See snapshot.pyx.
from libc.stdint cimport uint64_t
from lsmkv._native.gate cimport Gate, Pin
from lsmkv._native.readstate cimport ReadState
from lsmkv._native.scan cimport Scan, ScanShape
from lsmkv._native.store cimport Store

cdef class Snapshot:
    cdef Store store
    cdef Gate gate
    cdef Pin pin
    cdef uint64_t sequence
    cdef bint closed
    cdef ReadState pinned_state  # set when keys were dropped after the snapshot was taken
    cdef object __weakref__

    cdef int check(self) except -1
    cdef ReadState current(self)
    cdef Scan open_scan(self, object start, object stop, object prefix, bint reverse, object limit,
                        ScanShape shape)
