"""Store: put, get, delete, batches and scans from start to finish, with no Python frame in between.

`lsmkv.db.DB` derives from it and owns all policy: it overrides `_rotate` (a memtable or log segment
is full) and `_slow_down` (back-pressure), and swaps in new sources with `_install`.

Write order, which the rest of the engine relies on: reserve room in the memtable, reserve room in
the log, encode into the log, checksum the copy, commit it, insert into the memtable from the copy.
Nothing can fail after the commit. The GIL is held from the first reservation to the insert, so
writers need no other lock; what must release it in between (rotation, merges) holds GATE_BUSY
instead, and other writers wait at entry.

The row cache is told of a write in the step that makes it visible, and asked by those only who want
what is newest: see `is_newest`.

A write is visible once applied. `sync=True` returns after it is durable; a reader may have seen it
before.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.pythread cimport PyThread_get_thread_ident
from libc.string cimport memcpy
from lsmkv._native.buffers cimport Slice, acquire_key, acquire_value, release
from lsmkv._native.commit cimport (
    lsm_commit_group_committed,
    lsm_commit_group_poison,
    lsm_commit_group_sync,
)
from lsmkv._native.failure cimport LSM_E_MEMORY, raise_error
from lsmkv._native.gate cimport (
    GATE_BUSY,
    GATE_CLOSED,
    GATE_READ_ONLY,
    GATE_SLOW,
    Pin,
    lsm_fork_generation,
    lsm_gate_enter,
    lsm_gate_leave,
    lsm_gate_signal,
    lsm_gate_signals,
    may_read,
    prepare_context,
    yield_lock,
)
from lsmkv._native.hashing cimport lsm_key_hash
from lsmkv._native.log cimport (
    LSM_LOG_BATCH, lsm_log_begin, lsm_log_commit, lsm_log_encode, lsm_log_mark_synced,
    lsm_log_next_operation, lsm_log_operation_size, lsm_reader,
)
from lsmkv._native.memory cimport lsm_memory_attach, shared_state
from lsmkv._native.memtable cimport (
    lsm_memtable_insert, lsm_memtable_read_usage, lsm_memtable_reserve, lsm_memtable_usage,
)
from lsmkv._native.row_cache cimport (
    lsm_row_cache_clear, lsm_row_cache_get, lsm_row_cache_init, lsm_row_cache_put,
    lsm_row_cache_remove,
)
from lsmkv._native.scan cimport SCAN_ITEMS, SCAN_KEYS, SCAN_VALUES, Scan, ScanShape, new_scan
from lsmkv._native.table cimport lsm_found, lsm_found_release, lsm_read_context
from lsmkv._native.version cimport lsm_version_get

from lsmkv.errors import Error

lsm_memory_attach(shared_state())

cdef extern from "constants.h" nogil:
    const uint8_t LSM_KIND_PUT
    const uint8_t LSM_KIND_DELETE
    const uint8_t LSM_KIND_MASK
    uint64_t lsm_trailer(uint64_t sequence, uint8_t kind)
    uint8_t lsm_trailer_kind(uint64_t trailer)

cdef enum:
    KEYS_PER_YIELD = 256
    WAIT_SLICE_MS = 50
    SPARE_CAPACITY_MAX = 4194304  # bytes of the buffer that put_many keeps for the next time
    # Under pressure the control plane is asked once in so many bytes: asking costs microseconds,
    # and a pause for less could not be slept precisely.
    SLOW_CHECK_BYTES = 16384


@cython.no_gc_clear  # raw pointers into `active` and `log`: they go together, in __dealloc__
cdef class Store:
    """The data plane of one open database. Not used directly: see `lsmkv.open`."""

    def __cinit__(self, *args, **kwargs):
        self.gate = Gate()
        self.gate.flags = GATE_CLOSED  # until there is something to read: see _install

    def __dealloc__(self):
        lsm_row_cache_clear(&self.rows)

    # --- writing ---------------------------------------------------------------------------------

    def put(self, key, value, *, bint sync=False):
        """Set `key` to `value`.

        Survives a killed process once returned; with `sync=True` also a power loss. Keys are
        bytes-like, 0 bytes to 64 KiB; values up to 1 GiB. Raises TypeError, ValueError,
        ClosedError, ReadOnlyError, ForkError, StorageError (nothing was written) and MemoryError.
        """
        cdef Slice key_slice, value_slice
        acquire_key(key, &key_slice)
        try:
            acquire_value(value, &value_slice)
            try:
                self.write_one(LSM_KIND_PUT, key_slice.bytes, value_slice.bytes, sync)
            finally:
                release(&value_slice)
        finally:
            release(&key_slice)

    def delete(self, key, *, bint sync=False):
        """Remove `key` if it is there; no error if it is not. Durability and errors as for
        `put`."""
        cdef Slice key_slice
        cdef lsm_slice nothing
        nothing.data = NULL
        nothing.size = 0
        acquire_key(key, &key_slice)
        try:
            self.write_one(LSM_KIND_DELETE, key_slice.bytes, nothing, sync)
        finally:
            release(&key_slice)

    def put_many(self, pairs, *, bint sync=False):
        """Set every (key, value) of an iterable or mapping in one atomic write."""
        cdef OperationBuffer operations = self.spare
        self.spare = None  # an iterable may come here again
        if operations is None:
            operations = OperationBuffer()
        if hasattr(pairs, "items"):
            pairs = pairs.items()
        try:
            for key, value in pairs:
                operations.add_pair(key, value)
            self.write_many(operations, sync)
        finally:
            operations.clear()
            if operations.capacity <= SPARE_CAPACITY_MAX:
                self.spare = operations

    def _write(self, OperationBuffer operations not None, bint sync=False):
        """Apply a buffer of operations in one atomic write. ClosedError if it was written or
        dropped before."""
        operations.check()
        self.write_many(operations, sync)

    cdef int write_one(self, uint8_t kind, lsm_slice key, lsm_slice value, bint sync) except -1:
        cdef lsm_error error
        cdef uint8_t *room = NULL
        cdef lsm_slice key_copy, value_copy
        cdef size_t size = lsm_log_operation_size(kind, key.size, value.size)
        cdef int status
        self.enter_write()
        error.code = 0
        if lsm_memtable_reserve(self.memtable, 1, key.size + value.size) < 0:
            raise_error(LSM_E_MEMORY, NULL)
        status = lsm_log_begin(self.writer, size, &room, &error)
        if status == 0:
            lsm_log_encode(room, kind, key, value, &key_copy, &value_copy)
            status = lsm_log_commit(self.writer, LSM_LOG_BATCH, self.sequence + 1, 1, size, &error)
        if status < 0:
            self.fail_write(status, &error)
        self.sequence += 1
        lsm_memtable_insert(self.memtable, key_copy, lsm_trailer(self.sequence, kind), value_copy,
                            self.gate.newest.sequence if self.gate.newest != NULL else 0)
        self.tell_rows(kind, key_copy, value_copy)
        lsm_commit_group_committed(self.commits.group, self.sequence)
        self.bytes_written += key.size + value.size
        if kind == LSM_KIND_PUT:
            self.put_count += 1
        else:
            self.delete_count += 1
        if sync:
            self.make_durable()
        return 0

    cdef int write_many(self, OperationBuffer operations, bint sync) except -1:
        self.enter_write()
        if operations.count != 0:
            self.apply(operations)
        if sync:
            self.make_durable()
        return 0

    cdef int apply(self, OperationBuffer operations) except -1:
        """Log and insert a whole buffer. REQUIRES: entered (enter_write), or GATE_BUSY held by the
        caller."""
        cdef lsm_error error
        cdef uint8_t *room = NULL
        cdef lsm_reader reader
        cdef lsm_slice key, value
        cdef uint8_t kind
        cdef uint64_t pinned
        cdef int status
        error.code = 0
        if lsm_memtable_reserve(self.memtable, operations.count, operations.payload_bytes) < 0:
            raise_error(LSM_E_MEMORY, NULL)
        status = lsm_log_begin(self.writer, operations.size, &room, &error)
        if status == 0:
            memcpy(room, operations.data, operations.size)
            status = lsm_log_commit(self.writer, LSM_LOG_BATCH, self.sequence + 1, operations.count,
                                    operations.size, &error)
        if status < 0:
            self.fail_write(status, &error)
        pinned = self.gate.newest.sequence if self.gate.newest != NULL else 0
        reader.cursor = room
        reader.end = room + operations.size
        while lsm_log_next_operation(&reader, &kind, &key, &value) == 1:
            self.sequence += 1
            lsm_memtable_insert(self.memtable, key, lsm_trailer(self.sequence, kind), value, pinned)
            self.tell_rows(kind, key, value)
        lsm_commit_group_committed(self.commits.group, self.sequence)
        self.batch_count += 1
        self.bytes_written += operations.payload_bytes
        return 0

    cdef void tell_rows(self, uint8_t kind, lsm_slice key, lsm_slice value) noexcept:
        if kind == LSM_KIND_PUT:
            lsm_row_cache_put(&self.rows, key, value)
        else:
            lsm_row_cache_remove(&self.rows, key)

    cdef int enter_write(self) except -1:
        """Return with the GIL held, the gate clear for writing, and room in memtable and
        segment."""
        cdef lsm_memtable_usage usage
        while True:
            if self.gate.flags or self.gate.generation != lsm_fork_generation():
                self.enter_write_slowly()
            lsm_memtable_read_usage(self.memtable, &usage)
            if (usage.arena_bytes < self.rotate_memory_bytes
                    and self.writer.length < self.rotate_log_bytes and not self.writer.finished):
                return 0
            self._rotate()

    cdef int enter_write_slowly(self) except -1:
        cdef uint64_t seen
        cdef bint slowed = False
        while True:
            self.gate.refuse_write()
            seen = lsm_gate_signals(&self.gate.gate)
            if self.gate.flags & GATE_BUSY:
                if self.gate.busy_thread == PyThread_get_thread_ident():
                    raise Error(
                        "a write from inside a write (a finalizer or merge function) is refused"
                    )
                self.gate.wait_signal(seen, WAIT_SLICE_MS)
            elif (self.gate.flags & GATE_SLOW and not slowed
                    and self.bytes_written >= self.slow_check_at):
                slowed = not self._slow_down()
                if slowed:
                    self.slow_check_at = self.bytes_written + SLOW_CHECK_BYTES
            else:
                return 0

    cdef int fail_write(self, int status, const lsm_error *error) except -1:
        """Nothing was logged. A full disk is told and forgotten; a poisoned log makes the store
        read-only."""
        if self.writer.poisoned:
            lsm_commit_group_poison(self.commits.group, error)
            self._poison("an earlier write to the log failed; reopen the database to go on writing")
        raise_error(status, error)
        return -1

    cdef int make_durable(self) except -1:
        """Group commit of everything applied so far; releases the GIL while the disk works."""
        cdef lsm_error error
        cdef uint64_t target = self.sequence
        cdef CommitGroup commits = self.commits
        cdef int status
        error.code = 0
        if commits is None:  # closed since the caller has looked
            self.gate.refuse_write()
            return 0
        lsm_gate_enter(&self.gate.gate)
        with nogil:
            status = lsm_commit_group_sync(commits.group, target, &error)
        lsm_gate_leave(&self.gate.gate)
        if status < 0:
            self._poison("a sync failed; reopen the database to go on writing")
            raise_error(status, &error)
        if not self.gate.flags & (GATE_CLOSED | GATE_BUSY | GATE_READ_ONLY):
            # A mark that cannot be written costs nothing: the next record carries the same claim.
            lsm_log_mark_synced(self.writer, self.writer.synced_to, &error)
        return 0

    # --- reading ---------------------------------------------------------------------------------

    def get(self, key, default=None):
        """The value of `key` as bytes, or `default`."""
        cdef Slice slice
        acquire_key(key, &slice)
        try:
            value = self.lookup(slice.bytes, self.sequence, self.state)
        finally:
            release(&slice)
        return default if value is None else value

    def get_many(self, keys):
        """The values of all keys, in their order, as of one moment; None where a key is missing."""
        cdef list wanted = list(keys)
        if not may_read(self.gate):
            self.gate.refuse_read()
        return self.lookup_many(wanted, self.sequence, self.state)

    def __getitem__(self, key):
        cdef Slice slice
        acquire_key(key, &slice)
        try:
            value = self.lookup(slice.bytes, self.sequence, self.state)
        finally:
            release(&slice)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key):
        cdef Slice slice
        acquire_key(key, &slice)
        try:
            return self.lookup(slice.bytes, self.sequence, self.state) is not None
        finally:
            release(&slice)

    def __setitem__(self, key, value):
        self.put(key, value)

    def __delitem__(self, key):
        if key not in self:
            raise KeyError(key)
        self.delete(key)

    def __iter__(self):
        return self.keys()

    def __len__(self):
        """The exact number of keys, by counting them: O(n). See approximate_len()."""
        return self.keys().count()

    def __bool__(self):
        """Whether there is any key: reads at most one."""
        return self.keys(limit=1).count() == 1

    cdef bint is_newest(self, uint64_t sequence, ReadState state) noexcept:
        """Whether the row cache is on, and speaks of these: nothing was written since."""
        return self.rows.capacity != 0 and sequence == self.sequence and state is self.state

    cdef bint find(
        self, lsm_slice key, uint64_t sequence, ReadState state, lsm_found *found
    ) except -1:
        """Whether there is a value: then `found` holds it, and is to be released before anything
        is written."""
        if self.is_newest(sequence, state):
            return self.find_newest(key, lsm_key_hash(key.data, key.size), found)
        return self.search(key, sequence, state, found)

    cdef bint find_newest(self, lsm_slice key, uint64_t hash, lsm_found *found) except -1:
        """The same as of now. hash = lsm_key_hash(key)."""
        if may_read(self.gate) and lsm_row_cache_get(&self.rows, key, hash, &found.value):
            self.get_count += 1
            found.found, found.trailer, found.pin = 1, LSM_KIND_PUT, NULL
            return True
        return self.search(key, self.sequence, self.state, found)

    cdef bint search(
        self, lsm_slice key, uint64_t sequence, ReadState state, lsm_found *found
    ) except -1:
        """The same, past the row cache."""
        cdef lsm_read_context context
        cdef Waiter waiter
        cdef lsm_error error
        cdef int status
        if not may_read(self.gate):
            self.gate.refuse_read()
        self.get_count += 1
        state.get_memory(key, sequence, found)
        if not found.found and state.tree.run_count != 0:
            prepare_context(&context, &waiter, self.gate, &error)
            status = lsm_version_get(state.tree, key, sequence, &context, found)
            self.block_reads += context.block_reads
            self.bytes_read += context.bytes_read
            self.bloom_skips += context.bloom_skips
            if status < 0:
                raise_error(status, &error)
        if not found.found:
            return False
        if lsm_trailer_kind(found.trailer) & LSM_KIND_MASK != LSM_KIND_DELETE:
            if self.is_newest(sequence, state):  # still: reading a block releases the GIL
                lsm_row_cache_put(&self.rows, key, found.value)
            return True
        lsm_found_release(found)
        return False

    cdef object lookup(self, lsm_slice key, uint64_t sequence, ReadState state):
        cdef lsm_found found
        if not self.find(key, sequence, state, &found):
            return None
        # bytes are not tracked by the collector: nothing can run between this and the release
        value = PyBytes_FromStringAndSize(<const char *> found.value.data,
                                          <Py_ssize_t> found.value.size)
        lsm_found_release(&found)
        return value

    cdef list lookup_many(self, list wanted, uint64_t sequence, ReadState state):
        cdef Slice slice
        cdef Pin pin
        cdef Py_ssize_t i
        cdef list values
        # Pinned before anything is allocated: a collection could run code that writes.
        self.gate.pin(&pin, sequence)
        try:
            values = [None] * len(wanted)
            for i in range(len(wanted)):
                acquire_key(wanted[i], &slice)
                try:
                    values[i] = self.lookup(slice.bytes, sequence, state)
                finally:
                    release(&slice)
                if i % KEYS_PER_YIELD == KEYS_PER_YIELD - 1:
                    yield_lock(self.gate)
        finally:
            self.gate.unpin(&pin)
        return values

    # --- iterating -------------------------------------------------------------------------------

    def scan(self, start=None, stop=None, *, prefix=None, bint reverse=False, limit=None):
        """Iterate (key, value) pairs with start <= key < stop in key order, as of this moment.

        `prefix` is shorthand for the range of keys that begin with it. `reverse` walks the same
        range from its end. The iterator is also a context manager; close it, or exhaust it, to
        release what it pins.
        """
        return self.open_scan(start, stop, prefix, reverse, limit, SCAN_ITEMS)

    def items(self, start=None, stop=None, *, prefix=None, bint reverse=False, limit=None):
        """The same as scan()."""
        return self.open_scan(start, stop, prefix, reverse, limit, SCAN_ITEMS)

    def keys(self, start=None, stop=None, *, prefix=None, bint reverse=False, limit=None):
        """Iterate keys; arguments as for scan()."""
        return self.open_scan(start, stop, prefix, reverse, limit, SCAN_KEYS)

    def values(self, start=None, stop=None, *, prefix=None, bint reverse=False, limit=None):
        """Iterate values in key order; arguments as for scan()."""
        return self.open_scan(start, stop, prefix, reverse, limit, SCAN_VALUES)

    cdef Scan open_scan(self, object start, object stop, object prefix, bint reverse, object limit,
                        ScanShape shape):
        cdef Scan scan = new_scan(shape)
        if not may_read(self.gate):
            self.gate.refuse_read()
        scan.attach(self.gate, self.state, self.sequence)
        return scan.open(start, stop, prefix, reverse, limit)

    # --- for the control plane -------------------------------------------------------------------

    def _rotate(self):
        """Make room: called when the memtable or the log segment is full. Overridden by DB."""
        raise NotImplementedError

    def _slow_down(self):
        """Wait a little for background work; return whether to look again. Overridden by DB."""
        raise NotImplementedError

    def _install(
        self, ReadState state not None, LogWriter log, CommitGroup commits, *, bint says_the_same
    ):
        """Swap in new sources; `log` and `commits` are None where nothing can be written. The first
        ones open the store. `says_the_same`: every key has the value that it had before."""
        if not says_the_same:
            lsm_row_cache_clear(&self.rows)
        if self.state is None:
            self.gate.flags &= ~GATE_CLOSED
        self.state = state
        self.active = <Memtable> state.memtables[0] if state.memtables else None
        self.memtable = self.active.memtable if self.active is not None else NULL
        self.log = log
        self.writer = log.writer if log is not None else NULL
        self.commits = commits

    def _set_row_cache(self, size_t capacity):
        """How many bytes of rows are kept: before the first sources are installed."""
        lsm_row_cache_init(&self.rows, capacity)

    def _set_limits(self, uint64_t memory_bytes, uint64_t log_bytes):
        """Where a memtable and a log segment count as full."""
        self.rotate_memory_bytes = memory_bytes
        self.rotate_log_bytes = log_bytes

    def _begin_exclusive(self):
        """Keep other writers out across releases of the GIL, until _end_exclusive."""
        cdef uint64_t seen
        while True:
            self.gate.refuse_read()
            if not self.gate.flags & GATE_BUSY:
                break
            if self.gate.busy_thread == PyThread_get_thread_ident():
                raise Error("the write path is already held by this thread")
            seen = lsm_gate_signals(&self.gate.gate)
            self.gate.wait_signal(seen, WAIT_SLICE_MS)
        self.gate.flags |= GATE_BUSY
        self.gate.busy_thread = PyThread_get_thread_ident()

    def _end_exclusive(self):
        """Let other writers in. Does nothing unless this thread keeps them out."""
        if not self._is_exclusive():
            return
        self.gate.flags &= ~GATE_BUSY
        self.gate.busy_thread = 0
        lsm_gate_signal(&self.gate.gate)

    def _is_exclusive(self):
        """Whether this very thread keeps other writers out."""
        if not self.gate.flags & GATE_BUSY:
            return False
        return self.gate.busy_thread == PyThread_get_thread_ident()

    def _set_slow(self, bint slow):
        """Whether writers must pass through _slow_down."""
        if slow:
            self.gate.flags |= GATE_SLOW
        else:
            self.gate.flags &= ~GATE_SLOW
            lsm_gate_signal(&self.gate.gate)

    def _poison(self, str reason):
        """Refuse writes from now on, saying why. The first reason stays."""
        if not self.gate.flags & GATE_READ_ONLY:
            self.gate.read_only_reason = reason
            self.gate.flags |= GATE_READ_ONLY
            lsm_gate_signal(&self.gate.gate)

    def _shut(self):
        """Refuse everything from now on; returns whether it was open before."""
        was_open = not self.gate.flags & GATE_CLOSED
        self.gate.flags |= GATE_CLOSED
        lsm_gate_signal(&self.gate.gate)
        return was_open

    def _sync_applied(self):
        """Make everything applied so far durable."""
        self.make_durable()

    @property
    def _gate(self):
        return self.gate

    @property
    def _state(self):
        return self.state

    @property
    def _sequence(self):
        return self.sequence

    @_sequence.setter
    def _sequence(self, uint64_t sequence):
        self.sequence = sequence

    @property
    def closed(self):
        """Whether close() was called."""
        return bool(self.gate.flags & GATE_CLOSED)

    def _refuse_read(self):
        """Raise ForkError or ClosedError where reading is no longer possible."""
        self.gate.refuse_read()

    def _refuse_write(self):
        """Raise ForkError, ClosedError or ReadOnlyError where writing is no longer possible."""
        self.gate.refuse_write()

    @property
    def _read_only_reason(self):
        return self.gate.read_only_reason

    def _counters(self):
        """Operation counters since open, by name."""
        return {
            "put_count": self.put_count,
            "delete_count": self.delete_count,
            "get_count": self.get_count,
            "batch_count": self.batch_count,
            "bytes_written": self.bytes_written,
            "block_reads": self.block_reads,
            "bytes_read": self.bytes_read,
            "bloom_skips": self.bloom_skips,
            "row_cache_usage_bytes": self.rows.usage,
            "row_cache_rows": self.rows.count,
            "row_cache_hits": self.rows.hits,
            "row_cache_misses": self.rows.misses,
            "row_cache_evictions": self.rows.evictions,
        }
