/* The log operations over POSIX: the same bytes, written through a private buffer or through a shared
 * mapping.
 *
 * Written: log_reserve hands out a buffer, log_commit writes it at the committed offset.
 *
 * Mapped: the file is allocated ahead with fallocate(2) - never posix_fallocate, whose fallback writes - in
 * steps of 1, 4, 16, 16, ... MB, and a window of it is mapped shared. log_reserve makes sure that the window
 * and the allocated space reach far enough, so that the caller's stores cannot run out of space; log_commit
 * moves the committed length and nothing else. Bytes stored into the mapping are in the page cache at once:
 * they survive a kill exactly as written ones do. A record of `aside_size` or more is written all the same:
 * one write costs half of what faulting in so many fresh pages does. The window is MADV_RANDOM (without it
 * first touches stall for tens of milliseconds on readahead and large folios) and MADV_DONTFORK (a child
 * must not write the parent's log). Should the file be cut under us, the SIGBUS guard (bus_guard.h) sets
 * `poisoned`, and commit and sync fail.
 */
#define _GNU_SOURCE
#include "vfs_posix.h"

#include "bus_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((uint64_t)1024 * 1024)

enum { STEP_FACTOR = 4 };
static const uint64_t step_first = 1 * MIB;
static const uint64_t step_max = 16 * MIB;
static const uint64_t window_size_min = 64 * MIB;
static const uint64_t touch_size = MIB / 8;
static const uint64_t aside_size = MIB / 16;

static uint64_t page_size(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }

static uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) & ~(unit - 1); }

static int is_poisoned(const posix_log *log) { return __atomic_load_n(&log->poisoned, __ATOMIC_SEQ_CST); }

static int fail_poisoned(posix_file *file, lsm_error *error) {
    const char *what = "a store into the mapped log failed";
    return lsm_fail_system(error, EIO, file->log.committed, file->base.path, what);
}

/* --- the mapping -------------------------------------------------------------------------------------- */

static int allocate_to(posix_file *file, uint64_t end) {
    uint64_t start = file->log.allocated;
    int result;
    do {
        result = fallocate(file->descriptor.fd, 0, (off_t)start, (off_t)(end - start));
    } while (result != 0 && errno == EINTR);
    if (result == 0) __atomic_store_n(&file->log.allocated, end, __ATOMIC_RELEASE);
    return result;
}

static int grow_allocation(posix_file *file, uint64_t needed, lsm_error *error) {
    posix_log *log = &file->log;
    uint64_t least = round_up(needed, page_size());
    uint64_t wanted = log->allocated + log->step > least ? log->allocated + log->step : least;
    int result = allocate_to(file, wanted);
    int too_much = result != 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG);
    if (too_much && wanted > least) result = allocate_to(file, least);
    if (result != 0) return lsm_fail_system(error, errno, log->allocated, file->base.path, "fallocate");
    if (log->step < step_max) log->step *= STEP_FACTOR;
    return LSM_OK;
}

static void unmap_window(posix_log *log) {
    if (log->window == NULL) return;
    lsm_bus_unguard(log->guard);
    munmap(log->window, log->window_size);
    log->window = NULL;
    log->guard = -1;
}

/* Maps file bytes from the page of the committed length on, `needed` at least being inside. */
static int replace_window(posix_file *file, uint64_t needed, lsm_error *error) {
    posix_log *log = &file->log;
    uint64_t offset = log->committed & ~(page_size() - 1);
    uint64_t size = round_up(needed - offset, page_size());
    if (size < window_size_min) size = window_size_min;
    void *window = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file->descriptor.fd, (off_t)offset);
    if (window == MAP_FAILED) return lsm_fail_system(error, errno, offset, file->base.path, "mmap");
    int number = madvise(window, size, MADV_DONTFORK) == 0 ? 0 : errno;
    if (number == 0 && madvise(window, size, MADV_RANDOM) != 0) number = errno;
    int guard = number == 0 ? lsm_bus_guard(window, size, &log->poisoned) : -1;
    if (guard < 0) {
        munmap(window, size);
        number = number == 0 ? EOPNOTSUPP : number;
        return lsm_fail_system(error, number, offset, file->base.path, "mapping the log");
    }
    unmap_window(log);
    log->window = window;
    log->window_offset = offset;
    log->window_size = size;
    log->guard = guard;
    log->touched = 0;
    return LSM_OK;
}

