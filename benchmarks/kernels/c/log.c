/* Appending records of one put to a log on disk, without syncs. */
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "log.h"

enum { PATH_SIZE_MAX = 4096 };

typedef struct log_bench {
    bench base;
    lsm_vfs *vfs;
    lsm_log_writer *writer;
    bench_items keys;
    lsm_slice value; /* of every record */
    int mode;        /* enum lsm_log_mode */
    char path[PATH_SIZE_MAX];
} log_bench;

static void prepare_log(bench *self) {
    log_bench *log = (log_bench *)self;
    lsm_log_segment segment = {.number = 1, .nonce = 1};
    lsm_log_destroy(log->writer);
    unlink(log->path);
    int status = lsm_log_create(log->vfs, log->path, &segment, log->mode, &log->writer, NULL);
    bench_require(status == 0, "creating a log");
}

static uint64_t run_append(bench *self, uint64_t operations) {
    log_bench *log = (log_bench *)self;
    uint64_t index = 0;
    for (uint64_t i = 0; i < operations; i++) {
        lsm_slice key = bench_item(&log->keys, index), key_copy, value_copy;
        size_t size = lsm_log_operation_size(LSM_KIND_PUT, key.size, log->value.size);
        uint8_t *payload;
        int status = lsm_log_begin(log->writer, size, &payload, NULL);
        bench_require(status == 0, "beginning a record");
        lsm_log_encode(payload, LSM_KIND_PUT, key, log->value, &key_copy, &value_copy);
        status = lsm_log_commit(log->writer, LSM_LOG_BATCH, i + 1, 1, size, NULL);
        bench_require(status == 0, "committing a record");
        index = bench_next(index, log->keys.count);
    }
    return 0;
}

static uint64_t length_of_log(bench *self, uint64_t operations) {
    (void)operations;
    const log_bench *log = (const log_bench *)self;
    return log->writer->length + log->writer->last_sequence;
}

static void destroy_log(bench *self) {
    log_bench *log = (log_bench *)self;
    lsm_log_destroy(log->writer);
    unlink(log->path);
    log->vfs->ops->destroy(log->vfs);
    free(self);
}

/* NULL where the file system does not allow the mode. */
BENCH_API bench *bench_log_append(const char *path, uint64_t mode, const bench_items *keys,
                                  const bench_items *values) {
    bench_require(strlen(path) < PATH_SIZE_MAX, "length of the path");
    log_bench *log = bench_allocate(sizeof *log);
    log->base = (bench){prepare_log, run_append, length_of_log, destroy_log};
    log->vfs = lsm_vfs_posix_create();
    bench_require(log->vfs != NULL, "making a vfs");
    log->keys = *keys;
    log->value = bench_item(values, 0);
    log->mode = (int)mode;
    strcpy(log->path, path);
    prepare_log(&log->base);
    if (log->writer->mode == log->mode) return &log->base;
    destroy_log(&log->base);
    return NULL;
}
