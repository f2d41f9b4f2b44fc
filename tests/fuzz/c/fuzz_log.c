/* A log segment of any bytes: read record by record, then replayed; both must see the same operations. */
#include "fuzz.h"
#include "log.h"
#include "memtable.h"

/* Operations of all records until the end or the first failure. */
static uint64_t walk(const uint8_t *data, size_t size, int *code) {
    lsm_error error;
    lsm_log_reader reader;
    lsm_log_record record;
    uint64_t operations = 0;
    *code = lsm_log_reader_open(&reader, data, size, &error);
    while (*code == 0 && (*code = lsm_log_next(&reader, &record, &error)) == 1) {
        REQUIRE(record.offset + record.payload.size <= size);
        REQUIRE(record.payload.data >= data);
        size_t bytes;
        *code = record.type == LSM_LOG_BATCH ? lsm_log_check_batch(&record, &bytes, &error) : 0;
        if (*code != 0) break;
        if (record.type == LSM_LOG_BATCH) operations += record.count;
    }
    REQUIRE(*code != 0 || reader.end != LSM_LOG_END_NONE || size < LSM_LOG_HEADER_SIZE);
    REQUIRE(reader.offset <= size || *code < 0);
    return operations;
}

static uint64_t replay(const uint8_t *data, size_t size, int *code) {
    lsm_error error;
    lsm_log_reader reader;
    uint64_t operations = 0;
    *code = lsm_log_reader_open(&reader, data, size, &error);
    while (*code == 0 && reader.end == LSM_LOG_END_NONE) {
        lsm_memtable *memtable = lsm_memtable_create();
        REQUIRE(memtable != NULL);
        *code = lsm_log_replay(&reader, memtable, 4096, &operations, &error);
        lsm_memtable_release(memtable);
    }
    return operations;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = exact_copy(data, size);
    int walked, replayed;
    uint64_t seen = walk(copy, size, &walked);
    uint64_t applied = replay(copy, size, &replayed);
    REQUIRE(applied <= seen);
    REQUIRE(replayed != 0 || walked != 0 || applied == seen);
    free(copy);
    require_no_leak();
    return 0;
}
