/* Writing a table: blocks gather into runs, a run is compressed in one call and appended in one call.
 *
 * A finished raw block waits in `raw` with room for its header in front. When about a megabyte has gathered,
 * the run is compressed (or sealed in place), appended, and its handles go to the index. The tail is
 * table_tail_writer.c's. The first failure is kept and repeated by every later call; the file is then garbage
 * that the caller removes. Order is checked here although it is promised: inputs may come from damaged files.
 */
#include "table_writer.h"

#include "allocator.h"
#include "block_fold.h"
#include "murmur3.h"

/* zstd without entropy coding: 1.6 times as fast as level 1, text gets a quarter larger. */
enum { LEVEL_FAST = -1 };
enum { RUN_SIZE = 1024 * 1024, FIRST_HASH_CAPACITY = 1024, FIRST_RUN_CAPACITY = 64 };

int lsm_bytes_reserve(lsm_bytes *bytes, size_t more) {
    if (more <= bytes->capacity - bytes->size) return 0;
    size_t needed, capacity;
    if (__builtin_add_overflow(bytes->size, more, &needed)) return LSM_E_MEMORY;
    if (__builtin_mul_overflow(bytes->capacity, (size_t)2, &capacity) || capacity < needed) capacity = needed;
    uint8_t *data = lsm_realloc(bytes->data, capacity);
    if (data == NULL) return LSM_E_MEMORY;
    bytes->data = data;
    bytes->capacity = capacity;
    return 0;
}

/* Room for one more element of an array that doubles. */
static int grow_array(void **array, size_t count, size_t *capacity, size_t first, size_t element_size) {
    if (count < *capacity) return 0;
    size_t wanted = *capacity ? *capacity * 2 : first, size;
    if (__builtin_mul_overflow(wanted, element_size, &size)) return LSM_E_MEMORY;
    void *grown = lsm_realloc(*array, size);
    if (grown == NULL) return LSM_E_MEMORY;
    *array = grown;
    *capacity = wanted;
    return 0;
}

static int fail_memory(const lsm_table_builder *builder, lsm_error *error) {
    return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, builder->path, "no memory to write a table");
}

static int start_file(lsm_table_builder *builder, lsm_vfs *vfs, lsm_error *error) {
    int flags = LSM_OPEN_WRITE | LSM_OPEN_CREATE | LSM_OPEN_EXCLUSIVE;
    int code = vfs->ops->open(vfs, builder->path, flags, &builder->file, error);
    if (code) {
        builder->file = NULL;
        return code;
    }
    uint8_t header[LSM_TABLE_HEADER_SIZE];
    lsm_table_header_store(header, builder->options.id);
    return lsm_table_builder_append(builder, header, sizeof header, error);
}

int lsm_table_builder_create(lsm_vfs *vfs, const char *path, const lsm_table_options *options,
                             const lsm_codec *codec, lsm_table_builder **out, lsm_error *error) {
    *out = NULL;
    lsm_table_builder *builder = lsm_calloc(1, sizeof *builder);
    if (builder == NULL)
        return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, path, "no memory to write a table");
    builder->options = *options;
    builder->codec = options->compress ? codec : NULL;
    builder->first_sequence = LSM_SEQUENCE_MAX;
    builder->block = lsm_block_builder_create();
    builder->index = lsm_index_builder_create();
    size_t path_size = strlen(path) + 1;
    builder->path = lsm_alloc(path_size);
    int code;
    if (builder->block == NULL || builder->index == NULL || builder->path == NULL) {
        code = lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, path, "no memory to write a table");
    } else {
        memcpy(builder->path, path, path_size);
        code = start_file(builder, vfs, error);
    }
    if (code) {
        int created = builder->file != NULL; /* nobody else will know of the file then */
        lsm_table_builder_destroy(builder);
        lsm_error ignored;
        if (created) vfs->ops->remove(vfs, path, &ignored);
        return code;
    }
    *out = builder;
    return 0;
}

void lsm_table_builder_destroy(lsm_table_builder *builder) {
    if (builder == NULL) return;
    lsm_error ignored;
    if (builder->file != NULL) builder->file->ops->close(builder->file, &ignored);
    lsm_block_builder_destroy(builder->block);
    lsm_index_builder_destroy(builder->index);
    lsm_free(builder->raw.data);
    lsm_free(builder->stored.data);
    lsm_free(builder->separators.data);
    lsm_free(builder->run);
    lsm_free(builder->items);
    lsm_free(builder->hashes);
    lsm_free(builder->last_key.data);
    lsm_free(builder->smallest.data);
    lsm_free(builder->path);
    lsm_free(builder);
}

