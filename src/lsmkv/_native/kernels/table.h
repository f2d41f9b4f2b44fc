/* Sorted tables (SSTables): builder, reader, cursor. The byte layout stands in table_format.h.
 *
 * A table is immutable. Opening loads and validates footer, properties, the whole index tree and the Bloom
 * filter into memory; data blocks are read on demand, checked (CRC-32C seeded with table id and offset, then
 * lsm_block_parse, then first and last key against the index) and cached. Reference counts of blocks change
 * under the core lock only. Those of tables are atomic, so that a background cursor may drop its reference;
 * the last one goes under the core lock.
 */
#ifndef LSMKV_TABLE_H
#define LSMKV_TABLE_H

#include "bloom.h"
#include "cache.h"
#include "codec.h"
#include "cursor.h"
#include "vfs.h"

enum { LSM_TABLE_ID_SIZE = 16 };

typedef struct lsm_table_options {
    uint8_t id[LSM_TABLE_ID_SIZE]; /* random, from outside */
    uint32_t block_size;           /* target bytes of a data block before compression */
    int compress;                  /* 0: every block raw */
    int compression_level;
    double bloom_bits_per_key;     /* 0: no filter */
    /* The sequences that entries which arrive settled may have had; last 0: they count as they are. */
    uint64_t settled_first, settled_last;
} lsm_table_options;

/* What a finished table is, as the manifest records it. Keys are owned by the summary. */
typedef struct lsm_table_summary {
    uint8_t id[LSM_TABLE_ID_SIZE];
    uint64_t number;      /* filled by the job that named the file, 0 from the builder */
    uint64_t file_size;
    uint64_t tail_size;   /* bytes from the first byte after the data blocks to the end: one read opens it */
    uint64_t entry_count;
    uint64_t tombstone_count;
    uint64_t raw_size;    /* key and value bytes */
    uint64_t first_sequence, last_sequence; /* of what it was made from: settled entries count as they were */
    uint8_t *smallest, *largest;            /* user keys; lsm_free */
    size_t smallest_size, largest_size;
} lsm_table_summary;

void lsm_table_summary_clear(lsm_table_summary *summary);

/* --- builder: usable without the GIL ------------------------------------------------------------------ */

typedef struct lsm_table_builder lsm_table_builder;

/* Creates the file (it must not exist). With `codec` NULL every block is raw, whatever the options say. */
int lsm_table_builder_create(lsm_vfs *vfs, const char *path, const lsm_table_options *options,
                             const lsm_codec *codec, lsm_table_builder **builder, lsm_error *error);
/* Strict internal order, else LSM_E_CORRUPT: the entries may stem from a damaged input. Blocks are compressed
 * and written a run (about 1 MB) at a time. The first failure is repeated by every later call. */
int lsm_table_builder_add(lsm_table_builder *builder, lsm_slice key, uint64_t trailer, lsm_slice value,
                          lsm_error *error);
/* The same for an entry whose age no longer matters: stored with LSM_SEQUENCE_SETTLED. Its sequence still
 * counts in the summary's range. REQUIRES: the oldest version of its key. */
int lsm_table_builder_add_settled(lsm_table_builder *builder, lsm_slice key, uint64_t trailer,
                                  lsm_slice value, lsm_error *error);
/* What is added next will soon be merged again with older data: the run of blocks it lies in is compressed
 * fast (zstd -1) unless the options ask for something faster still. */
void lsm_table_builder_expect_rewrite(lsm_table_builder *builder);
/* Bytes the file would have if it were finished now, compression guessed. */
uint64_t lsm_table_builder_size_estimate(const lsm_table_builder *builder);
uint64_t lsm_table_builder_entry_count(const lsm_table_builder *builder);
/* Writes the tail, syncs and closes the file; the directory entry is the caller's to sync. On success the
 * summary is to be cleared. LSM_E_LIMIT without an entry. Only destroy may follow. */
