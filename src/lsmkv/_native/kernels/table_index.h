/* The table's index: a tree of sorted nodes (block.h) whose leaves point at data blocks; bytes in
 * table_format.h.
 *
 * The whole tree lies in memory, in place in the table's tail. It is validated completely when it is opened,
 * so that a search is one node search per level and plain arithmetic: children of a node are consecutive.
 */
#ifndef LSMKV_TABLE_INDEX_H
#define LSMKV_TABLE_INDEX_H

#include "table_format.h"

/* A piece of the file in memory: the tail, and what is needed to check and to blame it. */
typedef struct lsm_table_tail {
    const uint8_t *data; /* byte `offset` of the file; aligned as the file is, modulo LSM_TABLE_ALIGNMENT */
    uint64_t offset;
    uint64_t size;
    const uint8_t *id;
    const char *path;
} lsm_table_tail;

typedef struct lsm_index_node {
    lsm_block_view view;
    uint64_t offset;      /* of the stored block in the file */
    uint32_t size;        /* of it, block header included */
    uint32_t first_child; /* ordinal, in the level below, of the child of entry 0 */
} lsm_index_node;

typedef struct lsm_index {
    lsm_index_node *nodes;    /* level 1 first, the root last */
    uint64_t *block_offsets;  /* block_count + 1: block i lies in [offsets[i], offsets[i + 1]) */
    uint32_t node_count;
    uint32_t block_count;
    uint32_t level_count;
    uint32_t level_start[LSM_TABLE_INDEX_LEVELS_MAX + 1]; /* the first node of each level, from level 1 */
} lsm_index;

/* Parses and checks the index section. REQUIRES: the section lies inside the tail. On failure nothing is
 * held. */
int lsm_index_open(lsm_index *index, const lsm_table_tail *tail, const lsm_table_section *section,
                   uint32_t block_count, lsm_error *error);
void lsm_index_close(lsm_index *index);
size_t lsm_index_memory_usage(const lsm_index *index); /* besides the tail */

/* The ordinal of the only data block where the first entry at or after the target may lie; block_count
 * when all entries come before it. (When the block holds none such, that entry is the first of the next
 * block.) */
static inline uint32_t lsm_index_search(const lsm_index *index, const lsm_target *target) {
    const lsm_index_node *node = &index->nodes[index->node_count - 1];
    uint32_t entry = lsm_block_search(&node->view, target);
    if (entry == node->view.count) return index->block_count;
    for (uint32_t level = index->level_count - 1; level > 0; level--) {
        node = &index->nodes[index->level_start[level - 1] + node->first_child + entry];
        entry = lsm_block_search(&node->view, target);
    }
    return node->first_child + entry;
}

/* --- builder ------------------------------------------------------------------------------------------ */

typedef struct lsm_index_builder lsm_index_builder;

lsm_index_builder *lsm_index_builder_create(void); /* NULL when out of memory */
void lsm_index_builder_destroy(lsm_index_builder *builder); /* NULL-safe */

/* The next data block: its separator and where it lies. 0, LSM_E_MEMORY or LSM_E_LIMIT. */
int lsm_index_builder_add(lsm_index_builder *builder, lsm_slice separator, uint64_t trailer, uint64_t offset,
                          uint32_t size);
uint32_t lsm_index_builder_block_count(const lsm_index_builder *builder);
uint64_t lsm_index_builder_size_estimate(const lsm_index_builder *builder);

/* Builds the upper levels and seals every node as it will stand at `offset` =
 * lsm_tail_block_offset(anything). REQUIRES: at least one block. The section's bytes live until destroy.
 * 0, LSM_E_MEMORY or LSM_E_LIMIT. */
int lsm_index_builder_finish(lsm_index_builder *builder, const uint8_t *id, uint64_t offset,
                             lsm_slice *section, uint32_t *level_count);

/* The shortest key k with last <= k < next. REQUIRES: last < next. Writes at most last.size + 1 bytes. */
size_t lsm_separator(lsm_slice last, lsm_slice next, uint8_t *output);

#endif
