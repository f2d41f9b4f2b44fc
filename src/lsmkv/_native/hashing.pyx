"""CRC-32C and MurmurHash3 over any contiguous buffer: the Python face of crc32c.h and murmur3.h.

Both are part of formats on disk and are bit-identical with the `crc32c` and `mmh3` packages. No
call releases the GIL: a megabyte takes well under a millisecond.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

from lsmkv._native.memory cimport lsm_memory_attach, shared_state

lsm_memory_attach(shared_state())


def crc32c(data, uint32_t crc=0):
    """The CRC-32C of `data`; `crc` is the checksum of what came before it."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return lsm_crc32c(crc, <const uint8_t *> view.buf, <size_t> view.len)
    finally:
        PyBuffer_Release(&view)


def crc32c_table(data, uint32_t crc=0):
    """The same by the portable path, so that tests can hold both against each other."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return lsm_crc32c_table(crc, <const uint8_t *> view.buf, <size_t> view.len)
    finally:
        PyBuffer_Release(&view)


def crc32c_seed(id, uint64_t offset):
    """The seed that binds a checksum to its place: the CRC-32C of (id, little-endian offset)."""
    cdef Py_buffer view
    PyObject_GetBuffer(id, &view, PyBUF_SIMPLE)
    try:
        return lsm_crc32c_seed(<const uint8_t *> view.buf, <size_t> view.len, offset)
    finally:
        PyBuffer_Release(&view)


def crc32c_implementation():
    """What computes it on this machine: "sse4.2", "armv8" or "table"."""
    return lsm_crc32c_implementation().decode("ascii")


def murmur3_x64_128(data, uint32_t seed=0):
    """The two 64-bit halves of MurmurHash3 x64-128, as `mmh3.hash64(..., signed=False)`."""
    cdef Py_buffer view
    cdef uint64_t[2] halves
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        lsm_murmur3_x64_128(<const uint8_t *> view.buf, <size_t> view.len, seed, halves)
    finally:
        PyBuffer_Release(&view)
    return halves[0], halves[1]


def key_hash(data):
    """The hash of the Bloom filters: the first half of MurmurHash3 x64-128 with seed 0."""
    cdef Py_buffer view
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return lsm_key_hash(<const uint8_t *> view.buf, <size_t> view.len)
    finally:
        PyBuffer_Release(&view)
