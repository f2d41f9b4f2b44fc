/* Inodes, directories and what of them is durable: the state behind vfs_memory.c and vfs_memory_crash.c.
 *
 * Everything here is under the one mutex of the tree. A reference is held by every handle, by every entry of
 * either list of a directory and by every recorded change. All inodes hang in one list, so that the end of
 * the tree frees them without a walk.
 *
 * File content only ever grows at the end or is cut. Hence the durable content is `data[0, durable_size)` as
 * long as `image` is NULL, and only a cut below durable_size has to keep the old bytes, in `image`.
 */
#ifndef LSMKV_VFS_MEMORY_TREE_H
#define LSMKV_VFS_MEMORY_TREE_H

#include "allocator.h"
#include "vfs.h"

#include <pthread.h>

enum { MEMORY_NAME_SIZE_MAX = 255 };

typedef struct memory_inode memory_inode;

typedef struct memory_entry {
    char *name;
    memory_inode *inode;
} memory_entry;

typedef struct memory_entries {
    memory_entry *items; /* in order of creation */
    size_t count;
    size_t capacity;
} memory_entries;

/* A change of one name since the last sync of its directory. A rename is two changes with one `pair`. */
typedef struct memory_change {
    char *name;
    memory_inode *inode; /* NULL: the name was removed */
    uint64_t pair;
} memory_change;

struct memory_inode {
    memory_inode *previous, *next; /* all inodes of the tree */
    memory_inode *copy;            /* while a tree is copied: the counterpart */
    int64_t references;
    int type; /* LSM_FILE_REGULAR or LSM_FILE_DIRECTORY */
    int locked;
    /* file */
    uint8_t *data;
    size_t size;
    size_t capacity;
    uint8_t *image;
    size_t durable_size;
    /* directory */
    memory_entries live;
    memory_entries durable;
    memory_change *changes;
    size_t change_count;
    size_t change_capacity;
};

typedef struct memory_tree {
    lsm_vfs base;
    pthread_mutex_t mutex;
    uint64_t generation; /* of forks, at creation */
    memory_inode *inodes;
    memory_inode *root;
    uint64_t next_pair;
} memory_tree;

/* The functions below return 0, a positive errno, or LSM_E_MEMORY; on failure nothing was changed. */

memory_tree *memory_tree_create(void); /* NULL when out of memory */
void memory_tree_destroy(memory_tree *tree);

/* Gives the tree its operations (vfs_memory.c); NULL stays NULL. */
lsm_vfs *lsm_vfs_memory_adopt(memory_tree *tree);

memory_inode *memory_inode_create(memory_tree *tree, int type); /* no reference yet; NULL: out of memory */
void memory_inode_hold(memory_inode *inode);
void memory_inode_release(memory_tree *tree, memory_inode *inode);

/* Where a path leads: `directory` and `name` (inside `path`, `name_size` bytes; 0 for the root itself), and
 * the inode there, NULL when there is none. */
typedef struct memory_place {
    memory_inode *directory;
    const char *name;
    size_t name_size;
    memory_inode *inode;
} memory_place;
int memory_find(memory_tree *tree, const char *path, memory_place *place);

int memory_entries_add(memory_entries *entries, const char *name, size_t name_size, memory_inode *inode);
void memory_entries_clear(memory_tree *tree, memory_entries *entries);
int64_t memory_entries_find(const memory_entries *entries, const char *name, size_t name_size); /* -1: none */
void memory_entries_remove(memory_tree *tree, memory_entries *entries, size_t index);
int memory_entries_copy(const memory_entries *from, memory_entries *to); /* holds the inodes */

/* Points the name at `inode` (NULL removes it) and records the change. */
int memory_set_name(memory_tree *tree, const memory_place *place, memory_inode *inode);
/* Both changes of a rename, or none. */
int memory_move_name(memory_tree *tree, const memory_place *from, const memory_place *to);
int memory_sync_directory(memory_tree *tree, memory_inode *directory);

int memory_content_append(memory_inode *inode, const uint8_t *data, size_t size);
int memory_content_resize(memory_inode *inode, size_t size);
void memory_content_sync(memory_inode *inode);
/* Byte `offset` as of the last sync; zero beyond it. */
uint8_t memory_content_durable_byte(const memory_inode *inode, size_t offset);

#endif
