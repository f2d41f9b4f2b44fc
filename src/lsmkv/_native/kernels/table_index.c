/* Opening the index: every node is parsed in place, every handle and separator is checked against what it
 * stands for, so that nothing a search or a load uses later can lead outside the file.
 */
#include "table_index.h"

#include "allocator.h"

/* What the walk over the nodes carries along. */
typedef struct index_walk {
    lsm_index *index;
    const lsm_table_tail *tail;
    lsm_error *error;
    uint8_t *key;         /* scratch for one separator */
    uint64_t data_offset; /* where the next data block must begin */
    uint32_t children;    /* of the current level */
    uint32_t consumed;    /* of those, by the nodes so far */
} index_walk;

static int fail(const index_walk *walk, uint64_t offset, const char *what) {
    return lsm_fail(walk->error, LSM_E_CORRUPT, offset, walk->tail->path, "index: %s", what);
}

/* Finds the nodes of the section one behind the other. `nodes` NULL: only counts them. */
static int split_section(const lsm_table_tail *tail, const lsm_table_section *section, lsm_index_node *nodes,
                         uint32_t *count, lsm_error *error) {
    uint64_t offset = section->offset, end = section->offset + section->size;
    *count = 0;
    while (offset < end) {
        if (offset != lsm_tail_block_offset(offset) || end - offset < LSM_TABLE_BLOCK_HEADER_SIZE)
            return lsm_fail(error, LSM_E_CORRUPT, offset, tail->path, "index: a node is out of place");
        const uint8_t *p = tail->data + (offset - tail->offset);
        uint64_t size = LSM_TABLE_BLOCK_HEADER_SIZE + (uint64_t)lsm_load32(p + 4);
        if (size > end - offset || size > UINT32_MAX || *count == UINT32_MAX)
            return lsm_fail(error, LSM_E_CORRUPT, offset, tail->path,
                            "index: a node reaches beyond its section");
        if (nodes != NULL) nodes[*count] = (lsm_index_node){.offset = offset, .size = (uint32_t)size};
        (*count)++;
        offset += size;
        if (offset == end) break;
        uint64_t next = lsm_tail_block_offset(offset);
        if (next >= end)
            return lsm_fail(error, LSM_E_CORRUPT, offset, tail->path, "index: bytes after the last node");
        for (; offset < next; offset++) {
            if (tail->data[offset - tail->offset] != 0)
                return lsm_fail(error, LSM_E_CORRUPT, offset, tail->path, "index: padding is not zero");
        }
    }
    return 0;
}

static int parse_node(index_walk *walk, lsm_index_node *node) {
    const lsm_table_tail *tail = walk->tail;
    const uint8_t *p = tail->data + (node->offset - tail->offset);
    lsm_stored_header header;
    int code = lsm_stored_check(p, node->size, LSM_STORED_INDEX, tail->id, node->offset, &header, tail->path,
                                walk->error);
    if (code) return code;
    if (header.codec != LSM_CODEC_RAW) return fail(walk, node->offset, "a node is not raw");
    code = lsm_block_parse(p + LSM_TABLE_BLOCK_HEADER_SIZE, header.raw_size, &node->view, walk->error);
    if (code) {
        if (walk->error != NULL) walk->error->offset = node->offset;
        lsm_error_set_path(walk->error, tail->path);
        return code;
    }
    if (node->view.count == 0) return fail(walk, node->offset, "a node is empty");
    return 0;
}

/* A node's entries come after those of the node before it in its level. */
static int check_order(index_walk *walk, lsm_index_node *node) {
    if (walk->consumed != 0) {
        const lsm_block_view *before = &node[-1].view;
        lsm_slice key = {walk->key, lsm_block_key_copy(before, before->count - 1, walk->key)};
        uint64_t sequence = lsm_block_sequence(before, before->count - 1);
        lsm_target target = {key.data, key.size, sequence};
        if (lsm_block_search(&node->view, &target) != 0 ||
            (lsm_block_sequence(&node->view, 0) == sequence && lsm_block_key_equals(&node->view, 0, key)))
            return fail(walk, node->offset, "nodes are out of order");
    }
    return 0;
}

static int check_data_child(index_walk *walk, const lsm_index_node *node, lsm_table_handle handle) {
    if (handle.offset != walk->data_offset || handle.size <= LSM_TABLE_BLOCK_HEADER_SIZE ||
        handle.size - LSM_TABLE_BLOCK_HEADER_SIZE > LSM_TABLE_PAYLOAD_SIZE_MAX ||
        handle.size > walk->tail->offset - walk->data_offset)
        return fail(walk, node->offset, "data blocks are not adjacent");
    walk->index->block_offsets[handle.ordinal] = handle.offset;
    walk->data_offset += handle.size;
    return 0;
}

