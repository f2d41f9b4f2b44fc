/* The one door to the operating system: a table of file operations, log operations included.
 *
 * Back ends: POSIX (vfs_posix.c), a crash-aware in-memory one that knows what has been synced (vfs_memory.c),
 * and a wrapper around either that records a trace and fails, tears or kills at operation k (vfs_fault.c).
 * All are safe to call from several threads at once on different files and without the GIL.
 * Paths are NUL-terminated bytes in the file-system encoding. Failures are LSM_E_SYSTEM with errno inside.
 */
#ifndef LSMKV_VFS_H
#define LSMKV_VFS_H

#include "status.h"

typedef struct lsm_vfs lsm_vfs;
typedef struct lsm_file lsm_file;

enum lsm_open_flags {
    LSM_OPEN_READ = 1,
    LSM_OPEN_WRITE = 2,     /* appends go to the end; the handle may be read as well */
    LSM_OPEN_CREATE = 4,    /* with WRITE: create when missing */
    LSM_OPEN_EXCLUSIVE = 8, /* with CREATE: fail with EEXIST when present */
    LSM_OPEN_TRUNCATE = 16
};

enum lsm_file_type { LSM_FILE_REGULAR = 1, LSM_FILE_DIRECTORY = 2, LSM_FILE_OTHER = 3 };

typedef struct lsm_file_info {
    int type; /* enum lsm_file_type */
    uint64_t size_bytes;
} lsm_file_info;

/* Called once per name, in no particular order, "." and ".." left out. A non-zero result stops the listing
 * and becomes the result of `list`. It must not call back into the same vfs. */
typedef int (*lsm_name_sink)(void *context, const char *name);

typedef struct lsm_vfs_ops {
    const char *name; /* "posix", "memory", "fault" */
    int (*open)(lsm_vfs *vfs, const char *path, int flags, lsm_file **file, lsm_error *error);
    int (*remove)(lsm_vfs *vfs, const char *path, lsm_error *error);
    int (*rename)(lsm_vfs *vfs, const char *from, const char *to, lsm_error *error); /* replaces `to` */
    int (*link)(lsm_vfs *vfs, const char *from, const char *to, lsm_error *error);   /* EXDEV: not possible */
    int (*make_directory)(lsm_vfs *vfs, const char *path, lsm_error *error);
    int (*remove_directory)(lsm_vfs *vfs, const char *path, lsm_error *error);
    int (*sync_directory)(lsm_vfs *vfs, const char *path, lsm_error *error);
    int (*list)(lsm_vfs *vfs, const char *path, lsm_name_sink sink, void *context, lsm_error *error);
    int (*stat)(lsm_vfs *vfs, const char *path, lsm_file_info *info, lsm_error *error);
    /* Creates the file if missing and takes an exclusive lock on it without waiting; EWOULDBLOCK when
     * another opener (this process or another) holds it. Closing the file drops the lock. */
    int (*lock)(lsm_vfs *vfs, const char *path, lsm_file **file, lsm_error *error);
    /* Whether a log in this directory may be written through a mapping (local ext4 and xfs only). */
    int (*can_map_log)(lsm_vfs *vfs, const char *directory);
    void (*destroy)(lsm_vfs *vfs); /* REQUIRES: no open file */
} lsm_vfs_ops;

struct lsm_vfs {
    const lsm_vfs_ops *ops;
};

enum lsm_log_mode { LSM_LOG_WRITTEN = 1, LSM_LOG_MAPPED = 2 };

typedef struct lsm_file_ops {
    /* Reads until `size` bytes or the end of the file: the number read, or a negative status. */
    int64_t (*read)(lsm_file *file, uint64_t offset, uint8_t *buffer, size_t size, lsm_error *error);
    /* The same, but LSM_E_WOULD_BLOCK (error untouched) rather than waiting for a device. */
    int64_t (*read_cached)(lsm_file *file, uint64_t offset, uint8_t *buffer, size_t size, lsm_error *error);
    /* All or an error; after an error the same bytes may be appended again. One writing handle per file. */
    int (*append)(lsm_file *file, const uint8_t *data, size_t size, lsm_error *error);
    int (*sync)(lsm_file *file, lsm_error *error);                                     /* data and size */
    int (*start_writeback)(lsm_file *file, uint64_t offset, uint64_t size); /* a hint: no promise, no error */
    /* Between log_start and log_finish these two speak of the committed length (a mapped file is longer), and
     * truncate may only shorten it. */
    int (*truncate)(lsm_file *file, uint64_t size, lsm_error *error);
    int (*size)(lsm_file *file, uint64_t *size, lsm_error *error);
    int (*close)(lsm_file *file, lsm_error *error); /* frees the handle, even when it reports an error */

    /* Log operations. REQUIRES: opened with WRITE, empty; single writer; log_sync may run beside it.
     * log_start chooses the way; log_reserve hands out room for `size` bytes at the current end (valid until
     * the next reserve); log_commit makes the first `size` of them part of the file, from which moment they
     * survive a kill of this process; log_sync makes everything committed before it durable.
     * log_reserve fails (ENOSPC) before anything is written. After a failed log_commit the same bytes may be
     * reserved and committed again. log_finish cuts the file to the committed length (not synced); the file
     * stays open for log_sync, and close without log_finish keeps every committed byte, zeros following.
     * log_start fails with EOPNOTSUPP and leaves the file empty where the mode is not possible. */
    int (*log_start)(lsm_file *file, int mode, lsm_error *error);
    int (*log_reserve)(lsm_file *file, size_t size, uint8_t **room, lsm_error *error);
    int (*log_commit)(lsm_file *file, size_t size, lsm_error *error);
    int (*log_sync)(lsm_file *file, lsm_error *error);
    int (*log_finish)(lsm_file *file, lsm_error *error);
} lsm_file_ops;

struct lsm_file {
    const lsm_file_ops *ops;
    char *path; /* as given to open; owned */
};

lsm_vfs *lsm_vfs_posix_create(void);  /* NULL when out of memory */
lsm_vfs *lsm_vfs_memory_create(void); /* NULL when out of memory */

/* --- fork --------------------------------------------------------------------------------------------- */

/* The number of forks this process has gone through since the library was loaded: a child sees a different
 * number than its parent did. Cheap: one load. Every extension module links its own copy of the kernels and
 * counts for itself: compare only numbers that one module has read. */
uint64_t lsm_fork_generation(void);

#endif
