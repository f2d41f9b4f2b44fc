/* Inside the memtable: records, tree nodes and the search paths that memtable.c and its cursor share.
 *
 * Records are immutable once written:
 *
 *     offset  size
 *     0       8           trailer (sequence << 8 | kind)
 *     8       4           key size
 *     12      4           value size
 *     16      key size    key
 *     +       value size  value, then padding to 8 bytes
 *
 * Leaves hold records in node order (node.h) and are chained both ways; nodes are never freed or merged.
 * Inner nodes hold `count` separators and `count + 1` children. A separator is (user key, sequence) and is
 * the last position that belongs to the child on its left:
 *
 *     every entry of children[i]  <=  separator i  <  every entry of children[i + 1]
 *
 * so the child to descend into is the first separator at or after the target, with no test for equality.
 * Its sequence is that of the left child's last entry where versions of one key lie on both sides, and
 * UINT64_MAX (before every version of the key) otherwise. The newest version of a key, the only one that is
 * ever replaced, is thus free to become newer: no separator (key, sequence) lies before it.
 *
 * The search reads a leaf's header and heads; record memory is touched on equal heads only.
 */
#ifndef LSMKV_MEMTABLE_TREE_H
#define LSMKV_MEMTABLE_TREE_H

#include "arena.h"
#include "memtable.h"
#include "node.h"

enum {
    LSM_TREE_CAPACITY = 64,      /* entries of a leaf, separators of an inner node */
    LSM_TREE_PREFIX_INLINE = 32, /* shorter prefixes lie in the header: no extra cache miss */
    LSM_TREE_HEIGHT_MAX = 16     /* levels of inner nodes; 8^16 leaves are more than memory can hold */
};

typedef struct lsm_record {
    uint64_t trailer;
    uint32_t key_size;
    uint32_t value_size;
} lsm_record;

enum { LSM_RECORD_ALIGNMENT = 8 };

static inline size_t lsm_record_size(size_t key_size, size_t value_size) {
    size_t size = sizeof(lsm_record) + key_size + value_size;
    return (size + LSM_RECORD_ALIGNMENT - 1) & ~(size_t)(LSM_RECORD_ALIGNMENT - 1);
}

/* Writes a record where it will stay. REQUIRES: lsm_record_size bytes of room, aligned. */
static inline const lsm_record *lsm_record_write(void *room, lsm_slice key, uint64_t trailer,
                                                 lsm_slice value) {
    lsm_record *record = room;
    record->trailer = trailer;
    record->key_size = (uint32_t)key.size;
    record->value_size = (uint32_t)value.size;
    uint8_t *bytes = (uint8_t *)(record + 1);
    if (key.size != 0) memcpy(bytes, key.data, key.size);
    if (value.size != 0) memcpy(bytes + key.size, value.data, value.size);
    return record;
}

static inline const uint8_t *lsm_record_key(const lsm_record *record) {
    return (const uint8_t *)(record + 1);
}

static inline uint64_t lsm_record_sequence(const lsm_record *record) {
    return lsm_trailer_sequence(record->trailer);
}

static inline lsm_slice lsm_record_key_slice(const lsm_record *record) {
    return (lsm_slice){lsm_record_key(record), record->key_size};
}

static inline lsm_slice lsm_record_value_slice(const lsm_record *record) {
    return (lsm_slice){lsm_record_key(record) + record->key_size, record->value_size};
}

/* What leaves and inner nodes have in common, and all of a leaf. The header fills one cache line. */
typedef struct lsm_tree_node {
    const uint8_t *prefix; /* `inline_prefix`, or bytes of a record's key */
    uint32_t prefix_size;
    uint32_t count;
    struct lsm_tree_node *next; /* leaves only */
    struct lsm_tree_node *previous;
    uint8_t inline_prefix[LSM_TREE_PREFIX_INLINE];
    uint64_t heads[LSM_TREE_CAPACITY];
    const lsm_record *records[LSM_TREE_CAPACITY]; /* entries of a leaf; keys of an inner node's separators */
} lsm_tree_node;

_Static_assert(offsetof(lsm_tree_node, heads) == 64, "the header of a node fills one cache line");

typedef struct lsm_tree_inner {
    lsm_tree_node node;
    uint64_t sequences[LSM_TREE_CAPACITY]; /* of the separators */
    lsm_tree_node *children[LSM_TREE_CAPACITY + 1];
} lsm_tree_inner;

/* The way to a leaf: at level n (1 = parent of leaves) child `index` of `inner` was taken. */
typedef struct lsm_tree_step {
    lsm_tree_inner *inner;
    uint32_t index;
} lsm_tree_step;

