/* The tree of the in-memory back end: see vfs_memory_tree.h for the model. */
#include "vfs_memory_tree.h"

#include <errno.h>
#include <string.h>

/* --- inodes ------------------------------------------------------------------------------------------- */

memory_inode *memory_inode_create(memory_tree *tree, int type) {
    memory_inode *inode = lsm_calloc(1, sizeof *inode);
    if (inode == NULL) return NULL;
    inode->type = type;
    inode->next = tree->inodes;
    if (tree->inodes != NULL) tree->inodes->previous = inode;
    tree->inodes = inode;
    return inode;
}

void memory_inode_hold(memory_inode *inode) { inode->references++; }

static void free_names(memory_entries *entries) {
    for (size_t i = 0; i < entries->count; i++) lsm_free(entries->items[i].name);
    lsm_free(entries->items);
    memset(entries, 0, sizeof *entries);
}

static void free_inode(memory_inode *inode) {
    free_names(&inode->live);
    free_names(&inode->durable);
    for (size_t i = 0; i < inode->change_count; i++) lsm_free(inode->changes[i].name);
    lsm_free(inode->changes);
    lsm_free(inode->data);
    lsm_free(inode->image);
    lsm_free(inode);
}

static void clear_changes(memory_tree *tree, memory_inode *directory) {
    size_t count = directory->change_count;
    memory_change *changes = directory->changes;
    directory->changes = NULL;
    directory->change_count = directory->change_capacity = 0;
    for (size_t i = 0; i < count; i++) {
        lsm_free(changes[i].name);
        if (changes[i].inode != NULL) memory_inode_release(tree, changes[i].inode);
    }
    lsm_free(changes);
}

void memory_inode_release(memory_tree *tree, memory_inode *inode) {
    LSM_ASSERT(inode->references > 0);
    if (--inode->references > 0) return;
    memory_entries_clear(tree, &inode->live);
    memory_entries_clear(tree, &inode->durable);
    clear_changes(tree, inode);
    if (inode->previous != NULL) {
        inode->previous->next = inode->next;
    } else {
        tree->inodes = inode->next;
    }
    if (inode->next != NULL) inode->next->previous = inode->previous;
    free_inode(inode);
}

memory_tree *memory_tree_create(void) {
    memory_tree *tree = lsm_calloc(1, sizeof *tree);
    if (tree == NULL) return NULL;
    tree->root = memory_inode_create(tree, LSM_FILE_DIRECTORY);
    if (tree->root == NULL || pthread_mutex_init(&tree->mutex, NULL) != 0) {
        lsm_free(tree->root);
        lsm_free(tree);
        return NULL;
    }
    memory_inode_hold(tree->root);
    return tree;
}

void memory_tree_destroy(memory_tree *tree) {
    while (tree->inodes != NULL) {
        memory_inode *inode = tree->inodes;
        tree->inodes = inode->next;
        free_inode(inode);
    }
    pthread_mutex_destroy(&tree->mutex);
    lsm_free(tree);
}

/* --- entries ------------------------------------------------------------------------------------------ */

static int is_name(const char *stored, const char *name, size_t name_size) {
    return strncmp(stored, name, name_size) == 0 && stored[name_size] == '\0';
}

static char *copy_name(const char *name, size_t name_size) {
    char *copy = lsm_alloc(name_size + 1);
    if (copy == NULL) return NULL;
    memcpy(copy, name, name_size);
    copy[name_size] = '\0';
    return copy;
}

int64_t memory_entries_find(const memory_entries *entries, const char *name, size_t name_size) {
    for (size_t i = 0; i < entries->count; i++) {
        if (is_name(entries->items[i].name, name, name_size)) return (int64_t)i;
    }
    return -1;
}

