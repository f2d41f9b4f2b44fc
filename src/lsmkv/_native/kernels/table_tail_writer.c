/* The end of a table: index, filter, properties, directory, footer (table_format.h); then sync and close. */
#include "table_writer.h"

#include "allocator.h"

enum { SECTIONS_MAX = 3 };

typedef struct tail_writer {
    lsm_table_builder *builder;
    lsm_error *error;
    uint64_t data_end;
    uint32_t level_count;
    lsm_table_section sections[SECTIONS_MAX];
    size_t section_count;
} tail_writer;

static int fail_memory(const tail_writer *tail) {
    return lsm_fail(tail->error, LSM_E_MEMORY, LSM_NO_OFFSET, tail->builder->path,
                    "no memory to finish a table");
}

/* Zeros up to `offset`, then the bytes. */
static int append_at(tail_writer *tail, uint64_t offset, lsm_slice bytes) {
    static const uint8_t zeros[LSM_TABLE_ALIGNMENT];
    lsm_table_builder *builder = tail->builder;
    size_t gap = (size_t)(offset - builder->offset);
    LSM_ASSERT(gap < LSM_TABLE_ALIGNMENT);
    int code = gap ? lsm_table_builder_append(builder, zeros, gap, tail->error) : 0;
    return code ? code : lsm_table_builder_append(builder, bytes.data, bytes.size, tail->error);
}

static int append_section(tail_writer *tail, uint16_t number, uint16_t flags, uint64_t offset,
                          lsm_slice bytes) {
    tail->sections[tail->section_count++] = (lsm_table_section){offset, bytes.size, number, flags};
    return append_at(tail, offset, bytes);
}

/* `block` = header room and a payload of `payload_size` bytes: sealed where it will stand. */
static void seal(const tail_writer *tail, uint8_t *block, size_t payload_size, uint8_t type,
                 uint64_t offset) {
    lsm_stored_header header = {(uint32_t)payload_size, (uint32_t)payload_size, LSM_CODEC_RAW, type};
    lsm_stored_seal(block, &header, tail->builder->options.id, offset);
}

static int write_index(tail_writer *tail) {
    lsm_table_builder *builder = tail->builder;
    uint64_t offset = lsm_tail_block_offset(builder->offset);
    lsm_slice section;
    int code = lsm_index_builder_finish(builder->index, builder->options.id, offset, &section,
                                        &tail->level_count);
    if (code) return fail_memory(tail);
    return append_section(tail, LSM_SECTION_INDEX, LSM_SECTION_MUST_UNDERSTAND, offset, section);
}

static int write_filter(tail_writer *tail) {
    lsm_table_builder *builder = tail->builder;
    if (builder->options.bloom_bits_per_key <= 0) return 0;
    double bits = builder->options.bloom_bits_per_key;
    if (bits < 1) bits = 1;
    if (bits > LSM_BLOOM_BITS_PER_KEY_MAX) bits = LSM_BLOOM_BITS_PER_KEY_MAX;
    uint32_t line_count = lsm_bloom_line_count(builder->hash_count, bits);
    uint32_t probe_count = lsm_bloom_probe_count(bits);
    const uint32_t line_count_max =
        (LSM_TABLE_PAYLOAD_SIZE_MAX - LSM_TABLE_FILTER_HEADER_SIZE) / LSM_BLOOM_LINE_SIZE;
    if (line_count > line_count_max) line_count = line_count_max;

    size_t payload_size = LSM_TABLE_FILTER_HEADER_SIZE + (size_t)line_count * LSM_BLOOM_LINE_SIZE;
    uint8_t *block = lsm_calloc(1, LSM_TABLE_BLOCK_HEADER_SIZE + payload_size);
    if (block == NULL) return fail_memory(tail);
    uint8_t *payload = block + LSM_TABLE_BLOCK_HEADER_SIZE;
    lsm_store32(payload, line_count);
    lsm_store32(payload + 4, probe_count);
    lsm_store32(payload + 8, LSM_TABLE_FILTER_HASH_MURMUR3);
    for (size_t i = 0; i < builder->hash_count; i++)
        lsm_bloom_add(payload + LSM_TABLE_FILTER_HEADER_SIZE, line_count, probe_count, builder->hashes[i]);
    uint64_t offset = lsm_tail_block_offset(builder->offset);
    seal(tail, block, payload_size, LSM_STORED_FILTER, offset);
    lsm_slice bytes = {block, LSM_TABLE_BLOCK_HEADER_SIZE + payload_size};
    int code = append_section(tail, LSM_SECTION_FILTER, 0, offset, bytes);
    lsm_free(block);
    return code;
}

