# The native base class of a database. See store.pyx.
from libc.stdint cimport uint8_t, uint64_t
from lsmkv._native.batch cimport OperationBuffer
from lsmkv._native.failure cimport lsm_error, lsm_slice
from lsmkv._native.cursor cimport lsm_found
from lsmkv._native.gate cimport Gate, Waiter
from lsmkv._native.log cimport LogWriter, lsm_log_writer
from lsmkv._native.memtable cimport Memtable, lsm_memtable
from lsmkv._native.readstate cimport ReadState
from lsmkv._native.row_cache cimport lsm_row_cache
from lsmkv._native.scan cimport Scan, ScanShape
from lsmkv._native.commit cimport CommitGroup

cdef class Store:
    cdef Gate gate
    cdef ReadState state         # current sources; replaced, never changed
    cdef Memtable active         # state.memtables[0]
    cdef lsm_memtable *memtable  # of `active`
    cdef LogWriter log           # the current segment
    cdef lsm_log_writer *writer  # of `log`
    cdef CommitGroup commits
    cdef OperationBuffer spare   # of put_many, empty; None while in use
    cdef lsm_row_cache rows      # what the newest version of each key says, of some keys
    cdef uint64_t sequence       # of the newest applied operation
    cdef uint64_t rotate_memory_bytes
    cdef uint64_t rotate_log_bytes
    cdef uint64_t slow_check_at  # bytes_written at which _slow_down is asked again
    cdef uint64_t put_count, delete_count, get_count, batch_count, bytes_written
    cdef uint64_t block_reads, bytes_read, bloom_skips

    cdef int write_one(self, uint8_t kind, lsm_slice key, lsm_slice value, bint sync) except -1
    cdef int write_many(self, OperationBuffer operations, bint sync) except -1
    cdef int apply(self, OperationBuffer operations) except -1
    cdef void tell_rows(self, uint8_t kind, lsm_slice key, lsm_slice value) noexcept
    cdef bint is_newest(self, uint64_t sequence, ReadState state) noexcept
    cdef int enter_write(self) except -1
    cdef int enter_write_slowly(self) except -1
    cdef int fail_write(self, int status, const lsm_error *error) except -1
    cdef int make_durable(self) except -1
    cdef bint find(
        self, lsm_slice key, uint64_t sequence, ReadState state, lsm_found *found
    ) except -1
    cdef bint find_newest(self, lsm_slice key, uint64_t hash, lsm_found *found) except -1
    cdef bint search(
        self, lsm_slice key, uint64_t sequence, ReadState state, lsm_found *found
    ) except -1
    cdef object lookup(self, lsm_slice key, uint64_t sequence, ReadState state)
    cdef list lookup_many(self, list wanted, uint64_t sequence, ReadState state)
    cdef Scan open_scan(self, object start, object stop, object prefix, bint reverse, object limit,
                        ScanShape shape)
