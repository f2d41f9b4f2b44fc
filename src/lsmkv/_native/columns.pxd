# Bulk reads, loads and scans of columns. See columns.pyx.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from lsmkv._native.failure cimport lsm_error, lsm_slice
from lsmkv._native.memtable cimport lsm_memtable
from lsmkv._native.merge cimport lsm_view
from lsmkv._native.readstate cimport ReadState
from lsmkv._native.scan cimport Scan
from lsmkv._native.store cimport Store
from lsmkv._native.table cimport lsm_read_context
from lsmkv._native.version cimport lsm_version

cdef extern from "columns.h" nogil:
    ctypedef struct lsm_column:
        const uint8_t *data
        int64_t *offsets
        size_t width
        size_t count
    int lsm_column_open(lsm_column *column, const uint8_t *data, size_t data_size,
                        const void *offsets, size_t offset_width, size_t count, size_t row_max,
                        const char *what, lsm_error *error)
    void lsm_column_close(lsm_column *column)
    ctypedef struct lsm_rows:
        int64_t *offsets
        uint8_t *data
        size_t count
        size_t size
    int lsm_rows_open(lsm_rows *rows)
    void lsm_rows_close(lsm_rows *rows)

cdef extern from "column_load.h" nogil:
    ctypedef struct lsm_load:
        size_t count
        size_t payload_size
        size_t row_bytes
        size_t sorted_count
    int lsm_load_open(lsm_load *load, const lsm_column *keys, const lsm_column *values)
    void lsm_load_close(lsm_load *load)
    int lsm_load_plan(lsm_load *load)
    void lsm_load_encode(lsm_load *load, uint8_t *payload, lsm_memtable *memtable,
                         uint64_t base_sequence)
    int lsm_load_link(lsm_load *load, lsm_memtable *memtable, size_t count_max,
                      uint64_t pinned_sequence)

cdef extern from "column_read.h" nogil:
    ctypedef struct lsm_column_read:
        const lsm_column *keys
        uint64_t sequence
        lsm_memtable **memtables
        uint32_t memtable_count
        lsm_version *version
        uint8_t *found
        uint8_t *fixed
        size_t width
        lsm_rows values
        uint64_t bloom_skips
        lsm_error *error
    int lsm_read_open(lsm_column_read *read)
    void lsm_read_close(lsm_column_read *read)
    int lsm_read_advance(lsm_column_read *read)
    int lsm_read_serve(lsm_column_read *read, lsm_read_context *context)

cdef extern from "column_scan.h" nogil:
    int lsm_scan_rows(lsm_view *view, lsm_rows *keys, lsm_rows *values, size_t count_max,
                      size_t bytes_max)

cdef class ColumnStore(Store):
    cdef int load_chunk(self, lsm_load *load) except -1
    cdef void link_chunk(self, lsm_load *load) noexcept

cdef class ColumnScan(Scan):
    cdef size_t batch_count
    cdef size_t batch_bytes
    cdef int fill(self, lsm_rows *keys, lsm_rows *values) except? -1

# A buffer or Column of the caller's while it is used.
cdef class InputColumn:
    cdef lsm_column column
    cdef Py_buffer data
    cdef Py_buffer offsets
    cdef bint holds_data
    cdef bint holds_offsets
    cdef int open_array(self, object source, bint is_key) except -1
    cdef int open_variable(self, object source, bint is_key) except -1

# Acquiring runs the caller's code: look at the store only afterwards.
cdef InputColumn key_column(object source)

# (values, found) of all rows at one sequence. REQUIRES: may_read was asked since `keys` was made.
cdef tuple read_columns(Store store, ReadState state, uint64_t sequence, InputColumn keys,
                        object width)

# A scan to be attached to its sources, then opened.
cdef ColumnScan new_column_scan(object batch_count, object batch_bytes)
