"""Blocks of sorted entries, as tables store them: for tests, tools and inspection.

The engine itself uses the kernel (kernels/block.h) directly. These classes keep its promises: a
builder refuses entries out of order, a block copies its bytes to aligned memory and is checked
before anything else can touch it.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from lsmkv._native.failure cimport LSM_OK, lsm_error, lsm_slice, raise_error
from lsmkv._native.memory cimport (
    lsm_alloc_aligned,
    lsm_free_aligned,
    lsm_memory_attach,
    shared_state,
)

lsm_memory_attach(shared_state())

PUT = LSM_KIND_PUT
DELETE = LSM_KIND_DELETE

cdef extern from "coding.h" nogil:
    int lsm_slice_compare(lsm_slice a, lsm_slice b)


cdef inline lsm_slice slice_of(Py_buffer *buffer) noexcept:
    cdef lsm_slice result
    result.data = <const uint8_t *> buffer.buf
    result.size = <size_t> buffer.len
    return result


def folded(data):
    """A block as it goes into the compressor (kernels/block_fold.h)."""
    cdef bytearray copy = bytearray(data)
    lsm_block_fold(<uint8_t *> PyByteArray_AS_STRING(copy), <size_t> len(copy))
    return bytes(copy)


def unfolded(data):
    """The block that was folded to `data`. Anything is accepted: Block() is what checks."""
    cdef bytearray copy = bytearray(data)
    lsm_block_unfold(<uint8_t *> PyByteArray_AS_STRING(copy), <size_t> len(copy))
    return bytes(copy)


@cython.final
cdef class BlockBuilder:
    """Encodes entries, added in order (key ascending, sequence descending), as one block."""

    def __cinit__(self):
        self.builder = lsm_block_builder_create()
        if self.builder == NULL:
            raise MemoryError("lsmkv: out of memory")

    def __dealloc__(self):
        lsm_block_builder_destroy(self.builder)

    def __len__(self):
        return lsm_block_builder_count(self.builder)

    def add(self, key, sequence, kind, value):
        """Append one entry. ValueError, and no change, when out of order or beyond a limit."""
        cdef uint64_t number = sequence
        cdef uint8_t code = kind
        cdef Py_buffer key_buffer
        cdef Py_buffer value_buffer
        if number > LSM_SEQUENCE_MAX or not lsm_kind_is_known(code):
            raise ValueError(f"no such sequence or kind: {sequence}, {kind}")
        PyObject_GetBuffer(key, &key_buffer, PyBUF_SIMPLE)
        try:
            PyObject_GetBuffer(value, &value_buffer, PyBUF_SIMPLE)
            try:
                self.add_slices(slice_of(&key_buffer), number, code, slice_of(&value_buffer))
            finally:
                PyBuffer_Release(&value_buffer)
        finally:
            PyBuffer_Release(&key_buffer)

    cdef int add_slices(
        self, lsm_slice key, uint64_t sequence, uint8_t kind, lsm_slice value
    ) except -1:
        cdef int order
        if lsm_block_builder_count(self.builder) != 0:
            order = lsm_slice_compare(lsm_block_builder_last_key(self.builder), key)
            if order > 0 or (order == 0 and sequence >= self.last_sequence):
                raise ValueError("entries must come in order of key, then of sequence descending")
        cdef uint64_t trailer = lsm_trailer(sequence, kind)
        cdef int status = lsm_block_builder_add(self.builder, key, trailer, value)
        if status != LSM_OK:
            return raise_error(status, NULL)
        self.last_sequence = sequence
        return 0

    @property
    def size_estimate(self):
        """The exact size in bytes of what finish() would return now."""
        return lsm_block_builder_size_estimate(self.builder)

    def finish(self):
        """The encoded block. The builder keeps its entries: more may follow, or reset()."""
        cdef size_t size = lsm_block_builder_finished_size(self.builder)
        result = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> size)
        lsm_block_builder_finish(self.builder, <uint8_t *> PyBytes_AS_STRING(result))
        return result

    def reset(self):
        """Forget all entries; the memory is used again."""
        lsm_block_builder_reset(self.builder)


@cython.final
cdef class Block:
    """A parsed block: an immutable sequence of entries.

    CorruptionError when the bytes are not one, Error when they are of a format from the future.
    """

    def __init__(self, data):
        cdef Py_buffer buffer
        if self.data != NULL:
            raise TypeError("a block cannot be initialised twice")
        PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
        try:
            self.load(slice_of(&buffer))
        finally:
            PyBuffer_Release(&buffer)

    cdef int load(self, lsm_slice source) except -1:
        cdef lsm_error error
        cdef lsm_block_view view
        cdef uint8_t *copy = <uint8_t *> lsm_alloc_aligned(source.size)
        if copy == NULL:
            raise MemoryError("lsmkv: out of memory")
        if source.size:
            memcpy(copy, source.data, source.size)
        error.code = LSM_OK
        cdef int status = lsm_block_parse(copy, source.size, &view, &error)
        if status != LSM_OK:
            lsm_free_aligned(copy)
            return raise_error(status, &error)
        self.data = copy
        self.view = view
        return 0

    def __dealloc__(self):
        lsm_free_aligned(self.data)

    def __len__(self):
        return self.view.count

    def search(self, key, sequence=LSM_SEQUENCE_MAX):
        """The index of the first entry at or after (key, sequence): len(block) when there is none.

        The default sequence finds the newest version.
        """
        cdef Py_buffer buffer
        cdef lsm_target target
        target.sequence = sequence
        PyObject_GetBuffer(key, &buffer, PyBUF_SIMPLE)
        try:
            target.key = <const uint8_t *> buffer.buf
            target.key_size = <size_t> buffer.len
            return lsm_block_search(&self.view, &target)
        finally:
            PyBuffer_Release(&buffer)

    cdef uint32_t checked_index(self, index) except? 0xFFFFFFFF:
        if not 0 <= index < self.view.count:
            raise IndexError(f"entry {index} of {self.view.count}")
        return <uint32_t> index

    def key(self, index):
        """The user key of an entry."""
        cdef uint32_t position = self.checked_index(index)
        cdef size_t size = lsm_block_key_size(&self.view, position)
        # The kernel writes whole heads: 8 bytes of slack.
        cdef bytearray scratch = bytearray(size + 8)
        cdef uint8_t[::1] room = scratch
        lsm_block_key_copy(&self.view, position, &room[0])
        return PyBytes_FromStringAndSize(<const char *> &room[0], <Py_ssize_t> size)

    def key_equals(self, index, key):
        """Whether an entry has exactly this user key."""
        cdef uint32_t position = self.checked_index(index)
        cdef Py_buffer buffer
        PyObject_GetBuffer(key, &buffer, PyBUF_SIMPLE)
        try:
            return lsm_block_key_equals(&self.view, position, slice_of(&buffer))
        finally:
            PyBuffer_Release(&buffer)

    def value(self, index):
        """The value of an entry."""
        cdef lsm_slice value = lsm_block_value(&self.view, self.checked_index(index))
        return PyBytes_FromStringAndSize(<const char *> value.data, <Py_ssize_t> value.size)

    def sequence(self, index):
        """The sequence of an entry."""
        return lsm_block_sequence(&self.view, self.checked_index(index))

    def kind(self, index):
        """The operation kind of an entry: PUT or DELETE."""
        return lsm_block_kind(&self.view, self.checked_index(index))

    def entries(self):
        """All entries in order, as a list of (key, sequence, kind, value)."""
        return [
            (self.key(i), self.sequence(i), self.kind(i), self.value(i))
            for i in range(self.view.count)
        ]
