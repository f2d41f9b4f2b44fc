"""Snapshot: the database as it was at one moment, for as long as it is open.

A snapshot pins a sequence, not files: flush and compaction go on and keep what it can see. Only
when a key range is dropped (which removes keys without leaving versions behind) it is given the
sources of before.
"""

cimport cython
from cpython.number cimport PyNumber_Index
from lsmkv._native.buffers cimport Slice, acquire_key, release
from lsmkv._native.columns cimport (
    ColumnScan,
    InputColumn,
    key_column,
    new_column_scan,
    read_columns,
)
from lsmkv._native.gate cimport may_read, no_gate
from lsmkv._native.memory cimport lsm_memory_attach, shared_state
from lsmkv._native.scan cimport SCAN_ITEMS, SCAN_KEYS, SCAN_VALUES, Scan, ScanShape, new_scan

from lsmkv._native.arrays import require_numpy
from lsmkv.errors import ClosedError

lsm_memory_attach(shared_state())


@cython.no_gc_clear  # __dealloc__ unlinks the pin from the gate
cdef class Snapshot:
    """A consistent view of one moment; a context manager. Made by `db.snapshot()`."""

    def __cinit__(self, *args, **kwargs):
        self.gate = no_gate()

    def __init__(self, Store store not None):
        if self.store is not None:
            raise TypeError("a Snapshot is initialised once")
        if not may_read(store.gate):
            store.gate.refuse_read()
        self.store = store
        self.gate = store.gate
        self.sequence = store.sequence
        self.gate.pin(&self.pin, self.sequence)

    def __dealloc__(self):
        self.gate.unpin(&self.pin)

    cdef int check(self) except -1:
        if not may_read(self.gate):
            self.gate.refuse_read()
        if self.closed:
            raise ClosedError("the snapshot is closed")
        return 0

    cdef ReadState current(self):
        return self.pinned_state if self.pinned_state is not None else self.store.state

    def get(self, key, default=None):
        """The value `key` had, or `default`."""
        cdef Slice slice
        self.check()
        acquire_key(key, &slice)
        try:
            value = self.store.lookup(slice.bytes, self.sequence, self.current())
        finally:
            release(&slice)
        return default if value is None else value

    def get_many(self, keys):
        """The values all keys had, in their order; None where one was missing."""
        cdef list wanted = list(keys)  # runs the caller's code, which may close the snapshot
        self.check()
        return self.store.lookup_many(wanted, self.sequence, self.current())

    def get_columns(self, keys, *, width=None):
        """(values, found) as of that moment; see DB.get_columns()."""
        cdef InputColumn wanted
        require_numpy()
        width = None if width is None else PyNumber_Index(width)
        wanted = key_column(keys)
        self.check()
        return read_columns(self.store, self.current(), self.sequence, wanted, width)

    def __getitem__(self, key):
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key):
        return self.get(key) is not None

    def __iter__(self):
        return self.keys()

    def scan(self, start=None, stop=None, *, prefix=None, bint reverse=False, limit=None):
        """Iterate (key, value) pairs of that moment; arguments as for DB.scan()."""
        return self.open_scan(start, stop, prefix, reverse, limit, SCAN_ITEMS)

    def items(self, start=None, stop=None, *, prefix=None, bint reverse=False, limit=None):
        """The same as scan()."""
        return self.scan(start, stop, prefix=prefix, reverse=reverse, limit=limit)

    def keys(self, start=None, stop=None, *, prefix=None, bint reverse=False, limit=None):
        """Iterate keys; arguments as for DB.scan()."""
        return self.open_scan(start, stop, prefix, reverse, limit, SCAN_KEYS)

    def values(self, start=None, stop=None, *, prefix=None, bint reverse=False, limit=None):
        """Iterate values in key order; arguments as for DB.scan()."""
        return self.open_scan(start, stop, prefix, reverse, limit, SCAN_VALUES)

    def scan_columns(self, start=None, stop=None, *, prefix=None, bint reverse=False, limit=None,
                     batch_count=65536, batch_bytes=8 << 20):
        """Iterate (keys, values) batches of that moment; arguments as for DB.scan_columns()."""
        cdef ColumnScan scan = new_column_scan(batch_count, batch_bytes)
        self.check()
        scan.attach(self.gate, self.current(), self.sequence)
        return scan.open(start, stop, prefix, reverse, limit)

    cdef Scan open_scan(self, object start, object stop, object prefix, bint reverse, object limit,
                        ScanShape shape):
        cdef Scan scan = new_scan(shape)
        self.check()
        scan.attach(self.gate, self.current(), self.sequence)
        return scan.open(start, stop, prefix, reverse, limit)

    def close(self):
        """Release what the snapshot pins. Safe more than once and after the database was closed."""
        self.closed = True
        self.gate.unpin(&self.pin)
        self.pinned_state = None

    def _pin_state(self):
        """Keep the present sources: called just before keys are dropped from the tree."""
        if self.pinned_state is None and not self.closed:
            self.pinned_state = self.store.state

    def __enter__(self):
        self.check()
        return self

    def __exit__(self, *exception):
        self.close()
