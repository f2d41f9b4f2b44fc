/* Writing a log segment: reserve, encode in place, seal, commit. Format and contract: log.h.
 *
 * - The checksum is taken over the copy in the log's own room, never over the caller's bytes, which may
 *   change while they are copied.
 * - Nothing counts before log_commit has succeeded. A record whose commit failed is wiped from its room,
 *   because a mapped room is the file itself and would survive a kill.
 * - What is reserved but not used (a smaller payload, a begin without commit) is wiped as well, so that the
 *   same commits give the same bytes whichever way they are written.
 * - This file knows no paths beyond create, no threads and no policy: when to sync is the owner's business.
 */
#include "log.h"

#include <errno.h>

#include "allocator.h"

static void poison(lsm_log_writer *writer) { __atomic_store_n(&writer->poisoned, 1, __ATOMIC_RELEASE); }

static int check_usable(const lsm_log_writer *writer, lsm_error *error) {
    if (LSM_UNLIKELY(__atomic_load_n(&writer->poisoned, __ATOMIC_ACQUIRE))) {
        return lsm_fail(error, LSM_E_POISONED, LSM_NO_OFFSET, writer->file->path,
                        "an earlier write or sync of the log failed: reopen the database");
    }
    return LSM_OK;
}

/* Passes on a failure of begin or commit. A refusal leaves the file as it was; after anything else nobody
 * knows what it holds. REQUIRES: error is not NULL. */
static int fail_write(lsm_log_writer *writer, int status, const lsm_error *error) {
    if (status == LSM_E_MEMORY) return status;
    switch (status == LSM_E_SYSTEM ? error->system_errno : 0) {
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
        case ENOMEM:
        case EINTR:
        case EAGAIN:
            break;
        default:
            poison(writer);
    }
    return status;
}

/* --- create and destroy ------------------------------------------------------------------------------- */

/* 1, 0, or LSM_E_MEMORY. */
static int can_map(lsm_vfs *vfs, const char *path) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL) return vfs->ops->can_map_log(vfs, ".") != 0;
    size_t size = slash == path ? 1 : (size_t)(slash - path);
    char *directory = lsm_alloc(size + 1);
    if (directory == NULL) return LSM_E_MEMORY;
    memcpy(directory, path, size);
    directory[size] = '\0';
    int allowed = vfs->ops->can_map_log(vfs, directory) != 0;
    lsm_free(directory);
    return allowed;
}

/* REQUIRES: error is not NULL. */
static int start(lsm_log_writer *writer, int mode, lsm_error *error) {
    int status = writer->file->ops->log_start(writer->file, mode, error);
    if (mode == LSM_LOG_MAPPED && status == LSM_E_SYSTEM && error->system_errno == EOPNOTSUPP) {
        mode = LSM_LOG_WRITTEN;
        status = writer->file->ops->log_start(writer->file, mode, error);
    }
    writer->mode = mode;
    return status;
}

static int commit_header(lsm_log_writer *writer, lsm_error *error) {
    const lsm_log_segment *segment = &writer->segment;
    uint8_t *header;
    int status = writer->file->ops->log_reserve(writer->file, LSM_LOG_HEADER_SIZE, &header, error);
    if (status < 0) return status;
    lsm_store64(header, LSM_LOG_MAGIC);
    lsm_store32(header + 8, LSM_LOG_FORMAT_VERSION);
    lsm_store64(header + 16, segment->number);
    lsm_store64(header + 24, segment->nonce);
    lsm_store64(header + 32, segment->previous_number);
    lsm_store64(header + 40, segment->previous_length);
    lsm_store64(header + 48, segment->previous_sequence);
    lsm_store64(header + 56, segment->manifest_edit);
    lsm_store32(header + 12, lsm_log_header_checksum(header));
    status = writer->file->ops->log_commit(writer->file, LSM_LOG_HEADER_SIZE, error);
    if (status < 0) return status;
    writer->length = LSM_LOG_HEADER_SIZE;
    writer->data_length = LSM_LOG_HEADER_SIZE;
    return LSM_OK;
}