struct lsm_memtable {
    int64_t references; /* atomic; everything else belongs to the owner and is constant once frozen */
    lsm_tree_node *root;
    uint32_t height;                                /* levels of inner nodes */
    int path_is_valid;                              /* `path` leads to `last_leaf` */
    int run;                                        /* insertions side by side so far: up > 0, down < 0 */
    uint32_t last_index;                            /* where the last entry was added */
    lsm_tree_node *last_leaf;                       /* NULL at first */
    lsm_tree_node *first_leaf;
    lsm_tree_step path[LSM_TREE_HEIGHT_MAX + 1];    /* [1..height] */
    size_t node_counts[LSM_TREE_HEIGHT_MAX + 1];    /* by level, 0 = leaves */
    lsm_arena record_arena;
    lsm_arena node_arena;
    lsm_memtable_usage usage;                       /* arena_bytes is filled in when read */
};

/* A place between entries: `leaf->records[index]`, or the end when `index == leaf->count`. */
typedef struct lsm_tree_position {
    const lsm_tree_node *leaf;
    uint32_t index;
} lsm_tree_position;

static inline int lsm_leaf_compare(const void *node, uint32_t index, const lsm_target *target, size_t skip) {
    const lsm_record *record = ((const lsm_tree_node *)node)->records[index];
    size_t from = record->key_size < skip ? record->key_size : skip;
    return lsm_tie_order(lsm_record_key(record) + from, record->key_size - from, record->key_size,
                         lsm_record_sequence(record), target, skip);
}

static inline int lsm_inner_compare(const void *node, uint32_t index, const lsm_target *target, size_t skip) {
    const lsm_tree_inner *inner = node;
    const lsm_record *record = inner->node.records[index];
    size_t from = record->key_size < skip ? record->key_size : skip;
    return lsm_tie_order(lsm_record_key(record) + from, record->key_size - from, record->key_size,
                         inner->sequences[index], target, skip);
}

static inline uint32_t lsm_leaf_search(const lsm_tree_node *leaf, const lsm_target *target) {
    return lsm_node_search(leaf, leaf->prefix, leaf->prefix_size, leaf->heads, leaf->count, target,
                           lsm_leaf_compare);
}

static inline uint32_t lsm_inner_search(const lsm_tree_inner *inner, const lsm_target *target) {
    return lsm_node_search(inner, inner->node.prefix, inner->node.prefix_size, inner->node.heads,
                           inner->node.count, target, lsm_inner_compare);
}

/* The whole leaf in one go: the search would otherwise wait for one line after the other, and last for the
 * record pointer (measured at 1 M entries: gets take 15 to 25 % less time than with the heads alone). */
static inline void lsm_leaf_prefetch(const lsm_tree_node *leaf) {
    const uint8_t *line = (const uint8_t *)leaf;
    for (size_t i = 0; i < sizeof *leaf; i += 64) __builtin_prefetch(line + i);
}

/* The first entry at or after the target; at the end of the tree the index equals the last leaf's count. */
static inline lsm_tree_position lsm_tree_seek(const lsm_memtable *memtable, const lsm_target *target) {
    const lsm_tree_node *node = memtable->root;
    for (uint32_t level = memtable->height; level != 0; level--) {
        const lsm_tree_inner *inner = (const lsm_tree_inner *)node;
        node = inner->children[lsm_inner_search(inner, target)];
        if (level == 1) lsm_leaf_prefetch(node);
    }
    uint32_t index = lsm_leaf_search(node, target);
    if (LSM_UNLIKELY(index == node->count && node->next != NULL)) {
        node = node->next;
        index = 0;
    }
    return (lsm_tree_position){node, index};
}

/* Puts `record` at `index` of the leaf that `memtable->path` leads to, splitting where there is no room.
 * REQUIRES: covered by a reserve, the path valid, `index` the place of the record in node order. */
void lsm_tree_insert(lsm_memtable *memtable, lsm_tree_node *leaf, uint32_t index, const lsm_record *record);

/* Puts a record that the caller wrote into its place in the tree, as lsm_memtable_insert does with its own:
 * for loading many (column_load.h), best in key order. Sequences of the usage are the caller's to keep.
 * REQUIRES: covered by a reserve; the record in the record arena, its sequence above every one of its key. */
void lsm_memtable_link(lsm_memtable *memtable, const lsm_record *record, uint64_t pinned_sequence);

/* An empty leaf from the node arena, with neighbours unset. REQUIRES: covered by a reserve. */
lsm_tree_node *lsm_tree_new_leaf(lsm_memtable *memtable);

/* Bytes of nodes that `operation_count` insertions may take at worst; SIZE_MAX when that overflows. */
size_t lsm_tree_worst_case(const lsm_memtable *memtable, size_t operation_count);

#endif
