/* Copies of the in-memory tree as a kill or a loss of power leaves it.
 *
 * A kill copies everything. A loss of power keeps, of each file, the synced content and size, and of each
 * directory the synced names; on top of that each unsynced piece, size and name change survives on its own
 * with the chance of the plan. That is harsher than any journaling file system, which keeps name changes in
 * order: what holds here holds there. Three things are never torn: a piece, a rename (unless only one of its
 * two directories was synced), and a size (old, new, or a piece boundary between; a hole reads as zeros).
 *
 * The draws depend on the seed and the history alone: splitmix64, no global state.
 */
#include "vfs_memory.h"
#include "vfs_memory_tree.h"

#include <string.h>

/* --- draws -------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t draw(uint64_t *state) {
    *state += 0x9E3779B97F4A7C15u;
    return mix(*state);
}

static int is_below(uint64_t random, double chance) { return (double)(random >> 11) * 0x1.0p-53 < chance; }

/* Both halves of a rename ask with the same number and get the same answer. */
static int pair_survives(const lsm_crash_plan *plan, uint64_t pair) {
    uint64_t state = plan->seed ^ mix(pair + 1);
    return is_below(draw(&state), plan->survival);
}

/* --- files -------------------------------------------------------------------------------------------- */

static int copy_bytes(const uint8_t *from, size_t size, uint8_t **to) {
    *to = NULL;
    if (size == 0) return LSM_OK;
    *to = lsm_alloc(size);
    if (*to == NULL) return LSM_E_MEMORY;
    memcpy(*to, from, size);
    return LSM_OK;
}

static int clone_content(const memory_inode *from, memory_inode *to) {
    if (copy_bytes(from->data, from->size, &to->data) != LSM_OK) return LSM_E_MEMORY;
    to->size = to->capacity = from->size;
    to->durable_size = from->durable_size;
    return from->image == NULL ? LSM_OK : copy_bytes(from->image, from->durable_size, &to->image);
}

static size_t surviving_size(const memory_inode *from, const lsm_crash_plan *plan, uint64_t *state) {
    size_t old = from->durable_size, new = from->size;
    if (old == new || is_below(draw(state), plan->survival)) return new;
    if (new < old || !is_below(draw(state), plan->survival)) return old;
    size_t first = old / plan->piece_size + 1, last = new / plan->piece_size;
    return first > last ? old : (first + draw(state) % (last - first + 1)) * plan->piece_size;
}

static int crash_content(const memory_inode *from, memory_inode *to, const lsm_crash_plan *plan,
                         uint64_t *state) {
    size_t size = surviving_size(from, plan, state);
    uint8_t *data = lsm_calloc(size, 1);
    if (data == NULL) return LSM_E_MEMORY;
    to->data = data;
    to->size = to->capacity = to->durable_size = size;
    const uint8_t *durable = from->image != NULL ? from->image : from->data;
    size_t kept = size < from->durable_size ? size : from->durable_size;
    if (kept > 0) memcpy(data, durable, kept);
    /* Without an image the durable content is a prefix of the new one: only pieces beyond it can differ. */
    size_t start = from->image == NULL ? from->durable_size / plan->piece_size * plan->piece_size : 0;
    for (; start < from->size; start += plan->piece_size) {
        size_t end = from->size - start < plan->piece_size ? from->size : start + plan->piece_size;
        int survives = is_below(draw(state), plan->survival);
        if (end > size) end = size;
        if (survives && start < end) memcpy(data + start, from->data + start, end - start);
    }
    return LSM_OK;
}

/* --- directories -------------------------------------------------------------------------------------- */

static int clone_entries(const memory_entries *from, memory_entries *to) {
    for (size_t i = 0; i < from->count; i++) {
        const memory_entry *entry = &from->items[i];
        if (memory_entries_add(to, entry->name, strlen(entry->name), entry->inode->copy) != LSM_OK) {
            return LSM_E_MEMORY;
        }
    }
    return LSM_OK;
}

