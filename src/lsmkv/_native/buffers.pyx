"""The slow paths of `buffers.pxd`: buffer objects other than bytes, and what is refused, in
words."""

from lsmkv._native.memory cimport lsm_memory_attach, shared_state

lsm_memory_attach(shared_state())


cdef int acquire_buffer(object value, Slice *slice, str what) except -1:
    if isinstance(value, str) or value is None:
        reject_type(value, what)
    try:
        PyObject_GetBuffer(value, &slice.buffer, PyBUF_SIMPLE)
    except (TypeError, BufferError):
        reject_type(value, what)
    slice.acquired = True
    slice.bytes.data = <const uint8_t *> slice.buffer.buf
    slice.bytes.size = <size_t> slice.buffer.len
    return 0


cdef int reject_type(object value, str what) except -1:
    kind = type(value).__name__
    if isinstance(value, str):
        raise TypeError(
            f"{what} must be bytes, not str: encode it, or use db.view(key='utf8', value='utf8')"
        )
    raise TypeError(f"{what} must be bytes or a contiguous buffer, not {kind}")


cdef int reject_size(size_t size, size_t size_max, str what) except -1:
    raise ValueError(f"{what} of {size} bytes is over the limit of {size_max} bytes")


def key_bytes(key):
    """A key as bytes, checked as at every entry point: TypeError, ValueError when too long."""
    cdef Slice slice
    acquire_key(key, &slice)
    try:
        return (<const char *> slice.bytes.data)[:slice.bytes.size]
    finally:
        release(&slice)


def value_bytes(value):
    """A value as bytes, checked in the same way."""
    cdef Slice slice
    acquire_value(value, &slice)
    try:
        return (<const char *> slice.bytes.data)[:slice.bytes.size]
    finally:
        release(&slice)
