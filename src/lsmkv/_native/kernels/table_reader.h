/* The open table, for the kernels that read it: point reads and loading (table_reader.c), opening
 * (table_open.c), cursors (table_cursor.c), verification and layout (table_check.c).
 *
 * Everything but `slots`, `file` and `references` is constant after opening, so a background thread may use
 * it beside the core lock's holder.
 */
#ifndef LSMKV_TABLE_READER_H
#define LSMKV_TABLE_READER_H

#include "file_pool.h"
#include "table_index.h"

enum { LSM_TABLE_SECTIONS_MAX = 16 };

struct lsm_table {
    /* read by every get */
    lsm_bloom filter;
    int has_filter;
    lsm_index index;
    lsm_block **slots; /* one per data block; what the cache holds of it */
    lsm_cache *cache;  /* NULL: blocks are never kept */

    const lsm_codec *codec;
    lsm_file_pool *pool;
    lsm_pooled_file file;
    int64_t references; /* atomic */
    uint64_t number;
    char *path;

    uint8_t *tail_base; /* aligned allocation; the tail begins inside it, see table_open.c */
    lsm_table_tail tail;
    lsm_table_section sections[LSM_TABLE_SECTIONS_MAX]; /* by offset */
    uint32_t section_count;
    lsm_table_section directory;
    uint32_t block_size;           /* the writer's target */
    lsm_table_summary summary;     /* keys lie in the tail */
};
/* Finds a data block in the cache or loads it: a reference for the caller. 0 or a negative status.
 * REQUIRES: ordinal < block_count. */
int lsm_table_block(lsm_table *table, uint32_t ordinal, lsm_read_context *context, lsm_block **block);

/* The bytes of consecutive data blocks, through the given handle and the wait protocol of the context. */
int lsm_table_read(const lsm_table *table, lsm_file *file, uint64_t offset, uint8_t *buffer, size_t size,
                   lsm_read_context *context);

/* Checks, decompresses in one run and parses the consecutive data blocks first .. first + count - 1, whose
 * bytes as stored in the file begin at `stored`: private blocks, one reference each. On failure none is
 * left. */
int lsm_table_unpack(const lsm_table *table, uint32_t first, const uint8_t *stored, uint32_t count,
                     lsm_block **blocks, lsm_error *error);

/* --- layout ------------------------------------------------------------------------------------------- */

typedef struct lsm_table_piece {
    uint64_t offset, size;
    char what[64];
} lsm_table_piece;

/* Pieces in file order that cover it without a gap: the next one after `piece` (offset and size 0 at first).
 * 1, or 0 at the end. */
int lsm_table_next_piece(const lsm_table *table, lsm_table_piece *piece);

#endif
