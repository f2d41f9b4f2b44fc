/* A cursor over the memtable (cursor.h) that stays right while the owner inserts.
 *
 * It stands on a record and remembers where it found it. Entries only ever move to the right, within a leaf
 * or into a new one, and records are never freed: if the remembered place still holds the record it is the
 * right place, and otherwise the record's own key and sequence lead back to it. A record that was replaced
 * meanwhile is left in the order it had, so no entry comes twice and none comes out of order.
 */
#include "allocator.h"
#include "memtable_tree.h"

enum { AHEAD = 4 };

typedef struct memtable_cursor {
    lsm_cursor base;
    lsm_memtable *memtable;
    const lsm_tree_node *leaf;
    uint32_t index;
    const lsm_record *record;
} memtable_cursor;

static void invalidate(memtable_cursor *cursor) {
    cursor->base.valid = 0;
    cursor->record = NULL;
}

static void settle(memtable_cursor *cursor, const lsm_tree_node *leaf, uint32_t index) {
    const lsm_record *record = leaf->records[index];
    cursor->leaf = leaf;
    cursor->index = index;
    cursor->record = record;
    cursor->base.valid = 1;
    cursor->base.key = lsm_record_key_slice(record);
    cursor->base.value = lsm_record_value_slice(record);
    cursor->base.trailer = record->trailer;
}

/* Stands on the entry at a position, or on none at the end. */
static int settle_at(memtable_cursor *cursor, const lsm_tree_node *leaf, uint32_t index) {
    if (index == leaf->count) {
        leaf = leaf->next;
        index = 0;
    }
    if (leaf == NULL || leaf->count == 0) {
        invalidate(cursor);
        return 0;
    }
    if (index + AHEAD < leaf->count) __builtin_prefetch(leaf->records[index + AHEAD]);
    settle(cursor, leaf, index);
    return 0;
}

/* Stands on the entry before a position, or on none at the beginning. */
static int settle_before(memtable_cursor *cursor, const lsm_tree_node *leaf, uint32_t index) {
    if (index == 0) {
        leaf = leaf->previous;
        if (leaf == NULL) {
            invalidate(cursor);
            return 0;
        }
        index = leaf->count;
    }
    if (index > AHEAD) __builtin_prefetch(leaf->records[index - 1 - AHEAD]);
    settle(cursor, leaf, index - 1);
    return 0;
}

/* The place of the current record: where it is, or, if it was replaced, of the entry after it. */
static lsm_tree_position locate(const memtable_cursor *cursor) {
    const lsm_record *record = cursor->record;
    if (cursor->index < cursor->leaf->count && cursor->leaf->records[cursor->index] == record) {
        return (lsm_tree_position){cursor->leaf, cursor->index};
    }
    lsm_target target = {lsm_record_key(record), record->key_size, lsm_record_sequence(record)};
    return lsm_tree_seek(cursor->memtable, &target);
}

static int memtable_seek(lsm_cursor *base, lsm_slice key, uint64_t sequence) {
    memtable_cursor *cursor = (memtable_cursor *)base;
    lsm_target target = {key.data, key.size, sequence};
    lsm_tree_position position = lsm_tree_seek(cursor->memtable, &target);
    return settle_at(cursor, position.leaf, position.index);
}

static int memtable_seek_before(lsm_cursor *base, lsm_slice key, uint64_t sequence) {
    memtable_cursor *cursor = (memtable_cursor *)base;
    lsm_target target = {key.data, key.size, sequence};
    lsm_tree_position position = lsm_tree_seek(cursor->memtable, &target);
    return settle_before(cursor, position.leaf, position.index);
}

static int memtable_first(lsm_cursor *base) {
    memtable_cursor *cursor = (memtable_cursor *)base;
    const lsm_tree_node *leaf = cursor->memtable->first_leaf;
    return settle_at(cursor, leaf, 0);
}

static int memtable_last(lsm_cursor *base) {
    memtable_cursor *cursor = (memtable_cursor *)base;
    const lsm_tree_node *node = cursor->memtable->root;
    for (uint32_t level = cursor->memtable->height; level != 0; level--) {
        node = ((const lsm_tree_inner *)node)->children[node->count];
    }
    return settle_before(cursor, node, node->count);
}

static int memtable_next(lsm_cursor *base) {
    memtable_cursor *cursor = (memtable_cursor *)base;
    LSM_ASSERT(base->valid);
    const lsm_record *record = cursor->record;
    lsm_tree_position position = locate(cursor);
    int is_there = position.index < position.leaf->count && position.leaf->records[position.index] == record;
    return settle_at(cursor, position.leaf, position.index + (uint32_t)is_there);
}

static int memtable_previous(lsm_cursor *base) {
    memtable_cursor *cursor = (memtable_cursor *)base;
    LSM_ASSERT(base->valid);
    lsm_tree_position position = locate(cursor);
    return settle_before(cursor, position.leaf, position.index);
}

static void memtable_destroy(lsm_cursor *base) {
    memtable_cursor *cursor = (memtable_cursor *)base;
    lsm_memtable_release(cursor->memtable);
    lsm_free(cursor);
}

static const lsm_cursor_ops memtable_cursor_ops = {
    .seek = memtable_seek,
    .seek_before = memtable_seek_before,
    .first = memtable_first,
    .last = memtable_last,
    .next = memtable_next,
    .previous = memtable_previous,
    .destroy = memtable_destroy,
};

lsm_cursor *lsm_memtable_cursor(lsm_memtable *memtable) {
    memtable_cursor *cursor = lsm_calloc(1, sizeof *cursor);
    if (cursor == NULL) return NULL;
    cursor->base.ops = &memtable_cursor_ops;
    cursor->memtable = memtable;
    lsm_memtable_retain(memtable);
    return &cursor->base;
}
