/* The operations of the fault wrapper: judge, perhaps strike, else pass on. The rules stand in vfs_fault.h.
 *
 * An append or commit that failed after some or all of its bytes leaves them in the file, where the contract
 * lets the caller repeat it at the same place: the next append, reserve or finish therefore first cuts the
 * file back.
 */
#include "vfs_fault_plan.h"

#include "allocator.h"
#include "vfs_memory.h"

#include <string.h>

typedef struct fault_file {
    lsm_file base;
    fault_vfs *fault;
    lsm_file *inner;
    uint64_t end;        /* of the data, as far as this handle knows; writing handles only */
    int torn;            /* bytes beyond `end` are left from a write that failed */
    const uint8_t *room; /* of the last log_reserve */
} fault_file;

static fault_verdict judge_file(fault_file *file, int operation, uint64_t offset, uint64_t size) {
    lsm_fault_trace_entry entry = {operation, file->base.path, NULL, offset, size, 0, NULL};
    return fault_judge(file->fault, &entry);
}

static fault_verdict judge_name(lsm_vfs *vfs, int operation, const char *path, const char *target) {
    lsm_fault_trace_entry entry = {operation, path, target, LSM_NO_OFFSET, LSM_NO_OFFSET, 0, NULL};
    return fault_judge((fault_vfs *)vfs, &entry);
}

/* The shape of every operation that moves no bytes. */
#define PASS_ON(verdict, path, call)                                                  \
    do {                                                                              \
        if (fault_stops_before(&(verdict))) return fault_refuse(&(verdict), path, error); \
        return fault_after(&(verdict), call, path, error);                            \
    } while (0)

/* --- files -------------------------------------------------------------------------------------------- */

static int64_t pass_read(fault_file *file, int operation, uint64_t offset, uint8_t *buffer, size_t size,
                         lsm_error *error) {
    lsm_file *inner = file->inner;
    fault_verdict verdict = judge_file(file, operation, offset, size);
    if (fault_stops_before(&verdict)) return fault_refuse(&verdict, file->base.path, error);
    if (verdict.action == LSM_FAULT_SHORT) size = fault_bytes_through(&verdict, size);
    int64_t got = operation == LSM_OPERATION_READ
                      ? inner->ops->read(inner, offset, buffer, size, error)
                      : inner->ops->read_cached(inner, offset, buffer, size, error);
    int code = fault_after(&verdict, LSM_OK, file->base.path, error);
    return code == LSM_OK ? got : code;
}

static int64_t read_file(lsm_file *base, uint64_t offset, uint8_t *buffer, size_t size, lsm_error *error) {
    return pass_read((fault_file *)base, LSM_OPERATION_READ, offset, buffer, size, error);
}

static int64_t read_cached(lsm_file *base, uint64_t offset, uint8_t *buffer, size_t size, lsm_error *error) {
    return pass_read((fault_file *)base, LSM_OPERATION_READ_CACHED, offset, buffer, size, error);
}

static int cut_torn(fault_file *file, lsm_error *error) {
    if (!file->torn) return LSM_OK;
    int code = file->inner->ops->truncate(file->inner, file->end, error);
    if (code == LSM_OK) file->torn = 0;
    return code;
}

/* Append and log_commit; `data` is NULL for the latter. */
static int pass_bytes(fault_file *file, int operation, const uint8_t *data, size_t size, lsm_error *error) {
    lsm_file *inner = file->inner;
    const uint8_t *bytes = data != NULL ? data : file->room;
    lsm_fault_trace_entry entry = {operation, file->base.path, NULL, file->end, size, 0, bytes};
    fault_verdict verdict = fault_judge(file->fault, &entry);
    int in_the_middle = verdict.when == LSM_FAULT_INSIDE;
    if (!in_the_middle && fault_stops_before(&verdict)) return fault_refuse(&verdict, file->base.path, error);
    size_t through = fault_bytes_through(&verdict, size);
    int code = data != NULL ? cut_torn(file, error) : LSM_OK;
    if (code == LSM_OK) {
        code = data != NULL ? inner->ops->append(inner, data, through, error)
                            : inner->ops->log_commit(inner, through, error);
    }
    if (code != LSM_OK) return code;
    if (verdict.action == LSM_FAULT_TEAR || verdict.action == LSM_FAULT_FAIL) {
        file->torn = 1;
    } else {
        file->end += through;
    }
    return fault_after(&verdict, code, file->base.path, error);
}

