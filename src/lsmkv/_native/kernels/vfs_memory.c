/* File operations in memory: for tests of crashes, and for databases that are not to outlive the process.
 *
 * One mutex for the whole tree: nothing here waits for a device, and simulations want one order of events. In
 * a forked child close and destroy free the handle alone and leave the rest, which another thread of the
 * parent may have been changing. Paths may be absolute or relative, which is the same; ".." is refused.
 */
#include "vfs_memory.h"
#include "vfs_buffer.h"
#include "vfs_memory_tree.h"

#include <errno.h>
#include <string.h>

typedef struct memory_file {
    lsm_file base;
    memory_tree *tree;
    memory_inode *inode;
    uint64_t generation;
    int is_lock;
    int can_write;
    int log_mode; /* 0 = not a log, or finished */
    lsm_log_buffer buffer;
} memory_file;

static memory_tree *lock_tree(lsm_vfs *vfs) {
    memory_tree *tree = (memory_tree *)vfs;
    pthread_mutex_lock(&tree->mutex);
    return tree;
}

/* Unlocks and turns a result of the tree into a status. */
static int done(memory_tree *tree, int result, const char *path, const char *operation, lsm_error *error) {
    pthread_mutex_unlock(&tree->mutex);
    if (result == LSM_OK) return LSM_OK;
    if (result == LSM_E_MEMORY) return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, path, "%s", operation);
    return lsm_fail_system(error, result, LSM_NO_OFFSET, path, operation);
}

/* --- files -------------------------------------------------------------------------------------------- */

static int64_t read_file(lsm_file *base, uint64_t offset, uint8_t *buffer, size_t size, lsm_error *error) {
    (void)error;
    memory_file *file = (memory_file *)base;
    pthread_mutex_lock(&file->tree->mutex);
    const memory_inode *inode = file->inode;
    if (offset >= inode->size) {
        size = 0;
    } else if (size > inode->size - offset) {
        size = inode->size - (size_t)offset;
    }
    if (size > 0) memcpy(buffer, inode->data + offset, size);
    pthread_mutex_unlock(&file->tree->mutex);
    return (int64_t)size;
}

static int add(memory_file *file, const uint8_t *data, size_t size, int logging, const char *operation,
               lsm_error *error) {
    int result = EBADF;
    pthread_mutex_lock(&file->tree->mutex);
    if (file->can_write && (file->log_mode != 0) == logging) {
        result = memory_content_append(file->inode, data, size);
    }
    return done(file->tree, result, file->base.path, operation, error);
}

static int append(lsm_file *base, const uint8_t *data, size_t size, lsm_error *error) {
    return add((memory_file *)base, data, size, 0, "append", error);
}

static int sync_file(lsm_file *base, lsm_error *error) {
    (void)error;
    memory_file *file = (memory_file *)base;
    pthread_mutex_lock(&file->tree->mutex);
    memory_content_sync(file->inode);
    pthread_mutex_unlock(&file->tree->mutex);
    return LSM_OK;
}

static int start_writeback(lsm_file *base, uint64_t offset, uint64_t size) {
    (void)base, (void)offset, (void)size;
    return LSM_OK;
}

static int truncate_file(lsm_file *base, uint64_t size, lsm_error *error) {
    memory_file *file = (memory_file *)base;
    pthread_mutex_lock(&file->tree->mutex);
    int result = EBADF;
    if (file->can_write) {
        int growing_log = file->log_mode != 0 && size > file->inode->size;
        result = growing_log ? EINVAL : memory_content_resize(file->inode, (size_t)size);
    }
    return done(file->tree, result, base->path, "truncate", error);
}

static int file_size(lsm_file *base, uint64_t *size, lsm_error *error) {
    (void)error;
    memory_file *file = (memory_file *)base;
    pthread_mutex_lock(&file->tree->mutex);
    *size = file->inode->size;
    pthread_mutex_unlock(&file->tree->mutex);
    return LSM_OK;
}

static void free_handle(memory_file *file) {
    lsm_log_buffer_free(&file->buffer);
    lsm_free(file->base.path);
    lsm_free(file);
}

