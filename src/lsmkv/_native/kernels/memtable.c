/* The memtable's public operations (memtable.h); the tree itself is in memtable_tree.h and .c. */
#include "memtable.h"

#include "allocator.h"
#include "memtable_tree.h"

lsm_memtable *lsm_memtable_create(void) {
    lsm_memtable *memtable = lsm_calloc(1, sizeof *memtable);
    if (memtable == NULL) return NULL;
    memtable->references = 1;
    lsm_arena_init(&memtable->record_arena);
    lsm_arena_init(&memtable->node_arena);
    if (lsm_arena_reserve(&memtable->node_arena, sizeof(lsm_tree_node)) != 0) {
        lsm_free(memtable);
        return NULL;
    }
    memtable->first_leaf = lsm_tree_new_leaf(memtable);
    memtable->root = memtable->first_leaf;
    return memtable;
}

void lsm_memtable_retain(lsm_memtable *memtable) {
    __atomic_add_fetch(&memtable->references, 1, __ATOMIC_RELAXED);
}

void lsm_memtable_release(lsm_memtable *memtable) {
    if (__atomic_sub_fetch(&memtable->references, 1, __ATOMIC_ACQ_REL) != 0) return;
    lsm_arena_destroy(&memtable->record_arena);
    lsm_arena_destroy(&memtable->node_arena);
    lsm_free(memtable);
}

/* Of its worst case a large batch takes a small part. With room for two, the next ones go on where it ended,
 * instead of beginning a chunk each and leaving it nearly empty; pages that are not touched cost nothing. */
static int reserve_nodes(lsm_memtable *memtable, size_t operation_count) {
    lsm_arena *arena = &memtable->node_arena;
    size_t size = lsm_tree_worst_case(memtable, operation_count);
    int is_large = size > LSM_ARENA_CHUNK_MAX && size > arena->left && size > arena->spare_left;
    if (is_large && size <= SIZE_MAX / 2 && lsm_arena_reserve(arena, 2 * size) == 0) return 0;
    return lsm_arena_reserve(arena, size);
}

int lsm_memtable_reserve(lsm_memtable *memtable, size_t operation_count, size_t payload_size) {
    size_t record_bytes;
    size_t overhead = sizeof(lsm_record) + LSM_RECORD_ALIGNMENT - 1;
    if (__builtin_mul_overflow(operation_count, overhead, &record_bytes)) return LSM_E_MEMORY;
    if (__builtin_add_overflow(record_bytes, payload_size, &record_bytes)) return LSM_E_MEMORY;
    int status = lsm_arena_reserve(&memtable->record_arena, record_bytes);
    if (status != 0) return status;
    return reserve_nodes(memtable, operation_count);
}

/* Whether the target, which sorts after the last entry of `last_leaf`, belongs to it all the same. */
static int is_below_upper(const lsm_memtable *memtable, const lsm_target *target) {
    for (uint32_t level = 1; level <= memtable->height; level++) {
        const lsm_tree_step *step = &memtable->path[level];
        if (step->index == step->inner->node.count) continue;
        const lsm_record *upper = step->inner->node.records[step->index];
        lsm_slice key = {target->key, target->key_size};
        int order = lsm_slice_compare(key, lsm_record_key_slice(upper));
        return order < 0 || (order == 0 && target->sequence >= step->inner->sequences[step->index]);
    }
    return 1;
}

/* Keys that come in order land in the leaf of the key before: 1 if the target belongs there. */
static int try_last_leaf(const lsm_memtable *memtable, const lsm_target *target, uint32_t *index) {
    const lsm_tree_node *leaf = memtable->last_leaf;
    *index = lsm_leaf_search(leaf, target);
    if (*index == 0) return leaf->previous == NULL;
    return *index < leaf->count || leaf->next == NULL || is_below_upper(memtable, target);
}

/* As lsm_tree_seek, but notes the path and stays in the leaf where an equal position would be inserted. */
static lsm_tree_node *descend(lsm_memtable *memtable, const lsm_target *target, uint32_t *index) {
    lsm_tree_node *node = memtable->root;
    for (uint32_t level = memtable->height; level != 0; level--) {
        lsm_tree_inner *inner = (lsm_tree_inner *)node;
        uint32_t child = lsm_inner_search(inner, target);
        memtable->path[level] = (lsm_tree_step){inner, child};
        node = inner->children[child];
        if (level == 1) lsm_leaf_prefetch(node);
    }
    *index = lsm_leaf_search(node, target);
    return node;
}

