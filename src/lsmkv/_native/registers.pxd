# Plain values as records of the cluster (kernels/register.h). See registers.pyx.
from libc.stdint cimport uint8_t, uint64_t
from lsmkv._native.failure cimport lsm_error, lsm_slice

cdef extern from "register.h" nogil:
    enum:
        LSM_REGISTER_NOTHING
        LSM_REGISTER_VALUE
        LSM_REGISTER_OTHER
        LSM_REGISTER_OWN_SIZE
        LSM_REGISTER_VALUE_SIZE_MAX
    ctypedef struct lsm_register_write:
        uint8_t own[8]
        uint64_t trusted_epoch
        uint64_t fresh_epoch
        uint64_t stamp
        uint64_t expiry_ms
        lsm_slice value
    ctypedef struct lsm_register_buffer:
        uint8_t *data
        size_t size
        size_t capacity
    int lsm_register_read(lsm_slice record, uint64_t now_ms, lsm_slice *value, lsm_error *error)
    int lsm_register_overwrite(const lsm_slice *old, const lsm_register_write *write,
                               lsm_register_buffer *buffer, int *is_fresh)
    void lsm_register_release(lsm_register_buffer *buffer)
