# Sorted tables and the block cache (kernels/table.h, kernels/cache.h), and their Python owners.
#
# A native module that keeps an `lsm_table *` of its own also keeps the TableSpace: its pool and
# its cache must outlive every table, and the last release of a table needs the core lock.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from lsmkv._native.codec cimport lsm_codec
from lsmkv._native.cursor cimport lsm_found
from lsmkv._native.failure cimport lsm_error, lsm_slice
from lsmkv._native.merge cimport Cursor, lsm_cursor
from lsmkv._native.vfs cimport FileSystem, lsm_vfs

cdef extern from "cache.h" nogil:
    ctypedef struct lsm_block:
        uint32_t references
        uint8_t used
        uint8_t resident
        size_t size
    ctypedef struct lsm_cache:
        size_t capacity
        size_t usage
        uint64_t hits
        uint64_t misses
        uint64_t insertions
        uint64_t evictions
        lsm_block *hand
    void lsm_cache_init(lsm_cache *cache, size_t capacity)
    void lsm_cache_clear(lsm_cache *cache)
    void lsm_cache_close(lsm_cache *cache)
    void lsm_cache_insert(lsm_cache *cache, lsm_block **slot, lsm_block *block)
    void lsm_cache_remove(lsm_cache *cache, lsm_block *block)
    lsm_block *lsm_block_create(size_t size)
    void lsm_block_retain(lsm_block *block)
    void lsm_block_release(lsm_block *block)
    size_t lsm_block_charge(const lsm_block *block)

cdef extern from "table.h" nogil:
    enum:
        LSM_TABLE_ID_SIZE
    ctypedef struct lsm_table_options:
        uint8_t id[16]
        uint32_t block_size
        int compress
        int compression_level
        double bloom_bits_per_key
        uint64_t settled_first
        uint64_t settled_last
    ctypedef struct lsm_table_summary:
        uint8_t id[16]
        uint64_t number
        uint64_t file_size
        uint64_t tail_size
        uint64_t entry_count
        uint64_t tombstone_count
        uint64_t raw_size
        uint64_t first_sequence
        uint64_t last_sequence
        uint8_t *smallest
        uint8_t *largest
        size_t smallest_size
        size_t largest_size
    void lsm_table_summary_clear(lsm_table_summary *summary)

    ctypedef struct lsm_table_builder
    int lsm_table_builder_create(
        lsm_vfs *vfs, const char *path, const lsm_table_options *options, const lsm_codec *codec,
        lsm_table_builder **builder, lsm_error *error)
    int lsm_table_builder_add(
        lsm_table_builder *builder, lsm_slice key, uint64_t trailer, lsm_slice value,
        lsm_error *error)
    uint64_t lsm_table_builder_size_estimate(const lsm_table_builder *builder)
    uint64_t lsm_table_builder_entry_count(const lsm_table_builder *builder)
    int lsm_table_builder_finish(
        lsm_table_builder *builder, lsm_table_summary *summary, lsm_error *error)
    void lsm_table_builder_destroy(lsm_table_builder *builder)

    ctypedef struct lsm_read_context:
        void (*before_wait)(void *owner) noexcept nogil
        void (*after_wait)(void *owner) noexcept nogil
        void *owner
        int use_cache
        uint64_t bloom_skips
        uint64_t block_reads
        uint64_t bytes_read
        lsm_error *error

    ctypedef struct lsm_table
    ctypedef struct lsm_file_pool
    lsm_file_pool *lsm_file_pool_create(lsm_vfs *vfs, uint32_t open_files_max)
    void lsm_file_pool_destroy(lsm_file_pool *pool)
    uint32_t lsm_file_pool_open_count(const lsm_file_pool *pool)
    int lsm_table_open(
        lsm_file_pool *pool, const char *path, uint64_t number, const uint8_t *id,
        uint64_t file_size, uint64_t tail_size, const lsm_codec *codec, lsm_cache *cache,
        lsm_table **table, lsm_error *error)
    void lsm_table_retain(lsm_table *table)
    void lsm_table_release(lsm_table *table)
    uint64_t lsm_table_number(const lsm_table *table)
    const char *lsm_table_path(const lsm_table *table)
    size_t lsm_table_memory_usage(const lsm_table *table)
    void lsm_table_read_summary(const lsm_table *table, lsm_table_summary *summary)
    int lsm_table_get(
        lsm_table *table, lsm_slice key, uint64_t hash, uint64_t sequence,
        lsm_read_context *context, lsm_found *found)
    void lsm_found_release(lsm_found *found)
    lsm_cursor *lsm_table_cursor(
        lsm_table *table, lsm_read_context *context, size_t readahead_size)
    uint64_t lsm_table_range_size(const lsm_table *table, lsm_slice start, lsm_slice stop)
    int lsm_table_verify(lsm_table *table, lsm_read_context *context)

cdef class TableSpace:
    cdef readonly FileSystem file_system
    cdef lsm_file_pool *pool     # owned
    cdef lsm_cache *cache        # owned
    cdef const lsm_codec *codec  # of the process; NULL: only raw blocks can be read

cdef class Table:
    cdef readonly TableSpace space
    cdef lsm_table *table        # one reference
    cdef object __weakref__
    cdef int require(self) except -1

cdef class TableCursor(Cursor):
    cdef lsm_read_context context
    cdef bint started            # whether iteration has handed out the current entry

cdef class TableBuilder:
    cdef FileSystem file_system
    cdef lsm_table_builder *builder  # owned; NULL once finished or abandoned
    cdef int require(self) except -1

# A Python TableSummary of a C one.
cdef object summary_object(const lsm_table_summary *summary)
