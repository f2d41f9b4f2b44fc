/* How the memtable's tree changes: placing entries, prefixes that shrink and grow, splits (memtable_tree.h).
 *
 * A prefix shrinks when a key arrives that does not share it; the new heads follow from the lost prefix bytes
 * and the old heads, so no record is read. It grows at a split only, and only where heads are equal: there
 * the heads no longer tell keys apart, and reading the half's keys once pays.
 */
#include "memtable_tree.h"

enum {
    HALF = LSM_TREE_CAPACITY / 2,
    RUN = LSM_TREE_CAPACITY / 4 /* so many insertions side by side, up or down, are a run */
};

static void set_prefix(lsm_tree_node *node, const uint8_t *prefix, size_t size) {
    node->prefix_size = (uint32_t)size;
    if (size > LSM_TREE_PREFIX_INLINE) {
        node->prefix = prefix;
        return;
    }
    if (size != 0 && prefix != node->inline_prefix) memcpy(node->inline_prefix, prefix, size);
    node->prefix = node->inline_prefix;
}

/* Cuts the prefix to its first `size` bytes and moves what was cut into the heads. */
static void shrink_prefix(lsm_tree_node *node, size_t size) {
    size_t lost = node->prefix_size - size;
    uint64_t lead = lsm_head_load(node->prefix + size, lost);
    unsigned shift = (unsigned)lost * 8;
    for (uint32_t i = 0; i < node->count; i++) {
        node->heads[i] = lost >= LSM_HEAD_SIZE ? lead : lead | node->heads[i] >> shift;
    }
    set_prefix(node, node->prefix, size);
}

/* Makes the prefix one that `key` (of a record: it must outlive the node) shares too. */
static void fit_prefix(lsm_tree_node *node, lsm_slice key) {
    if (node->count == 0) {
        set_prefix(node, key.data, key.size);
        return;
    }
    if (node->prefix_size == 0) return;
    size_t limit = key.size < node->prefix_size ? key.size : node->prefix_size;
    size_t shared = lsm_shared_size(key.data, node->prefix, limit);
    if (shared < node->prefix_size) shrink_prefix(node, shared);
}

static int has_equal_heads(const lsm_tree_node *node) {
    int found = 0;
    for (uint32_t i = 1; i < node->count; i++) found |= node->heads[i - 1] == node->heads[i];
    return found;
}

/* Lengthens the prefix to all that the node's keys share, if its heads fail to tell the keys apart. */
static void grow_prefix(lsm_tree_node *node) {
    if (!has_equal_heads(node)) return;
    lsm_slice first = lsm_record_key_slice(node->records[0]);
    lsm_slice last = lsm_record_key_slice(node->records[node->count - 1]);
    size_t size = lsm_shared_size(first.data, last.data, first.size < last.size ? first.size : last.size);
    if (size <= node->prefix_size) return;
    for (uint32_t i = 0; i < node->count; i++) __builtin_prefetch(lsm_record_key(node->records[i]) + size);
    for (uint32_t i = 0; i < node->count; i++) {
        lsm_slice key = lsm_record_key_slice(node->records[i]);
        node->heads[i] = lsm_head_load(key.data + size, key.size - size);
    }
    set_prefix(node, first.data, size);
}

/* Moves heads and records [from, count) of `node` to the empty node `right`; `node` keeps `keep` of them. */
static void move_tail(lsm_tree_node *node, uint32_t keep, uint32_t from, lsm_tree_node *right) {
    uint32_t moved = node->count - from;
    memcpy(right->heads, node->heads + from, moved * sizeof *node->heads);
    memcpy(right->records, node->records + from, moved * sizeof *node->records);
    right->count = moved;
    node->count = keep;
    if (moved != 0) set_prefix(right, node->prefix, node->prefix_size);
}

static void place(lsm_tree_node *node, uint32_t index, const lsm_record *record) {
    LSM_ASSERT(node->count < LSM_TREE_CAPACITY && index <= node->count);
    lsm_slice key = lsm_record_key_slice(record);
    fit_prefix(node, key);
    size_t moved = (node->count - index) * sizeof(uint64_t);
    memmove(node->heads + index + 1, node->heads + index, moved);
    memmove(node->records + index + 1, node->records + index, moved);
    node->heads[index] = lsm_head_load(key.data + node->prefix_size, key.size - node->prefix_size);
    node->records[index] = record;
    node->count++;
}

