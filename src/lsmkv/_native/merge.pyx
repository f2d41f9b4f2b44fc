"""Merging cursors and the user's view over lists of entries: the face for tests and measurements.

An entry is `(key, sequence, kind, value)`; lists are in internal order (key ascending, sequence
descending). The store calls kernels/merge.h itself. Nothing here locks: one thread at a time.
"""

from libc.string cimport memset

from lsmkv._native.buffers cimport slice_of
from lsmkv._native.failure cimport LSM_E_MEMORY, raise_error
from lsmkv._native.memory cimport lsm_calloc, lsm_free, lsm_memory_attach, shared_state

lsm_memory_attach(shared_state())

KIND_PUT = 1
KIND_DELETE = 2


cdef bytes bytes_of(lsm_slice data):
    return (<const char *> data.data)[:data.size] if data.size else b""


cdef class Entries:
    """A list of entries as the array cursor wants it."""

    def __init__(self, entries):
        if self.entries != NULL:
            raise RuntimeError("already initialised")
        self.kept = tuple([(bytes(key), bytes(value)) for key, _, _, value in entries])
        self.count = len(self.kept)
        self.entries = <lsm_array_entry *> lsm_calloc(self.count, sizeof(lsm_array_entry))
        if self.entries == NULL:
            raise_error(LSM_E_MEMORY, NULL)
        cdef uint32_t index = 0
        cdef uint64_t trailer
        for _, sequence, kind, _ in entries:
            trailer = <uint64_t> sequence << 8 | <uint8_t> kind
            self.entries[index].key = slice_of(self.kept[index][0])
            self.entries[index].value = slice_of(self.kept[index][1])
            self.entries[index].trailer = trailer
            index += 1

    def __dealloc__(self):
        lsm_free(self.entries)


cdef lsm_cursor *merge_entries(
    list sources, bint strict, uint32_t fail_input, uint32_t fail_at
) except NULL:
    cdef uint32_t count = len(sources)
    cdef lsm_cursor **inputs = <lsm_cursor **> lsm_calloc(count, sizeof(lsm_cursor *))
    if inputs == NULL:
        raise_error(LSM_E_MEMORY, NULL)
    cdef lsm_array_options options
    cdef Entries source
    cdef uint32_t index
    for index in range(count):
        source = sources[index]
        options.strict = strict
        options.fail_at = fail_at if index == fail_input else 0
        inputs[index] = lsm_array_cursor(source.entries, source.count, options)
    cdef lsm_cursor *merged = lsm_merge_cursor(inputs, count)
    lsm_free(inputs)
    if merged == NULL:
        raise_error(LSM_E_MEMORY, NULL)
    return merged


cdef class Cursor:
    """A native cursor: `entry` is None or (key, sequence, kind, value), moves are methods."""

    def __init__(self):
        raise TypeError("made by the functions and methods that open cursors")

    def __dealloc__(self):
        lsm_cursor_destroy(self.cursor)

    @property
    def entry(self):
        """The entry under the cursor, None when it stands on none."""
        if self.cursor == NULL or not self.cursor.valid:
            return None
        trailer = self.cursor.trailer
        return bytes_of(self.cursor.key), trailer >> 8, trailer & 0xFF, bytes_of(self.cursor.value)

    def seek(self, const unsigned char[::1] key, uint64_t sequence):
        """Move to the first entry at or after (key, sequence)."""
        self._require()
        self._moved(self.cursor.ops.seek(self.cursor, view_slice(key), sequence))

    def seek_before(self, const unsigned char[::1] key, uint64_t sequence):
        """Move to the last entry before (key, sequence)."""
        self._require()
        self._moved(self.cursor.ops.seek_before(self.cursor, view_slice(key), sequence))

    def first(self):
        """Move to the first entry."""
        self._require()
        self._moved(self.cursor.ops.first(self.cursor))

    def last(self):
        """Move to the last entry."""
        self._require()
        self._moved(self.cursor.ops.last(self.cursor))

    def next(self):
        """Move to the entry after this one; IndexError when the cursor stands on none."""
        self._require_valid()
        self._moved(self.cursor.ops.next(self.cursor))

    def previous(self):
        """Move to the entry before this one; IndexError when the cursor stands on none."""
        self._require_valid()
        self._moved(self.cursor.ops.previous(self.cursor))

    def drain(self, reverse=False):
        """Walk to the end from here without looking; how many entries were passed."""
        self._require()
        cdef uint64_t passed = 0
        cdef bint backward = reverse
        cdef int status = 0
        with nogil:
            while status == 0 and self.cursor.valid:
                passed += 1
                if backward:
                    status = self.cursor.ops.previous(self.cursor)
                else:
                    status = self.cursor.ops.next(self.cursor)
        self._moved(status)
        return passed

    cdef int _require(self) except -1:
        if self.cursor == NULL:
            raise ValueError("the cursor was never opened")
        memset(&self.error, 0, sizeof(lsm_error))
        return 0

    cdef int _require_valid(self) except -1:
        self._require()
        if not self.cursor.valid:
            raise IndexError("the cursor stands on no entry")
        return 0

    cdef int _moved(self, int status) except -1:
        return raise_error(status, &self.error) if status < 0 else 0