int lsm_table_builder_append(lsm_table_builder *builder, const uint8_t *data, size_t size, lsm_error *error) {
    int code = builder->file->ops->append(builder->file, data, size, error);
    if (code) return code;
    builder->file->ops->start_writeback(builder->file, builder->offset, size);
    builder->offset += size;
    return 0;
}

/* --- runs of blocks ----------------------------------------------------------------------------------- */

static uint8_t *raw_payload(const lsm_table_builder *builder, const lsm_pending_block *block) {
    return builder->raw.data + block->raw_offset + LSM_TABLE_BLOCK_HEADER_SIZE;
}

/* Seals the stored block at `p` and tells the index where it will lie. */
static int place_block(lsm_table_builder *builder, const lsm_pending_block *block, uint8_t *p,
                       uint64_t offset, uint32_t stored_size, uint8_t codec) {
    lsm_stored_header header = {stored_size, block->raw_size, codec, LSM_STORED_DATA};
    lsm_stored_seal(p, &header, builder->options.id, offset);
    lsm_slice separator = {builder->separators.data + block->separator_offset, block->separator_size};
    return lsm_index_builder_add(builder->index, separator, block->separator_trailer, offset,
                                 LSM_TABLE_BLOCK_HEADER_SIZE + stored_size);
}

static int compress_run(lsm_table_builder *builder, lsm_error *error) {
    builder->stored.size = 0;
    if (lsm_bytes_reserve(&builder->stored, builder->raw.size)) return fail_memory(builder, error);
    for (size_t i = 0; i < builder->run_count; i++) {
        const lsm_pending_block *block = &builder->run[i];
        lsm_block_fold(raw_payload(builder, block), block->raw_size);
        builder->items[i] = (lsm_codec_item){
            .input = {raw_payload(builder, block), block->raw_size},
            .output = builder->stored.data + block->raw_offset + LSM_TABLE_BLOCK_HEADER_SIZE,
            .output_capacity = block->raw_size,
        };
    }
    int level = builder->options.compression_level;
    if (builder->rewrite_expected && level > LEVEL_FAST) level = LEVEL_FAST;
    int code = builder->codec->compress_run(builder->codec, level, builder->items, builder->run_count, error);
    if (code) lsm_error_set_path(error, builder->path);
    return code;
}

/* Closes the gaps that compression left. Every block only moves down, over bytes that were placed before. */
static int pack_compressed_run(lsm_table_builder *builder, lsm_slice *packed) {
    uint8_t *base = builder->stored.data;
    size_t position = 0;
    for (size_t i = 0; i < builder->run_count; i++) {
        const lsm_pending_block *block = &builder->run[i];
        const lsm_codec_item *item = &builder->items[i];
        int compressed = item->output_size != 0;
        uint32_t size = compressed ? (uint32_t)item->output_size : block->raw_size;
        if (!compressed) lsm_block_unfold(raw_payload(builder, block), block->raw_size);
        memmove(base + position + LSM_TABLE_BLOCK_HEADER_SIZE,
                compressed ? item->output : raw_payload(builder, block), size);
        int code = place_block(builder, block, base + position, builder->offset + position, size,
                               compressed ? LSM_CODEC_ZSTD : LSM_CODEC_RAW);
        if (code) return code;
        position += LSM_TABLE_BLOCK_HEADER_SIZE + size;
    }
    *packed = (lsm_slice){base, position};
    return 0;
}

static int seal_raw_run(lsm_table_builder *builder, lsm_slice *packed) {
    for (size_t i = 0; i < builder->run_count; i++) {
        const lsm_pending_block *block = &builder->run[i];
        int code = place_block(builder, block, builder->raw.data + block->raw_offset,
                               builder->offset + block->raw_offset, block->raw_size, LSM_CODEC_RAW);
        if (code) return code;
    }
    *packed = (lsm_slice){builder->raw.data, builder->raw.size};
    return 0;
}

int lsm_table_builder_flush_run(lsm_table_builder *builder, lsm_error *error) {
    if (builder->run_count == 0) return 0;
    lsm_slice packed;
    int code;
    if (builder->codec != NULL) {
        code = compress_run(builder, error);
        if (code) return code;
        code = pack_compressed_run(builder, &packed);
    } else {
        code = seal_raw_run(builder, &packed);
    }
    if (code) return fail_memory(builder, error);
    code = lsm_table_builder_append(builder, packed.data, packed.size, error);
    if (code) return code;
    builder->flushed_raw += builder->raw.size;
    builder->flushed_stored += packed.size;
    builder->run_count = 0;
    builder->rewrite_expected = 0;
    builder->raw.size = builder->separators.size = 0;
    return 0;
}

