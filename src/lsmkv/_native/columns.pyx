"""Columns: many keys and values as arrays, written, read and scanned in bulk.

A column is an array whose rows are of one size (any C-contiguous buffer), or an
`lsmkv.Column`: offsets and data, as in Arrow. The work is done by kernels/column_load.h and
column_read.h. It runs without the GIL where nothing is shared:

- A load copies and sorts its rows without it. Only linking them into the memtable needs it, in
  slices; GATE_BUSY keeps other writers out for the length of a chunk, and the gate, entered for as
  long, keeps close() waiting. Nothing can fail after the commit.
- A read sorts its keys, searches frozen memtables, filters, indexes and blocks and copies values
  without it. The active memtable and the block cache need it, in slices.

The caller's buffers are exported to us for the length of a call, so they stay where they are; their
bytes may change meanwhile, which changes what is written or found and nothing else.
"""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS,
    PyBUF_FORMAT,
    PyBuffer_FillInfo,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.exc cimport PyErr_CheckSignals
from cpython.number cimport PyNumber_Index
from cpython.pythread cimport PyThread_get_thread_ident
from libc.string cimport memset
from lsmkv._native.buffers cimport LSM_KEY_SIZE_MAX, LSM_VALUE_SIZE_MAX, reject_size
from lsmkv._native.commit cimport lsm_commit_group_committed
from lsmkv._native.failure cimport LSM_E_MEMORY, raise_error
from lsmkv._native.gate cimport (
    GATE_BUSY,
    Pin,
    Waiter,
    lsm_gate_enter,
    lsm_gate_leave,
    lsm_gate_signal,
    may_read,
    prepare_context,
    yield_lock,
)
from lsmkv._native.log cimport LSM_LOG_BATCH, lsm_log_begin, lsm_log_commit, lsm_log_writer
from lsmkv._native.memory cimport lsm_calloc, lsm_free, lsm_memory_attach, shared_state
from lsmkv._native.memtable cimport lsm_memtable_reserve
from lsmkv._native.row_cache cimport lsm_row_cache_clear
from lsmkv._native.scan cimport SCAN_ITEMS

from lsmkv._native.arrays import Column, as_column, as_mask, as_rows, require_numpy

lsm_memory_attach(shared_state())

cdef enum:
    ROWS_PER_YIELD = 8192     # linked into the memtable
    ENTRIES_PER_YIELD = 2048  # scanned
    BYTES_PER_YIELD = 1 << 20

# --- memory and arguments ------------------------------------------------------------------------


cdef class NativeBytes:
    """A piece of native memory as a writable buffer."""

    cdef uint8_t *data
    cdef size_t size

    def __dealloc__(self):
        lsm_free(self.data)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.data, <Py_ssize_t> self.size, 0, flags)


cdef NativeBytes zeros(size_t count, size_t width):
    cdef NativeBytes memory = NativeBytes()
    memory.data = <uint8_t *> lsm_calloc(count, width)
    if memory.data == NULL:
        raise_error(LSM_E_MEMORY, NULL)
    memory.size = count * width
    return memory


cdef object column_of(lsm_rows *rows):
    """A Column that takes over the memory of `rows`."""
    cdef NativeBytes offsets = NativeBytes()
    cdef NativeBytes data = NativeBytes()
    offsets.data = <uint8_t *> rows.offsets
    offsets.size = (rows.count + 1) * sizeof(int64_t)
    data.data = rows.data
    data.size = rows.size
    memset(rows, 0, sizeof(lsm_rows))
    return as_column(offsets, data)