static int grow(void **items, size_t *capacity, size_t count, size_t more, size_t item_size) {
    if (count + more <= *capacity) return LSM_OK;
    size_t wanted = *capacity == 0 ? 8 : *capacity * 2;
    void *grown = lsm_realloc(*items, wanted * item_size);
    if (grown == NULL) return LSM_E_MEMORY;
    *items = grown;
    *capacity = wanted;
    return LSM_OK;
}

int memory_entries_add(memory_entries *entries, const char *name, size_t name_size, memory_inode *inode) {
    int code = grow((void **)&entries->items, &entries->capacity, entries->count, 1, sizeof *entries->items);
    char *copy = code == LSM_OK ? copy_name(name, name_size) : NULL;
    if (copy == NULL) return LSM_E_MEMORY;
    entries->items[entries->count++] = (memory_entry){copy, inode};
    memory_inode_hold(inode);
    return LSM_OK;
}

void memory_entries_remove(memory_tree *tree, memory_entries *entries, size_t index) {
    memory_entry entry = entries->items[index];
    entries->count--;
    memmove(entries->items + index, entries->items + index + 1, (entries->count - index) * sizeof entry);
    lsm_free(entry.name);
    memory_inode_release(tree, entry.inode);
}

void memory_entries_clear(memory_tree *tree, memory_entries *entries) {
    while (entries->count > 0) memory_entries_remove(tree, entries, entries->count - 1);
    lsm_free(entries->items);
    memset(entries, 0, sizeof *entries);
}

int memory_entries_copy(const memory_entries *from, memory_entries *to) {
    memset(to, 0, sizeof *to);
    for (size_t i = 0; i < from->count; i++) {
        const char *name = from->items[i].name;
        if (memory_entries_add(to, name, strlen(name), from->items[i].inode) != LSM_OK) {
            for (size_t j = 0; j < to->count; j++) to->items[j].inode->references--;
            free_names(to);
            return LSM_E_MEMORY;
        }
    }
    return LSM_OK;
}

/* --- paths -------------------------------------------------------------------------------------------- */

int memory_find(memory_tree *tree, const char *path, memory_place *place) {
    memory_inode *directory = tree->root;
    *place = (memory_place){tree->root, path, 0, tree->root};
    if (path[0] == '\0') return ENOENT;
    for (const char *cursor = path; *cursor != '\0';) {
        size_t size = strcspn(cursor, "/");
        if (size == 0 || (size == 1 && cursor[0] == '.')) {
            cursor += size + (cursor[size] == '/');
            continue;
        }
        if (size == 2 && cursor[0] == '.' && cursor[1] == '.') return EINVAL;
        if (size > MEMORY_NAME_SIZE_MAX) return ENAMETOOLONG;
        if (place->inode == NULL) return ENOENT;
        if (place->inode->type != LSM_FILE_DIRECTORY) return ENOTDIR;
        directory = place->inode;
        int64_t index = memory_entries_find(&directory->live, cursor, size);
        memory_inode *found = index < 0 ? NULL : directory->live.items[index].inode;
        *place = (memory_place){directory, cursor, size, found};
        cursor += size;
    }
    return LSM_OK;
}

/* --- changes of names --------------------------------------------------------------------------------- */

/* Everything that a change needs, allocated before anything changes. */
typedef struct prepared {
    char *live_name;
    char *change_name;
} prepared;

static int prepare(const memory_place *place, size_t changes, prepared *names) {
    memory_inode *d = place->directory;
    *names = (prepared){copy_name(place->name, place->name_size), copy_name(place->name, place->name_size)};
    int code = names->live_name == NULL || names->change_name == NULL ? LSM_E_MEMORY : LSM_OK;
    if (code == LSM_OK) {
        code = grow((void **)&d->live.items, &d->live.capacity, d->live.count, 1, sizeof *d->live.items);
    }
    if (code == LSM_OK) {
        code = grow((void **)&d->changes, &d->change_capacity, d->change_count, changes, sizeof *d->changes);
    }
    if (code == LSM_OK) return LSM_OK;
    lsm_free(names->live_name);
    lsm_free(names->change_name);
    return LSM_E_MEMORY;
}

