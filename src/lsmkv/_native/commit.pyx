"""Group commit: makes the log durable in commit order (kernels/commit_group.h has the rules)."""

import os

from lsmkv._native.failure cimport raise_error
from lsmkv._native.memory cimport lsm_memory_attach, shared_state

lsm_memory_attach(shared_state())


cdef class CommitGroup:
    """The live log segments of a store, oldest first, and the one leader at a time that syncs
    them."""

    def __cinit__(self, FileSystem filesystem not None, directory):
        self.filesystem = filesystem
        self.segments = []
        self.group = lsm_commit_group_create(filesystem.vfs, os.fsencode(directory))
        if self.group == NULL:
            raise MemoryError

    def __dealloc__(self):
        lsm_commit_group_destroy(self.group)

    def add(self, LogWriter segment not None):
        """Make `segment` the current one. Raises ValueError when too many are live."""
        cdef int status = lsm_commit_group_add(self.group, segment.writer)
        if status < 0:
            raise_error(status, NULL)
        self.segments.append(segment)

    def drop(self, LogWriter segment not None):
        """Forget a segment, if it is there, that holds nothing or only what is durable in tables.

        It may be closed afterwards.
        """
        with nogil:
            lsm_commit_group_drop(self.group, segment.writer)
        if segment in self.segments:
            self.segments.remove(segment)

    def sync(self, uint64_t sequence):
        """Return once everything up to `sequence` is durable. StorageError if a sync failed, now or
        before."""
        cdef lsm_error error
        cdef int status
        error.code = 0
        with nogil:
            status = lsm_commit_group_sync(self.group, sequence, &error)
        if status < 0:
            raise_error(status, &error)

    def finish(self, uint64_t sequence):
        """Sync once more, with what follows the last operation `sequence`: a CLOSE record has
        none."""
        lsm_commit_group_committed(self.group, sequence + 1)
        self.sync(sequence + 1)

    @property
    def durable_sequence(self):
        """The highest sequence known to survive a power loss through the log."""
        return lsm_commit_group_durable(self.group)

    @property
    def poisoned(self):
        """Whether a sync has failed: nothing more can be promised through this group."""
        return bool(lsm_commit_group_poisoned(self.group, NULL))

    @property
    def sync_count(self):
        """How many rounds of syncs have succeeded."""
        return lsm_commit_group_sync_count(self.group)
