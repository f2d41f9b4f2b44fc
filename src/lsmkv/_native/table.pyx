"""Sorted tables and the block cache: the face for tests and tools, and owners for native modules.

A `TableSpace` owns what the tables of one store share: the open-file pool, the block cache, the
file system. The store itself reads through kernels/table.h; nothing here is on its hot path.
Tables, cursors and spaces may be dropped in any order: each keeps alive what it reads from.
"""

import os

from cython cimport no_gc_clear
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset

from lsmkv._native.codec cimport zstd_codec
from lsmkv._native.failure cimport LSM_E_MEMORY, LSM_OK, raise_error
from lsmkv._native.hashing cimport lsm_key_hash
from lsmkv._native.memory cimport lsm_calloc, lsm_free, lsm_memory_attach, shared_state

from lsmkv._native.summary import TablePiece, TableSummary
from lsmkv.errors import OptionsError

cdef extern from "Python.h" nogil:
    ctypedef struct PyThreadState
    PyThreadState *PyEval_SaveThread()
    void PyEval_RestoreThread(PyThreadState *state)

cdef extern from "constants.h" nogil:
    const uint64_t LSM_SEQUENCE_MAX

cdef extern from "table_reader.h" nogil:
    ctypedef struct lsm_table_piece:
        uint64_t offset
        uint64_t size
        char what[64]
    int lsm_table_next_piece(const lsm_table *table, lsm_table_piece *piece)

lsm_memory_attach(shared_state())

SEQUENCE_MAX = LSM_SEQUENCE_MAX


cdef bytes encode_path(path):
    cdef bytes encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise ValueError("embedded null byte in path")
    return encoded


cdef lsm_slice slice_of(const unsigned char[::1] data) noexcept:
    cdef lsm_slice result
    result.data = NULL
    result.size = 0
    if data is not None:
        result.data = <const uint8_t *> b""
        result.size = data.shape[0]
        if result.size != 0:
            result.data = &data[0]
    return result


cdef bytes bytes_of(const uint8_t *data, size_t size):
    return PyBytes_FromStringAndSize(<const char *> data, size)


cdef object summary_object(const lsm_table_summary *summary):
    return TableSummary(
        id=bytes_of(summary.id, LSM_TABLE_ID_SIZE),
        number=summary.number,
        file_size=summary.file_size,
        tail_size=summary.tail_size,
        entry_count=summary.entry_count,
        tombstone_count=summary.tombstone_count,
        raw_size=summary.raw_size,
        first_sequence=summary.first_sequence,
        last_sequence=summary.last_sequence,
        smallest=bytes_of(summary.smallest, summary.smallest_size),
        largest=bytes_of(summary.largest, summary.largest_size),
    )


# --- waiting: the core lock is the GIL -----------------------------------------------------------

cdef void drop_gil(void *owner) noexcept nogil:
    (<PyThreadState **> owner)[0] = PyEval_SaveThread()


cdef void take_gil(void *owner) noexcept nogil:
    PyEval_RestoreThread((<PyThreadState **> owner)[0])


# --- reading -------------------------------------------------------------------------------------

@no_gc_clear
cdef class TableSpace:
    """The open files and the block cache that the tables of one store share.

    `open_files_max` bounds the handles kept open, `cache_size_bytes` the decompressed blocks kept
    in memory.
    """

    def __init__(self, FileSystem file_system not None, *, uint32_t open_files_max=512,
                 size_t cache_size_bytes=8 << 20):
        if self.pool != NULL:
            raise RuntimeError("already initialised")
        if open_files_max < 1:
            raise OptionsError("open_files_max must be at least 1")
        self.cache = <lsm_cache *> lsm_calloc(1, sizeof(lsm_cache))
        if self.cache == NULL:
            raise MemoryError("lsmkv: out of memory")
        lsm_cache_init(self.cache, cache_size_bytes)
        self.pool = lsm_file_pool_create(file_system.handle(), open_files_max)
        if self.pool == NULL:
            raise MemoryError("lsmkv: out of memory")
        self.file_system = file_system
        self.codec = zstd_codec()

    def __dealloc__(self):
        if self.cache != NULL:
            lsm_cache_close(self.cache)
            lsm_free(self.cache)
        lsm_file_pool_destroy(self.pool)

    def open(self, path, uint64_t number, *, id=None, file_size=None, uint64_t tail_size=0):
        """Open and check a table; `id`, `file_size` and `tail_size`, where given, must match."""
        if self.pool == NULL:
            raise TypeError("this TableSpace was not constructed")
        cdef bytes encoded = encode_path(path)
        cdef const char *name = encoded
        cdef bytes id_bytes = checked_id(id) if id is not None else None
        cdef const uint8_t *id_pointer = NULL
        if id_bytes is not None:
            id_pointer = <const uint8_t *> <const char *> id_bytes
        cdef uint64_t size = 0
        if file_size is not None:
            size = file_size
        cdef Table table = Table.__new__(Table)
        table.space = self
        cdef lsm_error error
        cdef int code
        error.code = LSM_OK
        with nogil:
            code = lsm_table_open(
                self.pool, name, number, id_pointer, size, tail_size, self.codec, self.cache,
                &table.table, &error)
        if code != LSM_OK:
            raise_error(code, &error)
        return table

    def cache_stats(self):
        """Bytes and counts of the block cache."""
        if self.cache == NULL:
            raise TypeError("this TableSpace was not constructed")
        return {
            "capacity_bytes": self.cache.capacity,
            "usage_bytes": self.cache.usage,
            "hits": self.cache.hits,
            "misses": self.cache.misses,
            "insertions": self.cache.insertions,
            "evictions": self.cache.evictions,
        }

    @property
    def open_file_count(self):
        """How many handles the pool holds open."""
        return lsm_file_pool_open_count(self.pool) if self.pool != NULL else 0