/* Faults in the pages a stretch ahead with one call, a quarter of the cost of touching them one by one. Only
 * while the log is written without syncs: a sync would have to write every page of the stretch. */
static void touch_ahead(posix_log *log, uint64_t end) {
    uint64_t start = end & ~(page_size() - 1);
    log->touched = start + page_size();
#ifdef MADV_POPULATE_WRITE
    if (log->committed - __atomic_load_n(&log->synced, __ATOMIC_RELAXED) < touch_size) return;
    uint64_t limit = log->window_offset + log->window_size;
    if (limit > log->allocated) limit = log->allocated;
    if (start + touch_size > limit) return;
    if (madvise(log->window + (start - log->window_offset), touch_size, MADV_POPULATE_WRITE) == 0) {
        log->touched = start + touch_size;
    }
#endif
}

static int start_mapped(posix_file *file, lsm_error *error) {
    posix_log *log = &file->log;
    log->step = step_first;
    int code = grow_allocation(file, 1, error);
    if (code == LSM_OK) code = replace_window(file, 1, error);
    if (code != LSM_OK) {
        posix_truncate(file, 0, NULL);
        log->allocated = 0;
    }
    return code;
}

/* --- the operations ----------------------------------------------------------------------------------- */

int posix_log_start(lsm_file *base, int mode, lsm_error *error) {
    posix_file *file = (posix_file *)base;
    struct stat status;
    if (fstat(file->descriptor.fd, &status) != 0) {
        return lsm_fail_system(error, errno, LSM_NO_OFFSET, base->path, "fstat");
    }
    if (status.st_size != 0 || file->log.mode != 0) {
        return lsm_fail_system(error, EINVAL, 0, base->path, "log_start on a file in use");
    }
    if (mode == LSM_LOG_MAPPED) {
        int code = start_mapped(file, error);
        if (code != LSM_OK) return code;
    }
    file->log.committed = 0;
    file->log.mode = mode;
    return LSM_OK;
}

static int reserve_buffer(posix_file *file, size_t size, uint8_t **room, lsm_error *error) {
    posix_log *log = &file->log;
    if (lsm_log_buffer_reserve(&log->buffer, size) != LSM_OK) {
        return lsm_fail(error, LSM_E_MEMORY, log->committed, file->base.path, "log_reserve");
    }
    *room = log->buffer.data;
    return LSM_OK;
}

int posix_log_reserve(lsm_file *base, size_t size, uint8_t **room, lsm_error *error) {
    posix_file *file = (posix_file *)base;
    posix_log *log = &file->log;
    /* A child has no mapping, and must not write its parent's log in either mode. */
    if (LSM_UNLIKELY(file->generation != lsm_fork_generation())) {
        return lsm_fail_system(error, EBADF, log->committed, base->path, "log_reserve in a forked child");
    }
    if (LSM_LIKELY(log->mode == LSM_LOG_MAPPED)) {
        uint64_t end = log->committed + size;
        if (LSM_UNLIKELY(is_poisoned(log))) return fail_poisoned(file, error);
        if (LSM_UNLIKELY(end > log->allocated)) {
            int code = grow_allocation(file, end, error);
            if (code != LSM_OK) return code;
        }
        log->is_aside = size >= aside_size;
        if (LSM_UNLIKELY(log->is_aside)) return reserve_buffer(file, size, room, error);
        if (LSM_UNLIKELY(end > log->window_offset + log->window_size)) {
            int code = replace_window(file, end, error);
            if (code != LSM_OK) return code;
        }
        if (LSM_UNLIKELY(end > log->touched)) touch_ahead(log, end);
        log->reserved = size;
        *room = log->window + (log->committed - log->window_offset);
        return LSM_OK;
    }
    if (log->mode != LSM_LOG_WRITTEN) return lsm_fail_system(error, EINVAL, 0, base->path, "log_reserve");
    return reserve_buffer(file, size, room, error);
}

