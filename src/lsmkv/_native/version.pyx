"""Versions: immutable pictures of the tree, built from table slices and read natively.

A Version keeps its tables alive. Reads through the methods here hold the GIL and block: they serve
tests and tools; the store calls kernels/version.h with a read context of its own.
"""

cimport cython
from libc.string cimport memset

from lsmkv._native.buffers cimport slice_of
from lsmkv._native.failure cimport LSM_E_MEMORY, lsm_error, raise_error
from lsmkv._native.memory cimport lsm_alloc, lsm_calloc, lsm_free, lsm_memory_attach, shared_state
from lsmkv._native.merge cimport lsm_merge_cursor, lsm_view_create
from lsmkv._native.table cimport Table, lsm_found_release

lsm_memory_attach(shared_state())


cdef int fill_slice(lsm_table_slice *target, object source) except -1:
    cdef Table table = source.table
    if table is None or table.table == NULL:
        raise ValueError("a slice needs an open table")
    if source.smallest is None or source.largest is None or source.smallest > source.largest:
        raise ValueError("a slice needs smallest <= largest")
    target.table = table.table
    target.smallest = slice_of(source.smallest)
    target.largest = slice_of(source.largest)
    target.clamp_lower = source.lower is not None
    target.clamp_upper = source.upper is not None
    target.lower = slice_of(source.lower)
    target.upper = slice_of(source.upper)
    return 0


cdef object visible_start(object source):
    """The first key that a slice may show."""
    return source.smallest if source.lower is None else max(source.smallest, source.lower)


cdef object visible_stop(object source):
    """The exclusive end of what a slice may show."""
    stop = source.largest + b"\0"
    return stop if source.upper is None else min(stop, source.upper)


cdef int fill_run(lsm_version *version, uint32_t index, uint32_t level, tuple slices) except -1:
    cdef uint32_t count = len(slices)
    cdef uint32_t position
    cdef int status
    for position in range(1, count):
        if visible_stop(slices[position - 1]) > visible_start(slices[position]):
            raise ValueError("the slices of a run must ascend and not overlap")
    cdef lsm_table_slice *filled = <lsm_table_slice *> lsm_calloc(count, sizeof(lsm_table_slice))
    if filled == NULL:
        raise_error(LSM_E_MEMORY, NULL)
    try:
        for position in range(count):
            fill_slice(&filled[position], slices[position])
        status = lsm_version_set_run(version, index, level, filled, count)
    finally:
        lsm_free(filled)
    if status < 0:
        raise_error(status, NULL)
    return 0


cdef int prepare(lsm_read_context *context, lsm_error *error) except -1:
    memset(context, 0, sizeof(lsm_read_context))
    memset(error, 0, sizeof(lsm_error))
    context.use_cache = True
    context.error = error
    return 0


@cython.no_gc_clear  # `version` ends with `tables` still there: it uses their pool and cache
cdef class Version:
    """The tree at one moment: runs of table slices, from newest to oldest.

    runs: sequence of (level, sequence of TableSlice); the slices of a run ascend without overlap.
    """

    def __init__(self, runs):
        if self.version != NULL:
            raise RuntimeError("already initialised")
        kept = tuple([(level, tuple(slices)) for level, slices in runs])
        cdef lsm_version *version = lsm_version_create(len(kept))
        if version == NULL:
            raise_error(LSM_E_MEMORY, NULL)
        try:
            for index, (level, slices) in enumerate(kept):
                fill_run(version, index, level, slices)
        except BaseException:
            lsm_version_release(version)
            raise
        self.runs = kept
        self.tables = tuple([source.table for _, slices in kept for source in slices])
        self.version = version

    def __dealloc__(self):
        if self.version != NULL:
            lsm_version_release(self.version)

    def get(self, key, uint64_t sequence):
        """(sequence, kind, value) of the newest version of `key` up to `sequence`, or None."""
        cdef lsm_read_context context
        cdef lsm_error error
        cdef lsm_found found
        cdef bytes wanted = bytes(key)
        prepare(&context, &error)
        cdef int status = lsm_version_get(
            self.version, slice_of(wanted), sequence, &context, &found
        )
        if status < 0:
            raise_error(status, &error)
        if not found.found:
            return None
        try:
            return found.trailer >> 8, found.trailer & 0xFF, bytes_of(found.value)
        finally:
            lsm_found_release(&found)

    def cursor(self, uint32_t run, size_t readahead_size=0):
        """A cursor over the entries of one run, old versions and tombstones included."""
        if run >= self.version.run_count:
            raise IndexError("no such run")
        cdef RunCursor cursor = RunCursor.__new__(RunCursor)
        prepare(&cursor.context, &cursor.error)
        cursor.context.use_cache = readahead_size == 0
        cursor.owner = self
        cursor.cursor = lsm_run_cursor(&self.version.runs[run], &cursor.context, readahead_size)
        if cursor.cursor == NULL:
            raise_error(LSM_E_MEMORY, NULL)
        return cursor

    def scan(self, uint64_t sequence, *, start=None, stop=None, reverse=False):
        """An iterator over the live (key, value) pairs that a reader at `sequence` sees."""
        cdef VersionView view = VersionView.__new__(VersionView)
        cdef bytes lower = start
        cdef bytes upper = stop
        prepare(&view.context, &view.error)
        view.owner = self
        cdef lsm_cursor *merged = merge_runs(self.version, &view.context)
        view.view = lsm_view_create(merged, sequence, slice_of(lower), slice_of(upper), reverse)
        if view.view == NULL:
            raise_error(LSM_E_MEMORY, NULL)
        return view


cdef lsm_cursor *merge_runs(lsm_version *version, lsm_read_context *context) except NULL:
    cdef uint32_t index
    cdef size_t size = version.run_count * sizeof(lsm_cursor *)
    cdef lsm_cursor **inputs = <lsm_cursor **> lsm_alloc(size)
    if inputs == NULL:
        raise_error(LSM_E_MEMORY, NULL)
    for index in range(version.run_count):
        inputs[index] = lsm_run_cursor(&version.runs[index], context, 0)
    cdef lsm_cursor *merged = lsm_merge_cursor(inputs, version.run_count)
    lsm_free(inputs)
    if merged == NULL:
        raise_error(LSM_E_MEMORY, NULL)
    return merged


cdef bytes bytes_of(lsm_slice data):
    return (<const char *> data.data)[:data.size] if data.size else b""


@cython.no_gc_clear  # the cursor points into what `owner` keeps alive
cdef class RunCursor(Cursor):
    """A cursor over one run of a version."""


@cython.no_gc_clear
cdef class VersionView(View):
    """A walk over the live keys of a version."""
