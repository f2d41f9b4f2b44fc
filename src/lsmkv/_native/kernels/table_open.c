/* Opening a table: header, footer, directory, sections. Nothing is believed before it was checked, and
 * nothing is allocated whose size the file's own length does not bound.
 *
 * The tail is read into memory that is aligned as the file is, so that index nodes and filter lines are used
 * where they stand. The handle used here is closed again: the pool opens its own at the first read, which is
 * why opening needs no lock.
 */
#include "table_reader.h"

#include "allocator.h"

typedef struct table_opener {
    lsm_table *table;
    lsm_file *file;
    lsm_error *error;
    uint64_t file_size;
    uint8_t id[LSM_TABLE_ID_SIZE]; /* from the file header */
    lsm_table_footer footer;
} table_opener;

static int corrupt(const table_opener *opener, uint64_t offset, const char *what) {
    return lsm_fail(opener->error, LSM_E_CORRUPT, offset, opener->table->path, "%s", what);
}

static int no_memory(const table_opener *opener) {
    return lsm_fail(opener->error, LSM_E_MEMORY, LSM_NO_OFFSET, opener->table->path,
                    "no memory to open a table");
}

static int read_exactly(const table_opener *opener, uint64_t offset, uint8_t *buffer, size_t size) {
    int64_t got = opener->file->ops->read(opener->file, offset, buffer, size, opener->error);
    if (got < 0) return (int)got;
    return (size_t)got == size ? 0 : corrupt(opener, offset, "the file ends early");
}

static int check_file_size(table_opener *opener, uint64_t expected) {
    int code = opener->file->ops->size(opener->file, &opener->file_size, opener->error);
    if (code) return code;
    if (expected != 0 && expected != opener->file_size)
        return lsm_fail(opener->error, LSM_E_CORRUPT, opener->file_size, opener->table->path,
                        "the table should have %llu bytes", (unsigned long long)expected);
    if (opener->file_size < LSM_TABLE_HEADER_SIZE + LSM_TABLE_FOOTER_SIZE)
        return corrupt(opener, opener->file_size, "too short for a table");
    return 0;
}

static int check_header(table_opener *opener, const uint8_t *id) {
    uint8_t bytes[LSM_TABLE_HEADER_SIZE];
    int code = read_exactly(opener, 0, bytes, sizeof bytes);
    if (code == 0) code = lsm_table_header_check(bytes, opener->id, opener->table->path, opener->error);
    if (code) return code;
    if (id != NULL && memcmp(id, opener->id, LSM_TABLE_ID_SIZE) != 0)
        return corrupt(opener, 16, "another table stands in this file: its id differs");
    return 0;
}

static int check_footer(table_opener *opener, const uint8_t *bytes) {
    uint64_t offset = opener->file_size - LSM_TABLE_FOOTER_SIZE;
    int code = lsm_table_footer_check(bytes, offset, &opener->footer, opener->table->path, opener->error);
    if (code) return code;
    if (memcmp(opener->footer.id, opener->id, LSM_TABLE_ID_SIZE) != 0)
        return corrupt(opener, offset + 8, "header and footer have different table ids");
    if (opener->footer.file_size != opener->file_size)
        return corrupt(opener, offset + 24, "the footer states another file size");
    return 0;
}

/* Reads the tail and checks the footer in it; `tail_size` 0 = as the footer says. */
static int read_tail(table_opener *opener, uint64_t tail_size) {
    lsm_table *table = opener->table;
    uint64_t footer_offset = opener->file_size - LSM_TABLE_FOOTER_SIZE;
    if (tail_size == 0) {
        uint8_t bytes[LSM_TABLE_FOOTER_SIZE];
        int code = read_exactly(opener, footer_offset, bytes, sizeof bytes);
        if (code == 0) code = check_footer(opener, bytes);
        if (code) return code;
        tail_size = opener->footer.tail_size;
    }
    if (tail_size < LSM_TABLE_FOOTER_SIZE || tail_size > opener->file_size - LSM_TABLE_HEADER_SIZE)
        return corrupt(opener, footer_offset + 32, "impossible tail size");
    uint64_t offset = opener->file_size - tail_size;
    size_t shift = offset % LSM_TABLE_ALIGNMENT;
    table->tail_base = lsm_alloc_aligned(shift + (size_t)tail_size);
    if (table->tail_base == NULL) return no_memory(opener);
    uint8_t *data = table->tail_base + shift;
    int code = read_exactly(opener, offset, data, (size_t)tail_size);
    if (code == 0) code = check_footer(opener, data + tail_size - LSM_TABLE_FOOTER_SIZE);
    if (code) return code;
    if (opener->footer.tail_size != tail_size)
        return corrupt(opener, footer_offset + 32, "another tail size");
    table->tail = (lsm_table_tail){data, offset, tail_size, table->summary.id, table->path};
    return 0;
}

