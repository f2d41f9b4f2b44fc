/* Verification of a whole table, and its layout piece by piece for the dump tool. */
#include <stdio.h>

#include "allocator.h"
#include "murmur3.h"
#include "table_reader.h"

enum { READ_SIZE = 1024 * 1024 };

/* --- verify ------------------------------------------------------------------------------------------- */

typedef struct table_totals {
    uint64_t entry_count, tombstone_count, raw_size, settled_count;
    uint64_t first_sequence, last_sequence; /* of the others; first above last: there are none */
} table_totals;

static int count_entry(lsm_table *table, const lsm_cursor *cursor, table_totals *totals, lsm_error *error) {
    uint64_t sequence = lsm_trailer_sequence(cursor->trailer);
    totals->entry_count++;
    totals->tombstone_count += lsm_trailer_kind(cursor->trailer) == LSM_KIND_DELETE;
    totals->raw_size += cursor->key.size + cursor->value.size;
    if (sequence == LSM_SEQUENCE_SETTLED) {
        totals->settled_count++;
    } else {
        if (sequence < totals->first_sequence) totals->first_sequence = sequence;
        if (sequence > totals->last_sequence) totals->last_sequence = sequence;
    }
    if (table->has_filter &&
        !lsm_bloom_may_contain(&table->filter, lsm_key_hash(cursor->key.data, cursor->key.size)))
        return lsm_fail(error, LSM_E_CORRUPT, LSM_NO_OFFSET, table->path,
                        "the filter denies a key of the table");
    return 0;
}

/* The range holds the sequences that settled entries had before: then it may be wider than what is seen. */
static int range_is_right(const table_totals *totals, const lsm_table_summary *summary) {
    uint64_t first = totals->first_sequence, last = totals->last_sequence;
    if (totals->settled_count == 0) return first == summary->first_sequence && last == summary->last_sequence;
    return first > last || (summary->first_sequence <= first && last <= summary->last_sequence);
}

static int check_totals(const lsm_table *table, const table_totals *totals, lsm_error *error) {
    const lsm_table_summary *summary = &table->summary;
    if (totals->entry_count == summary->entry_count && totals->tombstone_count == summary->tombstone_count &&
        totals->raw_size == summary->raw_size && range_is_right(totals, summary))
        return 0;
    return lsm_fail(error, LSM_E_CORRUPT, table->tail.offset, table->path, "entries and properties disagree");
}

/* Order across blocks needs no check here: every load holds a block against its separators. */
static int verify_entries(lsm_table *table, lsm_read_context *context) {
    lsm_cursor *cursor = lsm_table_cursor(table, context, READ_SIZE);
    if (cursor == NULL)
        return lsm_fail(context->error, LSM_E_MEMORY, LSM_NO_OFFSET, table->path,
                        "no memory to verify a table");
    table_totals totals = {.first_sequence = LSM_SEQUENCE_MAX};
    lsm_slice smallest = {table->summary.smallest, table->summary.smallest_size};
    lsm_slice largest = {table->summary.largest, table->summary.largest_size};
    int code = cursor->ops->first(cursor), bounds_hold = 0;
    if (code == 0 && cursor->valid) bounds_hold = lsm_slice_compare(cursor->key, smallest) == 0;
    while (code == 0 && cursor->valid) {
        code = count_entry(table, cursor, &totals, context->error);
        if (totals.entry_count == table->summary.entry_count)
            bounds_hold = bounds_hold && lsm_slice_compare(cursor->key, largest) == 0;
        if (code == 0) code = cursor->ops->next(cursor);
    }
    lsm_cursor_destroy(cursor);
    if (code) return code;
    if (!bounds_hold)
        return lsm_fail(context->error, LSM_E_CORRUPT, table->tail.offset, table->path,
                        "smallest or largest key differs from the properties");
    return check_totals(table, &totals, context->error);
}

