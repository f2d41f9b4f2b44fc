/* The operations of one batch, any bytes: what is accepted encodes to operations of the same bytes, and a
 * memtable that takes them shows them in order. The first byte is the count that the record states. */
#include "fuzz.h"
#include "log.h"
#include "memtable.h"

enum { ENCODED_SLACK = 64 };

static void insert_all(const lsm_log_record *record, size_t bytes) {
    lsm_memtable *memtable = lsm_memtable_create();
    REQUIRE(memtable != NULL && lsm_memtable_reserve(memtable, record->count, bytes) == 0);
    lsm_reader payload = {record->payload.data, record->payload.data + record->payload.size};
    uint8_t kind;
    lsm_slice key, value;
    uint64_t sequence = 0;
    while (lsm_log_next_operation(&payload, &kind, &key, &value) == 1) {
        lsm_memtable_insert(memtable, key, lsm_trailer(++sequence, kind), value, LSM_SEQUENCE_MAX);
        lsm_found found;
        lsm_memtable_get(memtable, key, LSM_SEQUENCE_MAX, &found);
        REQUIRE(found.found && lsm_trailer_sequence(found.trailer) == sequence);
        REQUIRE(found.value.size == value.size);
    }
    lsm_cursor *cursor = lsm_memtable_cursor(memtable);
    REQUIRE(cursor != NULL && cursor->ops->first(cursor) == 0);
    uint64_t forward = 0, backward = 0;
    for (; cursor->valid; forward++) REQUIRE(cursor->ops->next(cursor) == 0);
    REQUIRE(cursor->ops->last(cursor) == 0);
    for (; cursor->valid; backward++) REQUIRE(cursor->ops->previous(cursor) == 0);
    REQUIRE(forward == record->count && backward == forward);
    lsm_cursor_destroy(cursor);
    lsm_memtable_release(memtable);
}

static void encode_again(const lsm_log_record *record) {
    uint8_t *encoded = malloc(record->payload.size + ENCODED_SLACK);
    uint8_t *end = encoded;
    lsm_reader payload = {record->payload.data, record->payload.data + record->payload.size};
    uint8_t kind;
    lsm_slice key, value, key_copy, value_copy;
    REQUIRE(encoded != NULL);
    while (lsm_log_next_operation(&payload, &kind, &key, &value) == 1) {
        size_t size = lsm_log_operation_size(kind, key.size, value.size);
        REQUIRE(end + size <= encoded + record->payload.size);
        end = lsm_log_encode(end, kind, key, value, &key_copy, &value_copy);
        REQUIRE(key_copy.size == key.size && value_copy.size == value.size);
        REQUIRE(key.size == 0 || memcmp(key_copy.data, key.data, key.size) == 0);
    }
    free(encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    uint8_t *copy = exact_copy(data + 1, size - 1);
    lsm_log_record record = {.type = LSM_LOG_BATCH, .count = data[0], .base_sequence = 1};
    record.payload = (lsm_slice){copy, size - 1};
    size_t bytes;
    lsm_error error;
    if (lsm_log_check_batch(&record, &bytes, &error) == 0) {
        REQUIRE(bytes <= size);
        encode_again(&record);
        insert_all(&record, bytes);
    }
    free(copy);
    require_no_leak();
    return 0;
}