/* --- sections ----------------------------------------------------------------------------------------- */

static const uint8_t *tail_at(const lsm_table *table, uint64_t offset) {
    return table->tail.data + (offset - table->tail.offset);
}

static int check_zeros(const table_opener *opener, uint64_t from, uint64_t to) {
    for (uint64_t offset = from; offset < to; offset++) {
        if (*tail_at(opener->table, offset) != 0) return corrupt(opener, offset, "padding is not zero");
    }
    return 0;
}

static int check_directory(table_opener *opener, lsm_slice *payload) {
    lsm_table *table = opener->table;
    const lsm_table_footer *footer = &opener->footer;
    uint64_t footer_offset = opener->file_size - LSM_TABLE_FOOTER_SIZE;
    if (footer->directory_offset < table->tail.offset || footer->directory_offset > footer_offset ||
        footer->directory_offset != lsm_tail_block_offset(footer->directory_offset) ||
        footer->directory_size > footer_offset - footer->directory_offset ||
        lsm_footer_offset(footer->directory_offset + footer->directory_size) != footer_offset)
        return corrupt(opener, footer_offset + 40, "the section directory is out of place");
    const uint8_t *p = tail_at(table, footer->directory_offset);
    lsm_stored_header header;
    int code = lsm_stored_check(p, footer->directory_size, LSM_STORED_DIRECTORY, table->summary.id,
                                footer->directory_offset, &header, table->path, opener->error);
    if (code) return code;
    if (header.codec != LSM_CODEC_RAW || header.raw_size % LSM_TABLE_SECTION_SIZE != 0)
        return corrupt(opener, footer->directory_offset, "a malformed section directory");
    *payload = (lsm_slice){p + LSM_TABLE_BLOCK_HEADER_SIZE, header.raw_size};
    table->directory = (lsm_table_section){footer->directory_offset, footer->directory_size, 0, 0};
    return check_zeros(opener, footer->directory_offset + footer->directory_size, footer_offset);
}

static int check_section(table_opener *opener, const uint8_t *p, uint64_t *end) {
    lsm_table *table = opener->table;
    lsm_table_section section = {lsm_load64(p + 8), lsm_load64(p + 16), lsm_load16(p), lsm_load16(p + 2)};
    uint64_t limit = opener->footer.directory_offset;
    if (lsm_load32(p + 4) != 0 || section.offset != lsm_tail_block_offset(*end) || section.offset > limit ||
        section.size < LSM_TABLE_BLOCK_HEADER_SIZE || section.size > limit - section.offset)
        return corrupt(opener, limit, "a section is out of place");
    int known = section.number >= LSM_SECTION_INDEX && section.number <= LSM_SECTION_PROPERTIES;
    if (!known && (section.flags & LSM_SECTION_MUST_UNDERSTAND ||
                   section.number == LSM_SECTION_RANGE_DELETES))
        return lsm_fail(opener->error, LSM_E_FORMAT, section.offset, table->path,
                        "section %u must be understood, and this build does not", section.number);
    if (table->section_count == LSM_TABLE_SECTIONS_MAX) return corrupt(opener, limit, "too many sections");
    for (uint32_t i = 0; i < table->section_count; i++) {
        if (table->sections[i].number == section.number)
            return corrupt(opener, limit, "a section stands twice");
    }
    int code = check_zeros(opener, *end, section.offset);
    if (code) return code;
    table->sections[table->section_count++] = section;
    *end = section.offset + section.size;
    return 0;
}