static int append(lsm_file *base, const uint8_t *data, size_t size, lsm_error *error) {
    static const uint8_t nothing;
    return pass_bytes((fault_file *)base, LSM_OPERATION_APPEND, data != NULL ? data : &nothing, size, error);
}

static int pass_sync(fault_file *file, int operation, lsm_error *error) {
    lsm_file *inner = file->inner;
    fault_verdict verdict = judge_file(file, operation, LSM_NO_OFFSET, file->end);
    int loses = verdict.action == LSM_FAULT_FAIL && verdict.lose_unsynced;
    if (loses && strcmp(file->fault->base->ops->name, "memory") == 0) lsm_memory_lose_unsynced(inner);
    int (*sync)(lsm_file *, lsm_error *) =
        operation == LSM_OPERATION_SYNC ? inner->ops->sync : inner->ops->log_sync;
    PASS_ON(verdict, file->base.path, sync(inner, error));
}

static int sync_file(lsm_file *base, lsm_error *error) {
    return pass_sync((fault_file *)base, LSM_OPERATION_SYNC, error);
}

static int start_writeback(lsm_file *base, uint64_t offset, uint64_t size) {
    fault_file *file = (fault_file *)base;
    lsm_error *error = NULL;
    fault_verdict verdict = judge_file(file, LSM_OPERATION_START_WRITEBACK, offset, size);
    if (fault_stops_before(&verdict)) return LSM_OK;
    file->inner->ops->start_writeback(file->inner, offset, size);
    fault_after(&verdict, LSM_OK, base->path, error);
    return LSM_OK;
}

static int truncate_file(lsm_file *base, uint64_t size, lsm_error *error) {
    fault_file *file = (fault_file *)base;
    fault_verdict verdict = judge_file(file, LSM_OPERATION_TRUNCATE, size, LSM_NO_OFFSET);
    if (fault_stops_before(&verdict)) return fault_refuse(&verdict, base->path, error);
    int code = file->inner->ops->truncate(file->inner, size, error);
    if (code == LSM_OK) {
        file->end = size;
        file->torn = 0;
    }
    return fault_after(&verdict, code, base->path, error);
}

static int file_size(lsm_file *base, uint64_t *size, lsm_error *error) {
    fault_file *file = (fault_file *)base;
    fault_verdict verdict = judge_file(file, LSM_OPERATION_SIZE, LSM_NO_OFFSET, LSM_NO_OFFSET);
    PASS_ON(verdict, base->path, file->inner->ops->size(file->inner, size, error));
}

static void free_file(fault_file *file) {
    lsm_free(file->base.path);
    lsm_free(file);
}

static int close_file(lsm_file *base, lsm_error *error) {
    fault_file *file = (fault_file *)base;
    fault_verdict verdict = judge_file(file, LSM_OPERATION_CLOSE, LSM_NO_OFFSET, LSM_NO_OFFSET);
    int refused = fault_stops_before(&verdict);
    int code = file->inner->ops->close(file->inner, error);
    code = refused ? fault_refuse(&verdict, base->path, error)
                   : fault_after(&verdict, code, base->path, error);
    free_file(file);
    return code;
}

/* --- log operations ----------------------------------------------------------------------------------- */

static int log_start(lsm_file *base, int mode, lsm_error *error) {
    fault_file *file = (fault_file *)base;
    fault_verdict verdict = judge_file(file, LSM_OPERATION_LOG_START, LSM_NO_OFFSET, LSM_NO_OFFSET);
    PASS_ON(verdict, base->path, file->inner->ops->log_start(file->inner, mode, error));
}

