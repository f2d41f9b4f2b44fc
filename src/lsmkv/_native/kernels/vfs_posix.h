/* What vfs_posix.c (files, directories) and vfs_posix_log.c (log operations) share. */
#ifndef LSMKV_VFS_POSIX_H
#define LSMKV_VFS_POSIX_H

#include "fork.h"
#include "vfs.h"
#include "vfs_buffer.h"

#include <pthread.h>

typedef struct posix_log {
    int mode;           /* enum lsm_log_mode, 0 = not a log, or finished */
    uint64_t committed; /* atomic: read by threads beside the writer */
    lsm_log_buffer buffer;
    /* Mapped only. The window covers file bytes [window_offset, window_offset + window_size); space is
     * allocated up to `allocated`, which is also the size of the file. */
    uint8_t *window;
    uint64_t window_offset;
    size_t window_size;
    uint64_t allocated;
    uint64_t step;      /* how far the next allocation goes ahead */
    size_t reserved;
    int is_aside;       /* the record being made is a large one: it lies in `buffer` */
    int guard;          /* slot in the SIGBUS table */
    int poisoned;       /* atomic: set by the SIGBUS handler, never cleared */
    uint64_t touched;   /* up to here pages were faulted in, or it is not worth it yet */
    uint64_t synced;    /* atomic: committed bytes when the last sync began */
} posix_log;

typedef struct posix_file {
    lsm_file base;
    lsm_fork_descriptor descriptor; /* only the descriptors of locks are tracked */
    int is_lock;
    uint64_t generation; /* lsm_fork_generation() at open */
    uint64_t end;        /* where the next append goes; writing handles only */
    posix_log log;
} posix_file;

/* Writes all of it at `offset`, or reports the error; `operation` names the caller in the message. */
int posix_write_all(posix_file *file, uint64_t offset, const uint8_t *data, size_t size,
                    const char *operation, lsm_error *error);
int posix_truncate(posix_file *file, uint64_t size, lsm_error *error);
int posix_sync(lsm_file *file, lsm_error *error);

int posix_log_start(lsm_file *file, int mode, lsm_error *error);
int posix_log_reserve(lsm_file *file, size_t size, uint8_t **room, lsm_error *error);
int posix_log_commit(lsm_file *file, size_t size, lsm_error *error);
int posix_log_sync(lsm_file *file, lsm_error *error);
int posix_log_finish(lsm_file *file, lsm_error *error);
int posix_log_truncate(posix_file *file, uint64_t size, lsm_error *error);
void posix_log_release(posix_file *file); /* unmaps and frees; the file keeps its bytes */

#endif