@no_gc_clear
cdef class Table:
    """An open, immutable table. Made by TableSpace.open."""

    def __init__(self):
        raise TypeError("made by TableSpace.open")

    def __dealloc__(self):
        lsm_table_release(self.table)

    cdef int require(self) except -1:
        if self.table == NULL:
            raise TypeError("this Table was not opened")
        return 0

    @property
    def number(self):
        """The file number it was opened under."""
        self.require()
        return lsm_table_number(self.table)

    @property
    def path(self):
        """Where it lies."""
        self.require()
        return os.fsdecode(<bytes> lsm_table_path(self.table))

    @property
    def memory_usage(self):
        """Bytes of index and filter in memory; blocks in the cache not counted."""
        self.require()
        return lsm_table_memory_usage(self.table)

    def summary(self):
        """The table's TableSummary."""
        self.require()
        cdef lsm_table_summary summary
        lsm_table_read_summary(self.table, &summary)
        return summary_object(&summary)

    def get(self, const unsigned char[::1] key not None, uint64_t sequence=LSM_SEQUENCE_MAX):
        """(sequence, kind, value) of the newest version not newer than `sequence`, or None."""
        self.require()
        cdef lsm_read_context context
        cdef lsm_error error
        cdef lsm_found found
        cdef PyThreadState *state = NULL
        cdef lsm_slice target = slice_of(key)
        memset(&context, 0, sizeof(context))
        error.code = LSM_OK
        context.before_wait = drop_gil
        context.after_wait = take_gil
        context.owner = &state
        context.use_cache = 1
        context.error = &error
        cdef uint64_t hash = lsm_key_hash(target.data, target.size)
        cdef int code = lsm_table_get(self.table, target, hash, sequence, &context, &found)
        if code != LSM_OK:
            raise_error(code, &error)
        if not found.found:
            return None
        try:
            value = bytes_of(found.value.data, found.value.size)
        finally:
            lsm_found_release(&found)
        return found.trailer >> 8, <uint8_t> found.trailer, value

    def cursor(self, *, size_t readahead=0, bint use_cache=True):
        """A cursor that stands on no entry yet; `readahead` bytes at a time, or block by block (0).

        With `readahead` or without `use_cache` the blocks are its own and the cache stays as it is.
        """
        self.require()
        cdef TableCursor cursor = TableCursor.__new__(TableCursor)
        cursor.owner = self
        cursor.context.use_cache = use_cache and readahead == 0
        cursor.context.error = &cursor.error
        cursor.cursor = lsm_table_cursor(self.table, &cursor.context, readahead)
        if cursor.cursor == NULL:
            raise_error(LSM_E_MEMORY, NULL)
        return cursor

    def entries(self, readahead=0):
        """An iterator over all entries in order: (key, sequence, kind, value)."""
        cursor = self.cursor(readahead=readahead)
        cursor.first()
        return cursor

    def range_size(self, const unsigned char[::1] start=None, const unsigned char[::1] stop=None):
        """Bytes of the blocks that may hold keys in [start, stop); None = open."""
        self.require()
        return lsm_table_range_size(self.table, slice_of(start), slice_of(stop))

    def verify(self):
        """Read everything and check everything; CorruptionError names what is damaged."""
        self.require()
        cdef lsm_read_context context
        cdef lsm_error error
        cdef int code
        memset(&context, 0, sizeof(context))
        error.code = LSM_OK
        context.error = &error
        with nogil:
            code = lsm_table_verify(self.table, &context)
        if code != LSM_OK:
            raise_error(code, &error)