static void apply(memory_tree *tree, const memory_place *place, memory_inode *inode, uint64_t pair,
                  prepared *names) {
    memory_inode *d = place->directory;
    /* First, for removing the old entry may release the same inode. */
    if (inode != NULL) inode->references += 2;
    d->changes[d->change_count++] = (memory_change){names->change_name, inode, pair};
    int64_t index = memory_entries_find(&d->live, place->name, place->name_size);
    if (index >= 0) memory_entries_remove(tree, &d->live, (size_t)index);
    if (inode == NULL) {
        lsm_free(names->live_name);
        return;
    }
    d->live.items[d->live.count++] = (memory_entry){names->live_name, inode};
}

int memory_set_name(memory_tree *tree, const memory_place *place, memory_inode *inode) {
    prepared names;
    if (prepare(place, 1, &names) != LSM_OK) return LSM_E_MEMORY;
    apply(tree, place, inode, tree->next_pair++, &names);
    return LSM_OK;
}

int memory_move_name(memory_tree *tree, const memory_place *from, const memory_place *to) {
    prepared from_names, to_names;
    if (prepare(from, 2, &from_names) != LSM_OK) return LSM_E_MEMORY;
    if (prepare(to, 2, &to_names) != LSM_OK) {
        lsm_free(from_names.live_name);
        lsm_free(from_names.change_name);
        return LSM_E_MEMORY;
    }
    uint64_t pair = tree->next_pair++;
    apply(tree, to, from->inode, pair, &to_names);
    apply(tree, from, NULL, pair, &from_names);
    return LSM_OK;
}

int memory_sync_directory(memory_tree *tree, memory_inode *directory) {
    memory_entries synced;
    if (memory_entries_copy(&directory->live, &synced) != LSM_OK) return LSM_E_MEMORY;
    memory_entries old = directory->durable;
    directory->durable = synced;
    memory_entries_clear(tree, &old);
    clear_changes(tree, directory);
    return LSM_OK;
}

/* --- content ------------------------------------------------------------------------------------------ */

static int reserve_content(memory_inode *inode, size_t size) {
    if (size <= inode->capacity) return LSM_OK;
    size_t capacity = inode->capacity < 256 ? 256 : inode->capacity;
    while (capacity < size) capacity += capacity / 2;
    uint8_t *data = lsm_realloc(inode->data, capacity);
    if (data == NULL) return LSM_E_MEMORY;
    inode->data = data;
    inode->capacity = capacity;
    return LSM_OK;
}

int memory_content_append(memory_inode *inode, const uint8_t *data, size_t size) {
    if (size > SIZE_MAX / 4 - inode->size) return EFBIG;
    if (size == 0) return LSM_OK;
    if (reserve_content(inode, inode->size + size) != LSM_OK) return LSM_E_MEMORY;
    memcpy(inode->data + inode->size, data, size);
    inode->size += size;
    return LSM_OK;
}

int memory_content_resize(memory_inode *inode, size_t size) {
    if (size > SIZE_MAX / 4) return EFBIG;
    if (size > inode->size) {
        if (reserve_content(inode, size) != LSM_OK) return LSM_E_MEMORY;
        memset(inode->data + inode->size, 0, size - inode->size);
    } else if (size < inode->durable_size && inode->image == NULL) {
        uint8_t *image = lsm_alloc(inode->durable_size);
        if (image == NULL) return LSM_E_MEMORY;
        memcpy(image, inode->data, inode->durable_size);
        inode->image = image;
    }
    inode->size = size;
    return LSM_OK;
}

void memory_content_sync(memory_inode *inode) {
    lsm_free(inode->image);
    inode->image = NULL;
    inode->durable_size = inode->size;
}

uint8_t memory_content_durable_byte(const memory_inode *inode, size_t offset) {
    if (offset >= inode->durable_size) return 0;
    return inode->image != NULL ? inode->image[offset] : inode->data[offset];
}
