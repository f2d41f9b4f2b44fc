/* The builder's state, shared by the two halves of the table writer: blocks (table_builder.c) and tail
 * (table_tail_writer.c). Nobody else includes this.
 */
#ifndef LSMKV_TABLE_WRITER_H
#define LSMKV_TABLE_WRITER_H

#include "key_buffer.h"
#include "table_index.h"

typedef struct lsm_bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
} lsm_bytes;

/* Room for `more` bytes behind the first `size`. 0 or LSM_E_MEMORY. */
int lsm_bytes_reserve(lsm_bytes *bytes, size_t more);

/* A finished block of the run: its header room and payload in `raw`, its separator in `separators`. */
typedef struct lsm_pending_block {
    size_t raw_offset; /* of the header room */
    size_t separator_offset;
    uint64_t separator_trailer;
    uint32_t raw_size; /* of the payload */
    uint32_t separator_size;
} lsm_pending_block;

struct lsm_table_builder {
    lsm_table_options options;
    const lsm_codec *codec; /* NULL: every block raw */
    lsm_file *file;         /* NULL once closed */
    char *path;
    uint64_t offset;        /* bytes appended */
    lsm_block_builder *block;
    lsm_index_builder *index;

    lsm_bytes raw;          /* the run's blocks, each with header room in front */
    lsm_bytes stored;       /* the run compressed */
    lsm_bytes separators;
    lsm_pending_block *run;
    lsm_codec_item *items;
    size_t run_count, run_capacity;
    int rewrite_expected;   /* of something in the run */
    uint64_t flushed_raw, flushed_stored;

    uint64_t *hashes;       /* one per distinct user key, for the filter */
    size_t hash_count, hash_capacity;

    lsm_key_buffer smallest, last_key;
    uint64_t last_trailer;
    uint64_t entry_count, tombstone_count, raw_size;
    uint64_t first_sequence, last_sequence;
    lsm_error failure;      /* the first one; code 0 = none */
};

int lsm_table_builder_append(lsm_table_builder *builder, const uint8_t *data, size_t size, lsm_error *error);
int lsm_table_builder_cut_block(lsm_table_builder *builder, const lsm_slice *next, lsm_error *error);
int lsm_table_builder_flush_run(lsm_table_builder *builder, lsm_error *error);

/* Last block, last run, tail, sync, close; fills the summary. */
int lsm_table_builder_write_rest(lsm_table_builder *builder, lsm_table_summary *summary, lsm_error *error);

#endif