static int close_file(lsm_file *base, lsm_error *error) {
    (void)error;
    memory_file *file = (memory_file *)base;
    if (file->generation == lsm_fork_generation()) {
        pthread_mutex_lock(&file->tree->mutex);
        if (file->is_lock) file->inode->locked = 0;
        memory_inode_release(file->tree, file->inode);
        pthread_mutex_unlock(&file->tree->mutex);
    }
    free_handle(file);
    return LSM_OK;
}

/* --- log operations: both modes are the same here ----------------------------------------------------- */

static int log_start(lsm_file *base, int mode, lsm_error *error) {
    memory_file *file = (memory_file *)base;
    pthread_mutex_lock(&file->tree->mutex);
    int fits = file->can_write && file->inode->size == 0 && file->log_mode == 0;
    if (fits) file->log_mode = mode;
    return done(file->tree, fits ? LSM_OK : EINVAL, base->path, "log_start on a file in use", error);
}

static int log_reserve(lsm_file *base, size_t size, uint8_t **room, lsm_error *error) {
    memory_file *file = (memory_file *)base;
    if (file->log_mode == 0) return lsm_fail_system(error, EINVAL, 0, base->path, "log_reserve");
    if (lsm_log_buffer_reserve(&file->buffer, size) != LSM_OK) {
        return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, base->path, "log_reserve");
    }
    *room = file->buffer.data;
    return LSM_OK;
}

static int log_commit(lsm_file *base, size_t size, lsm_error *error) {
    memory_file *file = (memory_file *)base;
    LSM_ASSERT(size <= file->buffer.reserved);
    return add(file, file->buffer.data, size, 1, "log_commit", error);
}

static int log_finish(lsm_file *base, lsm_error *error) {
    (void)error;
    memory_file *file = (memory_file *)base;
    pthread_mutex_lock(&file->tree->mutex);
    file->log_mode = 0;
    lsm_log_buffer_free(&file->buffer);
    pthread_mutex_unlock(&file->tree->mutex);
    return LSM_OK;
}


static const lsm_file_ops file_ops = {
    .read = read_file,
    .read_cached = read_file,
    .append = append,
    .sync = sync_file,
    .start_writeback = start_writeback,
    .truncate = truncate_file,
    .size = file_size,
    .close = close_file,
    .log_start = log_start,
    .log_reserve = log_reserve,
    .log_commit = log_commit,
    .log_sync = sync_file,
    .log_finish = log_finish,
};

void lsm_memory_lose_unsynced(lsm_file *base) {
    memory_file *file = (memory_file *)base;
    pthread_mutex_lock(&file->tree->mutex);
    memory_inode *inode = file->inode;
    for (size_t i = 0; i < inode->size; i++) inode->data[i] = memory_content_durable_byte(inode, i);
    pthread_mutex_unlock(&file->tree->mutex);
}

/* --- opening and locking ------------------------------------------------------------------------------ */

static memory_file *new_handle(memory_tree *tree, const char *path) {
    memory_file *file = lsm_calloc(1, sizeof *file);
    size_t size = strlen(path) + 1;
    char *copy = lsm_alloc(size);
    if (file == NULL || copy == NULL) {
        lsm_free(file);
        lsm_free(copy);
        return NULL;
    }
    memcpy(copy, path, size);
    file->base.ops = &file_ops;
    file->base.path = copy;
    file->tree = tree;
    file->generation = lsm_fork_generation();
    return file;
}

/* Finds the file, makes or cuts it as the flags say. The result holds no reference of its own. */
static int find_or_create(memory_tree *tree, const char *path, int flags, memory_inode **inode) {
    memory_place place;
    int result = memory_find(tree, path, &place);
    if (result != LSM_OK) return result;
    *inode = place.inode;
    if (place.inode != NULL) {
        if ((flags & LSM_OPEN_CREATE) && (flags & LSM_OPEN_EXCLUSIVE)) return EEXIST;
        if (place.inode->type == LSM_FILE_DIRECTORY) return EISDIR;
        return flags & LSM_OPEN_TRUNCATE ? memory_content_resize(place.inode, 0) : LSM_OK;
    }
    if (!(flags & LSM_OPEN_CREATE)) return ENOENT;
    memory_inode *created = memory_inode_create(tree, LSM_FILE_REGULAR);
    if (created == NULL) return LSM_E_MEMORY;
    memory_inode_hold(created);
    result = memory_set_name(tree, &place, created);
    memory_inode_release(tree, created);
    *inode = created;
    return result;
}