int lsm_log_create(lsm_vfs *vfs, const char *path, const lsm_log_segment *segment, int mode,
                   lsm_log_writer **writer_out, lsm_error *error) {
    lsm_error local;
    if (error == NULL) error = &local;
    if (segment->previous_sequence > LSM_SEQUENCE_MAX) {
        return lsm_fail(error, LSM_E_LIMIT, LSM_NO_OFFSET, path, "the previous sequence is out of range");
    }
    if (mode == LSM_LOG_MAPPED) {
        int allowed = can_map(vfs, path);
        if (allowed < 0) return lsm_fail(error, allowed, LSM_NO_OFFSET, path, "out of memory");
        if (!allowed) mode = LSM_LOG_WRITTEN;
    }
    lsm_log_writer *writer = lsm_calloc(1, sizeof *writer);
    if (writer == NULL) return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, path, "out of memory");
    writer->segment = *segment;
    writer->last_sequence = segment->previous_sequence;
    int flags = LSM_OPEN_READ | LSM_OPEN_WRITE | LSM_OPEN_CREATE | LSM_OPEN_EXCLUSIVE;
    int status = vfs->ops->open(vfs, path, flags, &writer->file, error);
    if (status < 0) {
        lsm_free(writer);
        return status;
    }
    status = start(writer, mode, error);
    if (status >= 0) status = commit_header(writer, error);
    if (status < 0) {
        lsm_log_destroy(writer);
        vfs->ops->remove(vfs, path, NULL); /* it holds nothing, and would block a second try */
        return status;
    }
    *writer_out = writer;
    return LSM_OK;
}

void lsm_log_destroy(lsm_log_writer *writer) {
    if (writer == NULL) return;
    /* Nothing was promised that a failing close could break: durable is what a sync covered. */
    writer->file->ops->close(writer->file, NULL);
    lsm_free(writer);
}

/* --- records ------------------------------------------------------------------------------------------ */

int lsm_log_begin(lsm_log_writer *writer, size_t payload_size, uint8_t **payload, lsm_error *error) {
    lsm_error local; /* the cause decides about poisoning, whether or not the caller wants to know it */
    if (error == NULL) error = &local;
    int status = check_usable(writer, error);
    if (LSM_UNLIKELY(status < 0)) return status;
    if (LSM_UNLIKELY(writer->finished)) {
        return lsm_fail(error, LSM_E_POISONED, LSM_NO_OFFSET, writer->file->path, "the segment is finished");
    }
    if (LSM_UNLIKELY(payload_size > LSM_BATCH_SIZE_MAX)) {
        return lsm_fail(error, LSM_E_LIMIT, LSM_NO_OFFSET, NULL,
                        "a batch of %zu bytes is too large (maximum %zu)", payload_size, LSM_BATCH_SIZE_MAX);
    }
    if (LSM_UNLIKELY(writer->room != NULL)) { /* begun, not committed: leave no trace of it */
        memset(writer->room, 0, writer->begun_size);
        writer->room = NULL;
    }
    size_t size = lsm_log_record_size(payload_size);
    uint8_t *room;
    /* The slack keeps the promise that lsm_varint_store asks for, also at the very end of the payload. */
    status = writer->file->ops->log_reserve(writer->file, size + LSM_VARINT_SIZE_MAX, &room, error);
    if (LSM_UNLIKELY(status < 0)) return fail_write(writer, status, error);
    writer->room = room;
    writer->begun_size = size;
    *payload = room + LSM_LOG_RECORD_HEADER_SIZE;
    return LSM_OK;
}

static int refuse_sequences(const lsm_log_writer *writer, uint64_t base_sequence, uint32_t count,
                            lsm_error *error) {
    return lsm_fail(error, LSM_E_LIMIT, LSM_NO_OFFSET, writer->file->path,
                    "%u operations from sequence %llu cannot follow sequence %llu", count,
                    (unsigned long long)base_sequence, (unsigned long long)writer->last_sequence);
}

