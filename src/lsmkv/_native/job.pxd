# Flush and compaction jobs (kernels/job.h).
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from lsmkv._native.codec cimport lsm_codec
from lsmkv._native.cursor cimport lsm_cursor
from lsmkv._native.failure cimport lsm_error, lsm_slice
from lsmkv._native.table cimport TableSpace, lsm_read_context, lsm_table_options, lsm_table_summary
from lsmkv._native.version cimport Version
from lsmkv._native.vfs cimport lsm_vfs

cdef extern from "job.h" nogil:
    ctypedef struct lsm_key_range:
        lsm_slice smallest
        lsm_slice largest
    ctypedef struct lsm_job:
        lsm_vfs *vfs
        const lsm_codec *codec
        lsm_cursor *input
        const uint64_t *snapshots
        uint32_t snapshot_count
        const lsm_key_range *keep
        uint32_t keep_count
        const lsm_slice *cuts
        uint32_t cut_count
        lsm_table_options table
        uint64_t id_seed[2]
        uint64_t output_size_max
        const char *path_prefix
        const char *path_suffix
        uint64_t *next_number
        const int32_t *cancel
        uint64_t *progress_bytes
        lsm_table_summary *outputs
        uint32_t output_count
        uint64_t entries_in, entries_out, bytes_in, bytes_out
    int lsm_job_run(lsm_job *job, lsm_error *error)
    void lsm_job_clear(lsm_job *job)

cdef class Counter:
    cdef uint64_t value  # atomic

cdef class Job:
    cdef lsm_job job
    cdef lsm_read_context context
    cdef lsm_error error
    cdef int32_t cancelled       # atomic
    cdef uint64_t progress       # atomic
    cdef size_t readahead_size
    cdef bint started
    cdef TableSpace space
    cdef Counter counter
    cdef Version inputs          # the runs to merge, as a version that keeps their tables
    cdef tuple memtables
    cdef list kept               # every bytes object that `job` points into
    cdef uint64_t *snapshots     # owned arrays
    cdef lsm_key_range *keep
    cdef lsm_slice *cuts
    cdef lsm_cursor *open_input(self) except NULL
    cdef lsm_slice keep_bytes(self, object data) except *
    cdef int set_rules(self, list snapshots, list keep, list cuts) except -1
    cdef int set_outputs(
        self, object path_prefix, object path_suffix, uint64_t output_size_max, object id_seed
    ) except -1
