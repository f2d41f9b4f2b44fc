# Merge and view (kernels/merge.h), the array cursor, and `Cursor`: a native cursor in Python.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from lsmkv._native.cursor cimport lsm_cursor, lsm_cursor_destroy, lsm_cursor_ops
from lsmkv._native.failure cimport lsm_error, lsm_slice

cdef extern from "array_cursor.h" nogil:
    ctypedef struct lsm_array_entry:
        lsm_slice key
        lsm_slice value
        uint64_t trailer
    ctypedef struct lsm_array_options:
        int strict
        uint32_t fail_at
    lsm_cursor *lsm_array_cursor(
        const lsm_array_entry *entries, uint32_t count, lsm_array_options options
    )

cdef extern from "merge.h" nogil:
    ctypedef struct lsm_view
    lsm_cursor *lsm_merge_cursor(lsm_cursor **inputs, uint32_t count)
    lsm_view *lsm_view_create(
        lsm_cursor *merged, uint64_t sequence, lsm_slice start, lsm_slice stop, int reverse
    )
    void lsm_view_destroy(lsm_view *view)
    int lsm_view_next(lsm_view *view, lsm_slice *key, lsm_slice *value)
    int lsm_view_seek(lsm_view *view, lsm_slice key)

cdef class Cursor:
    cdef lsm_cursor *cursor  # owned
    cdef object owner        # what the cursor reads from; kept alive
    cdef lsm_error error     # where the cursor's sources report; zeroed before each move
    cdef int _require(self) except -1
    cdef int _require_valid(self) except -1
    cdef int _moved(self, int status) except -1

cdef class View:
    cdef lsm_view *view      # owned
    cdef object owner
    cdef lsm_error error
    cdef int _check(self, int status) except -1

# An array of entries that lives in the kernels' memory, with the bytes objects it points into.
cdef class Entries:
    cdef lsm_array_entry *entries
    cdef uint32_t count
    cdef tuple kept
