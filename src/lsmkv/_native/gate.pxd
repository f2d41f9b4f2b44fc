# Who may touch a store: flags, the fork check, in-flight waits, pinned sequences. See gate.pyx.
from libc.stdint cimport uint32_t, uint64_t
from lsmkv._native.failure cimport lsm_error
from lsmkv._native.table cimport lsm_read_context

cdef extern from "gate.h" nogil:
    ctypedef struct lsm_gate:
        uint32_t outside
    void lsm_gate_init(lsm_gate *gate)
    void lsm_gate_enter(lsm_gate *gate)
    void lsm_gate_leave(lsm_gate *gate)
    void lsm_gate_wait_idle(lsm_gate *gate)
    void lsm_gate_signal(lsm_gate *gate)
    uint64_t lsm_gate_signals(lsm_gate *gate)
    void lsm_gate_wait_signal(lsm_gate *gate, uint64_t seen, uint32_t timeout_ms)

cdef extern from "vfs.h" nogil:
    uint64_t lsm_fork_generation()

# Reasons to leave the fast path; any bit sends an operation through Gate.refuse or the store's slow
# entry.
cdef enum GateFlag:
    GATE_CLOSED = 1
    GATE_READ_ONLY = 2   # opened so, or made so by a failed write or sync
    GATE_BUSY = 4        # a writer holds the write path across a release of the core lock
    GATE_SLOW = 8        # back-pressure: delay or stop

# A pinned sequence: snapshots, iterators and reads that span a wait. Ascending, so the tail is the
# maximum.
cdef struct Pin:
    Pin *previous
    Pin *next
    uint64_t sequence
    bint linked

# The state of one wait protocol (table.h: lsm_read_context.owner).
cdef struct Waiter:
    void *thread_state
    lsm_gate *gate

cdef class Gate:
    cdef lsm_gate gate
    cdef int flags
    cdef uint64_t generation
    cdef Pin *oldest
    cdef Pin *newest
    cdef object read_only_reason
    cdef unsigned long busy_thread  # who holds GATE_BUSY

    cdef void pin(self, Pin *pin, uint64_t sequence) noexcept
    cdef void unpin(self, Pin *pin) noexcept
    cdef int refuse_read(self) except -1
    cdef int refuse_write(self) except -1
    cdef int wait_signal(self, uint64_t seen, uint32_t timeout_ms) except -1

# A gate that nobody passes, for objects that were never attached to a store.
cdef Gate no_gate()

# Fills a context whose reads release the GIL while they wait. `waiter` and `error` must outlive it.
cdef void prepare_context(lsm_read_context *context, Waiter *waiter, Gate gate,
                          lsm_error *error) noexcept

# Lets other threads run: called every few hundred steps of a long operation that holds pins.
cdef int yield_lock(Gate gate) except -1

cdef inline bint may_read(Gate gate) noexcept:
    return not (gate.flags & GATE_CLOSED) and gate.generation == lsm_fork_generation()