int lsm_log_commit(lsm_log_writer *writer, uint8_t type, uint64_t base_sequence, uint32_t count,
                   size_t payload_size, lsm_error *error) {
    lsm_error local;
    if (error == NULL) error = &local;
    uint8_t *record = writer->room;
    size_t size = lsm_log_record_size(payload_size);
    LSM_ASSERT(record != NULL);
    LSM_ASSERT(size <= writer->begun_size);
    int status = check_usable(writer, error);
    if (LSM_UNLIKELY(status < 0)) return status;
    /* A gap would make the segment unreadable, so this is checked in every build. */
    if (LSM_UNLIKELY(base_sequence != writer->last_sequence + 1 ||
                     count > LSM_SEQUENCE_MAX - writer->last_sequence)) {
        return refuse_sequences(writer, base_sequence, count, error);
    }
    uint64_t length = writer->length;
    uint64_t synced_to = __atomic_load_n(&writer->synced_to, __ATOMIC_ACQUIRE);
    lsm_store32(record + 4, (uint32_t)payload_size);
    lsm_store32(record + 8, type); /* and three zero bytes */
    lsm_store32(record + 12, count);
    lsm_store64(record + 16, base_sequence);
    lsm_store64(record + 24, synced_to);
    uint8_t *payload_end = record + LSM_LOG_RECORD_HEADER_SIZE + payload_size;
    memset(payload_end, 0, (size_t)(record + writer->begun_size - payload_end));
    lsm_store32(record, lsm_log_checksum(writer->segment.nonce, length, record, payload_size));

    status = writer->file->ops->log_commit(writer->file, size, error);
    if (LSM_UNLIKELY(status < 0)) {
        memset(record, 0, LSM_LOG_RECORD_HEADER_SIZE);
        return fail_write(writer, status, error);
    }
    writer->room = NULL;
    writer->last_sequence += count;
    writer->claimed_to = synced_to;
    __atomic_store_n(&writer->length, length + size, __ATOMIC_RELEASE);
    if (type != LSM_LOG_SYNC_MARK) __atomic_store_n(&writer->data_length, length + size, __ATOMIC_RELEASE);
    return LSM_OK;
}

static int append_bare(lsm_log_writer *writer, uint8_t type, lsm_error *error) {
    uint8_t *payload;
    int status = lsm_log_begin(writer, 0, &payload, error);
    if (status < 0) return status;
    return lsm_log_commit(writer, type, writer->last_sequence + 1, 0, 0, error);
}

/* --- durability --------------------------------------------------------------------------------------- */

int lsm_log_sync(lsm_log_writer *writer, uint64_t *covered, lsm_error *error) {
    int status = check_usable(writer, error);
    if (status < 0) return status;
    uint64_t data_length = __atomic_load_n(&writer->data_length, __ATOMIC_ACQUIRE);
    uint64_t length = __atomic_load_n(&writer->length, __ATOMIC_ACQUIRE);
    uint64_t synced_to = __atomic_load_n(&writer->synced_to, __ATOMIC_ACQUIRE);
    if (synced_to < data_length) {
        status = writer->file->ops->log_sync(writer->file, error);
        if (status < 0) {
            poison(writer);
            return status;
        }
        __atomic_store_n(&writer->synced_to, length, __ATOMIC_RELEASE);
        synced_to = length;
    }
    *covered = synced_to;
    return LSM_OK;
}

int lsm_log_mark_synced(lsm_log_writer *writer, uint64_t covered, lsm_error *error) {
    if (writer->finished || covered <= writer->claimed_to) return LSM_OK;
    return append_bare(writer, LSM_LOG_SYNC_MARK, error);
}

int lsm_log_finish(lsm_log_writer *writer, lsm_error *error) {
    int status = check_usable(writer, error);
    if (status < 0) return status;
    if (!writer->finished) {
        status = append_bare(writer, LSM_LOG_CLOSE, error);
        if (status < 0) return status;
        writer->finished = 1;
    }
    return writer->file->ops->log_finish(writer->file, error);
}