cdef lsm_slice view_slice(const unsigned char[::1] data) noexcept:
    cdef lsm_slice result
    result.data = <const uint8_t *> b""
    result.size = data.shape[0]
    if result.size != 0:
        result.data = &data[0]
    return result


cdef class View:
    """A walk over live keys: an iterator of (key, value) with a `seek`."""

    def __init__(self):
        raise TypeError("made by the functions and methods that open views")

    def __dealloc__(self):
        lsm_view_destroy(self.view)

    def __iter__(self):
        return self

    def __next__(self):
        cdef lsm_slice key
        cdef lsm_slice value
        memset(&self.error, 0, sizeof(lsm_error))
        cdef int status = lsm_view_next(self.view, &key, &value)
        self._check(status)
        if status == 0:
            raise StopIteration
        return bytes_of(key), bytes_of(value)

    def seek(self, const unsigned char[::1] key):
        """Continue with the first entry at or after `key` (reverse: the last at or before it)."""
        memset(&self.error, 0, sizeof(lsm_error))
        self._check(lsm_view_seek(self.view, view_slice(key)))

    def drain(self):
        """Walk to the end without building objects; how many entries were passed."""
        cdef uint64_t passed = 0
        cdef lsm_slice key
        cdef lsm_slice value
        cdef int status
        memset(&self.error, 0, sizeof(lsm_error))
        with nogil:
            status = lsm_view_next(self.view, &key, &value)
            while status > 0:
                passed += 1
                status = lsm_view_next(self.view, &key, &value)
        self._check(status)
        return passed

    cdef int _check(self, int status) except -1:
        return raise_error(status, &self.error) if status < 0 else 0


def merge(inputs, *, strict=True, fail_input=0, fail_at=0):
    """A cursor over the merge of lists of entries.

    `strict` serves copies that are scribbled over as soon as the contract allows; the `fail_at`-th
    move (from 1) of input `fail_input` raises CorruptionError.
    """
    cdef Cursor cursor = Cursor.__new__(Cursor)
    sources = [Entries(entries) for entries in inputs]
    cursor.owner = sources
    cursor.cursor = merge_entries(sources, strict, fail_input, fail_at)
    return cursor


def view(
    inputs, sequence, *, start=None, stop=None, reverse=False, strict=True, fail_input=0, fail_at=0
):
    """What a user sees at `sequence` of the merge of lists of entries, from start up to stop."""
    cdef View result = View.__new__(View)
    sources = [Entries(entries) for entries in inputs]
    result.owner = sources
    cdef lsm_cursor *merged = merge_entries(sources, strict, fail_input, fail_at)
    result.view = lsm_view_create(merged, sequence, slice_of(start), slice_of(stop), reverse)
    if result.view == NULL:
        raise_error(LSM_E_MEMORY, NULL)
    return result
