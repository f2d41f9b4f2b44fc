# The commit log for other native modules: the contract of kernels/log.h and the Python faces.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from lsmkv._native.failure cimport lsm_error, lsm_slice
from lsmkv._native.memtable cimport lsm_memtable
from lsmkv._native.vfs cimport FileSystem, lsm_file, lsm_vfs

cdef extern from "coding.h" nogil:
    ctypedef struct lsm_reader:
        const uint8_t *cursor
        const uint8_t *end

cdef extern from "log.h" nogil:
    enum:
        LSM_LOG_HEADER_SIZE
        LSM_LOG_ALIGNMENT
        LSM_LOG_BATCH
        LSM_LOG_SYNC_MARK
        LSM_LOG_CLOSE
        LSM_LOG_END_NONE
        LSM_LOG_END_CLOSED
        LSM_LOG_END_CLEAN
        LSM_LOG_END_TORN

    ctypedef struct lsm_log_segment:
        uint64_t number
        uint64_t nonce
        uint64_t previous_number
        uint64_t previous_length
        uint64_t previous_sequence
        uint64_t manifest_edit

    ctypedef struct lsm_log_writer:
        lsm_file *file
        lsm_log_segment segment
        uint64_t length
        uint64_t synced_to
        uint64_t last_sequence
        int mode
        int poisoned
        int finished

    int lsm_log_create(lsm_vfs *vfs, const char *path, const lsm_log_segment *segment, int mode,
                       lsm_log_writer **writer, lsm_error *error)
    int lsm_log_begin(lsm_log_writer *writer, size_t payload_size, uint8_t **payload,
                      lsm_error *error)
    size_t lsm_log_operation_size(uint8_t kind, size_t key_size, size_t value_size)
    uint8_t *lsm_log_encode(uint8_t *cursor, uint8_t kind, lsm_slice key, lsm_slice value,
                            lsm_slice *key_copy, lsm_slice *value_copy)
    int lsm_log_commit(lsm_log_writer *writer, uint8_t type, uint64_t base_sequence, uint32_t count,
                       size_t payload_size, lsm_error *error)
    int lsm_log_sync(lsm_log_writer *writer, uint64_t *covered, lsm_error *error)
    int lsm_log_mark_synced(lsm_log_writer *writer, uint64_t covered, lsm_error *error)
    int lsm_log_finish(lsm_log_writer *writer, lsm_error *error)
    void lsm_log_destroy(lsm_log_writer *writer)

    ctypedef struct lsm_log_record:
        uint8_t type
        uint32_t count
        uint64_t base_sequence
        uint64_t synced_to
        uint64_t offset
        lsm_slice payload

    ctypedef struct lsm_log_reader:
        const uint8_t *data
        size_t size
        lsm_log_segment segment
        size_t offset
        uint64_t synced_to
        uint64_t last_sequence
        int end

    int lsm_log_reader_open(lsm_log_reader *reader, const uint8_t *data, size_t size,
                            lsm_error *error)
    int lsm_log_next(lsm_log_reader *reader, lsm_log_record *record, lsm_error *error)
    void lsm_log_salvage_open(lsm_log_reader *reader, const uint8_t *data, size_t size,
                              uint64_t nonce, size_t offset, const uint64_t *last_sequence)
    int lsm_log_salvage_next(lsm_log_reader *reader, lsm_log_record *record, lsm_error *error)
    int lsm_log_next_operation(lsm_reader *payload, uint8_t *kind, lsm_slice *key, lsm_slice *value)
    int lsm_log_check_batch(const lsm_log_record *record, size_t *bytes, lsm_error *error)
    int lsm_log_replay(lsm_log_reader *reader, lsm_memtable *memtable, uint64_t bytes_max,
                       uint64_t *applied, lsm_error *error)


cdef class LogWriter:
    # NULL once closed, or while no file could be created.
    cdef lsm_log_writer *writer
    cdef FileSystem filesystem  # outlives the open file
    cdef readonly str path
    cdef readonly uint64_t number  # of the segment
    cdef uint64_t fork_generation
    cdef object sync_lock  # the kernel allows one sync at a time
    cdef bint syncing  # a sync uses `writer` without the GIL
    cdef bint closing  # closed; a running sync destroys `writer` when it returns
    cdef int check(self) except -1
    cdef int sync_alone(self) except -1
    cdef int destroy(self) except -1


cdef class SegmentReader:
    cdef lsm_log_reader reader
    cdef bytes data  # what `reader` points into
    cdef bytes path_bytes
    cdef readonly str path
    cdef readonly object segment
    cdef bint busy  # a call uses `reader` without the GIL
    cdef int enter(self) except -1
    cdef int fail(self, int status, lsm_error *error) except -1


cdef class IntactRecords:
    cdef lsm_log_reader reader
    cdef bytes data  # what `reader` points into
    cdef bytes path_bytes