static int check_node_child(index_walk *walk, const lsm_index_node *node, uint32_t entry,
                            const lsm_index_node *child, lsm_table_handle handle) {
    uint32_t last = child->view.count - 1;
    lsm_slice key = {walk->key, lsm_block_key_copy(&child->view, last, walk->key)};
    if (handle.offset != child->offset || handle.size != child->size ||
        lsm_block_trailer(&child->view, last) != lsm_block_trailer(&node->view, entry) ||
        !lsm_block_key_equals(&node->view, entry, key))
        return fail(walk, node->offset, "an entry contradicts its child");
    return 0;
}

static int check_children(index_walk *walk, lsm_index_node *node) {
    lsm_index *index = walk->index;
    uint32_t level = index->level_count - 1;
    if (node->view.count > walk->children - walk->consumed)
        return fail(walk, node->offset, "too many entries");
    node->first_child = walk->consumed;
    for (uint32_t i = 0; i < node->view.count; i++) {
        lsm_slice value = lsm_block_value(&node->view, i);
        uint32_t ordinal = walk->consumed + i;
        if (value.size != LSM_TABLE_HANDLE_SIZE)
            return fail(walk, node->offset, "a handle has the wrong size");
        lsm_table_handle handle = lsm_handle_load(value.data);
        if (handle.ordinal != ordinal) return fail(walk, node->offset, "ordinals are not consecutive");
        int code = level == 0 ? check_data_child(walk, node, handle)
                              : check_node_child(walk, node, i,
                                                 &index->nodes[index->level_start[level - 1] + ordinal],
                                                 handle);
        if (code) return code;
    }
    walk->consumed += node->view.count;
    return 0;
}

/* REQUIRES: nodes found by split_section; walks them as levels up to the root. */
static int check_levels(index_walk *walk) {
    lsm_index *index = walk->index;
    index->level_count = 1;
    for (uint32_t i = 0; i < index->node_count; i++) {
        lsm_index_node *node = &index->nodes[i];
        int code = parse_node(walk, node);
        if (code == 0) code = check_order(walk, node);
        if (code == 0) code = check_children(walk, node);
        if (code) return code;
        if (walk->consumed < walk->children) continue;
        uint32_t level_nodes = i + 1 - index->level_start[index->level_count - 1];
        if (level_nodes == 1) {
            if (i + 1 != index->node_count) return fail(walk, node->offset, "nodes after the root");
            return 0;
        }
        if (index->level_count == LSM_TABLE_INDEX_LEVELS_MAX)
            return fail(walk, node->offset, "too many levels");
        index->level_start[index->level_count++] = i + 1;
        walk->children = level_nodes;
        walk->consumed = 0;
    }
    return fail(walk, LSM_NO_OFFSET, "the root is missing");
}

int lsm_index_open(lsm_index *index, const lsm_table_tail *tail, const lsm_table_section *section,
                   uint32_t block_count, lsm_error *error) {
    *index = (lsm_index){.block_count = block_count};
    index_walk walk = {.index = index, .tail = tail, .error = error, .children = block_count,
                       .data_offset = LSM_TABLE_HEADER_SIZE};
    int code = split_section(tail, section, NULL, &index->node_count, error);
    if (code) return code;
    /* Each block has a handle in the section, which bounds what is allocated here by the file's size. */
    if (block_count == 0 || block_count > section->size / LSM_TABLE_HANDLE_SIZE)
        return fail(&walk, section->offset, "more blocks than entries");
    index->nodes = lsm_calloc(index->node_count, sizeof *index->nodes);
    index->block_offsets = lsm_alloc(((size_t)block_count + 1) * sizeof *index->block_offsets);
    walk.key = lsm_alloc(LSM_KEY_SIZE_MAX + LSM_HEAD_SIZE);
    if (index->nodes == NULL || index->block_offsets == NULL || walk.key == NULL) code = LSM_E_MEMORY;
    if (code == 0) code = split_section(tail, section, index->nodes, &index->node_count, error);
    if (code == 0) code = check_levels(&walk);
    if (code == 0 && walk.data_offset != tail->offset)
        code = fail(&walk, section->offset, "data blocks do not reach the tail");
    lsm_free(walk.key);
    if (code) {
        lsm_index_close(index);
        return code;
    }
    index->block_offsets[block_count] = tail->offset;
    return 0;
}

void lsm_index_close(lsm_index *index) {
    lsm_free(index->nodes);
    lsm_free(index->block_offsets);
    *index = (lsm_index){0};
}

size_t lsm_index_memory_usage(const lsm_index *index) {
    return index->node_count * sizeof *index->nodes +
           ((size_t)index->block_count + 1) * sizeof *index->block_offsets;
}
