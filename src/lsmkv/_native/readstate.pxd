# One consistent set of sources: the memtables from newest to oldest, then the tree. See
# readstate.pyx.
from libc.stdint cimport uint32_t, uint64_t
from lsmkv._native.failure cimport lsm_error, lsm_slice
from lsmkv._native.memtable cimport lsm_memtable
from lsmkv._native.table cimport lsm_found, lsm_read_context
from lsmkv._native.version cimport Version, lsm_version
from lsmkv._native.merge cimport lsm_view

cdef enum:
    MEMTABLES_MAX = 16

cdef class ReadState:
    cdef readonly tuple memtables
    cdef readonly Version version
    cdef lsm_memtable *sources[MEMTABLES_MAX]
    cdef uint32_t source_count
    cdef lsm_version *tree

    # The newest version of a key not newer than `sequence`, tombstones included. Memtables never
    # wait.
    cdef void get_memory(self, lsm_slice key, uint64_t sequence, lsm_found *found) noexcept
    # 0 or a negative status. May release the core lock through the context.
    cdef int get(self, lsm_slice key, uint64_t sequence, lsm_read_context *context,
                 lsm_found *found) noexcept
    # A user view over all sources. NULL: out of memory.
    cdef lsm_view *open_view(self, uint64_t sequence, lsm_slice start, lsm_slice stop, bint reverse,
                             lsm_read_context *context) noexcept
