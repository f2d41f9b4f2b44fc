/* Replay: the batches of a segment go into a memtable, whole or not at all. Contract: log.h.
 *
 * Apart from log_reader.c so that what only reads segments (the dump tool, fuzzers) needs no memtable.
 */
#include "log.h"
#include "memtable.h"

static int apply_batch(const lsm_log_record *record, lsm_memtable *memtable, uint64_t last_sequence,
                       lsm_error *error) {
    size_t bytes;
    if (record->base_sequence <= last_sequence) {
        return lsm_fail(error, LSM_E_CORRUPT, record->offset, NULL,
                        "a log batch with sequence %llu, but sequence %llu was applied before it",
                        (unsigned long long)record->base_sequence, (unsigned long long)last_sequence);
    }
    int status = lsm_log_check_batch(record, &bytes, error);
    if (status < 0) return status;
    status = lsm_memtable_reserve(memtable, record->count, bytes);
    if (status < 0) return lsm_fail(error, status, LSM_NO_OFFSET, NULL, "no memory for a batch of the log");
    lsm_reader payload = {record->payload.data, record->payload.data + record->payload.size};
    for (uint32_t i = 0; i < record->count; i++) {
        uint8_t kind = 0;
        lsm_slice key = {0}, value = {0};
        int found = lsm_log_next_operation(&payload, &kind, &key, &value);
        LSM_ASSERT(found == 1);
        (void)found;
        lsm_memtable_insert(memtable, key, lsm_trailer(record->base_sequence + i, kind), value, 0);
    }
    return LSM_OK;
}

int lsm_log_replay(lsm_log_reader *reader, lsm_memtable *memtable, uint64_t bytes_max,
                   uint64_t *applied, lsm_error *error) {
    for (;;) {
        lsm_memtable_usage usage;
        lsm_memtable_read_usage(memtable, &usage);
        if (usage.arena_bytes > bytes_max) return LSM_OK;
        lsm_log_reader before = *reader;
        lsm_log_record record;
        int status = lsm_log_next(reader, &record, error);
        if (status <= 0) return status;
        if (record.type != LSM_LOG_BATCH) continue;
        status = apply_batch(&record, memtable, usage.last_sequence, error);
        if (status < 0) {
            *reader = before;
            return status;
        }
        *applied += record.count;
    }
}
