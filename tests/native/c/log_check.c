/* The log's kernels under sanitizers: log_check PATH MODE SEED ROUNDS (MODE 1 written, 2 mapped).
 *
 * First it writes a segment at PATH with records begun larger than they are committed and others begun and
 * left, fills each room with rubbish, and looks for traces of it in the file. Then it reads ROUNDS damaged
 * copies, each in a block of exactly its size, and ROUNDS batches of rubbish behind a valid checksum; what is
 * intact in them is found as well.
 * Prints the number of segments read to their end and of those refused.
 */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "log.h"
#include "memtable.h"

enum { RECORDS = 150, VALUE_SIZE_MAX = 200, SLACK_MAX = 3000, NONCE = 77 };

static void require(int condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    require(file != NULL, "fopen");
    require(fseek(file, 0, SEEK_END) == 0, "fseek");
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*size);
    require(data != NULL && fread(data, 1, *size, file) == *size, "fread");
    fclose(file);
    return data;
}

static void require_zeros_behind(const char *path, uint64_t length) {
    size_t size;
    uint8_t *data = read_file(path, &size);
    if (size > length + 2 * SLACK_MAX) size = length + 2 * SLACK_MAX;
    for (size_t i = length; i < size; i++) require(data[i] == 0, "a trace was left");
    free(data);
}

/* 1 when committed, 0 when only begun. */
static int write_record(lsm_log_writer *writer) {
    static const uint8_t bytes[VALUE_SIZE_MAX];
    lsm_slice key = {bytes, 3}, value = {bytes, random_below(VALUE_SIZE_MAX)}, key_copy, value_copy;
    size_t size = lsm_log_operation_size(LSM_KIND_PUT, key.size, value.size);
    size_t begun = size + random_below(SLACK_MAX);
    uint8_t *payload;
    require(lsm_log_begin(writer, begun, &payload, NULL) == 0, "begin");
    memset(payload, 0xDD, begun);
    if (random_below(3) == 0) return 0;
    uint8_t *end = lsm_log_encode(payload, LSM_KIND_PUT, key, value, &key_copy, &value_copy);
    require((size_t)(end - payload) == size, "the size that was promised");
    require(lsm_log_commit(writer, LSM_LOG_BATCH, writer->last_sequence + 1, 1, size, NULL) == 0, "commit");
    return 1;
}

static void write_segment(lsm_vfs *vfs, const char *path, int mode) {
    lsm_log_segment segment = {.number = 1, .nonce = NONCE};
    lsm_log_writer *writer;
    require(lsm_log_create(vfs, path, &segment, mode, &writer, NULL) == 0, "create");
    for (int i = 0; i < RECORDS; i++) {
        uint64_t covered;
        if (write_record(writer)) require_zeros_behind(path, writer->length);
        if (random_below(10) != 0) continue;
        require(lsm_log_sync(writer, &covered, NULL) == 0, "sync");
        require(lsm_log_mark_synced(writer, covered, NULL) == 0, "mark");
    }
    require(lsm_log_finish(writer, NULL) == 0, "finish");
    lsm_log_destroy(writer);
}

/* Whether the segment could be read to its end. */
static int replay(const uint8_t *data, size_t size) {
    lsm_log_reader reader;
    lsm_error error;
    uint64_t applied = 0;
    int status = lsm_log_reader_open(&reader, data, size, &error);
    if (status < 0) return 0;
    lsm_memtable *memtable = lsm_memtable_create();
    require(memtable != NULL, "memory");
    status = lsm_log_replay(&reader, memtable, UINT64_MAX, &applied, &error);
    lsm_memtable_release(memtable);
    require((status == 0) == (reader.end != LSM_LOG_END_NONE), "an end or an error");
    return status == 0;
}

/* Operations of the intact records, wherever they stand. */
static uint64_t salvage(const uint8_t *data, size_t size) {
    lsm_log_reader reader;
    lsm_log_record record;
    lsm_error error;
    uint64_t found = 0, end = LSM_LOG_HEADER_SIZE;
    lsm_log_salvage_open(&reader, data, size, NONCE, LSM_LOG_HEADER_SIZE, NULL);
    while (lsm_log_salvage_next(&reader, &record, &error) > 0) {
        require(record.offset >= end && reader.offset <= size, "records follow each other in the file");
        end = reader.offset;
        found += record.count;
    }
    return found;
}

static int replay_damaged(const uint8_t *segment, size_t segment_size) {
    size_t size = random_below(4) != 0 ? segment_size : random_below(segment_size + 1);
    uint8_t *data = malloc(size + (size == 0));
    require(data != NULL, "memory");
    memcpy(data, segment, size);
    for (uint64_t damages = random_below(4); damages > 0 && size > 0; damages--) {
        size_t at = random_below(size), end = at + random_below(2) * random_below(64);
        if (random_below(2) == 0) data[at] ^= (uint8_t)(1 << random_below(8));
        for (; at < size && at < end; at++) data[at] = (uint8_t)random_below(256);
    }
    int whole = replay(data, size);
    require(salvage(data, size) <= salvage(segment, segment_size), "nothing is invented");
    free(data);
    return whole;
}

static int replay_rubbish(const uint8_t *header) {
    size_t payload_size = random_below(40), size = LSM_LOG_HEADER_SIZE + lsm_log_record_size(payload_size);
    uint8_t *data = calloc(1, size);
    require(data != NULL, "memory");
    memcpy(data, header, LSM_LOG_HEADER_SIZE);
    uint8_t *record = data + LSM_LOG_HEADER_SIZE;
    lsm_store32(record + 4, (uint32_t)payload_size);
    lsm_store32(record + 8, LSM_LOG_BATCH);
    lsm_store32(record + 12, (uint32_t)random_below(4));
    lsm_store64(record + 16, 1);
    for (size_t i = 0; i < payload_size; i++) {
        record[LSM_LOG_RECORD_HEADER_SIZE + i] = (uint8_t)random_below(random_below(3) != 0 ? 5 : 256);
    }
    lsm_store32(record, lsm_log_checksum(NONCE, LSM_LOG_HEADER_SIZE, record, payload_size));
    int whole = replay(data, size);
    salvage(data, size);
    free(data);
    return whole;
}

int main(int count, char **arguments) {
    require(count == 5, "usage: log_check PATH MODE SEED ROUNDS");
    const char *path = arguments[1];
    int rounds = atoi(arguments[4]), whole = 0;
    random_state = 88172645463325252u + (uint64_t)atoi(arguments[3]);
    lsm_vfs *vfs = lsm_vfs_posix_create();
    require(vfs != NULL, "memory");
    write_segment(vfs, path, atoi(arguments[2]));
    vfs->ops->destroy(vfs);
    size_t size;
    uint8_t *segment = read_file(path, &size);
    require(replay(segment, size), "what was written is read");
    require(salvage(segment, size) > 0, "what was written is found");
    for (int i = 0; i < rounds; i++) whole += replay_damaged(segment, size) + replay_rubbish(segment);
    free(segment);
    printf("%d %d\n", whole, 2 * rounds - whole);
    return 0;
}