cdef int get_buffer(object source, Py_buffer *buffer, str what) except -1:
    try:
        PyObject_GetBuffer(source, buffer, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
    except (TypeError, BufferError, ValueError) as error:
        kind = type(source).__name__
        raise TypeError(
            f"{what} must be a C-contiguous array of plain items or an lsmkv.Column, "
            f"not this {kind}: {error}"
        ) from None
    return 0


cdef str format_of(const Py_buffer *buffer):
    return (<bytes> buffer.format).decode() if buffer.format != NULL else "B"


cdef bint sorts_as_bytes(str form, int dimensions) except -1:
    """Whether items of this format are in the order of their bytes, read from the first one on."""
    if dimensions == 2:
        return form == "B"
    if form.endswith(("s", "x")):
        return form.rstrip("sx").isdigit()
    return form in (">H", ">I", ">L", ">Q")


cdef class InputColumn:
    def __dealloc__(self):
        if self.column.offsets != NULL:
            lsm_column_close(&self.column)
        if self.holds_data:
            PyBuffer_Release(&self.data)
        if self.holds_offsets:
            PyBuffer_Release(&self.offsets)

    cdef int open_array(self, object source, bint is_key) except -1:
        cdef str what = "keys" if is_key else "values"
        cdef size_t width
        cdef int i
        get_buffer(source, &self.data, what)
        self.holds_data = True
        cdef int dimensions = self.data.ndim
        form = format_of(&self.data)
        if dimensions == 0 or dimensions == 1 and form in ("B", "b", "c"):
            raise TypeError(
                f"{what} as single bytes do not say where a row ends: give an array of shape "
                "(rows, width), an lsmkv.Column or a list through Column.from_bytes"
            )
        codes = "".join(form.split(":")[::2])  # without the names of fields
        if any([code in codes for code in "OPuw"]):
            raise TypeError(f"{what} cannot be objects or text (format {form!r}): encode them")
        if is_key and not sorts_as_bytes(form, dimensions):
            raise TypeError(
                f"keys of format {form!r} would not sort as they compare: give bytes (S, V, "
                "or uint8 of shape (rows, width)) or unsigned big-endian integers ('>u8')"
            )
        width = <size_t> self.data.itemsize
        for i in range(1, dimensions):
            width *= <size_t> self.data.shape[i]
        if width > (LSM_KEY_SIZE_MAX if is_key else LSM_VALUE_SIZE_MAX):
            reject_size(width, LSM_KEY_SIZE_MAX if is_key else LSM_VALUE_SIZE_MAX,
                        "key" if is_key else "value")
        self.column.data = <const uint8_t *> self.data.buf
        self.column.width = width
        self.column.count = <size_t> self.data.shape[0]
        return 0

    cdef int open_variable(self, object source, bint is_key) except -1:
        cdef lsm_error error
        cdef int status
        cdef str what = "keys" if is_key else "values"
        get_buffer(source.data, &self.data, f"{what}.data")
        self.holds_data = True
        get_buffer(source.offsets, &self.offsets, f"{what}.offsets")
        self.holds_offsets = True
        if self.data.ndim != 1 or self.data.itemsize != 1:
            raise TypeError(f"{what}.data must be one-dimensional bytes")
        form = format_of(&self.offsets).lstrip("@=<")
        if self.offsets.ndim != 1 or form not in ("i", "l", "q"):
            raise TypeError(f"{what}.offsets must be a one-dimensional array of int32 or int64")
        if self.offsets.shape[0] == 0:
            raise ValueError(f"{what}.offsets must have one element more than there are rows")
        error.code = 0
        status = lsm_column_open(
            &self.column, <const uint8_t *> self.data.buf, <size_t> self.data.len,
            self.offsets.buf, <size_t> self.offsets.itemsize, <size_t> self.offsets.shape[0] - 1,
            LSM_KEY_SIZE_MAX if is_key else LSM_VALUE_SIZE_MAX,
            b"key" if is_key else b"value", &error)
        if status < 0:
            raise_error(status, &error)
        return 0


cdef InputColumn input_column(object source, bint is_key):
    cdef InputColumn column = InputColumn()
    if isinstance(source, Column):
        column.open_variable(source, is_key)
    else:
        column.open_array(source, is_key)
    return column


cdef InputColumn key_column(object source):
    return input_column(source, True)


cdef size_t positive(object number, str what) except? 0:
    checked = PyNumber_Index(number)
    if checked < 1:
        raise ValueError(f"{what} must be 1 or more, not {checked}")
    return <size_t> min(checked, <size_t> -1 >> 1)


# --- writing -------------------------------------------------------------------------------------


cdef class ColumnStore(Store):
    """Store, and its operations on columns."""

    def put_columns(self, keys, values, *, bint sync=False):
        """Set every row of `keys` to that of `values`: put_many for arrays, of any length.

        Each is an array or an lsmkv.Column. Rows of an array are its raw bytes: `S` items count
        with their padding, and keys must be bytes or big-endian unsigned integers. Of equal keys
        the last row wins. Rows are written in order, in chunks of up to 65536 rows and 8 MiB of
        keys and values: each chunk is one atomic write, and a reader, a crash or an exception
        finds a whole number of them. `sync=True` returns after all of them are durable. Errors as
        for `put`, and TypeError or ValueError, with nothing written, for columns that are not
        what they should be.
        """
        cdef InputColumn key_rows = input_column(keys, True)
        cdef InputColumn value_rows = input_column(values, False)
        cdef lsm_load load
        if key_rows.column.count != value_rows.column.count:
            raise ValueError(
                f"{key_rows.column.count} keys and {value_rows.column.count} values"
            )
        self.enter_write()
        if lsm_load_open(&load, &key_rows.column, &value_rows.column) < 0:
            raise_error(LSM_E_MEMORY, NULL)
        try:
            while lsm_load_plan(&load):
                self.load_chunk(&load)
                PyErr_CheckSignals()
        finally:
            lsm_load_close(&load)
        if sync:
            self.make_durable()

    cdef int load_chunk(self, lsm_load *load) except -1:
        cdef lsm_error error
        cdef uint8_t *room = NULL
        cdef lsm_log_writer *writer
        cdef lsm_memtable *memtable
        cdef uint64_t base_sequence
        cdef int status
        self.enter_write()
        writer, memtable, base_sequence = self.writer, self.memtable, self.sequence + 1
        error.code = 0
        if lsm_memtable_reserve(memtable, load.count, load.row_bytes) < 0:
            raise_error(LSM_E_MEMORY, NULL)
        status = lsm_log_begin(writer, load.payload_size, &room, &error)
        if status < 0:
            self.fail_write(status, &error)
        # From here to the release no Python code can run in this thread.
        self.gate.flags |= GATE_BUSY
        self.gate.busy_thread = PyThread_get_thread_ident()
        lsm_gate_enter(&self.gate.gate)
        with nogil:
            lsm_load_encode(load, room, memtable, base_sequence)
            status = lsm_log_commit(writer, LSM_LOG_BATCH, base_sequence, <uint32_t> load.count,
                                    load.payload_size, &error)
        if status >= 0:
            self.link_chunk(load)
        self.gate.flags &= ~GATE_BUSY
        self.gate.busy_thread = 0
        lsm_gate_leave(&self.gate.gate)
        lsm_gate_signal(&self.gate.gate)
        if status < 0:
            self.fail_write(status, &error)
        return 0

    cdef void link_chunk(self, lsm_load *load) noexcept:
        """Make a committed chunk visible, all of it at once. Cannot fail.

        With the GIL held to the end only pinned versions have readers; otherwise every version up
        to the present sequence may get one meanwhile.
        """
        cdef lsm_memtable *memtable = self.memtable
        cdef uint64_t pinned = self.sequence
        if load.sorted_count <= ROWS_PER_YIELD:
            pinned = self.gate.newest.sequence if self.gate.newest != NULL else 0
        while lsm_load_link(load, memtable, ROWS_PER_YIELD, pinned):
            with nogil:
                pass
        self.sequence += load.count
        lsm_row_cache_clear(&self.rows)
        lsm_commit_group_committed(self.commits.group, self.sequence)
        self.batch_count += 1
        self.bytes_written += load.row_bytes

    # --- reading ---------------------------------------------------------------------------------

    def get_columns(self, keys, *, width=None):
        """(values, found) for all keys, in their order, as of one moment: get_many for arrays.

        `keys` as for put_columns. `found` is a boolean array. `values` is an lsmkv.Column, with an
        empty row where nothing was found; or, given the `width` that every value has, an array of
        uint8 of shape (rows, width), with zeros in such rows. ValueError if a value has another
        width. Needs numpy.
        """
        cdef InputColumn wanted
        require_numpy()
        width = None if width is None else PyNumber_Index(width)
        wanted = input_column(keys, True)
        if not may_read(self.gate):
            self.gate.refuse_read()
        return read_columns(self, self.state, self.sequence, wanted, width)

    def scan_columns(self, start=None, stop=None, *, prefix=None, bint reverse=False, limit=None,
                     batch_count=65536, batch_bytes=8 << 20):
        """Iterate (keys, values) batches of the entries that scan() shows, as Columns.

        A batch ends with the entry that brings it to `batch_count` entries or `batch_bytes` bytes
        of keys and values; none is empty. Other arguments as for scan(). Needs numpy.
        """
        cdef ColumnScan scan = new_column_scan(batch_count, batch_bytes)
        if not may_read(self.gate):
            self.gate.refuse_read()
        scan.attach(self.gate, self.state, self.sequence)
        return scan.open(start, stop, prefix, reverse, limit)


cdef tuple read_columns(Store store, ReadState state, uint64_t sequence, InputColumn keys,
                        object width):
    cdef Pin pin
    # Pinned before anything is allocated: a collection could run code that writes.
    store.gate.pin(&pin, sequence)
    try:
        return read_pinned(store, state, sequence, keys, width)
    finally:
        store.gate.unpin(&pin)


cdef tuple read_pinned(Store store, ReadState state, uint64_t sequence, InputColumn keys,
                       object width):
    cdef lsm_column_read read
    cdef lsm_error error
    cdef NativeBytes found = zeros(keys.column.count, 1)
    cdef NativeBytes fixed = None
    if width is not None:
        if width < 0 or width > LSM_VALUE_SIZE_MAX:
            raise ValueError(f"width must be from 0 to {LSM_VALUE_SIZE_MAX}, not {width}")
        fixed = zeros(keys.column.count, width)
    memset(&read, 0, sizeof(read))
    error.code = 0
    read.keys = &keys.column
    read.sequence = sequence
    read.memtables = state.sources
    read.memtable_count = state.source_count
    read.version = state.tree
    read.found = found.data
    if fixed is not None:
        read.fixed = fixed.data
        read.width = width
    read.error = &error
    try:
        if lsm_read_open(&read) < 0:
            raise_error(LSM_E_MEMORY, NULL)
        run_read(store, &read, &error)
        store.get_count += keys.column.count
        if fixed is not None:
            values = as_rows(fixed, keys.column.count, width)
        else:
            values = column_of(&read.values)
    finally:
        store.bloom_skips += read.bloom_skips
        lsm_read_close(&read)
    return values, as_mask(found)


cdef int run_read(Store store, lsm_column_read *read, lsm_error *error) except -1:
    cdef lsm_read_context context
    cdef Waiter waiter
    cdef int status
    prepare_context(&context, &waiter, store.gate, error)
    try:
        while True:
            lsm_gate_enter(&store.gate.gate)
            with nogil:
                status = lsm_read_advance(read)
            lsm_gate_leave(&store.gate.gate)
            PyErr_CheckSignals()
            if not may_read(store.gate):
                store.gate.refuse_read()
            if status == 0:
                return 0
            while status == 1:
                status = lsm_read_serve(read, &context)
                if status == 1:
                    yield_lock(store.gate)
            if status < 0:
                raise_error(status, error)
    finally:
        store.block_reads += context.block_reads
        store.bytes_read += context.bytes_read


# --- scanning ------------------------------------------------------------------------------------


cdef ColumnScan new_column_scan(object batch_count, object batch_bytes):
    cdef ColumnScan scan = ColumnScan.__new__(ColumnScan)
    require_numpy()
    scan.shape = SCAN_ITEMS
    scan.batch_count = positive(batch_count, "batch_count")
    scan.batch_bytes = positive(batch_bytes, "batch_bytes")
    return scan


@cython.no_gc_clear  # as its base
cdef class ColumnScan(Scan):
    """A Scan whose steps are batches: (keys, values) as Columns."""

    def __next__(self):
        cdef lsm_rows keys, values
        if self.view == NULL or self.busy or self.left == 0 or not may_read(self.gate):
            self.finish()
            raise StopIteration
        memset(&keys, 0, sizeof(keys))
        memset(&values, 0, sizeof(values))
        self.busy = True
        try:
            self.fill(&keys, &values)
            if keys.count == 0:
                raise StopIteration
            return column_of(&keys), column_of(&values)
        finally:
            lsm_rows_close(&keys)
            lsm_rows_close(&values)
            self.busy = False
            if self.closed or self.exhausted:
                self.release_all()

    cdef int fill(self, lsm_rows *keys, lsm_rows *values) except? -1:
        """Take a batch, less at the end. Whoever fails is at the end, too."""
        cdef size_t count_max = self.batch_count
        cdef int status = 1
        if self.left >= 0 and <size_t> self.left < count_max:
            count_max = <size_t> self.left
        self.exhausted = True
        if lsm_rows_open(keys) < 0 or lsm_rows_open(values) < 0:
            raise_error(LSM_E_MEMORY, NULL)
        while status == 1 and keys.count < count_max and (
                keys.size + values.size < self.batch_bytes):
            if keys.count != 0:
                yield_lock(self.gate)
            status = lsm_scan_rows(
                self.view, keys, values, min(count_max, keys.count + ENTRIES_PER_YIELD),
                min(self.batch_bytes, keys.size + values.size + BYTES_PER_YIELD)
            )
        if status < 0:
            raise_error(status, &self.error)
        if self.left > 0:
            self.left -= <int64_t> keys.count
        self.exhausted = status == 0
        return 0
