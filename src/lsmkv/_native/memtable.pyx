"""The in-memory table as Python sees it: one entry at a time, for tests, tools and recovery.

The store itself works on the `lsm_memtable` inside (memtable.pxd). Everything here holds the GIL,
which is also what serialises writers with readers. Bytes are copied into Python objects from the
arena, which never moves or frees an entry while the table or one of its cursors lives.
"""

from dataclasses import dataclass

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize

from lsmkv._native.failure cimport LSM_E_LIMIT, LSM_E_MEMORY, raise_error
from lsmkv._native.memory cimport lsm_memory_attach, shared_state

lsm_memory_attach(shared_state())

cdef uint64_t MAX_SEQUENCE = LSM_SEQUENCE_MAX


@dataclass(frozen=True)
class MemtableUsage:
    """What a memtable holds. `arena_bytes` includes garbage and tree nodes; the flush trigger."""

    arena_bytes: int
    garbage_bytes: int
    entry_count: int
    tombstone_count: int
    first_sequence: int
    last_sequence: int


cdef lsm_slice slice_of(const Py_buffer *buffer) noexcept nogil:
    cdef lsm_slice result
    result.data = <const uint8_t *> buffer.buf
    result.size = <size_t> buffer.len
    return result


cdef bytes bytes_of(lsm_slice data):
    return PyBytes_FromStringAndSize(<const char *> data.data, <Py_ssize_t> data.size)


cdef object entry_of(lsm_cursor *cursor):
    """(key, sequence, kind, value). The slices are read before any object is allocated."""
    cdef lsm_slice key = cursor.key
    cdef lsm_slice value = cursor.value
    cdef uint64_t trailer = cursor.trailer
    cdef uint64_t sequence = lsm_trailer_sequence(trailer)
    return bytes_of(key), sequence, lsm_trailer_kind(trailer), bytes_of(value)


cdef class Memtable:
    """An ordered map of (key, sequence) to (kind, value): keys ascend, newest versions first."""

    def __cinit__(self):
        self.memtable = lsm_memtable_create()
        if self.memtable == NULL:
            raise_error(LSM_E_MEMORY, NULL)

    def __init__(self):
        pass

    def __dealloc__(self):
        if self.memtable != NULL:
            lsm_memtable_release(self.memtable)

    def reserve(self, size_t operation_count, size_t payload_size):
        """Make sure that so many inserts, with so much payload in all, need no more memory."""
        cdef int status = lsm_memtable_reserve(self.memtable, operation_count, payload_size)
        if status != 0:
            raise_error(status, NULL)

    def insert(self, key, uint64_t sequence, uint8_t kind, value=b"", uint64_t pinned_sequence=0):
        """Add a version of `key`. It takes the place of the newest one so far when that is a put or
        a delete with a sequence above `pinned_sequence`, the highest that a reader may look at.

        ValueError: the sequence does not ascend, the kind is unknown, or key or value is too large.
        """
        cdef Py_buffer key_buffer, value_buffer
        PyObject_GetBuffer(key, &key_buffer, PyBUF_SIMPLE)
        try:
            PyObject_GetBuffer(value, &value_buffer, PyBUF_SIMPLE)
            try:
                self.insert_slices(slice_of(&key_buffer), sequence, kind, slice_of(&value_buffer),
                                   pinned_sequence)
            finally:
                PyBuffer_Release(&value_buffer)
        finally:
            PyBuffer_Release(&key_buffer)

    cdef int insert_slices(self, lsm_slice key, uint64_t sequence, uint8_t kind, lsm_slice value,
                           uint64_t pinned_sequence) except -1:
        cdef lsm_memtable_usage usage
        if key.size > LSM_KEY_SIZE_MAX or value.size > LSM_VALUE_SIZE_MAX:
            return raise_error(LSM_E_LIMIT, NULL)
        lsm_memtable_read_usage(self.memtable, &usage)
        if sequence <= usage.last_sequence or sequence > MAX_SEQUENCE:
            raise ValueError(f"sequence {sequence} does not follow {usage.last_sequence}")
        if not lsm_kind_is_known(kind):
            raise ValueError(f"unknown kind {kind}")
        cdef int status = lsm_memtable_reserve(self.memtable, 1, key.size + value.size)
        if status != 0:
            return raise_error(status, NULL)
        lsm_memtable_insert(self.memtable, key, lsm_trailer(sequence, kind), value, pinned_sequence)
        return 0

    def get(self, key, uint64_t sequence=MAX_SEQUENCE):
        """(sequence, kind, value) of the newest version not newer than `sequence`, or None."""
        cdef Py_buffer buffer
        cdef lsm_found found
        PyObject_GetBuffer(key, &buffer, PyBUF_SIMPLE)
        lsm_memtable_get(self.memtable, slice_of(&buffer), sequence, &found)
        PyBuffer_Release(&buffer)
        if not found.found:
            return None
        cdef uint64_t trailer = found.trailer
        return lsm_trailer_sequence(trailer), lsm_trailer_kind(trailer), bytes_of(found.value)

    def cursor(self):
        """A cursor that stands nowhere yet."""
        return MemtableCursor(self)

    def entries(self):
        """Every entry as (key, sequence, kind, value), in order."""
        result = []
        cursor = MemtableCursor(self)
        valid = cursor.first()
        while valid:
            result.append(cursor.entry())
            valid = cursor.next()
        return result

    def usage(self):
        """A MemtableUsage, in constant time."""
        cdef lsm_memtable_usage usage
        lsm_memtable_read_usage(self.memtable, &usage)
        return MemtableUsage(
            usage.arena_bytes,
            usage.garbage_bytes,
            usage.entry_count,
            usage.tombstone_count,
            usage.first_sequence,
            usage.last_sequence,
        )