static int check_sections(table_opener *opener) {
    lsm_slice payload = {NULL, 0};
    int code = check_directory(opener, &payload);
    uint64_t end = opener->table->tail.offset;
    for (size_t i = 0; code == 0 && i < payload.size; i += LSM_TABLE_SECTION_SIZE)
        code = check_section(opener, payload.data + i, &end);
    if (code) return code;
    if (lsm_tail_block_offset(end) != opener->footer.directory_offset)
        return corrupt(opener, end, "bytes that belong to no section");
    return check_zeros(opener, end, opener->footer.directory_offset);
}

static const lsm_table_section *find_section(const lsm_table *table, uint16_t number) {
    for (uint32_t i = 0; i < table->section_count; i++) {
        if (table->sections[i].number == number) return &table->sections[i];
    }
    return NULL;
}

/* The payload of a section that is one raw block of at least `size_min` bytes. */
static int section_payload(table_opener *opener, const lsm_table_section *section, int type, size_t size_min,
                           lsm_slice *payload) {
    lsm_table *table = opener->table;
    const uint8_t *p = tail_at(table, section->offset);
    lsm_stored_header header;
    int code = lsm_stored_check(p, (size_t)section->size, type, table->summary.id, section->offset, &header,
                                table->path, opener->error);
    if (code) return code;
    if (header.codec != LSM_CODEC_RAW || header.raw_size < size_min)
        return corrupt(opener, section->offset, "a malformed section");
    *payload = (lsm_slice){p + LSM_TABLE_BLOCK_HEADER_SIZE, header.raw_size};
    return 0;
}

static int open_filter(table_opener *opener) {
    lsm_table *table = opener->table;
    const lsm_table_section *section = find_section(table, LSM_SECTION_FILTER);
    if (section == NULL) return 0;
    lsm_slice payload = {NULL, 0};
    int code = section_payload(opener, section, LSM_STORED_FILTER, LSM_TABLE_FILTER_HEADER_SIZE, &payload);
    if (code) return code;
    /* A filter is an aid: one that hashes otherwise is left alone. */
    if (lsm_load32(payload.data + 8) != LSM_TABLE_FILTER_HASH_MURMUR3) return 0;
    uint32_t line_count = lsm_load32(payload.data), probe_count = lsm_load32(payload.data + 4);
    if (probe_count == 0 || probe_count > LSM_BLOOM_PROBES_MAX ||
        payload.size != LSM_TABLE_FILTER_HEADER_SIZE + (uint64_t)line_count * LSM_BLOOM_LINE_SIZE)
        return corrupt(opener, section->offset, "impossible filter parameters");
    for (size_t i = 12; i < LSM_TABLE_FILTER_HEADER_SIZE; i++) {
        if (payload.data[i] != 0) return corrupt(opener, section->offset, "padding is not zero");
    }
    table->filter = (lsm_bloom){payload.data + LSM_TABLE_FILTER_HEADER_SIZE, line_count, probe_count};
    table->has_filter = 1;
    return 0;
}

static int read_properties(table_opener *opener, const uint8_t *p, size_t size) {
    lsm_table_summary *summary = &opener->table->summary;
    summary->entry_count = lsm_load64(p);
    summary->tombstone_count = lsm_load64(p + 8);
    summary->raw_size = lsm_load64(p + 16);
    summary->first_sequence = lsm_load64(p + 24);
    summary->last_sequence = lsm_load64(p + 32);
    opener->table->block_size = lsm_load32(p + 48);
    summary->smallest_size = lsm_load32(p + 56);
    summary->largest_size = lsm_load32(p + 60);
    summary->smallest = (uint8_t *)p + LSM_TABLE_PROPERTIES_SIZE;
    summary->largest = summary->smallest + summary->smallest_size;
    summary->file_size = opener->file_size;
    summary->tail_size = opener->table->tail.size;
    if (summary->smallest_size > LSM_KEY_SIZE_MAX || summary->largest_size > LSM_KEY_SIZE_MAX ||
        summary->smallest_size + summary->largest_size != size - LSM_TABLE_PROPERTIES_SIZE)
        return -1;
    lsm_slice smallest = {summary->smallest, summary->smallest_size};
    lsm_slice largest = {summary->largest, summary->largest_size};
    if (lsm_load32(p + 52) != 0 || summary->entry_count == 0 ||
        summary->tombstone_count > summary->entry_count ||
        summary->first_sequence > summary->last_sequence || summary->last_sequence > LSM_SEQUENCE_MAX ||
        lsm_slice_compare(smallest, largest) > 0)
        return -1;
    return 0;
}