static int open_handle(lsm_vfs *vfs, const char *path, int flags, int is_lock, lsm_file **out,
                       lsm_error *error) {
    const char *operation = is_lock ? "lock" : "open";
    memory_file *file = new_handle((memory_tree *)vfs, path);
    if (file == NULL) return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, path, "%s", operation);
    memory_tree *tree = lock_tree(vfs);
    memory_inode *inode = NULL;
    int result = find_or_create(tree, path, flags, &inode);
    if (result == LSM_OK && is_lock && inode->locked) result = EWOULDBLOCK;
    if (result == LSM_OK) {
        memory_inode_hold(inode);
        file->inode = inode;
        file->can_write = (flags & LSM_OPEN_WRITE) != 0;
        file->is_lock = is_lock;
        if (is_lock) inode->locked = 1;
        *out = &file->base;
    } else {
        free_handle(file);
    }
    return done(tree, result, path, operation, error);
}

static int open_file(lsm_vfs *vfs, const char *path, int flags, lsm_file **file, lsm_error *error) {
    return open_handle(vfs, path, flags, 0, file, error);
}

static int lock_file(lsm_vfs *vfs, const char *path, lsm_file **file, lsm_error *error) {
    return open_handle(vfs, path, LSM_OPEN_WRITE | LSM_OPEN_CREATE, 1, file, error);
}

/* --- names -------------------------------------------------------------------------------------------- */

static int remove_name(lsm_vfs *vfs, const char *path, int type, const char *operation, lsm_error *error) {
    memory_tree *tree = lock_tree(vfs);
    memory_place place;
    int result = memory_find(tree, path, &place);
    if (result == LSM_OK) {
        if (place.inode == NULL) {
            result = ENOENT;
        } else if (place.name_size == 0) {
            result = EBUSY;
        } else if (place.inode->type != type) {
            result = type == LSM_FILE_DIRECTORY ? ENOTDIR : EISDIR;
        } else if (place.inode->live.count > 0) {
            result = ENOTEMPTY;
        } else {
            result = memory_set_name(tree, &place, NULL);
        }
    }
    return done(tree, result, path, operation, error);
}

static int remove_file(lsm_vfs *vfs, const char *path, lsm_error *error) {
    return remove_name(vfs, path, LSM_FILE_REGULAR, "unlink", error);
}

static int remove_directory(lsm_vfs *vfs, const char *path, lsm_error *error) {
    return remove_name(vfs, path, LSM_FILE_DIRECTORY, "rmdir", error);
}

static int is_inside(const memory_inode *directory, const memory_inode *searched) {
    if (directory == searched) return 1;
    for (size_t i = 0; i < directory->live.count; i++) {
        const memory_inode *child = directory->live.items[i].inode;
        if (child->type == LSM_FILE_DIRECTORY && is_inside(child, searched)) return 1;
    }
    return 0;
}

static int check_rename(const memory_place *from, const memory_place *to) {
    const memory_inode *source = from->inode;
    const memory_inode *target = to->inode;
    if (source == NULL) return ENOENT;
    if (from->name_size == 0 || to->name_size == 0) return EBUSY;
    int moves_directory = source->type == LSM_FILE_DIRECTORY;
    if (moves_directory && is_inside(source, to->directory)) return EINVAL;
    if (target == NULL) return LSM_OK;
    int replaces_directory = target->type == LSM_FILE_DIRECTORY;
    if (moves_directory != replaces_directory) return replaces_directory ? EISDIR : ENOTDIR;
    return target->live.count > 0 ? ENOTEMPTY : LSM_OK;
}

static int rename_file(lsm_vfs *vfs, const char *from_path, const char *to_path, lsm_error *error) {
    memory_tree *tree = lock_tree(vfs);
    memory_place from, to;
    int result = memory_find(tree, from_path, &from);
    if (result == LSM_OK) result = memory_find(tree, to_path, &to);
    if (result == LSM_OK) result = check_rename(&from, &to);
    /* Two names of one file: POSIX says that nothing happens. */
    if (result == LSM_OK && from.inode != to.inode) result = memory_move_name(tree, &from, &to);
    return done(tree, result, from_path, "rename", error);
}

