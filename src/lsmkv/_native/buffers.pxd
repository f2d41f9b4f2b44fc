# Keys and values from Python objects: `bytes` by pointer, anything else through the buffer
# protocol.
#
# Holding a Slice keeps the bytes readable: for `bytes` the caller's reference does, otherwise the
# acquired buffer, which also refuses to be resized meanwhile. Every acquire is paired with release
# in `finally`.
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from lsmkv._native.failure cimport lsm_slice

cdef extern from "constants.h" nogil:
    const size_t LSM_KEY_SIZE_MAX
    const size_t LSM_VALUE_SIZE_MAX

cdef struct Slice:
    lsm_slice bytes
    Py_buffer buffer
    bint acquired

# Raises TypeError; for a str the message names the codec view.
cdef int reject_type(object value, str what) except -1
cdef int reject_size(size_t size, size_t size_max, str what) except -1


cdef inline int acquire(object value, Slice *slice, size_t size_max, str what) except -1:
    slice.acquired = False
    if PyBytes_CheckExact(value):
        slice.bytes.data = <const uint8_t *> PyBytes_AS_STRING(value)
        slice.bytes.size = <size_t> PyBytes_GET_SIZE(value)
    else:
        acquire_buffer(value, slice, what)
    if slice.bytes.size > size_max:
        release(slice)
        reject_size(slice.bytes.size, size_max, what)
    return 0


cdef inline int acquire_key(object key, Slice *slice) except -1:
    return acquire(key, slice, LSM_KEY_SIZE_MAX, "key")


cdef inline int acquire_value(object value, Slice *slice) except -1:
    return acquire(value, slice, LSM_VALUE_SIZE_MAX, "value")


cdef int acquire_buffer(object value, Slice *slice, str what) except -1


cdef inline void release(Slice *slice) noexcept:
    if slice.acquired:
        slice.acquired = False
        PyBuffer_Release(&slice.buffer)


# The bytes of an object that the caller keeps alive; None is the empty slice without data.
cdef inline lsm_slice slice_of(bytes data) noexcept:
    cdef lsm_slice result
    result.data = NULL
    result.size = 0
    if data is not None:
        result.data = <const uint8_t *> PyBytes_AS_STRING(data)
        result.size = <size_t> PyBytes_GET_SIZE(data)
    return result
