/* A doubly linked list from newest to oldest use; see file_pool.h. */
#include "file_pool.h"

#include "allocator.h"

lsm_file_pool *lsm_file_pool_create(lsm_vfs *vfs, uint32_t open_files_max) {
    lsm_file_pool *pool = lsm_calloc(1, sizeof *pool);
    if (pool == NULL) return NULL;
    pool->vfs = vfs;
    pool->open_files_max = open_files_max ? open_files_max : 1;
    return pool;
}

void lsm_file_pool_destroy(lsm_file_pool *pool) {
    if (pool == NULL) return;
    LSM_ASSERT(pool->open_count == 0);
    lsm_free(pool);
}

uint32_t lsm_file_pool_open_count(const lsm_file_pool *pool) { return pool->open_count; }

static void unlink_slot(lsm_file_pool *pool, lsm_pooled_file *slot) {
    *(slot->newer ? &slot->newer->older : &pool->newest) = slot->older;
    *(slot->older ? &slot->older->newer : &pool->oldest) = slot->newer;
    slot->newer = slot->older = NULL;
}

static void link_newest(lsm_file_pool *pool, lsm_pooled_file *slot) {
    slot->newer = NULL;
    slot->older = pool->newest;
    *(pool->newest ? &pool->newest->newer : &pool->oldest) = slot;
    pool->newest = slot;
}

/* The handle was only read: what a failing close could tell is of no use to anyone. */
static void close_slot(lsm_file_pool *pool, lsm_pooled_file *slot) {
    lsm_error ignored;
    unlink_slot(pool, slot);
    slot->file->ops->close(slot->file, &ignored);
    slot->file = NULL;
    pool->open_count--;
}

static void close_down_to(lsm_file_pool *pool, uint32_t open_count) {
    lsm_pooled_file *slot = pool->oldest;
    while (slot != NULL && pool->open_count > open_count) {
        lsm_pooled_file *newer = slot->newer;
        if (slot->in_use == 0) close_slot(pool, slot);
        slot = newer;
    }
}

int lsm_file_pool_acquire(lsm_file_pool *pool, lsm_pooled_file *slot, lsm_error *error) {
    if (slot->file == NULL) {
        close_down_to(pool, pool->open_files_max - 1);
        int code = pool->vfs->ops->open(pool->vfs, slot->path, LSM_OPEN_READ, &slot->file, error);
        if (code) {
            slot->file = NULL;
            return code;
        }
        pool->open_count++;
        link_newest(pool, slot);
    } else if (pool->newest != slot) {
        unlink_slot(pool, slot);
        link_newest(pool, slot);
    }
    slot->in_use++;
    return 0;
}

void lsm_file_pool_release(lsm_file_pool *pool, lsm_pooled_file *slot) {
    LSM_ASSERT(slot->in_use > 0);
    slot->in_use--;
    if (pool->open_count > pool->open_files_max) close_down_to(pool, pool->open_files_max);
}

void lsm_file_pool_forget(lsm_file_pool *pool, lsm_pooled_file *slot) {
    LSM_ASSERT(slot->in_use == 0);
    if (slot->file != NULL) close_slot(pool, slot);
}
