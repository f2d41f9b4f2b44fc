"""An immutable set of sources that a read looks at: memtables, newest first, then a version of the
tree.

A store swaps in a new ReadState when a memtable is frozen, flushed, or the tree changes. A read
takes a reference to the current one first; that reference is the pin which keeps memtables, tables
and file handles alive across a release of the core lock, whatever happens to the store meanwhile.
"""

cimport cython
from lsmkv._native.memory cimport lsm_memory_attach, shared_state
from lsmkv._native.memtable cimport Memtable, lsm_memtable_cursor, lsm_memtable_get
from lsmkv._native.merge cimport (
    lsm_cursor,
    lsm_cursor_destroy,
    lsm_merge_cursor,
    lsm_view_create,
)
from lsmkv._native.memory cimport lsm_alloc, lsm_free
from lsmkv._native.version cimport lsm_run_cursor_within, lsm_version_get

lsm_memory_attach(shared_state())


@cython.no_gc_clear  # `sources` and `tree` point into what it keeps alive
cdef class ReadState:
    """memtables: tuple of Memtable, newest first (at most MEMTABLES_MAX); version: the tree below
    them."""

    def __init__(self, tuple memtables not None, Version version not None):
        if len(memtables) > MEMTABLES_MAX:
            raise ValueError("too many memtables")
        cdef Memtable memtable
        self.memtables = memtables
        self.version = version
        self.tree = version.version
        self.source_count = 0
        for memtable in memtables:
            self.sources[self.source_count] = memtable.memtable
            self.source_count += 1

    cdef void get_memory(self, lsm_slice key, uint64_t sequence, lsm_found *found) noexcept:
        cdef uint32_t i
        found.found = 0
        found.pin = NULL
        for i in range(self.source_count):
            lsm_memtable_get(self.sources[i], key, sequence, found)
            if found.found:
                return

    cdef int get(self, lsm_slice key, uint64_t sequence, lsm_read_context *context,
                 lsm_found *found) noexcept:
        self.get_memory(key, sequence, found)
        if found.found or self.tree.run_count == 0:
            return 0
        return lsm_version_get(self.tree, key, sequence, context, found)

    cdef lsm_view *open_view(self, uint64_t sequence, lsm_slice start, lsm_slice stop, bint reverse,
                             lsm_read_context *context) noexcept:
        cdef uint32_t total = self.source_count + self.tree.run_count
        cdef uint32_t count = 0
        cdef uint32_t i
        cdef lsm_cursor *cursor
        cdef lsm_cursor **inputs = <lsm_cursor **> lsm_alloc((total + 1) * sizeof(lsm_cursor *))
        if inputs == NULL:
            return NULL
        for i in range(total):
            if i < self.source_count:
                cursor = lsm_memtable_cursor(self.sources[i])
            else:
                cursor = lsm_run_cursor_within(
                    &self.tree.runs[i - self.source_count], start, stop, context, 0
                )
            if cursor == NULL:
                while count > 0:
                    count -= 1
                    lsm_cursor_destroy(inputs[count])
                lsm_free(inputs)
                return NULL
            inputs[count] = cursor
            count += 1
        cursor = lsm_merge_cursor(inputs, count)
        lsm_free(inputs)
        if cursor == NULL:
            return NULL
        return lsm_view_create(cursor, sequence, start, stop, reverse)
