"""A growing buffer of operations in the log's own encoding, so that committing a batch is one copy.

Format of an operation: log.h. The buffer holds copies: callers may change their objects afterwards.
"""

from lsmkv._native.buffers cimport Slice, acquire_key, acquire_value, release
from lsmkv._native.failure cimport LSM_E_MEMORY, raise_error
from lsmkv._native.log cimport lsm_log_encode, lsm_log_operation_size
from lsmkv._native.memory cimport (
    lsm_free,
    lsm_memory_attach,
    lsm_prefer_huge_pages,
    lsm_realloc,
    shared_state,
)

from lsmkv.errors import ClosedError

lsm_memory_attach(shared_state())

cdef extern from "constants.h" nogil:
    const uint8_t LSM_KIND_PUT
    const uint8_t LSM_KIND_DELETE
    const size_t LSM_BATCH_SIZE_MAX

cdef enum:
    FIRST_CAPACITY = 4096


cdef class OperationBuffer:
    """Operations of one atomic write, in order. Not thread-safe by itself: the GIL is held
    throughout."""

    def __dealloc__(self):
        lsm_free(self.data)

    cdef int append(self, uint8_t kind, lsm_slice key, lsm_slice value) except -1:
        cdef size_t needed = self.size + lsm_log_operation_size(kind, key.size, value.size)
        cdef size_t capacity
        cdef uint8_t *grown
        cdef lsm_slice key_copy, value_copy
        if needed > LSM_BATCH_SIZE_MAX:
            raise ValueError(f"a batch is limited to {LSM_BATCH_SIZE_MAX} bytes")
        if needed > self.capacity:
            capacity = max(needed, 2 * self.capacity, <size_t> FIRST_CAPACITY)
            grown = <uint8_t *> lsm_realloc(self.data, capacity)
            if grown == NULL:
                raise_error(LSM_E_MEMORY, NULL)
            self.data = grown
            self.capacity = capacity
            lsm_prefer_huge_pages(grown, capacity)
        lsm_log_encode(self.data + self.size, kind, key, value, &key_copy, &value_copy)
        self.size = needed
        self.count += 1
        self.payload_bytes += key.size + value.size
        return 0

    cdef int add_pair(self, object key, object value) except -1:
        cdef Slice key_slice, value_slice
        acquire_key(key, &key_slice)
        try:
            acquire_value(value, &value_slice)
            try:
                self.append(LSM_KIND_PUT, key_slice.bytes, value_slice.bytes)
            finally:
                release(&value_slice)
        finally:
            release(&key_slice)
        return 0

    cdef int add_delete(self, object key) except -1:
        cdef Slice key_slice
        cdef lsm_slice nothing
        nothing.data = NULL
        nothing.size = 0
        acquire_key(key, &key_slice)
        try:
            self.append(LSM_KIND_DELETE, key_slice.bytes, nothing)
        finally:
            release(&key_slice)
        return 0

    cdef int check(self) except -1:
        if self.sealed:
            raise ClosedError("this batch was written or dropped")
        return 0

    def put(self, key, value):
        """Add a write of `key`; a later operation on the same key in this batch wins."""
        self.check()
        self.add_pair(key, value)

    def delete(self, key):
        """Add a delete of `key`, whether it exists or not."""
        self.check()
        self.add_delete(key)

    def __setitem__(self, key, value):
        self.put(key, value)

    def __delitem__(self, key):
        self.delete(key)

    @property
    def _is_sealed(self):
        """Whether the batch was written or dropped."""
        return bool(self.sealed)

    def _seal(self):
        """Refuse further operations and give the memory back."""
        self.sealed = True
        self.clear()
        lsm_free(self.data)
        self.data = NULL
        self.capacity = 0

    def clear(self):
        """Forget everything added so far; keeps the memory for reuse."""
        self.size = 0
        self.count = 0
        self.payload_bytes = 0

    def __len__(self):
        """The number of operations added."""
        return self.count

    @property
    def size_bytes(self):
        """The encoded size of all operations added."""
        return self.size