static int link_file(lsm_vfs *vfs, const char *from_path, const char *to_path, lsm_error *error) {
    memory_tree *tree = lock_tree(vfs);
    memory_place from, to;
    int result = memory_find(tree, from_path, &from);
    if (result == LSM_OK) result = memory_find(tree, to_path, &to);
    if (result == LSM_OK) {
        if (from.inode == NULL) {
            result = ENOENT;
        } else if (from.inode->type == LSM_FILE_DIRECTORY) {
            result = EPERM;
        } else {
            result = to.inode != NULL ? EEXIST : memory_set_name(tree, &to, from.inode);
        }
    }
    return done(tree, result, to_path, "link", error);
}

static int make_directory(lsm_vfs *vfs, const char *path, lsm_error *error) {
    memory_tree *tree = lock_tree(vfs);
    memory_place place;
    int result = memory_find(tree, path, &place);
    if (result == LSM_OK && place.inode != NULL) result = EEXIST;
    if (result == LSM_OK) {
        memory_inode *created = memory_inode_create(tree, LSM_FILE_DIRECTORY);
        result = LSM_E_MEMORY;
        if (created != NULL) {
            memory_inode_hold(created);
            result = memory_set_name(tree, &place, created);
            memory_inode_release(tree, created);
        }
    }
    return done(tree, result, path, "mkdir", error);
}

static int find_directory(memory_tree *tree, const char *path, memory_inode **directory) {
    memory_place place;
    int result = memory_find(tree, path, &place);
    if (result != LSM_OK) return result;
    if (place.inode == NULL) return ENOENT;
    *directory = place.inode;
    return place.inode->type == LSM_FILE_DIRECTORY ? LSM_OK : ENOTDIR;
}

static int sync_directory(lsm_vfs *vfs, const char *path, lsm_error *error) {
    memory_tree *tree = lock_tree(vfs);
    memory_inode *directory = NULL;
    int result = find_directory(tree, path, &directory);
    if (result == LSM_OK) result = memory_sync_directory(tree, directory);
    return done(tree, result, path, "sync_directory", error);
}

static int list_directory(lsm_vfs *vfs, const char *path, lsm_name_sink sink, void *context,
                          lsm_error *error) {
    memory_tree *tree = lock_tree(vfs);
    memory_inode *directory = NULL;
    int result = find_directory(tree, path, &directory);
    int stopped = LSM_OK;
    for (size_t i = 0; result == LSM_OK && stopped == LSM_OK && i < directory->live.count; i++) {
        stopped = sink(context, directory->live.items[i].name);
    }
    result = done(tree, result, path, "list", error);
    return result != LSM_OK ? result : stopped;
}

static int stat_file(lsm_vfs *vfs, const char *path, lsm_file_info *info, lsm_error *error) {
    memory_tree *tree = lock_tree(vfs);
    memory_place place;
    int result = memory_find(tree, path, &place);
    if (result == LSM_OK && place.inode == NULL) result = ENOENT;
    if (result == LSM_OK) *info = (lsm_file_info){place.inode->type, place.inode->size};
    return done(tree, result, path, "stat", error);
}

static int can_map_log(lsm_vfs *vfs, const char *directory) {
    (void)vfs, (void)directory;
    return 1;
}

static void destroy(lsm_vfs *vfs) {
    memory_tree *tree = (memory_tree *)vfs;
    if (tree->generation == lsm_fork_generation()) memory_tree_destroy(tree);
}

static const lsm_vfs_ops vfs_ops = {
    .name = "memory",
    .open = open_file,
    .remove = remove_file,
    .rename = rename_file,
    .link = link_file,
    .make_directory = make_directory,
    .remove_directory = remove_directory,
    .sync_directory = sync_directory,
    .list = list_directory,
    .stat = stat_file,
    .lock = lock_file,
    .can_map_log = can_map_log,
    .destroy = destroy,
};

lsm_vfs *lsm_vfs_memory_adopt(memory_tree *tree) {
    if (tree == NULL) return NULL;
    tree->base.ops = &vfs_ops;
    tree->generation = lsm_fork_generation();
    return &tree->base;
}

lsm_vfs *lsm_vfs_memory_create(void) { return lsm_vfs_memory_adopt(memory_tree_create()); }