static int log_reserve(lsm_file *base, size_t size, uint8_t **room, lsm_error *error) {
    fault_file *file = (fault_file *)base;
    fault_verdict verdict = judge_file(file, LSM_OPERATION_LOG_RESERVE, file->end, size);
    if (fault_stops_before(&verdict)) return fault_refuse(&verdict, base->path, error);
    int code = cut_torn(file, error);
    if (code == LSM_OK) code = file->inner->ops->log_reserve(file->inner, size, room, error);
    if (code == LSM_OK) file->room = *room;
    return fault_after(&verdict, code, base->path, error);
}

static int log_commit(lsm_file *base, size_t size, lsm_error *error) {
    return pass_bytes((fault_file *)base, LSM_OPERATION_LOG_COMMIT, NULL, size, error);
}

static int log_sync(lsm_file *base, lsm_error *error) {
    return pass_sync((fault_file *)base, LSM_OPERATION_LOG_SYNC, error);
}

static int log_finish(lsm_file *base, lsm_error *error) {
    fault_file *file = (fault_file *)base;
    fault_verdict verdict = judge_file(file, LSM_OPERATION_LOG_FINISH, LSM_NO_OFFSET, file->end);
    if (fault_stops_before(&verdict)) return fault_refuse(&verdict, base->path, error);
    int code = cut_torn(file, error);
    if (code == LSM_OK) code = file->inner->ops->log_finish(file->inner, error);
    return fault_after(&verdict, code, base->path, error);
}

static const lsm_file_ops file_ops = {
    .read = read_file,
    .read_cached = read_cached,
    .append = append,
    .sync = sync_file,
    .start_writeback = start_writeback,
    .truncate = truncate_file,
    .size = file_size,
    .close = close_file,
    .log_start = log_start,
    .log_reserve = log_reserve,
    .log_commit = log_commit,
    .log_sync = log_sync,
    .log_finish = log_finish,
};

/* --- opening and locking ------------------------------------------------------------------------------ */

static int open_inner(lsm_vfs *base, const char *path, int flags, int is_lock, fault_file *file,
                      lsm_error *error) {
    int code = is_lock ? base->ops->lock(base, path, &file->inner, error)
                       : base->ops->open(base, path, flags, &file->inner, error);
    if (code == LSM_OK && (flags & LSM_OPEN_WRITE)) {
        code = file->inner->ops->size(file->inner, &file->end, error);
        if (code != LSM_OK) file->inner->ops->close(file->inner, NULL);
    }
    return code;
}

static int pass_open(lsm_vfs *vfs, const char *path, int flags, int is_lock, lsm_file **out,
                     lsm_error *error) {
    fault_vfs *fault = (fault_vfs *)vfs;
    int operation = is_lock ? LSM_OPERATION_LOCK : LSM_OPERATION_OPEN;
    lsm_fault_trace_entry entry = {operation, path, NULL, LSM_NO_OFFSET, LSM_NO_OFFSET, flags, NULL};
    fault_verdict verdict = fault_judge(fault, &entry);
    if (fault_stops_before(&verdict)) return fault_refuse(&verdict, path, error);
    size_t size = strlen(path) + 1;
    fault_file *file = lsm_calloc(1, sizeof *file);
    if (file != NULL) file->base.path = lsm_alloc(size);
    if (file == NULL || file->base.path == NULL) {
        lsm_free(file);
        return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, path, "open");
    }
    memcpy(file->base.path, path, size);
    file->base.ops = &file_ops;
    file->fault = fault;
    int code = open_inner(fault->base, path, flags, is_lock, file, error);
    if (code != LSM_OK) {
        free_file(file);
        return fault_after(&verdict, code, path, error);
    }
    code = fault_after(&verdict, code, path, error);
    if (code != LSM_OK) {
        file->inner->ops->close(file->inner, NULL);
        free_file(file);
        return code;
    }
    *out = &file->base;
    return LSM_OK;
}

