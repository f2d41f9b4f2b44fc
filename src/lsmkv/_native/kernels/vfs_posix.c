/* File operations over POSIX system calls (Linux).
 *
 * Invariants: every descriptor is close-on-exec; interrupted calls are repeated; an append goes to an offset
 * the handle itself keeps, so a failed one can be repeated at the same place; in a forked child, close
 * touches only the child's own descriptor and memory. Locks are flock(2) on a separate open file description
 * each, hence they exclude other openers of the same process too.
 */
#define _GNU_SOURCE
#include "vfs_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { FILE_MODE = 0644, DIRECTORY_MODE = 0755 };

enum { EXT_MAGIC = 0xEF53, XFS_MAGIC = 0x58465342 };

#define RETRY(result, call)                         \
    do {                                            \
        (result) = (call);                          \
    } while ((result) < 0 && errno == EINTR)

static int fail(lsm_file *file, uint64_t offset, const char *operation, lsm_error *error) {
    return lsm_fail_system(error, errno, offset, file->path, operation);
}

static int fail_path(const char *path, const char *operation, lsm_error *error) {
    return lsm_fail_system(error, errno, LSM_NO_OFFSET, path, operation);
}

/* --- files -------------------------------------------------------------------------------------------- */

static int64_t read_fully(lsm_file *file, uint64_t offset, uint8_t *buffer, size_t size, lsm_error *error) {
    int fd = ((posix_file *)file)->descriptor.fd;
    size_t done = 0;
    while (done < size) {
        ssize_t got;
        RETRY(got, pread(fd, buffer + done, size - done, (off_t)(offset + done)));
        if (got < 0) return fail(file, offset + done, "pread", error);
        if (got == 0) break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

static int64_t read_cached(lsm_file *file, uint64_t offset, uint8_t *buffer, size_t size, lsm_error *error) {
    int fd = ((posix_file *)file)->descriptor.fd;
    size_t done = 0;
    while (done < size) {
        struct iovec piece = {buffer + done, size - done};
        ssize_t got;
        RETRY(got, preadv2(fd, &piece, 1, (off_t)(offset + done), RWF_NOWAIT));
        if (got == 0) break;
        if (got > 0) {
            done += (size_t)got;
        } else if (errno == EAGAIN) {
            return LSM_E_WOULD_BLOCK;
        } else if (errno == EOPNOTSUPP || errno == ENOSYS) {
            return read_fully(file, offset, buffer, size, error);
        } else {
            return fail(file, offset + done, "preadv2", error);
        }
    }
    return (int64_t)done;
}

int posix_write_all(posix_file *file, uint64_t offset, const uint8_t *data, size_t size,
                    const char *operation, lsm_error *error) {
    size_t done = 0;
    while (done < size) {
        ssize_t put;
        RETRY(put, pwrite(file->descriptor.fd, data + done, size - done, (off_t)(offset + done)));
        if (put < 0) return fail(&file->base, offset + done, operation, error);
        if (put == 0) return lsm_fail_system(error, EIO, offset + done, file->base.path, operation);
        done += (size_t)put;
    }
    return LSM_OK;
}

static int append(lsm_file *base, const uint8_t *data, size_t size, lsm_error *error) {
    posix_file *file = (posix_file *)base;
    if (LSM_UNLIKELY(file->log.mode != 0)) return lsm_fail_system(error, EINVAL, 0, base->path, "append");
    int code = posix_write_all(file, file->end, data, size, "append", error);
    if (code == LSM_OK) file->end += size;
    return code;
}

int posix_sync(lsm_file *base, lsm_error *error) {
    int result;
    RETRY(result, fdatasync(((posix_file *)base)->descriptor.fd));
    return result == 0 ? LSM_OK : fail(base, LSM_NO_OFFSET, "fdatasync", error);
}

static int start_writeback(lsm_file *base, uint64_t offset, uint64_t size) {
    int fd = ((posix_file *)base)->descriptor.fd;
    (void)!sync_file_range(fd, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
    return LSM_OK;
}

int posix_truncate(posix_file *file, uint64_t size, lsm_error *error) {
    int result;
    RETRY(result, ftruncate(file->descriptor.fd, (off_t)size));
    return result == 0 ? LSM_OK : fail(&file->base, size, "ftruncate", error);
}

static int truncate_file(lsm_file *base, uint64_t size, lsm_error *error) {
    posix_file *file = (posix_file *)base;
    if (file->log.mode != 0) return posix_log_truncate(file, size, error);
    int code = posix_truncate(file, size, error);
    if (code == LSM_OK) file->end = size;
    return code;
}

static int file_size(lsm_file *base, uint64_t *size, lsm_error *error) {
    posix_file *file = (posix_file *)base;
    struct stat status;
    if (file->log.mode != 0) {
        *size = __atomic_load_n(&file->log.committed, __ATOMIC_ACQUIRE);
        return LSM_OK;
    }
    if (fstat(file->descriptor.fd, &status) != 0) return fail(base, LSM_NO_OFFSET, "fstat", error);
    *size = (uint64_t)status.st_size;
    return LSM_OK;
}

static int close_file(lsm_file *base, lsm_error *error) {
    posix_file *file = (posix_file *)base;
    int code = LSM_OK;
    posix_log_release(file);
    if (file->is_lock) {
        lsm_fork_untrack(&file->descriptor);
        /* Outright, not by closing alone: a child that has just been forked may not have closed its copy yet.
         * In a child it would take the lock from the parent. */
        if (file->generation == lsm_fork_generation()) flock(file->descriptor.fd, LOCK_UN);
    }
    /* Not repeated after EINTR: Linux has released the descriptor by then. */
    if (file->descriptor.fd >= 0 && close(file->descriptor.fd) != 0 && errno != EINTR) {
        code = fail(base, LSM_NO_OFFSET, "close", error);
    }
    lsm_free(base->path);
    lsm_free(file);
    return code;
}

static const lsm_file_ops file_ops = {
    .read = read_fully,
    .read_cached = read_cached,
    .append = append,
    .sync = posix_sync,
    .start_writeback = start_writeback,
    .truncate = truncate_file,
    .size = file_size,
    .close = close_file,
    .log_start = posix_log_start,
    .log_reserve = posix_log_reserve,
    .log_commit = posix_log_commit,
    .log_sync = posix_log_sync,
    .log_finish = posix_log_finish,
};

/* --- opening and locking ------------------------------------------------------------------------------ */

static posix_file *new_file(const char *path) {
    posix_file *file = lsm_calloc(1, sizeof *file);
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
    file->descriptor.fd = -1;
    file->generation = lsm_fork_generation();
    file->log.guard = -1;
    return file;
}

static int fail_open(posix_file *file, const char *operation, lsm_error *error) {
    int code = fail(&file->base, LSM_NO_OFFSET, operation, error);
    close_file(&file->base, NULL);
    return code;
}

static int system_flags(int flags) {
    int result = O_CLOEXEC | (flags & LSM_OPEN_WRITE ? O_RDWR : O_RDONLY);
    if (flags & LSM_OPEN_CREATE) result |= O_CREAT;
    if (flags & LSM_OPEN_EXCLUSIVE) result |= O_EXCL;
    if (flags & LSM_OPEN_TRUNCATE) result |= O_TRUNC;
    return result;
}

static int open_file(lsm_vfs *vfs, const char *path, int flags, lsm_file **out, lsm_error *error) {
    (void)vfs;
    posix_file *file = new_file(path);
    if (file == NULL) return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, path, "open");
    RETRY(file->descriptor.fd, open(path, system_flags(flags), FILE_MODE));
    if (file->descriptor.fd < 0) return fail_open(file, "open", error);
    if (flags & LSM_OPEN_WRITE) {
        struct stat status;
        if (fstat(file->descriptor.fd, &status) != 0) return fail_open(file, "fstat", error);
        file->end = (uint64_t)status.st_size;
    }
    *out = &file->base;
    return LSM_OK;
}

static int lock_file(lsm_vfs *vfs, const char *path, lsm_file **out, lsm_error *error) {
    (void)vfs;
    posix_file *file = new_file(path);
    if (file == NULL) return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, path, "lock");
    RETRY(file->descriptor.fd, open(path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE));
    if (file->descriptor.fd < 0) return fail_open(file, "open", error);
    int result;
    RETRY(result, flock(file->descriptor.fd, LOCK_EX | LOCK_NB));
    if (result != 0) return fail_open(file, "flock", error);
    lsm_fork_track(&file->descriptor);
    file->is_lock = 1;
    *out = &file->base;
    return LSM_OK;
}

/* --- names -------------------------------------------------------------------------------------------- */

static int remove_file(lsm_vfs *vfs, const char *path, lsm_error *error) {
    (void)vfs;
    return unlink(path) == 0 ? LSM_OK : fail_path(path, "unlink", error);
}

static int rename_file(lsm_vfs *vfs, const char *from, const char *to, lsm_error *error) {
    (void)vfs;
    return rename(from, to) == 0 ? LSM_OK : fail_path(from, "rename", error);
}

static int link_file(lsm_vfs *vfs, const char *from, const char *to, lsm_error *error) {
    (void)vfs;
    return link(from, to) == 0 ? LSM_OK : fail_path(to, "link", error);
}

static int make_directory(lsm_vfs *vfs, const char *path, lsm_error *error) {
    (void)vfs;
    return mkdir(path, DIRECTORY_MODE) == 0 ? LSM_OK : fail_path(path, "mkdir", error);
}

static int remove_directory(lsm_vfs *vfs, const char *path, lsm_error *error) {
    (void)vfs;
    return rmdir(path) == 0 ? LSM_OK : fail_path(path, "rmdir", error);
}

static int sync_directory(lsm_vfs *vfs, const char *path, lsm_error *error) {
    (void)vfs;
    int fd, result, code = LSM_OK;
    RETRY(fd, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd < 0) return fail_path(path, "open", error);
    RETRY(result, fsync(fd));
    if (result != 0) code = fail_path(path, "fsync", error);
    close(fd);
    return code;
}

static int list_directory(lsm_vfs *vfs, const char *path, lsm_name_sink sink, void *context,
                          lsm_error *error) {
    (void)vfs;
    DIR *directory = opendir(path);
    if (directory == NULL) return fail_path(path, "opendir", error);
    int code = LSM_OK;
    while (code == LSM_OK) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            if (errno != 0) code = fail_path(path, "readdir", error);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        code = sink(context, entry->d_name);
    }
    closedir(directory);
    return code;
}

static int stat_file(lsm_vfs *vfs, const char *path, lsm_file_info *info, lsm_error *error) {
    (void)vfs;
    struct stat status;
    if (stat(path, &status) != 0) return fail_path(path, "stat", error);
    info->type = S_ISREG(status.st_mode) ? LSM_FILE_REGULAR
               : S_ISDIR(status.st_mode) ? LSM_FILE_DIRECTORY : LSM_FILE_OTHER;
    info->size_bytes = (uint64_t)status.st_size;
    return LSM_OK;
}

static int can_map_log(lsm_vfs *vfs, const char *directory) {
    (void)vfs;
    struct statfs status;
    if (statfs(directory, &status) != 0) return 0;
    return status.f_type == EXT_MAGIC || status.f_type == XFS_MAGIC;
}

static void destroy(lsm_vfs *vfs) { lsm_free(vfs); }

static const lsm_vfs_ops vfs_ops = {
    .name = "posix",
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

lsm_vfs *lsm_vfs_posix_create(void) {
    lsm_vfs *vfs = lsm_alloc(sizeof *vfs);
    if (vfs != NULL) vfs->ops = &vfs_ops;
    return vfs;
}
