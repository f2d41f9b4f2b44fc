# The fault wrapper: its C face and the Python object that owns one.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from lsmkv._native.vfs cimport FileSystem, lsm_vfs

cdef extern from "vfs_fault.h" nogil:
    enum:
        LSM_OPERATION_COUNT
        LSM_FAULT_FAIL
        LSM_FAULT_TEAR
        LSM_FAULT_SHORT
        LSM_FAULT_HALT
        LSM_FAULT_KILL
        LSM_FAULT_BEFORE
        LSM_FAULT_INSIDE
        LSM_FAULT_AFTER
    ctypedef struct lsm_fault_plan:
        int action
        uint64_t at
        uint32_t operations
        int for_ever
        int system_errno
        uint64_t keep_bytes
        int when
        int lose_unsynced
    ctypedef struct lsm_fault_trace_entry:
        int operation
        const char *path
        const char *target
        uint64_t offset
        uint64_t size
        int flags
        const uint8_t *data
    const char *lsm_operation_name(int operation)
    lsm_vfs *lsm_vfs_fault_create(lsm_vfs *base)
    void lsm_fault_arm(lsm_vfs *fault, const lsm_fault_plan *plan)
    void lsm_fault_reset(lsm_vfs *fault)
    uint64_t lsm_fault_operation_count(lsm_vfs *fault)
    int lsm_fault_is_halted(lsm_vfs *fault)
    void lsm_fault_count_reads(lsm_vfs *fault, int on)
    void lsm_fault_record_trace(lsm_vfs *fault, int on, int contents)
    int lsm_fault_trace(lsm_vfs *fault, size_t index, lsm_fault_trace_entry *entry)

cdef class FaultFileSystem(FileSystem):
    cdef readonly FileSystem base
    cdef int arm(self, lsm_fault_plan *plan, at, operations) except -1
    cdef int arm_end(self, int action, at, when, operations) except -1
    cdef int arm_partial(self, int action, at, keep_bytes, int number, operations) except -1
