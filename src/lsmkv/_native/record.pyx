"""Records of the cluster, checked and merged by record_merge.c: alone, or inside merge_batch.

What a record means is decided by the cluster (its record.py), whose merge gives the same bytes.
"""

from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.string cimport memcpy, memset
from lsmkv._native.buffers cimport Slice, acquire_value, release
from lsmkv._native.failure cimport raise_error
from lsmkv._native.memory cimport lsm_memory_attach, shared_state

lsm_memory_attach(shared_state())

SIDES = (None, "old", "operand", "both")


cdef void release_owner(object capsule) noexcept:
    Py_DECREF(<object> PyCapsule_GetContext(capsule))


cdef class RecordMerger:
    """Merges records, and counts what happens. One thread at a time.

    own: the 8 bytes of node and incarnation that begin the actors of this store. With it, a record
    is refused (Error, and `missed_epoch` says which) that shows a write of this store, of an epoch
    from `trusted_epoch` on, that the old record lacks.
    """

    cdef lsm_record_merger merger
    cdef lsm_merge_hook hook_struct

    def __cinit__(self):
        memset(&self.merger, 0, sizeof(self.merger))
        self.hook_struct.apply = lsm_record_apply
        self.hook_struct.context = &self.merger

    def __init__(self, bytes own=None, uint64_t trusted_epoch=0):
        self.merger.is_guarded = own is not None
        if own is not None:
            if len(own) != LSM_RECORD_OWN_SIZE:
                raise ValueError(f"own must have {LSM_RECORD_OWN_SIZE} bytes")
            memcpy(self.merger.own, <const uint8_t *> own, LSM_RECORD_OWN_SIZE)
        self.merger.trusted_epoch = trusted_epoch

    def __dealloc__(self):
        lsm_record_merger_release(&self.merger)

    def merge(self, old, operand):
        """The record that knows what both know. `old` may be None."""
        cdef Slice old_slice, operand_slice
        cdef lsm_slice result
        cdef int action
        self.merger.error.code = 0
        acquire_value(operand, &operand_slice)
        try:
            if old is None:
                action = lsm_record_merge(&self.merger, NULL, operand_slice.bytes, &result)
                return self.outcome(action, operand_slice.bytes, result)
            acquire_value(old, &old_slice)
            try:
                action = lsm_record_merge(
                    &self.merger, &old_slice.bytes, operand_slice.bytes, &result
                )
                return self.outcome(action, old_slice.bytes, result)
            finally:
                release(&old_slice)
        finally:
            release(&operand_slice)

    cdef bytes outcome(self, int action, lsm_slice kept, lsm_slice result):
        if action < 0:
            raise_error(action, &self.merger.error)
        if action == LSM_MERGE_KEEP:
            result = kept
        return (<const char *> result.data)[:result.size]

    def check(self, data):
        """Raise CorruptionError, Error or ValueError for what is no record."""
        cdef Slice slice
        cdef int status
        self.merger.error.code = 0
        acquire_value(data, &slice)
        try:
            status = lsm_record_check(&self.merger, slice.bytes, &self.merger.error)
        finally:
            release(&slice)
        if status != 0:
            raise_error(status, &self.merger.error)

    @property
    def hook(self):
        """What `merge_batch` takes as its function. It keeps this object alive."""
        capsule = PyCapsule_New(&self.hook_struct, LSM_MERGE_HOOK_NAME, release_owner)
        PyCapsule_SetContext(capsule, <PyObject *> self)
        Py_INCREF(self)
        return capsule

    @property
    def trusted_epoch(self):
        """The first epoch of this store that may count on from what is stored."""
        return self.merger.trusted_epoch

    @trusted_epoch.setter
    def trusted_epoch(self, uint64_t value):
        self.merger.trusted_epoch = value

    @property
    def calls(self):
        """Merges begun. The last one of a failed batch is the one that failed."""
        return self.merger.calls

    @property
    def writes(self):
        """Merges that changed the old record."""
        return self.merger.writes

    @property
    def collisions(self):
        """Dots met with two different items: used twice, which must never happen."""
        return self.merger.collisions

    @property
    def missed_epoch(self):
        """The epoch of the write that the guard missed last, 0 at first."""
        return self.merger.missed_epoch

    @property
    def failed_side(self):
        """Whose fault the last failure was: "old", "operand", "both" or None."""
        return SIDES[self.merger.failed_side]