static int open_file(lsm_vfs *vfs, const char *path, int flags, lsm_file **file, lsm_error *error) {
    return pass_open(vfs, path, flags, 0, file, error);
}

static int lock_file(lsm_vfs *vfs, const char *path, lsm_file **file, lsm_error *error) {
    return pass_open(vfs, path, 0, 1, file, error);
}

/* --- names -------------------------------------------------------------------------------------------- */

static lsm_vfs *base_of(lsm_vfs *vfs) { return ((fault_vfs *)vfs)->base; }

static int remove_file(lsm_vfs *vfs, const char *path, lsm_error *error) {
    fault_verdict verdict = judge_name(vfs, LSM_OPERATION_REMOVE, path, NULL);
    PASS_ON(verdict, path, base_of(vfs)->ops->remove(base_of(vfs), path, error));
}

static int rename_file(lsm_vfs *vfs, const char *from, const char *to, lsm_error *error) {
    fault_verdict verdict = judge_name(vfs, LSM_OPERATION_RENAME, from, to);
    PASS_ON(verdict, from, base_of(vfs)->ops->rename(base_of(vfs), from, to, error));
}

static int link_file(lsm_vfs *vfs, const char *from, const char *to, lsm_error *error) {
    fault_verdict verdict = judge_name(vfs, LSM_OPERATION_LINK, from, to);
    PASS_ON(verdict, to, base_of(vfs)->ops->link(base_of(vfs), from, to, error));
}

static int make_directory(lsm_vfs *vfs, const char *path, lsm_error *error) {
    fault_verdict verdict = judge_name(vfs, LSM_OPERATION_MAKE_DIRECTORY, path, NULL);
    PASS_ON(verdict, path, base_of(vfs)->ops->make_directory(base_of(vfs), path, error));
}

static int remove_directory(lsm_vfs *vfs, const char *path, lsm_error *error) {
    fault_verdict verdict = judge_name(vfs, LSM_OPERATION_REMOVE_DIRECTORY, path, NULL);
    PASS_ON(verdict, path, base_of(vfs)->ops->remove_directory(base_of(vfs), path, error));
}

static int sync_directory(lsm_vfs *vfs, const char *path, lsm_error *error) {
    fault_verdict verdict = judge_name(vfs, LSM_OPERATION_SYNC_DIRECTORY, path, NULL);
    PASS_ON(verdict, path, base_of(vfs)->ops->sync_directory(base_of(vfs), path, error));
}

static int list_directory(lsm_vfs *vfs, const char *path, lsm_name_sink sink, void *context,
                          lsm_error *error) {
    fault_verdict verdict = judge_name(vfs, LSM_OPERATION_LIST, path, NULL);
    PASS_ON(verdict, path, base_of(vfs)->ops->list(base_of(vfs), path, sink, context, error));
}

static int stat_file(lsm_vfs *vfs, const char *path, lsm_file_info *info, lsm_error *error) {
    fault_verdict verdict = judge_name(vfs, LSM_OPERATION_STAT, path, NULL);
    PASS_ON(verdict, path, base_of(vfs)->ops->stat(base_of(vfs), path, info, error));
}

static int can_map_log(lsm_vfs *vfs, const char *directory) {
    return base_of(vfs)->ops->can_map_log(base_of(vfs), directory);
}

static void destroy(lsm_vfs *vfs) {
    fault_vfs *fault = (fault_vfs *)vfs;
    fault_clear_trace(fault);
    pthread_mutex_destroy(&fault->mutex);
    lsm_free(fault);
}

static const lsm_vfs_ops vfs_ops = {
    .name = "fault",
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

lsm_vfs *lsm_vfs_fault_create(lsm_vfs *base) {
    fault_vfs *fault = lsm_calloc(1, sizeof *fault);
    if (fault == NULL) return NULL;
    if (pthread_mutex_init(&fault->mutex, NULL) != 0) {
        lsm_free(fault);
        return NULL;
    }
    fault->vfs.ops = &vfs_ops;
    fault->base = base;
    fault->count_reads = 1;
    return &fault->vfs;
}
