/* Point reads and block loading. A warm read touches one filter line, the index nodes and one block. */
#include "table_reader.h"

#include "allocator.h"
#include "block_fold.h"

void lsm_table_retain(lsm_table *table) { __atomic_add_fetch(&table->references, 1, __ATOMIC_RELAXED); }

void lsm_table_release(lsm_table *table) {
    if (table == NULL || __atomic_sub_fetch(&table->references, 1, __ATOMIC_ACQ_REL) != 0) return;
    for (uint32_t i = 0; table->slots != NULL && i < table->index.block_count; i++) {
        if (table->slots[i] != NULL) lsm_cache_remove(table->cache, table->slots[i]);
    }
    lsm_file_pool_forget(table->pool, &table->file);
    lsm_free(table->slots);
    lsm_index_close(&table->index);
    lsm_free_aligned(table->tail_base);
    lsm_free(table->path);
    lsm_free(table);
}

uint64_t lsm_table_number(const lsm_table *table) { return table->number; }
const char *lsm_table_path(const lsm_table *table) { return table->path; }
void lsm_table_read_summary(const lsm_table *table, lsm_table_summary *summary) { *summary = table->summary; }

size_t lsm_table_memory_usage(const lsm_table *table) {
    return sizeof *table + table->tail.size + lsm_index_memory_usage(&table->index) +
           table->index.block_count * sizeof *table->slots;
}

/* --- loading ------------------------------------------------------------------------------------------ */

int lsm_table_read(const lsm_table *table, lsm_file *file, uint64_t offset, uint8_t *buffer, size_t size,
                   lsm_read_context *context) {
    int64_t got = LSM_E_WOULD_BLOCK;
    if (context->before_wait != NULL)
        got = file->ops->read_cached(file, offset, buffer, size, context->error);
    if (got == LSM_E_WOULD_BLOCK) {
        if (context->before_wait != NULL) context->before_wait(context->owner);
        got = file->ops->read(file, offset, buffer, size, context->error);
        if (context->before_wait != NULL) context->after_wait(context->owner);
    }
    if (got < 0) {
        lsm_error_set_path(context->error, table->path);
        return (int)got;
    }
    context->bytes_read += (uint64_t)got;
    if ((size_t)got != size)
        return lsm_fail(context->error, LSM_E_CORRUPT, offset + (uint64_t)got, table->path,
                        "the file ends early");
    return 0;
}

/* Whether the index would look for this entry in this very block. */
static int belongs(const lsm_table *table, uint32_t ordinal, const lsm_block_view *view, uint32_t entry,
                   uint8_t *key) {
    lsm_target target = {key, lsm_block_key_copy(view, entry, key), lsm_block_sequence(view, entry)};
    return lsm_index_search(&table->index, &target) == ordinal;
}

/* Index and block agree: the first and the last entry lie between the separators around the block. */
static int check_bounds(const lsm_table *table, uint32_t ordinal, const lsm_block_view *view,
                        lsm_error *error) {
    uint8_t inline_key[256];
    uint8_t *key = inline_key;
    uint32_t last = view->count - 1;
    size_t first_size = lsm_block_key_size(view, 0), last_size = lsm_block_key_size(view, last);
    size_t room = (first_size > last_size ? first_size : last_size) + LSM_HEAD_SIZE;
    if (room > sizeof inline_key) key = lsm_alloc(room);
    if (key == NULL)
        return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, table->path, "no memory to check a block");
    int inside = belongs(table, ordinal, view, 0, key) && belongs(table, ordinal, view, last, key);
    if (key != inline_key) lsm_free(key);
    if (inside) return 0;
    return lsm_fail(error, LSM_E_CORRUPT, table->index.block_offsets[ordinal], table->path,
                    "block %u holds keys outside its bounds", ordinal);
}

/* From raw bytes in `block->data` to a view that may be trusted. */
static int parse_block(const lsm_table *table, uint32_t ordinal, lsm_block *block, lsm_error *error) {
    uint64_t offset = table->index.block_offsets[ordinal];
    int code = lsm_block_parse(block->data, block->size, &block->view, error);
    if (code) {
        if (error != NULL) error->offset = offset;
        lsm_error_set_path(error, table->path);
        return code;
    }
    if (block->view.count == 0)
        return lsm_fail(error, LSM_E_CORRUPT, offset, table->path, "a block without entries");
    return check_bounds(table, ordinal, &block->view, error);
}

static int no_memory(const lsm_table *table, uint64_t offset, lsm_error *error) {
    return lsm_fail(error, LSM_E_MEMORY, offset, table->path, "no memory to load a block");
}

