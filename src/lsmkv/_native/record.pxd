# Reading and merging records of the cluster, for other native modules.
from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint64_t
from lsmkv._native.failure cimport lsm_error, lsm_slice

cdef extern from "record_merge.h" nogil:
    enum:
        LSM_RECORD_OWN_SIZE
        LSM_RECORD_OLD
        LSM_RECORD_OPERAND
        LSM_RECORD_BOTH
    ctypedef struct lsm_record_merger:
        uint8_t own[8]
        bint is_guarded
        uint64_t trusted_epoch
        uint64_t calls
        uint64_t writes
        uint64_t collisions
        uint64_t missed_epoch
        int failed_side
        lsm_error error
    void lsm_record_merger_release(lsm_record_merger *merger)
    int lsm_record_check(lsm_record_merger *merger, lsm_slice data, lsm_error *error)
    int lsm_record_merge(lsm_record_merger *merger, const lsm_slice *old, lsm_slice operand,
                         lsm_slice *result)
    int lsm_record_apply(void *context, lsm_slice key, const lsm_slice *old, lsm_slice operand,
                         lsm_slice *result) noexcept

cdef extern from "merge_hook.h" nogil:
    const char *LSM_MERGE_HOOK_NAME
    enum:
        LSM_MERGE_KEEP
        LSM_MERGE_WRITE
    ctypedef struct lsm_merge_hook:
        int (*apply)(void *context, lsm_slice key, const lsm_slice *old, lsm_slice operand,
                     lsm_slice *result) noexcept
        void *context
