/* Building the index bottom-up. Level 1 nodes are finished as data blocks arrive; every upper level is built
 * at the end from the last separators of the level below, until one node is left. Finished nodes stand in one
 * buffer exactly as in the file, zero padding included; only checksums wait for the section's offset.
 */
#include <string.h>

#include "allocator.h"
#include "table_index.h"

enum { FIRST_CAPACITY = 4096 };

struct lsm_index_builder {
    lsm_block_builder *open; /* the node under construction */
    uint8_t *bytes;          /* finished nodes; byte 0 is the first node's header */
    size_t size, capacity;
    uint32_t block_count;    /* children of level 1 */
    uint32_t node_count;     /* finished nodes */
};

lsm_index_builder *lsm_index_builder_create(void) {
    lsm_index_builder *builder = lsm_calloc(1, sizeof *builder);
    if (builder == NULL) return NULL;
    builder->open = lsm_block_builder_create();
    if (builder->open == NULL) {
        lsm_free(builder);
        return NULL;
    }
    return builder;
}

void lsm_index_builder_destroy(lsm_index_builder *builder) {
    if (builder == NULL) return;
    lsm_block_builder_destroy(builder->open);
    lsm_free(builder->bytes);
    lsm_free(builder);
}

uint32_t lsm_index_builder_block_count(const lsm_index_builder *builder) { return builder->block_count; }

uint64_t lsm_index_builder_size_estimate(const lsm_index_builder *builder) {
    return builder->size + lsm_block_builder_size_estimate(builder->open);
}

/* Positions in the buffer are those in the file but for a multiple of the alignment and this. */
static size_t next_position(size_t end) {
    return (size_t)lsm_tail_block_offset(end + LSM_TABLE_ALIGNMENT - LSM_TABLE_BLOCK_HEADER_SIZE) -
           (LSM_TABLE_ALIGNMENT - LSM_TABLE_BLOCK_HEADER_SIZE);
}

static int reserve(lsm_index_builder *builder, size_t size) {
    if (size <= builder->capacity) return 0;
    size_t capacity = builder->capacity ? builder->capacity : FIRST_CAPACITY;
    while (capacity < size) capacity *= 2;
    uint8_t *bytes = lsm_realloc(builder->bytes, capacity);
    if (bytes == NULL) return LSM_E_MEMORY;
    builder->bytes = bytes;
    builder->capacity = capacity;
    return 0;
}

static int finish_node(lsm_index_builder *builder) {
    size_t start = next_position(builder->size);
    size_t payload_size = lsm_block_builder_finished_size(builder->open);
    size_t end = start + LSM_TABLE_BLOCK_HEADER_SIZE + payload_size;
    if (reserve(builder, end)) return LSM_E_MEMORY;
    memset(builder->bytes + builder->size, 0, start + LSM_TABLE_BLOCK_HEADER_SIZE - builder->size);
    lsm_block_builder_finish(builder->open, builder->bytes + start + LSM_TABLE_BLOCK_HEADER_SIZE);
    lsm_store32(builder->bytes + start + 4, (uint32_t)payload_size);
    builder->size = end;
    builder->node_count++;
    lsm_block_builder_reset(builder->open);
    return 0;
}

static int is_full(const lsm_index_builder *builder) {
    uint32_t count = lsm_block_builder_count(builder->open);
    return count >= LSM_TABLE_INDEX_FAN_OUT ||
           (count >= 2 && lsm_block_builder_size_estimate(builder->open) >= LSM_TABLE_INDEX_NODE_SIZE);
}

/* Into the level under construction. A full node is finished before the next entry, never left empty. */
static int add_entry(lsm_index_builder *builder, lsm_slice key, uint64_t trailer, lsm_table_handle handle) {
    if (is_full(builder) && finish_node(builder)) return LSM_E_MEMORY;
    uint8_t value[LSM_TABLE_HANDLE_SIZE];
    lsm_handle_store(value, handle);
    return lsm_block_builder_add(builder->open, key, trailer, (lsm_slice){value, sizeof value});
}

int lsm_index_builder_add(lsm_index_builder *builder, lsm_slice separator, uint64_t trailer, uint64_t offset,
                          uint32_t size) {
    if (builder->block_count == UINT32_MAX) return LSM_E_LIMIT;
    lsm_table_handle handle = {offset, size, builder->block_count};
    int code = add_entry(builder, separator, trailer, handle);
    if (code == 0) builder->block_count++;
    return code;
}

typedef struct node_position {
    size_t start; /* in the buffer */
    uint32_t size; /* of the stored block */
} node_position;

