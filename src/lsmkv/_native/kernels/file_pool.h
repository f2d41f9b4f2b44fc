/* The open handles of one store's tables: at most so many, the least recently used closed first.
 *
 * A table owns a slot (lsm_pooled_file); the pool decides whether a handle stands in it. Between acquire and
 * release a handle is in use and never closed, so a reader may drop the core lock meanwhile; when all are in
 * use the limit is exceeded until one is given back. Not locked: every call holds the core lock. Opening a
 * file is done under the lock, as a lookup that seldom waits.
 */
#ifndef LSMKV_FILE_POOL_H
#define LSMKV_FILE_POOL_H

#include "table.h"

typedef struct lsm_pooled_file {
    const char *path; /* lives as long as the slot */
    lsm_file *file;   /* NULL: closed */
    uint32_t in_use;  /* acquires not yet released */
    struct lsm_pooled_file *newer, *older;
} lsm_pooled_file;

struct lsm_file_pool {
    lsm_vfs *vfs;
    uint32_t open_files_max;
    uint32_t open_count;
    lsm_pooled_file *newest, *oldest;
};

/* Opens the file unless it is open. 0 or a negative status. */
int lsm_file_pool_acquire(lsm_file_pool *pool, lsm_pooled_file *slot, lsm_error *error);
void lsm_file_pool_release(lsm_file_pool *pool, lsm_pooled_file *slot);
void lsm_file_pool_forget(lsm_file_pool *pool, lsm_pooled_file *slot); /* closes; REQUIRES: not in use */

#endif