static void place_separator(lsm_tree_inner *inner, uint32_t index, const lsm_record *record,
                            uint64_t sequence, lsm_tree_node *right_child) {
    size_t moved = (inner->node.count - index) * sizeof(uint64_t);
    memmove(inner->sequences + index + 1, inner->sequences + index, moved);
    memmove(inner->children + index + 2, inner->children + index + 1, moved);
    inner->sequences[index] = sequence;
    inner->children[index + 1] = right_child;
    place(&inner->node, index, record);
}

lsm_tree_node *lsm_tree_new_leaf(lsm_memtable *memtable) {
    lsm_tree_node *leaf = lsm_arena_take(&memtable->node_arena, sizeof *leaf);
    memset(leaf, 0, offsetof(lsm_tree_node, heads));
    leaf->prefix = leaf->inline_prefix;
    memtable->node_counts[0]++;
    return leaf;
}

static size_t inner_node_size(void) { return (sizeof(lsm_tree_inner) + 63) & ~(size_t)63; }

static lsm_tree_inner *new_inner(lsm_memtable *memtable, uint32_t level) {
    lsm_tree_inner *inner = lsm_arena_take(&memtable->node_arena, inner_node_size());
    memset(inner, 0, offsetof(lsm_tree_node, heads));
    inner->node.prefix = inner->node.inline_prefix;
    memtable->node_counts[level]++;
    return inner;
}

static void grow_root(lsm_memtable *memtable, const lsm_record *record, uint64_t sequence,
                      lsm_tree_node *right) {
    LSM_ASSERT(memtable->height < LSM_TREE_HEIGHT_MAX);
    memtable->height++;
    lsm_tree_inner *root = new_inner(memtable, memtable->height);
    root->children[0] = memtable->root;
    place_separator(root, 0, record, sequence, right);
    memtable->root = &root->node;
}

static int is_rightmost(const lsm_memtable *memtable, uint32_t level) {
    for (; level <= memtable->height; level++) {
        if (memtable->path[level].index != memtable->path[level].inner->node.count) return 0;
    }
    return 1;
}

/* Adds a separator and the child on its right at `level`, splitting upwards as far as needed. */
static void insert_separator(lsm_memtable *memtable, uint32_t level, const lsm_record *record,
                             uint64_t sequence, lsm_tree_node *right_child) {
    for (; level <= memtable->height; level++) {
        lsm_tree_inner *inner = memtable->path[level].inner;
        uint32_t index = memtable->path[level].index;
        if (inner->node.count < LSM_TREE_CAPACITY) {
            place_separator(inner, index, record, sequence, right_child);
            return;
        }
        lsm_tree_inner *right = new_inner(memtable, level);
        if (is_rightmost(memtable, level)) { /* ascending keys: leave the full node full */
            right->children[0] = right_child;
            right_child = &right->node;
            continue;
        }
        const lsm_record *up_record = inner->node.records[HALF];
        uint64_t up_sequence = inner->sequences[HALF];
        uint32_t moved = inner->node.count - HALF - 1;
        memcpy(right->sequences, inner->sequences + HALF + 1, moved * sizeof *right->sequences);
        memcpy(right->children, inner->children + HALF + 1, (moved + 1) * sizeof *right->children);
        move_tail(&inner->node, HALF, HALF + 1, &right->node);
        grow_prefix(&inner->node);
        grow_prefix(&right->node);
        if (index <= HALF) {
            place_separator(inner, index, record, sequence, right_child);
        } else {
            place_separator(right, index - HALF - 1, record, sequence, right_child);
        }
        record = up_record;
        sequence = up_sequence;
        right_child = &right->node;
    }
    grow_root(memtable, record, sequence, right_child);
}

/* Where a full leaf is cut for an entry at `index`. Keys that come in order, up or down, leave full leaves
 * behind, also in the middle of other keys: a run upwards is first parted from what follows it. */
static uint32_t split_point(const lsm_memtable *memtable, const lsm_tree_node *leaf, uint32_t index) {
    if (index >= HALF && (memtable->run >= RUN || (index == leaf->count && leaf->next == NULL))) return index;
    if (index <= HALF && (memtable->run <= -RUN || (index == 0 && leaf->previous == NULL))) return index;
    return HALF;
}

static void link_right(lsm_tree_node *leaf, lsm_tree_node *right) {
    right->previous = leaf;
    right->next = leaf->next;
    if (leaf->next != NULL) leaf->next->previous = right;
    leaf->next = right;
}

