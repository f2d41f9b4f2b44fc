"""A file system that fails on purpose: what does the engine do when the disk, or the process, dies?

It wraps any FileSystem and passes everything on until the armed fault strikes. The rules stand in
kernels/vfs_fault.h.
"""

import errno as errors_of_system
import os

from cython cimport no_gc_clear
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from lsmkv._native.memory cimport lsm_memory_attach, shared_state
from lsmkv._native.vfs cimport FileSystem

from lsmkv._native.trace import TraceEntry

lsm_memory_attach(shared_state())

cdef dict OPERATION_NUMBERS = {
    (<bytes> lsm_operation_name(number)).decode("ascii"): number
    for number in range(LSM_OPERATION_COUNT)
}
OPERATIONS = tuple(OPERATION_NUMBERS)

cdef dict MOMENTS = {
    "before": LSM_FAULT_BEFORE,
    "inside": LSM_FAULT_INSIDE,
    "after": LSM_FAULT_AFTER,
}


@no_gc_clear  # the base must be there as long as any file of the wrapper
cdef class FaultFileSystem(FileSystem):
    """Passes everything on to another FileSystem, counts, and strikes where it was told to.

    `at` counts from the call that arms the fault: 1 is the next operation, or the next of the kinds
    named in `operations` (see OPERATIONS). Arming another fault replaces the first.
    """

    def __cinit__(self, FileSystem base not None):
        self.vfs = lsm_vfs_fault_create(base.handle())
        if self.vfs == NULL:
            raise MemoryError("lsmkv: out of memory")
        self.base = base

    def __init__(self, base):
        """Wraps `base`, which may go on being used directly."""

    cdef int arm(self, lsm_fault_plan *plan, at, operations) except -1:
        if at < 1:
            raise ValueError("at must be 1 or more")
        plan.at = at
        for name in operations or ():
            if name not in OPERATION_NUMBERS:
                raise ValueError(f"unknown operation {name!r}: see OPERATIONS")
            plan.operations |= (<uint32_t> 1) << <int> OPERATION_NUMBERS[name]
        lsm_fault_arm(self.vfs, plan)
        return 0

    cdef int arm_end(self, int action, at, when, operations) except -1:
        if when not in MOMENTS:
            raise ValueError("when must be 'before', 'inside' or 'after'")
        cdef lsm_fault_plan plan
        memset(&plan, 0, sizeof(plan))
        plan.action = action
        plan.when = MOMENTS[when]
        return self.arm(&plan, at, operations)

    cdef int arm_partial(self, int action, at, keep_bytes, int number, operations) except -1:
        if keep_bytes < 0:
            raise ValueError("keep_bytes must not be negative")
        cdef lsm_fault_plan plan
        memset(&plan, 0, sizeof(plan))
        plan.action = action
        plan.keep_bytes = keep_bytes
        plan.system_errno = number
        return self.arm(&plan, at, operations)

    def fail(self, at, errno, for_ever=False, operations=None, lose_unsynced=False, when="before"):
        """Let operation `at` fail, and every later one too if `for_ever`, before it does anything.

        With `when="after"` it did all that it was asked for, and only says that it failed. With
        `lose_unsynced` a failing sync also throws away what it should have synced (memory files
        only).
        """
        if when not in ("before", "after"):
            raise ValueError("when must be 'before' or 'after'")
        if lose_unsynced and when == "after":
            raise ValueError("a sync that loses what is unsynced fails before it does anything")
        cdef lsm_fault_plan plan
        memset(&plan, 0, sizeof(plan))
        plan.action = LSM_FAULT_FAIL
        plan.system_errno = errno
        plan.for_ever = for_ever
        plan.lose_unsynced = lose_unsynced
        plan.when = MOMENTS[when]
        self.arm(&plan, at, operations)

    def tear(self, at, keep_bytes, errno=errors_of_system.ENOSPC, operations=None):
        """Let append or log_commit number `at` fail after its first `keep_bytes` bytes."""
        self.arm_partial(LSM_FAULT_TEAR, at, keep_bytes, errno, operations)

    def short(self, at, keep_bytes, operations=None):
        """Let read number `at` deliver at most `keep_bytes` bytes."""
        self.arm_partial(LSM_FAULT_SHORT, at, keep_bytes, 0, operations)

    def halt(self, at, when="before", operations=None):
        """Cut the process off from its files: operation `at` and all later ones fail.

        Later ones change nothing. `when` is "before", "inside" (half the bytes of an append or
        log_commit get through) or "after".
        """
        self.arm_end(LSM_FAULT_HALT, at, when, operations)

    def kill(self, at, when="before", operations=None):
        """The same with SIGKILL to this very process."""
        self.arm_end(LSM_FAULT_KILL, at, when, operations)

    def reset(self):
        """Disarm, end a halt, set the count to 0 and empty the trace."""
        lsm_fault_reset(self.vfs)

    @property
    def operation_count(self):
        """How many operations there were since the start or the last reset, none while halted."""
        return lsm_fault_operation_count(self.vfs)

    @property
    def halted(self):
        """Whether a halt has struck."""
        return lsm_fault_is_halted(self.vfs) != 0

    def count_reads(self, on):
        """Whether read, read_cached, size, list and stat count; they do at first."""
        lsm_fault_count_reads(self.vfs, on)

    def record_trace(self, on, contents=False):
        """Whether counted operations are recorded, with the bytes that they write if `contents`.

        They are not at first.
        """
        lsm_fault_record_trace(self.vfs, on, contents)

    def trace(self):
        """The recorded operations, a list of TraceEntry."""
        cdef lsm_fault_trace_entry entry
        cdef size_t index = 0
        entries = []
        while lsm_fault_trace(self.vfs, index, &entry):
            index += 1
            entries.append(
                TraceEntry(
                    (<bytes> lsm_operation_name(entry.operation)).decode("ascii"),
                    os.fsdecode(<bytes> entry.path),
                    os.fsdecode(<bytes> entry.target) if entry.target != NULL else None,
                    entry.offset if entry.offset != <uint64_t> -1 else None,
                    entry.size if entry.size != <uint64_t> -1 else None,
                    entry.flags if entry.flags else None,
                    (<const char *> entry.data)[:entry.size] if entry.data != NULL else None,
                )
            )
        return entries
