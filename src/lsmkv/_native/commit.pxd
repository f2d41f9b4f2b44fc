# Group commit over the live log segments. See commit.pyx.
from libc.stdint cimport uint32_t, uint64_t
from lsmkv._native.failure cimport lsm_error
from lsmkv._native.log cimport LogWriter, lsm_log_writer
from lsmkv._native.vfs cimport FileSystem, lsm_vfs

cdef extern from "commit_group.h" nogil:
    ctypedef struct lsm_commit_group:
        pass
    lsm_commit_group *lsm_commit_group_create(lsm_vfs *vfs, const char *directory)
    void lsm_commit_group_destroy(lsm_commit_group *group)
    int lsm_commit_group_add(lsm_commit_group *group, lsm_log_writer *writer)
    void lsm_commit_group_committed(lsm_commit_group *group, uint64_t sequence)
    int lsm_commit_group_sync(lsm_commit_group *group, uint64_t sequence, lsm_error *error)
    void lsm_commit_group_drop(lsm_commit_group *group, lsm_log_writer *writer)
    uint64_t lsm_commit_group_durable(const lsm_commit_group *group)
    int lsm_commit_group_poisoned(const lsm_commit_group *group, lsm_error *error)
    void lsm_commit_group_poison(lsm_commit_group *group, const lsm_error *error)
    uint64_t lsm_commit_group_sync_count(const lsm_commit_group *group)

cdef class CommitGroup:
    cdef lsm_commit_group *group
    cdef FileSystem filesystem
    cdef list segments  # every LogWriter the group may still touch