@no_gc_clear
cdef class TableCursor(Cursor):
    """A cursor over one table. Iterating goes on from where it stands. One thread at a time."""

    def __init__(self):
        raise TypeError("made by Table.cursor and Table.entries")

    def __iter__(self):
        return self

    def __next__(self):
        if self.started and self.cursor != NULL and self.cursor.valid:
            self.next()
        self.started = True
        entry = self.entry
        if entry is None:
            raise StopIteration
        return entry

    def drain(self, reverse=False):
        """Walk to the end from here without looking; how many entries were passed."""
        if not self.context.use_cache:
            return Cursor.drain(self, reverse)
        cdef uint64_t passed = 0
        while self.cursor.valid:  # the cache is in use: the core lock stays
            passed += 1
            if reverse:
                self._moved(self.cursor.ops.previous(self.cursor))
            else:
                self._moved(self.cursor.ops.next(self.cursor))
        return passed

    @property
    def block_reads(self):
        """How many blocks this cursor has read from the file."""
        return self.context.block_reads


def table_layout(FileSystem file_system not None, path):
    """The pieces of a table file in order, without a gap: a list of TablePiece."""
    cdef Table table = TableSpace(file_system, cache_size_bytes=0).open(path, 0)
    cdef lsm_table_piece piece
    memset(&piece, 0, sizeof(piece))
    pieces = []
    while lsm_table_next_piece(table.table, &piece):
        pieces.append(TablePiece(piece.offset, piece.size, (<bytes> piece.what).decode("ascii")))
    return pieces


# --- writing -------------------------------------------------------------------------------------

cdef bytes checked_id(id):
    cdef bytes result = bytes(id)
    if len(result) != LSM_TABLE_ID_SIZE:
        raise ValueError(f"a table id has {LSM_TABLE_ID_SIZE} bytes")
    return result


@no_gc_clear
cdef class TableBuilder:
    """Writes one table file, which must not exist. Entries arrive by key, then newest first.

    After a failure, and after `abandon`, the file is left as it is: the caller removes its remains.
    """

    def __init__(self, FileSystem file_system not None, path, *, id, uint32_t block_size=4096,
                 compression="zstd", int compression_level=1, double bloom_bits_per_key=10.0):
        if self.file_system is not None:
            raise RuntimeError("already initialised")
        cdef bint compress = compression is not None
        if compress and compression != "zstd":
            raise OptionsError("compression must be 'zstd' or None")
        if not (bloom_bits_per_key == 0 or 1 <= bloom_bits_per_key <= 32):
            raise OptionsError("bloom_bits_per_key must be 0 or 1 to 32")
        cdef bytes encoded = encode_path(path)
        cdef const char *name = encoded
        cdef bytes id_bytes = checked_id(id)
        cdef lsm_table_options options
        memset(&options, 0, sizeof(options))
        memcpy(options.id, <const char *> id_bytes, LSM_TABLE_ID_SIZE)
        options.block_size = block_size
        options.compress = compress and zstd_codec() != NULL
        options.compression_level = compression_level
        options.bloom_bits_per_key = bloom_bits_per_key
        cdef lsm_vfs *vfs = file_system.handle()
        cdef lsm_table_builder *builder = NULL
        cdef lsm_error error
        cdef int code
        self.file_system = file_system
        error.code = LSM_OK
        with nogil:
            code = lsm_table_builder_create(vfs, name, &options, zstd_codec(), &builder, &error)
        if code != LSM_OK:
            raise_error(code, &error)
        self.builder = builder

    def __dealloc__(self):
        lsm_table_builder_destroy(self.builder)

    cdef int require(self) except -1:
        if self.builder == NULL:
            raise ValueError("the builder was finished or abandoned")
        return 0

    def add(self, const unsigned char[::1] key not None, uint64_t sequence, uint8_t kind,
            const unsigned char[::1] value not None):
        """Append an entry. REQUIRES: after the one before, by (key, sequence descending)."""
        self.require()
        if sequence > LSM_SEQUENCE_MAX:
            raise ValueError("a sequence has 56 bits")
        cdef lsm_error error
        error.code = LSM_OK
        cdef int code = lsm_table_builder_add(
            self.builder, slice_of(key), sequence << 8 | kind, slice_of(value), &error)
        if code != LSM_OK:
            raise_error(code, &error)

    @property
    def entry_count(self):
        """Entries so far."""
        self.require()
        return lsm_table_builder_entry_count(self.builder)

    @property
    def size_estimate(self):
        """Bytes the file would have if it were finished now, roughly."""
        self.require()
        return lsm_table_builder_size_estimate(self.builder)

    def finish(self):
        """Write the rest, sync and close: the TableSummary. The directory entry is not synced."""
        self.require()
        cdef lsm_table_builder *builder = self.builder
        self.builder = NULL
        cdef lsm_table_summary summary
        cdef lsm_error error
        cdef int code
        error.code = LSM_OK
        with nogil:
            code = lsm_table_builder_finish(builder, &summary, &error)
            lsm_table_builder_destroy(builder)
        if code != LSM_OK:
            raise_error(code, &error)
        try:
            return summary_object(&summary)
        finally:
            lsm_table_summary_clear(&summary)

    def abandon(self):
        """Close the file without finishing it."""
        lsm_table_builder_destroy(self.builder)
        self.builder = NULL