int lsm_table_builder_finish(lsm_table_builder *builder, lsm_table_summary *summary, lsm_error *error);
/* NULL-safe. Closes; an unfinished file is left to the caller. */
void lsm_table_builder_destroy(lsm_table_builder *builder);

/* --- reader ------------------------------------------------------------------------------------------- */

/* How a read may wait. With `before_wait` NULL the read simply blocks (background jobs, no GIL held).
 * Otherwise the core lock is held: a read first tries what cannot block; if it must wait it calls
 * before_wait (releases the lock), reads, calls after_wait (takes it again). Whoever sets these has pinned
 * everything the read will touch afterwards. */
typedef struct lsm_read_context {
    void (*before_wait)(void *owner);
    void (*after_wait)(void *owner);
    void *owner;
    int use_cache;          /* look up and fill the block cache: only with the core lock */
    uint64_t bloom_skips, block_reads, bytes_read; /* counters */
    lsm_error *error;       /* filled on failure */
} lsm_read_context;

typedef struct lsm_table lsm_table; /* defined in table_reader.h for the kernels themselves */

/* The most file handles the tables of one store keep open; the least recently used are closed and reopened
 * on demand. Not locked (core lock). */
typedef struct lsm_file_pool lsm_file_pool;
lsm_file_pool *lsm_file_pool_create(lsm_vfs *vfs, uint32_t open_files_max); /* NULL: no memory */
void lsm_file_pool_destroy(lsm_file_pool *pool); /* REQUIRES: no table left */
uint32_t lsm_file_pool_open_count(const lsm_file_pool *pool);

/* `id`, `file_size` and `tail_size` as the manifest has them; id NULL and sizes 0 = not known (repair, dump),
 * then found through the footer. `codec` and `cache` may be NULL. A mismatch is LSM_E_CORRUPT with path and
 * offset. Needs no lock: it reads through a handle of its own and leaves pool and cache alone. */
int lsm_table_open(lsm_file_pool *pool, const char *path, uint64_t number, const uint8_t *id,
                   uint64_t file_size,
                   uint64_t tail_size, const lsm_codec *codec, lsm_cache *cache, lsm_table **table,
                   lsm_error *error);
void lsm_table_retain(lsm_table *table);
void lsm_table_release(lsm_table *table); /* at zero: evicts its blocks, closes its handle */

uint64_t lsm_table_number(const lsm_table *table);
const char *lsm_table_path(const lsm_table *table);
size_t lsm_table_memory_usage(const lsm_table *table); /* index and filter */
/* Keys are borrowed: do not clear. */
void lsm_table_read_summary(const lsm_table *table, lsm_table_summary *summary);

/* The newest version of `key` not newer than `sequence`; `hash` = lsm_key_hash(key). 0 or a negative status.
 * A found value is readable until lsm_found_release. */
int lsm_table_get(lsm_table *table, lsm_slice key, uint64_t hash, uint64_t sequence,
                  lsm_read_context *context, lsm_found *found);
void lsm_found_release(lsm_found *found);

/* A cursor that retains the table; `context` must outlive it. Like a pinned block it keeps a value readable
 * for one move more. `readahead_size` > 0: reads neighbouring blocks of about that many bytes (decompressed)
 * at a time into its own memory, decompressing them as a run, through a handle of its own: needs no lock
 * (background jobs). NULL: no memory. */
lsm_cursor *lsm_table_cursor(lsm_table *table, lsm_read_context *context, size_t readahead_size);

/* Bytes of the data blocks that may hold keys in [start, stop) (.data NULL = open), from the index alone. */
uint64_t lsm_table_range_size(const lsm_table *table, lsm_slice start, lsm_slice stop);

/* Reads the whole file, checks every checksum and the order across blocks, and holds the entries against
 * properties and filter. Needs no lock. */
int lsm_table_verify(lsm_table *table, lsm_read_context *context);

#endif