static int write_properties(tail_writer *tail) {
    lsm_table_builder *builder = tail->builder;
    lsm_slice smallest = lsm_key_buffer_slice(&builder->smallest);
    lsm_slice largest = lsm_key_buffer_slice(&builder->last_key);
    size_t payload_size = LSM_TABLE_PROPERTIES_SIZE + smallest.size + largest.size;
    uint8_t *block = lsm_calloc(1, LSM_TABLE_BLOCK_HEADER_SIZE + payload_size);
    if (block == NULL) return fail_memory(tail);
    uint8_t *payload = block + LSM_TABLE_BLOCK_HEADER_SIZE;
    lsm_store64(payload, builder->entry_count);
    lsm_store64(payload + 8, builder->tombstone_count);
    lsm_store64(payload + 16, builder->raw_size);
    lsm_store64(payload + 24, builder->first_sequence);
    lsm_store64(payload + 32, builder->last_sequence);
    lsm_store32(payload + 40, lsm_index_builder_block_count(builder->index));
    lsm_store32(payload + 44, tail->level_count);
    lsm_store32(payload + 48, builder->options.block_size);
    lsm_store32(payload + 56, (uint32_t)smallest.size);
    lsm_store32(payload + 60, (uint32_t)largest.size);
    uint8_t *keys = payload + LSM_TABLE_PROPERTIES_SIZE;
    memcpy(keys, smallest.data, smallest.size);
    memcpy(keys + smallest.size, largest.data, largest.size);
    uint64_t offset = lsm_tail_block_offset(builder->offset);
    seal(tail, block, payload_size, LSM_STORED_PROPERTIES, offset);
    lsm_slice bytes = {block, LSM_TABLE_BLOCK_HEADER_SIZE + payload_size};
    int code = append_section(tail, LSM_SECTION_PROPERTIES, LSM_SECTION_MUST_UNDERSTAND, offset, bytes);
    lsm_free(block);
    return code;
}

static int write_directory_and_footer(tail_writer *tail) {
    lsm_table_builder *builder = tail->builder;
    uint8_t block[LSM_TABLE_BLOCK_HEADER_SIZE + SECTIONS_MAX * LSM_TABLE_SECTION_SIZE];
    for (size_t i = 0; i < tail->section_count; i++) {
        uint8_t *p = block + LSM_TABLE_BLOCK_HEADER_SIZE + i * LSM_TABLE_SECTION_SIZE;
        lsm_store16(p, tail->sections[i].number);
        lsm_store16(p + 2, tail->sections[i].flags);
        lsm_store32(p + 4, 0);
        lsm_store64(p + 8, tail->sections[i].offset);
        lsm_store64(p + 16, tail->sections[i].size);
    }
    size_t payload_size = tail->section_count * LSM_TABLE_SECTION_SIZE;
    lsm_slice directory = {block, LSM_TABLE_BLOCK_HEADER_SIZE + payload_size};
    lsm_table_footer footer = {.directory_offset = lsm_tail_block_offset(builder->offset),
                               .directory_size = (uint32_t)directory.size};
    seal(tail, block, payload_size, LSM_STORED_DIRECTORY, footer.directory_offset);
    int code = append_at(tail, footer.directory_offset, directory);
    if (code) return code;

    uint64_t offset = lsm_footer_offset(builder->offset);
    memcpy(footer.id, builder->options.id, LSM_TABLE_ID_SIZE);
    footer.file_size = offset + LSM_TABLE_FOOTER_SIZE;
    footer.tail_size = footer.file_size - tail->data_end;
    uint8_t bytes[LSM_TABLE_FOOTER_SIZE];
    lsm_table_footer_store(bytes, &footer, offset);
    return append_at(tail, offset, (lsm_slice){bytes, sizeof bytes});
}

static int copy_key(const lsm_key_buffer *key, uint8_t **data, size_t *size) {
    *data = lsm_alloc(key->size);
    if (*data == NULL) return LSM_E_MEMORY;
    memcpy(*data, key->data, key->size);
    *size = key->size;
    return 0;
}

static int fill_summary(const tail_writer *tail, lsm_table_summary *summary) {
    const lsm_table_builder *builder = tail->builder;
    if (copy_key(&builder->smallest, &summary->smallest, &summary->smallest_size) ||
        copy_key(&builder->last_key, &summary->largest, &summary->largest_size))
        return fail_memory(tail);
    memcpy(summary->id, builder->options.id, LSM_TABLE_ID_SIZE);
    summary->file_size = builder->offset;
    summary->tail_size = builder->offset - tail->data_end;
    summary->entry_count = builder->entry_count;
    summary->tombstone_count = builder->tombstone_count;
    summary->raw_size = builder->raw_size;
    summary->first_sequence = builder->first_sequence;
    summary->last_sequence = builder->last_sequence;
    return 0;
}

static int sync_and_close(tail_writer *tail) {
    lsm_table_builder *builder = tail->builder;
    lsm_file *file = builder->file;
    int code = file->ops->sync(file, tail->error);
    if (code) return code;
    builder->file = NULL;
    return file->ops->close(file, tail->error);
}

int lsm_table_builder_write_rest(lsm_table_builder *builder, lsm_table_summary *summary, lsm_error *error) {
    if (builder->entry_count == 0)
        return lsm_fail(error, LSM_E_LIMIT, LSM_NO_OFFSET, builder->path, "a table needs at least one entry");
    int code = lsm_table_builder_cut_block(builder, NULL, error);
    if (code == 0) code = lsm_table_builder_flush_run(builder, error);
    if (code) return code;
    tail_writer tail = {.builder = builder, .error = error, .data_end = builder->offset};
    code = write_index(&tail);
    if (code == 0) code = write_filter(&tail);
    if (code == 0) code = write_properties(&tail);
    if (code == 0) code = write_directory_and_footer(&tail);
    if (code == 0) code = fill_summary(&tail, summary);
    return code ? code : sync_and_close(&tail);
}

void lsm_table_summary_clear(lsm_table_summary *summary) {
    lsm_free(summary->smallest);
    lsm_free(summary->largest);
    summary->smallest = summary->largest = NULL;
    summary->smallest_size = summary->largest_size = 0;
}
