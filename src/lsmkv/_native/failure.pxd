# The error record of the kernels, and the one place that turns it into a Python exception.
from libc.stdint cimport uint8_t, uint64_t

cdef extern from "status.h" nogil:
    enum:
        LSM_OK
        LSM_E_MEMORY
        LSM_E_CORRUPT
        LSM_E_SYSTEM
        LSM_E_LIMIT
        LSM_E_FORMAT
        LSM_E_CODEC
        LSM_E_CANCELLED
        LSM_E_POISONED
        LSM_E_WOULD_BLOCK
        LSM_E_CALLBACK
    ctypedef struct lsm_error:
        int code
        int system_errno
        uint64_t offset
        char path[512]
        char message[192]
    ctypedef struct lsm_slice:
        const uint8_t *data
        size_t size

# Always raises; returns -1 so that callers can write `return raise_error(code, &error)`.
# `code` alone decides the type when the record was left empty.
cdef int raise_error(int code, const lsm_error *error) except -1