/* Header and tail still stand in the file as they were when the table was opened. */
static int verify_frame(lsm_table *table, lsm_read_context *context) {
    lsm_table *again;
    int code = lsm_table_open(table->pool, table->path, table->number, table->summary.id,
                              table->summary.file_size,
                              table->summary.tail_size, table->codec, NULL, &again, context->error);
    if (code) return code;
    int same = memcmp(again->tail.data, table->tail.data, (size_t)table->tail.size) == 0;
    lsm_table_release(again);
    if (same) return 0;
    return lsm_fail(context->error, LSM_E_CORRUPT, table->tail.offset, table->path,
                    "the tail in memory differs from the file's");
}

int lsm_table_verify(lsm_table *table, lsm_read_context *context) {
    int code = verify_frame(table, context);
    return code ? code : verify_entries(table, context);
}

/* --- layout ------------------------------------------------------------------------------------------- */

static int piece(lsm_table_piece *out, uint64_t offset, uint64_t size, const char *format, uint64_t number) {
    out->offset = offset;
    out->size = size;
    snprintf(out->what, sizeof out->what, format, (unsigned long long)number);
    return 1;
}

static int node_piece(const lsm_table *table, uint64_t offset, lsm_table_piece *out) {
    const lsm_index *index = &table->index;
    for (uint32_t level = 1; level <= index->level_count; level++) {
        uint32_t end = level == index->level_count ? index->node_count : index->level_start[level];
        for (uint32_t i = index->level_start[level - 1]; i < end; i++) {
            const lsm_index_node *node = &index->nodes[i];
            if (node->offset < offset) continue;
            if (node->offset > offset) return piece(out, offset, node->offset - offset, "padding", 0);
            piece(out, offset, node->size, "", 0);
            snprintf(out->what, sizeof out->what, "index node, level %u, %u entries", level,
                     node->view.count);
            return 1;
        }
    }
    return 0;
}

static int tail_piece(const lsm_table *table, uint64_t offset, lsm_table_piece *out) {
    for (uint32_t i = 0; i <= table->section_count; i++) {
        int is_directory = i == table->section_count;
        const lsm_table_section *section = is_directory ? &table->directory : &table->sections[i];
        if (section->offset + section->size <= offset) continue;
        if (section->offset > offset) return piece(out, offset, section->offset - offset, "padding", 0);
        if (is_directory) return piece(out, offset, section->size, "section directory", 0);
        switch (section->number) {
        case LSM_SECTION_INDEX: return node_piece(table, offset, out);
        case LSM_SECTION_FILTER: return piece(out, offset, section->size, "filter", 0);
        case LSM_SECTION_PROPERTIES: return piece(out, offset, section->size, "properties", 0);
        default: return piece(out, offset, section->size, "section %llu, ignored", section->number);
        }
    }
    uint64_t footer_offset = table->summary.file_size - LSM_TABLE_FOOTER_SIZE;
    if (offset < footer_offset) return piece(out, offset, footer_offset - offset, "padding", 0);
    return piece(out, offset, LSM_TABLE_FOOTER_SIZE, "footer", 0);
}

static uint32_t block_at(const lsm_table *table, uint64_t offset) {
    const uint64_t *offsets = table->index.block_offsets;
    uint32_t low = 0, high = table->index.block_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (offsets[middle] <= offset) low = middle; else high = middle;
    }
    return low;
}

int lsm_table_next_piece(const lsm_table *table, lsm_table_piece *out) {
    uint64_t offset = out->offset + out->size;
    if (offset >= table->summary.file_size) return 0;
    if (offset == 0) return piece(out, 0, LSM_TABLE_HEADER_SIZE, "file header", 0);
    if (offset >= table->tail.offset) return tail_piece(table, offset, out);
    uint32_t ordinal = block_at(table, offset);
    return piece(out, offset, table->index.block_offsets[ordinal + 1] - offset, "data block %llu", ordinal);
}