static int decompress(const lsm_table *table, uint64_t offset, lsm_codec_item *items, size_t count,
                      lsm_error *error) {
    if (table->codec == NULL)
        return lsm_fail(error, LSM_E_FORMAT, offset, table->path,
                        "a compressed block, and no codec to read it");
    int code = table->codec->decompress_run(table->codec, items, count, error);
    if (code && error != NULL) {
        error->offset = offset;
        lsm_error_set_path(error, table->path);
    }
    return code;
}

/* A block for the cache, or with `cache` NULL for nobody but its reader. */
static lsm_block *create_block(lsm_cache *cache, size_t size) {
    return cache != NULL ? lsm_cache_create_block(cache, size) : lsm_block_create(size);
}

/* `stored` came from the file, its header in the room before its data. Takes it over. */
static int unpack_one(const lsm_table *table, uint32_t ordinal, lsm_cache *cache, lsm_block *stored,
                      lsm_error *error, lsm_block **out) {
    uint64_t offset = table->index.block_offsets[ordinal];
    lsm_stored_header header;
    lsm_block *block = stored;
    int code = lsm_stored_check(stored->data - LSM_TABLE_BLOCK_HEADER_SIZE,
                                LSM_TABLE_BLOCK_HEADER_SIZE + stored->size,
                                LSM_STORED_DATA, table->summary.id, offset, &header, table->path, error);
    if (code == 0 && header.codec != LSM_CODEC_RAW) {
        block = create_block(cache, header.raw_size);
        if (block == NULL) {
            code = no_memory(table, offset, error);
        } else {
            lsm_codec_item item = {.input = {stored->data, stored->size}, .output = block->data,
                                   .output_capacity = header.raw_size};
            code = decompress(table, offset, &item, 1, error);
            if (code == 0) lsm_block_unfold(block->data, block->size);
        }
        lsm_block_release(stored);
    }
    if (code == 0) code = parse_block(table, ordinal, block, error);
    if (code) {
        lsm_block_release(block);
        return code;
    }
    *out = block;
    return 0;
}

static int load_block(lsm_table *table, uint32_t ordinal, lsm_read_context *context, lsm_block **out) {
    uint64_t offset = table->index.block_offsets[ordinal];
    size_t size = (size_t)(table->index.block_offsets[ordinal + 1] - offset);
    lsm_cache *cache = context->use_cache ? table->cache : NULL;
    lsm_block *stored = create_block(cache, size - LSM_TABLE_BLOCK_HEADER_SIZE);
    if (stored == NULL) return no_memory(table, offset, context->error);
    int code = lsm_file_pool_acquire(table->pool, &table->file, context->error);
    if (code == 0) {
        uint8_t *buffer = stored->data - LSM_TABLE_BLOCK_HEADER_SIZE;
        code = lsm_table_read(table, table->file.file, offset, buffer, size, context);
        lsm_file_pool_release(table->pool, &table->file);
    }
    if (code) {
        lsm_block_release(stored);
        return code;
    }
    context->block_reads++;
    return unpack_one(table, ordinal, cache, stored, context->error, out);
}

static lsm_block *cached_block(lsm_table *table, uint32_t ordinal) {
    lsm_block *block = table->slots[ordinal];
    if (LSM_LIKELY(block != NULL)) {
        block->used = 1;
        table->cache->hits++;
    }
    return block;
}

/* A miss: loads, and hands the block to the cache unless another load was faster. */
static int load_through_cache(lsm_table *table, uint32_t ordinal, lsm_read_context *context,
                              lsm_block **out) {
    table->cache->misses++;
    int code = load_block(table, ordinal, context, out);
    if (code) return code;
    lsm_block *winner = table->slots[ordinal];
    if (winner == NULL) {
        lsm_cache_insert(table->cache, &table->slots[ordinal], *out);
        return 0;
    }
    lsm_block_release(*out);
    lsm_block_retain(winner);
    *out = winner;
    return 0;
}

int lsm_table_block(lsm_table *table, uint32_t ordinal, lsm_read_context *context, lsm_block **out) {
    LSM_ASSERT(ordinal < table->index.block_count);
    if (!context->use_cache || table->cache == NULL) return load_block(table, ordinal, context, out);
    lsm_block *block = cached_block(table, ordinal);
    if (block == NULL) return load_through_cache(table, ordinal, context, out);
    lsm_block_retain(block);
    *out = block;
    return 0;
}

