"""Iteration over live keys in key order, either way, as of one moment.

A Scan owns its pins: the ReadState (memtables, tables), the sequence, and the current blocks. It
may be used, closed and dropped from any thread and in any order with its database. Two threads
inside one Scan at once is a mistake that is reported, not undefined: the second gets an Error.

A step holds the GIL except while a block must come from the disk.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.number cimport PyNumber_Index
from libc.stdint cimport INT64_MAX, uint8_t, uint32_t
from lsmkv._native.buffers cimport Slice, acquire_key, release
from lsmkv._native.failure cimport lsm_slice, raise_error, LSM_E_MEMORY
from lsmkv._native.gate cimport may_read, no_gate, prepare_context, yield_lock
from lsmkv._native.memory cimport lsm_memory_attach, shared_state
from lsmkv._native.merge cimport lsm_view_destroy, lsm_view_next, lsm_view_seek

from lsmkv.errors import ClosedError, Error

lsm_memory_attach(shared_state())

cdef extern from "murmur3.h" nogil:
    void lsm_murmur3_x64_128(const uint8_t *data, size_t size, uint32_t seed, uint64_t *out)

cdef enum:
    STEPS_PER_YIELD = 256


def prefix_successor(bytes prefix not None):
    """The smallest key above every key with this prefix; None when there is none."""
    trimmed = prefix.rstrip(b"\xff")
    if not trimmed:
        return None
    last = len(trimmed) - 1
    return trimmed[:last] + bytes((trimmed[last] + 1,))


cdef void add_hash(uint64_t *digest, lsm_slice key, lsm_slice value) noexcept nogil:
    cdef uint64_t of_key[2]
    cdef uint64_t of_value[2]
    cdef uint64_t low, carry
    lsm_murmur3_x64_128(key.data, key.size, 0, of_key)
    lsm_murmur3_x64_128(value.data, value.size, <uint32_t> of_key[0], of_value)
    for i in range(2):
        low = digest[0] + (of_key[0] if i == 0 else of_value[0])
        carry = 1 if low < digest[0] else 0
        digest[0] = low
        digest[1] += (of_key[1] if i == 0 else of_value[1]) + carry


cdef Scan new_scan(ScanShape shape):
    cdef Scan scan = Scan.__new__(Scan)
    scan.shape = shape
    return scan


@cython.no_gc_clear  # the view points into what `state` keeps alive: both go in __dealloc__
cdef class Scan:
    """An iterator made by `scan()`, `keys()`, `values()` or `items()`; also a context manager.

    It shows the database as it was when the iterator was made. Close it, or run it to its end, to
    give back what it pins: replaced versions and the files that hold them.
    """

    def __cinit__(self):
        self.gate = no_gate()

    def __dealloc__(self):
        lsm_view_destroy(self.view)
        self.gate.unpin(&self.pin)

    def __init__(self):
        raise TypeError("use scan(), keys(), values() or items() of a database or snapshot")

    def __iter__(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __next__(self):
        cdef lsm_slice key, value
        cdef int status
        if self.view == NULL or self.busy or self.left == 0 or not may_read(self.gate):
            self.finish()
            raise StopIteration
        self.busy = True
        status = lsm_view_next(self.view, &key, &value)
        if status == 1:
            if self.left > 0:
                self.left -= 1
            try:
                return self.shaped(
                    key.data, <Py_ssize_t> key.size, value.data, <Py_ssize_t> value.size
                )
            finally:
                self.busy = False
                if self.closed:
                    self.release_all()
        self.busy = False
        self.exhausted = True
        self.release_all()
        if status < 0:
            raise_error(status, &self.error)
        raise StopIteration

    cdef void attach(self, Gate gate, ReadState state, uint64_t sequence) noexcept:
        self.gate = gate
        self.state = state
        gate.pin(&self.pin, sequence)

    cdef Scan open(self, object start, object stop, object prefix, bint reverse, object limit):
        cdef Slice lower, upper
        lower.acquired = upper.acquired = False
        lower.bytes.data = upper.bytes.data = NULL
        lower.bytes.size = upper.bytes.size = 0
        self.left = -1
        if limit is not None:
            limit = PyNumber_Index(limit)
            if limit < 0:
                raise ValueError(f"limit must be 0 or more, not {limit}")
            self.left = min(limit, INT64_MAX)
        if prefix is not None:
            if start is not None or stop is not None:
                raise ValueError("prefix cannot be combined with start or stop")
            acquire_key(prefix, &lower)
            start = bytes(lower.bytes.data[:lower.bytes.size])
            release(&lower)
            stop = prefix_successor(start)
        try:
            if start is not None:
                acquire_key(start, &lower)
            if stop is not None:
                acquire_key(stop, &upper)
            if not may_read(self.gate):
                self.gate.refuse_read()
            prepare_context(&self.context, &self.waiter, self.gate, &self.error)
            self.view = self.state.open_view(self.pin.sequence, lower.bytes, upper.bytes, reverse,
                                             &self.context)
        finally:
            release(&lower)
            release(&upper)
        if self.view == NULL:
            raise_error(LSM_E_MEMORY, NULL)
        return self

    cdef object shaped(self, const void *key, Py_ssize_t key_size, const void *value,
                       Py_ssize_t value_size):
        # `busy` is set: nothing can move or free the view while these objects are made.
        if self.shape == SCAN_KEYS:
            return PyBytes_FromStringAndSize(<const char *> key, key_size)
        if self.shape == SCAN_VALUES:
            return PyBytes_FromStringAndSize(<const char *> value, value_size)
        return (PyBytes_FromStringAndSize(<const char *> key, key_size),
                PyBytes_FromStringAndSize(<const char *> value, value_size))

    cdef int finish(self) except -1:
        """Why there is no next entry: raises unless the scan simply is at its end."""
        if not may_read(self.gate):
            self.gate.refuse_read()
        if self.busy:
            raise Error("this iterator is being advanced by another thread")
        if self.view == NULL and not self.exhausted:
            raise ClosedError("the iterator is closed")
        self.exhausted = True
        self.release_all()
        return 0

    def seek(self, key):
        """Continue at `key`: with the first entry at or after it (in reverse: at or before it)."""
        cdef Slice target
        cdef int status
        if self.view == NULL or self.busy or not may_read(self.gate):
            self.finish()
            raise ClosedError("the iterator is at its end")
        acquire_key(key, &target)
        self.busy = True
        try:
            status = lsm_view_seek(self.view, target.bytes)
        finally:
            self.busy = False
            release(&target)
        if self.closed:
            self.release_all()
        if status < 0:
            raise_error(status, &self.error)

    def count(self):
        """Run to the end and return how many entries were left, without making objects of them."""
        return self.consume(NULL)

    def digest(self):
        """Run to the end; (count, digest): the sum of the entries' 128-bit hashes modulo 2**128.

        The hash of an entry is murmur3_x64_128 of its value, seeded with the low 32 bits of the
        key's, added to the key's own hash (both words, with carry).
        """
        cdef uint64_t digest[2]
        digest[0] = digest[1] = 0
        count = self.consume(digest)
        return count, digest[0] | (<object> digest[1]) << 64

    cdef int64_t consume(self, uint64_t *digest) except -1:
        cdef lsm_slice key, value
        cdef int status = 1
        cdef int64_t total = 0
        if self.view == NULL or self.busy or not may_read(self.gate):
            self.finish()
            return 0
        self.busy = True
        try:
            while self.left != 0:
                status = lsm_view_next(self.view, &key, &value)
                if status != 1:
                    break
                if digest != NULL:
                    add_hash(digest, key, value)
                total += 1
                if self.left > 0:
                    self.left -= 1
                if total % STEPS_PER_YIELD == 0:
                    yield_lock(self.gate)
        finally:
            self.busy = False
            self.exhausted = True
            self.release_all()
        if status < 0:
            raise_error(status, &self.error)
        return total

    def close(self):
        """Give back everything pinned. Safe at any time, from any thread, more than once."""
        self.closed = True
        if not self.busy:
            self.release_all()

    cdef void release_all(self) noexcept:
        """Drop view and pins. Called once nobody is inside."""
        cdef lsm_view *view = self.view
        self.view = NULL
        lsm_view_destroy(view)
        self.gate.unpin(&self.pin)
        self.state = None