static int has_key(const lsm_tree_node *leaf, uint32_t index, lsm_slice key) {
    size_t prefix_size = leaf->prefix_size;
    if (index == leaf->count || key.size < prefix_size) return 0;
    uint64_t head = lsm_head_load(key.data + prefix_size, key.size - prefix_size);
    if (leaf->heads[index] != head) return 0;
    const lsm_record *record = leaf->records[index];
    return record->key_size == key.size && memcmp(lsm_record_key(record), key.data, key.size) == 0;
}

/* Swaps `record` in for the newest version of its key if nobody can be looking at that one. */
static int try_replace(lsm_memtable *memtable, lsm_tree_node *leaf, uint32_t index, const lsm_record *record,
                       uint64_t pinned_sequence) {
    const lsm_record *old = leaf->records[index];
    uint8_t old_kind = lsm_trailer_kind(old->trailer);
    if (lsm_record_sequence(old) <= pinned_sequence || !lsm_kind_is_known(old_kind)) return 0;
    if (!lsm_kind_is_known(lsm_trailer_kind(record->trailer))) return 0;
    leaf->records[index] = record;
    memtable->usage.garbage_bytes += lsm_record_size(old->key_size, old->value_size);
    memtable->usage.tombstone_count -= old_kind == LSM_KIND_DELETE;
    return 1;
}

static void put_in_place(lsm_memtable *memtable, lsm_tree_node *leaf, uint32_t index,
                         const lsm_record *record, uint64_t pinned_sequence) {
    memtable->usage.tombstone_count += lsm_trailer_kind(record->trailer) == LSM_KIND_DELETE;
    if (has_key(leaf, index, lsm_record_key_slice(record)) &&
        try_replace(memtable, leaf, index, record, pinned_sequence)) return;
    lsm_tree_insert(memtable, leaf, index, record);
    memtable->usage.entry_count++;
}

void lsm_memtable_insert(lsm_memtable *memtable, lsm_slice key, uint64_t trailer, lsm_slice value,
                         uint64_t pinned_sequence) {
    lsm_memtable_usage *usage = &memtable->usage;
    uint64_t sequence = lsm_trailer_sequence(trailer);
    LSM_ASSERT(sequence > usage->last_sequence);
    LSM_ASSERT(key.size <= LSM_KEY_SIZE_MAX && value.size <= LSM_VALUE_SIZE_MAX);
    lsm_target target = {key.data, key.size, sequence};
    uint32_t index;
    lsm_tree_node *leaf = memtable->last_leaf;
    if (memtable->run == 0 || !memtable->path_is_valid || !try_last_leaf(memtable, &target, &index)) {
        leaf = descend(memtable, &target, &index);
        memtable->path_is_valid = leaf == memtable->last_leaf;
    }
    void *room = lsm_arena_take(&memtable->record_arena, lsm_record_size(key.size, value.size));
    const lsm_record *record = lsm_record_write(room, key, trailer, value);
    if (usage->entry_count == 0) usage->first_sequence = sequence;
    usage->last_sequence = sequence;
    put_in_place(memtable, leaf, index, record, pinned_sequence);
}

void lsm_memtable_link(lsm_memtable *memtable, const lsm_record *record, uint64_t pinned_sequence) {
    lsm_target target = {lsm_record_key(record), record->key_size, lsm_record_sequence(record)};
    uint32_t index;
    lsm_tree_node *leaf = memtable->last_leaf;
    /* In key order the leaf of the key before is the likeliest, whether or not the two are neighbours. */
    if (!memtable->path_is_valid || !try_last_leaf(memtable, &target, &index)) {
        leaf = descend(memtable, &target, &index);
        memtable->path_is_valid = leaf == memtable->last_leaf;
        if (leaf->next != NULL) lsm_leaf_prefetch(leaf->next);
    }
    put_in_place(memtable, leaf, index, record, pinned_sequence);
}

void lsm_memtable_get(const lsm_memtable *memtable, lsm_slice key, uint64_t sequence, lsm_found *found) {
    lsm_target target = {key.data, key.size, sequence};
    lsm_tree_position position = lsm_tree_seek(memtable, &target);
    found->pin = NULL;
    found->found = has_key(position.leaf, position.index, key);
    if (!found->found) return;
    const lsm_record *record = position.leaf->records[position.index];
    found->trailer = record->trailer;
    found->value = lsm_record_value_slice(record);
}

void lsm_memtable_read_usage(const lsm_memtable *memtable, lsm_memtable_usage *usage) {
    *usage = memtable->usage;
    usage->arena_bytes = memtable->record_arena.taken + memtable->node_arena.taken;
}