static int reserve_run_entry(lsm_table_builder *builder) {
    size_t capacity = builder->run_capacity;
    void *run = builder->run, *items = builder->items;
    int code = grow_array(&items, builder->run_count, &capacity, FIRST_RUN_CAPACITY, sizeof *builder->items);
    builder->items = items;
    capacity = builder->run_capacity;
    if (code == 0)
        code = grow_array(&run, builder->run_count, &capacity, FIRST_RUN_CAPACITY, sizeof *builder->run);
    builder->run = run;
    if (code == 0) builder->run_capacity = capacity;
    return code;
}

/* Ends the current block. `next` NULL: the table ends with it. */
int lsm_table_builder_cut_block(lsm_table_builder *builder, const lsm_slice *next, lsm_error *error) {
    size_t raw_size = lsm_block_builder_finished_size(builder->block);
    lsm_slice last = lsm_key_buffer_slice(&builder->last_key);
    if (reserve_run_entry(builder) || lsm_bytes_reserve(&builder->separators, last.size + 1) ||
        lsm_bytes_reserve(&builder->raw, LSM_TABLE_BLOCK_HEADER_SIZE + raw_size))
        return fail_memory(builder, error);

    lsm_pending_block *block = &builder->run[builder->run_count++];
    block->raw_offset = builder->raw.size;
    block->raw_size = (uint32_t)raw_size;
    block->separator_offset = builder->separators.size;
    uint8_t *separator = builder->separators.data + builder->separators.size;
    if (next != NULL && lsm_slice_compare(last, *next) != 0) {
        block->separator_size = (uint32_t)lsm_separator(last, *next, separator);
        block->separator_trailer = lsm_trailer(0, LSM_KIND_PUT);
    } else {
        if (last.size != 0) memcpy(separator, last.data, last.size);
        block->separator_size = (uint32_t)last.size;
        uint64_t sequence = next == NULL ? 0 : lsm_trailer_sequence(builder->last_trailer);
        block->separator_trailer = lsm_trailer(sequence, LSM_KIND_PUT);
    }
    builder->separators.size += block->separator_size;
    lsm_block_builder_finish(builder->block, raw_payload(builder, block));
    builder->raw.size += LSM_TABLE_BLOCK_HEADER_SIZE + raw_size;
    lsm_block_builder_reset(builder->block);
    return builder->raw.size >= RUN_SIZE ? lsm_table_builder_flush_run(builder, error) : 0;
}

/* --- entries ------------------------------------------------------------------------------------------ */

static int check_entry(const lsm_table_builder *builder, lsm_slice key, uint64_t trailer, lsm_slice value,
                       int *new_key, lsm_error *error) {
    if (key.size > LSM_KEY_SIZE_MAX || value.size > LSM_VALUE_SIZE_MAX)
        return lsm_fail(error, LSM_E_LIMIT, LSM_NO_OFFSET, builder->path,
                        "a key or value is beyond its limit");
    if (!lsm_kind_is_known(lsm_trailer_kind(trailer)))
        return lsm_fail(error, LSM_E_FORMAT, LSM_NO_OFFSET, builder->path, "unknown kind %u",
                        lsm_trailer_kind(trailer));
    *new_key = 1;
    if (builder->entry_count == 0) return 0;
    int order = lsm_slice_compare(lsm_key_buffer_slice(&builder->last_key), key);
    *new_key = order != 0;
    if (order < 0) return 0;
    if (order == 0 && lsm_trailer_sequence(trailer) < lsm_trailer_sequence(builder->last_trailer)) return 0;
    return lsm_fail(error, LSM_E_CORRUPT, LSM_NO_OFFSET, builder->path,
                    "entries for a table arrive out of order");
}

static int note_new_key(lsm_table_builder *builder, lsm_slice key, lsm_error *error) {
    if (builder->entry_count == 0 && lsm_key_buffer_set(&builder->smallest, key))
        return fail_memory(builder, error);
    if (builder->options.bloom_bits_per_key > 0) {
        void *hashes = builder->hashes;
        int code = grow_array(&hashes, builder->hash_count, &builder->hash_capacity, FIRST_HASH_CAPACITY,
                              sizeof *builder->hashes);
        builder->hashes = hashes;
        if (code) return fail_memory(builder, error);
        builder->hashes[builder->hash_count++] = lsm_key_hash(key.data, key.size);
    }
    return lsm_key_buffer_set(&builder->last_key, key) ? fail_memory(builder, error) : 0;
}