static node_position node_at(const lsm_index_builder *builder, size_t start) {
    uint32_t payload_size = lsm_load32(builder->bytes + start + 4);
    return (node_position){start, LSM_TABLE_BLOCK_HEADER_SIZE + payload_size};
}

/* One entry in the level above for the node at `position`, whose last separator it repeats. */
static int add_child(lsm_index_builder *builder, node_position position, uint32_t ordinal, uint64_t base,
                     uint8_t *key) {
    lsm_block_view view;
    const uint8_t *payload = builder->bytes + position.start + LSM_TABLE_BLOCK_HEADER_SIZE;
    int code = lsm_block_parse(payload, position.size - LSM_TABLE_BLOCK_HEADER_SIZE, &view, NULL);
    LSM_ASSERT(code == 0);
    if (code) return code;
    uint32_t last = view.count - 1;
    lsm_slice separator = {key, lsm_block_key_copy(&view, last, key)};
    lsm_table_handle handle = {base + position.start, position.size, ordinal};
    return add_entry(builder, separator, lsm_block_trailer(&view, last), handle);
}

/* Adds the level above the nodes that begin at `start`; `count` is that level's node count and becomes the
 * new one's, `start` its first node. */
static int add_level(lsm_index_builder *builder, size_t *start, uint32_t *count, uint64_t base,
                     uint8_t *key) {
    size_t position = *start;
    uint32_t children = *count, nodes_before = builder->node_count;
    *start = next_position(builder->size);
    for (uint32_t i = 0; i < children; i++) {
        node_position child = node_at(builder, position);
        int code = add_child(builder, child, i, base, key);
        if (code) return code;
        position = next_position(child.start + child.size);
    }
    if (finish_node(builder)) return LSM_E_MEMORY;
    *count = builder->node_count - nodes_before;
    return 0;
}

static void seal_nodes(lsm_index_builder *builder, const uint8_t *id, uint64_t base) {
    size_t position = 0;
    for (uint32_t i = 0; i < builder->node_count; i++) {
        node_position node = node_at(builder, position);
        uint32_t payload_size = node.size - LSM_TABLE_BLOCK_HEADER_SIZE;
        lsm_stored_header header = {payload_size, payload_size, LSM_CODEC_RAW, LSM_STORED_INDEX};
        lsm_stored_seal(builder->bytes + node.start, &header, id, base + node.start);
        position = next_position(node.start + node.size);
    }
}

int lsm_index_builder_finish(lsm_index_builder *builder, const uint8_t *id, uint64_t offset,
                             lsm_slice *section, uint32_t *level_count) {
    LSM_ASSERT(builder->block_count > 0 && offset == lsm_tail_block_offset(offset));
    if (finish_node(builder)) return LSM_E_MEMORY;
    uint8_t *key = lsm_alloc(LSM_KEY_SIZE_MAX + LSM_HEAD_SIZE);
    if (key == NULL) return LSM_E_MEMORY;
    size_t start = 0;
    uint32_t count = builder->node_count;
    int code = 0;
    *level_count = 1;
    while (count > 1 && code == 0) {
        code = add_level(builder, &start, &count, offset, key);
        (*level_count)++;
    }
    lsm_free(key);
    if (code) return code;
    seal_nodes(builder, id, offset);
    *section = (lsm_slice){builder->bytes, builder->size};
    return 0;
}

static size_t copy_prefix(uint8_t *output, lsm_slice key, size_t size) {
    if (size != 0) memcpy(output, key.data, size);
    return size;
}

size_t lsm_separator(lsm_slice last, lsm_slice next, uint8_t *output) {
    size_t limit = last.size < next.size ? last.size : next.size;
    size_t shared = lsm_shared_size(last.data, next.data, limit);
    /* Nothing shorter than `last` serves when it is a prefix of `next` or ends with the byte that differs. */
    if (shared + 1 >= last.size) return copy_prefix(output, last, last.size);
    LSM_ASSERT(shared < next.size && last.data[shared] < next.data[shared]);
    unsigned above = last.data[shared] + 1u;
    if (above < next.data[shared] || shared + 1 < next.size) {
        size_t size = copy_prefix(output, last, shared);
        output[size] = (uint8_t)above;
        return size + 1;
    }
    /* `next` ends with the byte one above: past the run of 0xFF that follows in `last` there is room. */
    size_t size = shared + 1;
    while (size < last.size && last.data[size] == 0xFF) size++;
    if (size + 1 >= last.size) return copy_prefix(output, last, last.size);
    copy_prefix(output, last, size);
    output[size] = last.data[size] + 1;
    return size + 1;
}
