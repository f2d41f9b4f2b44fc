# The cursor shape and the outcome of a point read (kernels/cursor.h), shared by every source of
# entries.
from libc.stdint cimport uint64_t

from lsmkv._native.failure cimport lsm_slice

cdef extern from "cursor.h" nogil:
    ctypedef struct lsm_cursor
    ctypedef struct lsm_cursor_ops:
        int (*seek)(lsm_cursor *cursor, lsm_slice key, uint64_t sequence) noexcept nogil
        int (*seek_before)(lsm_cursor *cursor, lsm_slice key, uint64_t sequence) noexcept nogil
        int (*first)(lsm_cursor *cursor) noexcept nogil
        int (*last)(lsm_cursor *cursor) noexcept nogil
        int (*next)(lsm_cursor *cursor) noexcept nogil
        int (*previous)(lsm_cursor *cursor) noexcept nogil
        void (*destroy)(lsm_cursor *cursor) noexcept nogil
    ctypedef struct lsm_cursor:
        const lsm_cursor_ops *ops
        int valid
        lsm_slice key
        lsm_slice value
        uint64_t trailer
    void lsm_cursor_destroy(lsm_cursor *cursor)

    ctypedef struct lsm_found:
        int found
        uint64_t trailer
        lsm_slice value
        void *pin