static int open_properties_and_index(table_opener *opener) {
    lsm_table *table = opener->table;
    const lsm_table_section *section = find_section(table, LSM_SECTION_PROPERTIES);
    const lsm_table_section *index_section = find_section(table, LSM_SECTION_INDEX);
    if (section == NULL || index_section == NULL)
        return corrupt(opener, opener->footer.directory_offset, "index or properties are missing");
    lsm_slice payload = {NULL, 0};
    int code = section_payload(opener, section, LSM_STORED_PROPERTIES, LSM_TABLE_PROPERTIES_SIZE, &payload);
    if (code) return code;
    if (read_properties(opener, payload.data, payload.size))
        return corrupt(opener, section->offset, "impossible properties");
    uint32_t block_count = lsm_load32(payload.data + 40), level_count = lsm_load32(payload.data + 44);
    code = lsm_index_open(&table->index, &table->tail, index_section, block_count, opener->error);
    if (code == LSM_E_MEMORY) return no_memory(opener);
    if (code) return code;
    const lsm_block_view *root = &table->index.nodes[table->index.node_count - 1].view;
    lsm_slice largest = {table->summary.largest, table->summary.largest_size};
    if (table->index.level_count != level_count || !lsm_block_key_equals(root, root->count - 1, largest))
        return corrupt(opener, section->offset, "properties contradict the index");
    table->slots = lsm_calloc(block_count, sizeof *table->slots);
    return table->slots == NULL ? no_memory(opener) : 0;
}

static int open_parts(table_opener *opener, const uint8_t *id, uint64_t file_size, uint64_t tail_size) {
    int code = check_file_size(opener, file_size);
    if (code == 0) code = check_header(opener, id);
    if (code) return code;
    memcpy(opener->table->summary.id, opener->id, LSM_TABLE_ID_SIZE);
    code = read_tail(opener, tail_size);
    if (code == 0) code = check_sections(opener);
    if (code == 0) code = open_filter(opener);
    return code ? code : open_properties_and_index(opener);
}

static lsm_table *create_table(lsm_file_pool *pool, const char *path, uint64_t number, const lsm_codec *codec,
                               lsm_cache *cache) {
    lsm_table *table = lsm_calloc(1, sizeof *table);
    size_t path_size = strlen(path) + 1;
    char *copy = lsm_alloc(path_size);
    if (table == NULL || copy == NULL) {
        lsm_free(table);
        lsm_free(copy);
        return NULL;
    }
    memcpy(copy, path, path_size);
    table->path = copy;
    table->file.path = copy;
    table->pool = pool;
    table->codec = codec;
    table->cache = cache;
    table->number = table->summary.number = number;
    table->references = 1;
    return table;
}

int lsm_table_open(lsm_file_pool *pool, const char *path, uint64_t number, const uint8_t *id,
                   uint64_t file_size,
                   uint64_t tail_size, const lsm_codec *codec, lsm_cache *cache, lsm_table **out,
                   lsm_error *error) {
    *out = NULL;
    lsm_table *table = create_table(pool, path, number, codec, cache);
    if (table == NULL) return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, path, "no memory to open a table");
    table_opener opener = {.table = table, .error = error};
    int code = pool->vfs->ops->open(pool->vfs, path, LSM_OPEN_READ, &opener.file, error);
    if (code == 0) {
        lsm_error ignored;
        code = open_parts(&opener, id, file_size, tail_size);
        opener.file->ops->close(opener.file, &ignored);
    }
    if (code) {
        lsm_table_release(table);
        return code;
    }
    *out = table;
    return 0;
}