/* A write would fill up a file that was cut, where a store into the mapping notices it. */
static int is_cut(posix_file *file) {
    struct stat status;
    int is_whole = fstat(file->descriptor.fd, &status) == 0 &&
                   (uint64_t)status.st_size >= file->log.allocated;
    if (!is_whole) __atomic_store_n(&file->log.poisoned, 1, __ATOMIC_SEQ_CST);
    return !is_whole;
}

static int commit_mapped(posix_file *file, size_t size, lsm_error *error) {
    posix_log *log = &file->log;
    if (LSM_UNLIKELY(is_poisoned(log))) return fail_poisoned(file, error);
    if (LSM_LIKELY(!log->is_aside)) {
        LSM_ASSERT(size <= log->reserved);
        return LSM_OK;
    }
    LSM_ASSERT(size <= log->buffer.reserved);
    if (is_cut(file)) return fail_poisoned(file, error);
    /* What a failure leaves behind lies in allocated space, where the next record goes. */
    return posix_write_all(file, log->committed, log->buffer.data, size, "log_commit", error);
}

int posix_log_commit(lsm_file *base, size_t size, lsm_error *error) {
    posix_file *file = (posix_file *)base;
    posix_log *log = &file->log;
    if (LSM_LIKELY(log->mode == LSM_LOG_MAPPED)) {
        int code = commit_mapped(file, size, error);
        if (LSM_UNLIKELY(code != LSM_OK)) return code;
    } else if (log->mode == LSM_LOG_WRITTEN) {
        LSM_ASSERT(size <= log->buffer.reserved);
        int code = posix_write_all(file, log->committed, log->buffer.data, size, "log_commit", error);
        if (code != LSM_OK) {
            /* Half a record would be taken for a torn one; with luck there is nothing to explain later. */
            posix_truncate(file, log->committed, NULL);
            return code;
        }
    } else {
        return lsm_fail_system(error, EINVAL, 0, base->path, "log_commit");
    }
    __atomic_store_n(&log->committed, log->committed + size, __ATOMIC_RELEASE);
    return LSM_OK;
}

int posix_log_sync(lsm_file *base, lsm_error *error) {
    posix_file *file = (posix_file *)base;
    uint64_t committed = __atomic_load_n(&file->log.committed, __ATOMIC_ACQUIRE);
    __atomic_store_n(&file->log.synced, committed, __ATOMIC_RELAXED);
    int code = posix_sync(base, error);
    /* Read after the sync: a store that failed before or during it must not be called durable. */
    if (code == LSM_OK && is_poisoned(&file->log)) code = fail_poisoned(file, error);
    return code;
}

int posix_log_truncate(posix_file *file, uint64_t size, lsm_error *error) {
    posix_log *log = &file->log;
    const char *path = file->base.path;
    if (size > log->committed) return lsm_fail_system(error, EINVAL, size, path, "truncate of a log");
    if (log->mode == LSM_LOG_MAPPED) {
        if (is_poisoned(log)) return fail_poisoned(file, error);
        /* Cutting and growing again zeroes what was committed, without the window having to reach back. */
        uint64_t allocated = log->allocated;
        int code = posix_truncate(file, size, error);
        if (code != LSM_OK) return code;
        log->allocated = size & ~(page_size() - 1);
        __atomic_store_n(&log->committed, size, __ATOMIC_RELEASE);
        code = grow_allocation(file, allocated, error);
        if (code == LSM_OK && size < log->window_offset) code = replace_window(file, size, error);
        return code;
    }
    int code = posix_truncate(file, size, error);
    if (code == LSM_OK) __atomic_store_n(&log->committed, size, __ATOMIC_RELEASE);
    return code;
}

int posix_log_finish(lsm_file *base, lsm_error *error) {
    posix_file *file = (posix_file *)base;
    posix_log *log = &file->log;
    if (log->mode == 0) return LSM_OK;
    uint64_t committed = log->committed;
    posix_log_release(file);
    file->end = committed;
    if (is_poisoned(log)) return fail_poisoned(file, error);
    return posix_truncate(file, committed, error);
}

void posix_log_release(posix_file *file) {
    posix_log *log = &file->log;
    /* A child has not inherited the mapping: those addresses may hold something else by now. */
    if (log->mode == LSM_LOG_MAPPED && file->generation == lsm_fork_generation()) {
        unmap_window(log);
    }
    lsm_log_buffer_free(&log->buffer);
    log->mode = 0;
}