/* An entry that arrives settled was merged before: its table's range is all that is known of its age. */
static void widen_range(lsm_table_builder *builder, uint64_t sequence) {
    const lsm_table_options *options = &builder->options;
    int was_settled = sequence == LSM_SEQUENCE_SETTLED && options->settled_last != 0;
    uint64_t first = was_settled ? options->settled_first : sequence;
    uint64_t last = was_settled ? options->settled_last : sequence;
    if (first < builder->first_sequence) builder->first_sequence = first;
    if (last > builder->last_sequence) builder->last_sequence = last;
}

/* `stored` is the trailer that goes into the block. */
static int add_entry(lsm_table_builder *builder, lsm_slice key, uint64_t trailer, uint64_t stored,
                     lsm_slice value, lsm_error *error) {
    int new_key = 0;
    int code = check_entry(builder, key, trailer, value, &new_key, error);
    if (code) return code;
    size_t entry_size = key.size + value.size;
    if (lsm_block_builder_count(builder->block) != 0 &&
        lsm_block_builder_size_estimate(builder->block) + entry_size > builder->options.block_size) {
        code = lsm_table_builder_cut_block(builder, &key, error);
        if (code) return code;
    }
    if (new_key) {
        code = note_new_key(builder, key, error);
        if (code) return code;
    }
    code = lsm_block_builder_add(builder->block, key, stored, value);
    if (code)
        return lsm_fail(error, code, LSM_NO_OFFSET, builder->path, "an entry does not fit into a block");
    builder->last_trailer = trailer;
    builder->entry_count++;
    builder->tombstone_count += lsm_trailer_kind(trailer) == LSM_KIND_DELETE;
    builder->raw_size += entry_size;
    widen_range(builder, lsm_trailer_sequence(trailer));
    return 0;
}

/* Keeps the first failure, which every later call repeats. */
static int keep_failure(lsm_table_builder *builder, int code, const lsm_error *error) {
    if (code == 0) return 0;
    builder->failure.code = code;
    if (error != NULL) builder->failure = *error;
    return code;
}

static int repeat_failure(const lsm_table_builder *builder, lsm_error *error) {
    if (error != NULL) *error = builder->failure;
    return builder->failure.code;
}

int lsm_table_builder_add(lsm_table_builder *builder, lsm_slice key, uint64_t trailer, lsm_slice value,
                          lsm_error *error) {
    if (LSM_UNLIKELY(builder->failure.code != 0)) return repeat_failure(builder, error);
    int code = add_entry(builder, key, trailer, trailer, value, error);
    return LSM_LIKELY(code == 0) ? 0 : keep_failure(builder, code, error);
}

int lsm_table_builder_add_settled(lsm_table_builder *builder, lsm_slice key, uint64_t trailer,
                                  lsm_slice value, lsm_error *error) {
    if (LSM_UNLIKELY(builder->failure.code != 0)) return repeat_failure(builder, error);
    uint64_t stored = lsm_trailer(LSM_SEQUENCE_SETTLED, lsm_trailer_kind(trailer));
    int code = add_entry(builder, key, trailer, stored, value, error);
    return LSM_LIKELY(code == 0) ? 0 : keep_failure(builder, code, error);
}

void lsm_table_builder_expect_rewrite(lsm_table_builder *builder) { builder->rewrite_expected = 1; }

uint64_t lsm_table_builder_entry_count(const lsm_table_builder *builder) { return builder->entry_count; }

uint64_t lsm_table_builder_size_estimate(const lsm_table_builder *builder) {
    double waiting = (double)builder->raw.size;
    if (lsm_block_builder_count(builder->block) != 0)
        waiting += (double)lsm_block_builder_size_estimate(builder->block);
    if (builder->flushed_raw != 0)
        waiting *= (double)builder->flushed_stored / (double)builder->flushed_raw;
    else if (builder->codec != NULL)
        waiting /= 2;
    uint64_t filter = (uint64_t)((double)builder->hash_count * builder->options.bloom_bits_per_key / 8);
    return builder->offset + (uint64_t)waiting + lsm_index_builder_size_estimate(builder->index) + filter;
}

int lsm_table_builder_finish(lsm_table_builder *builder, lsm_table_summary *summary, lsm_error *error) {
    if (builder->failure.code != 0) return repeat_failure(builder, error);
    memset(summary, 0, sizeof *summary);
    int code = lsm_table_builder_write_rest(builder, summary, error);
    if (code) {
        lsm_table_summary_clear(summary);
        return keep_failure(builder, code, error);
    }
    return 0;
}
