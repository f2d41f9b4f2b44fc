"""The gate of a store: who may still use it, who is inside, and which sequences are pinned.

- Flags and the fork generation are checked at the entry of every operation (one load each).
- An operation that releases the core lock (the GIL) while it waits is counted; close() waits for
  the count to reach zero before anything is freed.
- Pins are kept in ascending order of sequence: the last one is the maximum, above which the
  memtable may replace a version in place.

The gate outlives the store it belongs to as long as an iterator or snapshot holds it; it owns no
data.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.string cimport memset
from lsmkv._native.memory cimport lsm_memory_attach, shared_state

from lsmkv.errors import ClosedError, ForkError, ReadOnlyError

lsm_memory_attach(shared_state())

cdef extern from "Python.h" nogil:
    ctypedef struct PyThreadState:
        pass
    PyThreadState *PyEval_SaveThread()
    void PyEval_RestoreThread(PyThreadState *state)


cdef void before_wait(void *owner) noexcept nogil:
    cdef Waiter *waiter = <Waiter *> owner
    lsm_gate_enter(waiter.gate)
    waiter.thread_state = PyEval_SaveThread()


cdef void after_wait(void *owner) noexcept nogil:
    cdef Waiter *waiter = <Waiter *> owner
    PyEval_RestoreThread(<PyThreadState *> waiter.thread_state)
    lsm_gate_leave(waiter.gate)


cdef void prepare_context(lsm_read_context *context, Waiter *waiter, Gate gate,
                          lsm_error *error) noexcept:
    memset(context, 0, sizeof(context[0]))
    waiter.gate = &gate.gate
    waiter.thread_state = NULL
    error.code = 0
    context.before_wait = before_wait
    context.after_wait = after_wait
    context.owner = waiter
    context.use_cache = 1
    context.error = error


cdef int yield_lock(Gate gate) except -1:
    lsm_gate_enter(&gate.gate)
    with nogil:
        pass
    lsm_gate_leave(&gate.gate)
    if not may_read(gate):
        gate.refuse_read()
    return 0


cdef Gate no_gate():
    return NO_GATE


cdef class Gate:
    """Flags, fork check, in-flight count and pinned sequences of one store."""

    def __cinit__(self):
        lsm_gate_init(&self.gate)
        self.generation = lsm_fork_generation()

    cdef void pin(self, Pin *pin, uint64_t sequence) noexcept:
        # Nearly always the maximum; an iterator over an old snapshot walks back past newer pins.
        cdef Pin *before = self.newest
        while before != NULL and before.sequence > sequence:
            before = before.previous
        pin.sequence = sequence
        pin.previous = before
        pin.next = before.next if before != NULL else self.oldest
        pin.linked = True
        if pin.next != NULL:
            pin.next.previous = pin
        else:
            self.newest = pin
        if before != NULL:
            before.next = pin
        else:
            self.oldest = pin

    cdef void unpin(self, Pin *pin) noexcept:
        if not pin.linked:
            return
        if pin.previous != NULL:
            pin.previous.next = pin.next
        else:
            self.oldest = pin.next
        if pin.next != NULL:
            pin.next.previous = pin.previous
        else:
            self.newest = pin.previous
        pin.linked = False

    cdef int refuse_read(self) except -1:
        if self.generation != lsm_fork_generation():
            raise ForkError(
                "this database was opened before fork(): open it again in the child process"
            )
        if self.flags & GATE_CLOSED:
            raise ClosedError("the database is closed")
        return 0

    cdef int refuse_write(self) except -1:
        self.refuse_read()
        if self.flags & GATE_READ_ONLY:
            raise ReadOnlyError(self.read_only_reason)
        return 0

    cdef int wait_signal(self, uint64_t seen, uint32_t timeout_ms) except -1:
        """Wait without the GIL for a signal after `seen`; Ctrl-C is honoured between waits."""
        with nogil:
            lsm_gate_wait_signal(&self.gate, seen, timeout_ms)
        PyErr_CheckSignals()
        return 0

    def pinned_sequences(self):
        """The distinct pinned sequences, ascending."""
        cdef Pin *pin = self.oldest
        sequences = []
        while pin != NULL:
            if pin.previous == NULL or pin.previous.sequence != pin.sequence:
                sequences.append(pin.sequence)
            pin = pin.next
        return sequences

    def wait_idle(self):
        """Return once no operation is outside the core lock."""
        with nogil:
            lsm_gate_wait_idle(&self.gate)


cdef Gate NO_GATE = Gate()
NO_GATE.flags = GATE_CLOSED