cdef class MemtableCursor:
    """A place in a memtable. Moves return whether there is an entry; inserts may go on."""

    def __cinit__(self, Memtable memtable not None):
        self.cursor = lsm_memtable_cursor(memtable.memtable)
        if self.cursor == NULL:
            raise_error(LSM_E_MEMORY, NULL)

    def __init__(self, Memtable memtable not None):
        pass

    def __dealloc__(self):
        lsm_cursor_destroy(self.cursor)

    cdef int require_valid(self) except -1:
        if not self.cursor.valid:
            raise ValueError("the cursor stands on no entry")
        return 0

    def seek(self, key, uint64_t sequence=MAX_SEQUENCE):
        """Go to the first entry at or after (key, sequence)."""
        cdef Py_buffer buffer
        PyObject_GetBuffer(key, &buffer, PyBUF_SIMPLE)
        self.cursor.ops.seek(self.cursor, slice_of(&buffer), sequence)
        PyBuffer_Release(&buffer)
        return bool(self.cursor.valid)

    def seek_before(self, key, uint64_t sequence=MAX_SEQUENCE):
        """Go to the last entry before (key, sequence)."""
        cdef Py_buffer buffer
        PyObject_GetBuffer(key, &buffer, PyBUF_SIMPLE)
        self.cursor.ops.seek_before(self.cursor, slice_of(&buffer), sequence)
        PyBuffer_Release(&buffer)
        return bool(self.cursor.valid)

    def first(self):
        """Go to the first entry."""
        self.cursor.ops.first(self.cursor)
        return bool(self.cursor.valid)

    def last(self):
        """Go to the last entry."""
        self.cursor.ops.last(self.cursor)
        return bool(self.cursor.valid)

    def next(self):
        """Go to the entry after this one; ValueError when standing on none."""
        self.require_valid()
        self.cursor.ops.next(self.cursor)
        return bool(self.cursor.valid)

    def previous(self):
        """Go to the entry before this one; ValueError when standing on none."""
        self.require_valid()
        self.cursor.ops.previous(self.cursor)
        return bool(self.cursor.valid)

    def entry(self):
        """(key, sequence, kind, value) of the entry; ValueError when standing on none."""
        self.require_valid()
        return entry_of(self.cursor)