static int clone_directory(const memory_inode *from, memory_inode *to) {
    if (clone_entries(&from->live, &to->live) != LSM_OK) return LSM_E_MEMORY;
    if (clone_entries(&from->durable, &to->durable) != LSM_OK) return LSM_E_MEMORY;
    if (from->change_count == 0) return LSM_OK;
    to->changes = lsm_calloc(from->change_count, sizeof *to->changes);
    if (to->changes == NULL) return LSM_E_MEMORY;
    to->change_capacity = from->change_count;
    for (size_t i = 0; i < from->change_count; i++) {
        const memory_change *change = &from->changes[i];
        memory_change *copy = &to->changes[i];
        const uint8_t *name = (const uint8_t *)change->name;
        int code = copy_bytes(name, strlen(change->name) + 1, (uint8_t **)&copy->name);
        if (code != LSM_OK) return code;
        copy->inode = change->inode == NULL ? NULL : change->inode->copy;
        copy->pair = change->pair;
        if (copy->inode != NULL) memory_inode_hold(copy->inode);
        to->change_count++;
    }
    return LSM_OK;
}

static int set_survivor(memory_tree *tree, memory_entries *entries, const char *name, memory_inode *inode) {
    size_t name_size = strlen(name);
    int64_t index = memory_entries_find(entries, name, name_size);
    if (index >= 0) memory_entries_remove(tree, entries, (size_t)index);
    if (inode == NULL) return LSM_OK;
    /* Half of a move between directories may survive; a directory still has one parent only. 1 reference is
     * that of the copying itself. */
    if (inode->copy->type == LSM_FILE_DIRECTORY && inode->copy->references > 1) return LSM_OK;
    return memory_entries_add(entries, name, name_size, inode->copy);
}

static int crash_directory(const memory_inode *from, memory_tree *tree, memory_inode *to,
                           const lsm_crash_plan *plan) {
    for (size_t i = 0; i < from->durable.count; i++) {
        const memory_entry *entry = &from->durable.items[i];
        if (set_survivor(tree, &to->live, entry->name, entry->inode) != LSM_OK) return LSM_E_MEMORY;
    }
    for (size_t i = 0; i < from->change_count; i++) {
        const memory_change *change = &from->changes[i];
        if (!pair_survives(plan, change->pair)) continue;
        if (set_survivor(tree, &to->live, change->name, change->inode) != LSM_OK) return LSM_E_MEMORY;
    }
    return memory_entries_copy(&to->live, &to->durable);
}

/* --- trees -------------------------------------------------------------------------------------------- */

/* `plan` NULL: a clone. */
static int copy_inodes(memory_tree *from, memory_tree *to, const lsm_crash_plan *plan) {
    uint64_t state = plan == NULL ? 0 : mix(plan->seed);
    /* Oldest first, so that the copies come to stand in the same order and a copy's copy draws the same. */
    memory_inode *oldest = from->inodes;
    while (oldest->next != NULL) oldest = oldest->next;
    for (memory_inode *inode = oldest; inode != NULL; inode = inode->previous) {
        inode->copy = inode == from->root ? to->root : memory_inode_create(to, inode->type);
        if (inode->copy == NULL) return LSM_E_MEMORY;
        memory_inode_hold(inode->copy);
        if (inode->type == LSM_FILE_DIRECTORY) continue;
        int code = plan == NULL ? clone_content(inode, inode->copy)
                                : crash_content(inode, inode->copy, plan, &state);
        if (code != LSM_OK) return code;
    }
    for (memory_inode *inode = oldest; inode != NULL; inode = inode->previous) {
        if (inode->type != LSM_FILE_DIRECTORY) continue;
        int code = plan == NULL ? clone_directory(inode, inode->copy)
                                : crash_directory(inode, to, inode->copy, plan);
        if (code != LSM_OK) return code;
    }
    /* What no name leads to goes now. */
    for (memory_inode *inode = from->inodes; inode != NULL; inode = inode->next) {
        memory_inode_release(to, inode->copy);
    }
    return LSM_OK;
}

static lsm_vfs *copy_tree(lsm_vfs *memory, const lsm_crash_plan *plan) {
    memory_tree *from = (memory_tree *)memory;
    memory_tree *to = memory_tree_create();
    if (to == NULL) return NULL;
    pthread_mutex_lock(&from->mutex);
    int code = copy_inodes(from, to, plan);
    to->next_pair = from->next_pair;
    pthread_mutex_unlock(&from->mutex);
    if (code != LSM_OK) {
        memory_tree_destroy(to);
        return NULL;
    }
    return lsm_vfs_memory_adopt(to);
}

lsm_vfs *lsm_vfs_memory_crash(lsm_vfs *memory, const lsm_crash_plan *plan) {
    LSM_ASSERT(plan->piece_size > 0);
    return copy_tree(memory, plan);
}

lsm_vfs *lsm_vfs_memory_clone(lsm_vfs *memory) { return copy_tree(memory, NULL); }