static uint64_t separator_sequence(const lsm_tree_node *left, const lsm_tree_node *right) {
    const lsm_record *before = left->records[left->count - 1];
    const lsm_record *after = right->records[0];
    if (before->key_size != after->key_size) return UINT64_MAX;
    if (memcmp(lsm_record_key(before), lsm_record_key(after), after->key_size) != 0) return UINT64_MAX;
    return lsm_record_sequence(before);
}

/* Returns the leaf that got the record, and where in it. */
static lsm_tree_node *split_leaf(lsm_memtable *memtable, lsm_tree_node *leaf, uint32_t index,
                                 const lsm_record *record, uint32_t *placed) {
    uint32_t cut = split_point(memtable, leaf, index);
    lsm_tree_node *right = lsm_tree_new_leaf(memtable);
    int goes_left = index < cut || (index == cut && cut < LSM_TREE_CAPACITY);
    lsm_tree_node *target = goes_left ? leaf : right;
    move_tail(leaf, cut, cut, right);
    grow_prefix(leaf);
    grow_prefix(right);
    *placed = goes_left ? index : index - cut;
    place(target, *placed, record);
    link_right(leaf, right);
    insert_separator(memtable, 1, right->records[0], separator_sequence(leaf, right), right);
    return target;
}

/* Whether the entry about to come continues a run. */
static void note_run(lsm_memtable *memtable, const lsm_tree_node *leaf, uint32_t index) {
    if (leaf != memtable->last_leaf) {
        memtable->run = 0;
    } else if (index == memtable->last_index + 1) {
        memtable->run = memtable->run > 0 ? memtable->run + 1 : 1;
    } else if (index == memtable->last_index) {
        memtable->run = memtable->run < 0 ? memtable->run - 1 : -1;
    } else {
        memtable->run = 0;
    }
}

void lsm_tree_insert(lsm_memtable *memtable, lsm_tree_node *leaf, uint32_t index, const lsm_record *record) {
    note_run(memtable, leaf, index);
    memtable->last_leaf = leaf;
    if (LSM_LIKELY(leaf->count < LSM_TREE_CAPACITY)) {
        place(leaf, index, record);
        memtable->path_is_valid = 1;
    } else {
        memtable->last_leaf = split_leaf(memtable, leaf, index, record, &index);
        memtable->path_is_valid = 0;
        if (memtable->last_leaf != leaf) memtable->run = 0;
    }
    memtable->last_index = index;
}

/* How many nodes m insertions into a level of n nodes may add:
 *
 * - an even split leaves two nodes that take CAPACITY - HALF - 1 insertions each to fill up again, and a full
 *   node splits evenly once: at most n + m / (CAPACITY - HALF - 1);
 * - a run, RUN insertions or more, splits once to part it from what follows and once at its end, in a new
 *   leaf that ends it (downwards: once, leaving half a leaf free): at most 2 + 2 * m / RUN;
 * - a split at an end of the level leaves one entry there: at most 1 + m / CAPACITY on each side.
 *
 * Together below n + 4 + m / (RUN / 4), and never more than m. Each is one insertion into the level above;
 * above the root there is one new node first, with nothing in it. */
size_t lsm_tree_worst_case(const lsm_memtable *memtable, size_t operation_count) {
    if (operation_count == 1) return sizeof(lsm_tree_node) + (memtable->height + 1) * inner_node_size();
    size_t total = 0;
    size_t insertions = operation_count;
    for (uint32_t level = 0; level <= LSM_TREE_HEIGHT_MAX && insertions != 0; level++) {
        int is_new = level > memtable->height;
        size_t bound = memtable->node_counts[level];
        if (__builtin_add_overflow(bound, insertions / (RUN / 4) + 4, &bound)) return SIZE_MAX;
        size_t splits = insertions < bound ? insertions : bound;
        if (is_new && insertions <= LSM_TREE_CAPACITY) splits = 0;
        size_t nodes, size;
        if (__builtin_add_overflow(splits, (size_t)is_new, &nodes)) return SIZE_MAX;
        size_t node_size = level == 0 ? sizeof(lsm_tree_node) : inner_node_size();
        if (__builtin_mul_overflow(nodes, node_size, &size)) return SIZE_MAX;
        if (__builtin_add_overflow(total, size, &total)) return SIZE_MAX;
        insertions = splits;
    }
    return total;
}
