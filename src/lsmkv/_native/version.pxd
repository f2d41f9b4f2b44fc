# Immutable pictures of the tree (kernels/version.h).
from libc.stdint cimport int64_t, uint32_t, uint64_t

from lsmkv._native.cursor cimport lsm_cursor, lsm_found
from lsmkv._native.failure cimport lsm_slice
from lsmkv._native.merge cimport Cursor, View
from lsmkv._native.table cimport lsm_read_context, lsm_table

cdef extern from "version.h" nogil:
    ctypedef struct lsm_table_slice:
        lsm_table *table
        lsm_slice smallest
        lsm_slice largest
        int clamp_lower
        int clamp_upper
        lsm_slice lower
        lsm_slice upper
    ctypedef struct lsm_run:
        lsm_table_slice *slices
        uint32_t count
        uint32_t level
    ctypedef struct lsm_version:
        int64_t references
        uint32_t run_count
        lsm_run *runs
    lsm_version *lsm_version_create(uint32_t run_count)
    int lsm_version_set_run(
        lsm_version *version, uint32_t index, uint32_t level, const lsm_table_slice *slices,
        uint32_t count
    )
    void lsm_version_retain(lsm_version *version)
    void lsm_version_release(lsm_version *version)
    int lsm_version_get(
        lsm_version *version, lsm_slice key, uint64_t sequence, lsm_read_context *context,
        lsm_found *found
    )
    lsm_cursor *lsm_run_cursor(
        const lsm_run *run, lsm_read_context *context, size_t readahead_size
    )
    lsm_cursor *lsm_run_cursor_within(
        const lsm_run *run, lsm_slice start, lsm_slice stop, lsm_read_context *context,
        size_t readahead_size
    )

cdef class Version:
    cdef lsm_version *version  # owned; never NULL once constructed
    cdef readonly tuple runs   # ((level, (TableSlice, ...)), ...), newest first
    # Of all slices, kept alive: the collector may empty a slice, but not a tuple.
    cdef tuple tables

cdef class RunCursor(Cursor):
    cdef lsm_read_context context

cdef class VersionView(View):
    cdef lsm_read_context context