int lsm_table_unpack(const lsm_table *table, uint32_t first, const uint8_t *stored, uint32_t count,
                     lsm_block **blocks, lsm_error *error) {
    const uint64_t *offsets = table->index.block_offsets + first;
    lsm_codec_item *items = lsm_alloc(count * sizeof *items);
    if (items == NULL) return no_memory(table, offsets[0], error);
    size_t compressed_count = 0;
    uint32_t made = 0;
    int code = 0;
    for (uint32_t i = 0; i < count && code == 0; i++) {
        const uint8_t *p = stored + (offsets[i] - offsets[0]);
        lsm_stored_header header;
        code = lsm_stored_check(p, (size_t)(offsets[i + 1] - offsets[i]), LSM_STORED_DATA, table->summary.id,
                                offsets[i], &header, table->path, error);
        if (code) break;
        blocks[i] = lsm_block_create(header.raw_size);
        if (blocks[i] == NULL) {
            code = no_memory(table, offsets[i], error);
            break;
        }
        made++;
        lsm_slice payload = {p + LSM_TABLE_BLOCK_HEADER_SIZE, header.stored_size};
        if (header.codec == LSM_CODEC_RAW) {
            memcpy(blocks[i]->data, payload.data, payload.size);
        } else {
            items[compressed_count++] = (lsm_codec_item){.input = payload, .output = blocks[i]->data,
                                                         .output_capacity = header.raw_size};
        }
    }
    if (code == 0 && compressed_count != 0)
        code = decompress(table, offsets[0], items, compressed_count, error);
    for (size_t i = 0; i < compressed_count && code == 0; i++)
        lsm_block_unfold(items[i].output, items[i].output_size);
    lsm_free(items);
    for (uint32_t i = 0; i < count && code == 0; i++) code = parse_block(table, first + i, blocks[i], error);
    if (code == 0) return 0;
    while (made > 0) lsm_block_release(blocks[--made]);
    return code;
}

/* --- point reads -------------------------------------------------------------------------------------- */

/* The record of a block, its key heads and sequences: several lines at once, not one miss after the other. */
static inline void prefetch_block(const lsm_block *block) {
    const uint8_t *p = (const uint8_t *)block;
    for (size_t line = 0; line < 10; line++) __builtin_prefetch(p + line * 64);
}

int lsm_table_get(lsm_table *table, lsm_slice key, uint64_t hash, uint64_t sequence,
                  lsm_read_context *context, lsm_found *found) {
    found->found = 0;
    found->pin = NULL;
    if (table->has_filter && !lsm_bloom_may_contain(&table->filter, hash)) {
        context->bloom_skips++;
        return 0;
    }
    lsm_target target = {key.data, key.size, sequence};
    uint32_t ordinal = lsm_index_search(&table->index, &target);
    if (ordinal == table->index.block_count) return 0;

    int use_cache = context->use_cache && table->cache != NULL;
    lsm_block *block = use_cache ? cached_block(table, ordinal) : NULL;
    if (LSM_LIKELY(block != NULL)) {
        prefetch_block(block);
        lsm_block_retain(block);
    } else {
        int code = use_cache ? load_through_cache(table, ordinal, context, &block)
                             : load_block(table, ordinal, context, &block);
        if (code) return code;
    }
    uint32_t entry = lsm_block_search(&block->view, &target);
    /* A key with an entry at or after the target has it in this block: see lsm_index_search. */
    if (entry == block->view.count || !lsm_block_key_equals(&block->view, entry, key)) {
        lsm_block_release(block);
        return 0;
    }
    found->found = 1;
    found->trailer = lsm_block_trailer(&block->view, entry);
    found->value = lsm_block_value(&block->view, entry);
    found->pin = block;
    return 0;
}

void lsm_found_release(lsm_found *found) {
    lsm_block_release(found->pin);
    found->pin = NULL;
}

uint64_t lsm_table_range_size(const lsm_table *table, lsm_slice start, lsm_slice stop) {
    const lsm_index *index = &table->index;
    if (start.data != NULL && stop.data != NULL && lsm_slice_compare(start, stop) >= 0) return 0;
    uint32_t first = 0, end = index->block_count;
    if (start.data != NULL) {
        lsm_target target = {start.data, start.size, LSM_SEQUENCE_MAX};
        first = lsm_index_search(index, &target);
    }
    if (stop.data != NULL) {
        lsm_slice smallest = {table->summary.smallest, table->summary.smallest_size};
        if (lsm_slice_compare(stop, smallest) <= 0) return 0;
        lsm_target target = {stop.data, stop.size, LSM_SEQUENCE_MAX};
        uint32_t last = lsm_index_search(index, &target);
        end = last == index->block_count ? last : last + 1;
    }
    return first < end ? index->block_offsets[end] - index->block_offsets[first] : 0;
}
