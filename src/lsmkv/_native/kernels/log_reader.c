/* Reading a log segment back, and telling a torn tail from damage. Format and contract: log.h.
 *
 * A record is intact when it lies wholly inside the file, its seeded checksum fits and its padding is zero.
 * It claims that the first `synced_to` bytes of its segment are durable. How a segment ends:
 *
 *   at offset o, after the last good record                         | result
 *   ----------------------------------------------------------------+--------------------------------------
 *   the file ends, or only zeros follow                             | CLEAN, after a CLOSE record CLOSED
 *   anything but zeros after a CLOSE record                         | LSM_E_CORRUPT at o
 *   no intact record at o, and an intact one further on claims      | LSM_E_CORRUPT at o: what was promised
 *     synced_to > o                                                 |   durable is damaged
 *   no intact record at o, and more than 8 times the file's size    | LSM_E_CORRUPT at o: nothing is dropped
 *     would be checksummed to look further on                       |   that was not looked through
 *   no intact record at o, otherwise                                | TORN: the rest is dropped
 *   an intact record whose base sequence does not continue, whose   | LSM_E_CORRUPT at o: not what our
 *     claim exceeds o, or whose counts and sizes are impossible     |   writer writes
 *   an intact record of unknown type, or reserved bytes in use      | LSM_E_FORMAT at o
 *   an intact batch whose operations do not parse or do not match   | LSM_E_CORRUPT at o, when it is walked
 *     its count                                                     |
 *   an intact batch with an operation of unknown kind               | LSM_E_FORMAT at o, when it is walked
 *
 *   segment header                                                  | result
 *   ----------------------------------------------------------------+--------------------------------------
 *   the file is shorter than a header, or the header is all zeros   | LSM_E_CORRUPT with end = TORN: no sync
 *                                                                   |   of this segment ever succeeded
 *   wrong magic or checksum                                         | LSM_E_CORRUPT
 *   intact, of another version                                      | LSM_E_FORMAT
 *
 * Between segments (the recovery's part): going on from A to the next segment B takes A.end != NONE,
 * A.offset == B.previous_length and A.last_sequence == B.previous_sequence. Where that does not hold, A is
 * short: if B holds any claim (synced_to > 0) the older segments were durable before it, so this is damage;
 * if it holds none, B is dropped like a torn tail.
 *
 * The window where damage and a torn tail cannot be told apart, after a crash only: the bytes of the newest
 * sync group, as long as no later record has reached the disk that claims them. A mark follows each sync and
 * reaches the disk with the next sync or within the kernel's write-back time; a segment that was finished and
 * synced has its length in the next segment's header or in the manifest.
 *
 * Looking further on probes every 8 bytes. Proof is only what our writer could have put there: a type from 1
 * to 6, reserved bytes zero, o < synced_to <= its own offset, sizes and counts that fit, and a base sequence
 * that the bytes in between could have led to (an operation takes at least 2). Only what passes these few
 * compares is checksummed.
 *
 * Repair goes on behind damage (lsm_log_salvage_next): with the same compares, but for the claim, and the
 * same budget for the whole file. So it looks at every 8th byte once and checksums at most 8 times the file's
 * size, whatever stands there.
 */
#include "log.h"

enum { PROBE_BUDGET_FACTOR = 8 };

static int is_zero(const uint8_t *data, size_t size) {
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        if (lsm_load64(data + i) != 0) return 0;
    }
    for (; i < size; i++) {
        if (data[i] != 0) return 0;
    }
    return 1;
}

static void parse_record(const uint8_t *at, size_t offset, lsm_log_record *record) {
    record->type = at[8];
    record->count = lsm_load32(at + 12);
    record->base_sequence = lsm_load64(at + 16);
    record->synced_to = lsm_load64(at + 24);
    record->offset = offset;
    record->payload.data = at + LSM_LOG_RECORD_HEADER_SIZE;
    record->payload.size = lsm_load32(at + 4);
}

/* Whether a record at `offset` would lie wholly inside the file. REQUIRES: offset <= size. */
static int fits(const lsm_log_reader *reader, size_t offset) {
    size_t left = reader->size - offset;
    if (left < LSM_LOG_RECORD_HEADER_SIZE) return 0;
    size_t payload_size = lsm_load32(reader->data + offset + 4);
    return payload_size <= LSM_BATCH_SIZE_MAX && lsm_log_record_size(payload_size) <= left;
}

/* REQUIRES: fits. */
static int is_intact(const lsm_log_reader *reader, size_t offset) {
    const uint8_t *at = reader->data + offset;
    size_t payload_size = lsm_load32(at + 4);
    size_t unpadded_size = LSM_LOG_RECORD_HEADER_SIZE + payload_size;
    if (!is_zero(at + unpadded_size, lsm_log_record_size(payload_size) - unpadded_size)) return 0;
    return lsm_load32(at) == lsm_log_checksum(reader->segment.nonce, offset, at, payload_size);
}

/* Whether the bytes at `probe` could be a record of ours behind reader->offset, and are worth a checksum. */
static int is_plausible(const lsm_log_reader *reader, size_t probe) {
    const uint8_t *at = reader->data + probe;
    uint32_t type = lsm_load32(at + 8); /* with the three zero bytes */
    if (type < LSM_LOG_BATCH || type > LSM_LOG_ABORT) return 0;
    if (lsm_load64(at + 24) > probe) return 0;
    uint64_t skipped = lsm_load64(at + 16) - (reader->last_sequence + 1);
    uint64_t skipped_max = (probe - reader->offset) / LSM_LOG_OPERATION_SIZE_MIN;
    if (skipped > skipped_max + reader->sequence_slack) return 0;
    if (!fits(reader, probe)) return 0;
    return lsm_load32(at + 12) <= lsm_load32(at + 4) / LSM_LOG_OPERATION_SIZE_MIN;
}

/* Takes the cost of a checksum at `probe` off `budget`: 0 and an error when that is too little.
 * REQUIRES: fits. */
static int spend(const lsm_log_reader *reader, size_t probe, uint64_t *budget, lsm_error *error) {
    uint64_t cost = lsm_log_record_size(lsm_load32(reader->data + probe + 4));
    if (cost > *budget) {
        lsm_fail(error, LSM_E_CORRUPT, reader->offset, NULL,
                 "a bad record, followed by too many that look like records");
        return 0;
    }
    *budget -= cost;
    return 1;
}

/* There is no intact record at reader->offset: 0 and the end, or LSM_E_CORRUPT. */
static int look_past_damage(lsm_log_reader *reader, lsm_error *error) {
    uint64_t budget = (uint64_t)reader->size * PROBE_BUDGET_FACTOR;
    size_t last = reader->size - LSM_LOG_RECORD_HEADER_SIZE; /* the header alone is longer than that */
    for (size_t probe = reader->offset + LSM_LOG_ALIGNMENT; probe <= last; probe += LSM_LOG_ALIGNMENT) {
        if (LSM_LIKELY(!is_plausible(reader, probe))) continue;
        if (lsm_load64(reader->data + probe + 24) <= reader->offset) continue; /* it proves nothing */
        if (!spend(reader, probe, &budget, error)) return LSM_E_CORRUPT;
        if (!is_intact(reader, probe)) continue;
        reader->synced_to = lsm_load64(reader->data + probe + 24);
        return lsm_fail(error, LSM_E_CORRUPT, reader->offset, NULL,
                        "a bad log record, yet the record at byte %zu says that %llu bytes were synced",
                        probe, (unsigned long long)reader->synced_to);
    }
    reader->end = LSM_LOG_END_TORN;
    return 0;
}

/* What an intact record must fulfil: 0 or an error. */
static int check_record(const lsm_log_reader *reader, const lsm_log_record *record, lsm_error *error) {
    const uint8_t *at = reader->data + record->offset;
    const char *complaint = NULL;
    if (record->type < LSM_LOG_BATCH || record->type > LSM_LOG_CLOSE || (lsm_load32(at + 8) >> 8) != 0) {
        return lsm_fail(error, LSM_E_FORMAT, record->offset, NULL,
                        "log record type %u at byte %llu: written by a newer version", lsm_load32(at + 8),
                        (unsigned long long)record->offset);
    }
    if (record->base_sequence != reader->last_sequence + 1) {
        return lsm_fail(error, LSM_E_CORRUPT, record->offset, NULL,
                        "a log record with sequence %llu follows sequence %llu",
                        (unsigned long long)record->base_sequence, (unsigned long long)reader->last_sequence);
    }
    if (record->synced_to > record->offset) complaint = "a log record claims more than stands before it";
    if (record->type == LSM_LOG_BATCH) {
        if (record->count == 0) complaint = "an empty batch in the log";
        if (record->count > record->payload.size / LSM_LOG_OPERATION_SIZE_MIN) {
            complaint = "a batch in the log counts more operations than it can hold";
        }
        if (record->count > LSM_SEQUENCE_MAX - reader->last_sequence) {
            complaint = "a batch in the log runs past the last sequence";
        }
    } else if (record->count != 0 || record->payload.size != 0) {
        complaint = "a mark in the log that is not empty";
    }
    if (complaint == NULL) return LSM_OK;
    return lsm_fail(error, LSM_E_CORRUPT, record->offset, NULL, "%s", complaint);
}

int lsm_log_reader_open(lsm_log_reader *reader, const uint8_t *data, size_t size, lsm_error *error) {
    memset(reader, 0, sizeof *reader);
    reader->data = data;
    reader->size = size;
    if (size < LSM_LOG_HEADER_SIZE || is_zero(data, LSM_LOG_HEADER_SIZE)) {
        reader->end = LSM_LOG_END_TORN;
        return lsm_fail(error, LSM_E_CORRUPT, 0, NULL, "the header of the log segment was never written");
    }
    if (lsm_load64(data) != LSM_LOG_MAGIC || lsm_load32(data + 12) != lsm_log_header_checksum(data)) {
        return lsm_fail(error, LSM_E_CORRUPT, 0, NULL, "bad header of a log segment");
    }
    uint32_t version = lsm_load32(data + 8);
    if (version != LSM_LOG_FORMAT_VERSION) {
        return lsm_fail(error, LSM_E_FORMAT, 0, NULL, "log format version %u, this build reads version %d",
                        version, LSM_LOG_FORMAT_VERSION);
    }
    reader->segment.number = lsm_load64(data + 16);
    reader->segment.nonce = lsm_load64(data + 24);
    reader->segment.previous_number = lsm_load64(data + 32);
    reader->segment.previous_length = lsm_load64(data + 40);
    reader->segment.previous_sequence = lsm_load64(data + 48);
    reader->segment.manifest_edit = lsm_load64(data + 56);
    if (reader->segment.previous_sequence > LSM_SEQUENCE_MAX) {
        return lsm_fail(error, LSM_E_CORRUPT, 0, NULL, "a log segment header names an impossible sequence");
    }
    reader->last_sequence = reader->segment.previous_sequence;
    reader->offset = LSM_LOG_HEADER_SIZE;
    return LSM_OK;
}

int lsm_log_next(lsm_log_reader *reader, lsm_log_record *record, lsm_error *error) {
    if (reader->end != LSM_LOG_END_NONE) return 0;
    size_t offset = reader->offset;
    if (is_zero(reader->data + offset, reader->size - offset)) {
        reader->end = reader->closed ? LSM_LOG_END_CLOSED : LSM_LOG_END_CLEAN;
        return 0;
    }
    if (reader->closed) {
        return lsm_fail(error, LSM_E_CORRUPT, offset, NULL, "data after the close record of a log segment");
    }
    if (!fits(reader, offset) || !is_intact(reader, offset)) return look_past_damage(reader, error);
    parse_record(reader->data + offset, offset, record);
    int status = check_record(reader, record, error);
    if (status < 0) return status;
    if (record->synced_to > reader->synced_to) reader->synced_to = record->synced_to;
    reader->last_sequence += record->count;
    reader->closed = record->type == LSM_LOG_CLOSE;
    reader->offset = offset + lsm_log_record_size(record->payload.size);
    return 1;
}

/* --- behind damage ------------------------------------------------------------------------------------ */

void lsm_log_salvage_open(lsm_log_reader *reader, const uint8_t *data, size_t size, uint64_t nonce,
                          size_t offset, const uint64_t *last_sequence) {
    memset(reader, 0, sizeof *reader);
    reader->data = data;
    reader->size = size;
    reader->segment.nonce = nonce;
    reader->offset = offset;
    if (last_sequence == NULL) {
        reader->sequence_slack = LSM_SEQUENCE_MAX;
    } else {
        reader->last_sequence = *last_sequence;
    }
    reader->salvage_budget = (uint64_t)size * PROBE_BUDGET_FACTOR;
}

/* The intact record at `probe`: 1, 0 when there is none that our writer could have written, or an error. */
static int salvage_record(lsm_log_reader *reader, size_t probe, lsm_log_record *record, lsm_error *error) {
    if (!spend(reader, probe, &reader->salvage_budget, error)) return LSM_E_CORRUPT;
    if (!is_intact(reader, probe)) return 0;
    parse_record(reader->data + probe, probe, record);
    if (record->base_sequence > LSM_SEQUENCE_MAX + 1) return 0;
    lsm_log_reader there = *reader;
    there.last_sequence = record->base_sequence - 1; /* whatever was lost before it */
    size_t operation_bytes;
    int status = check_record(&there, record, error);
    if (status >= 0 && record->type == LSM_LOG_BATCH) {
        status = lsm_log_check_batch(record, &operation_bytes, error);
    }
    if (status < 0) return status == LSM_E_CORRUPT ? 0 : status;
    reader->last_sequence = there.last_sequence + record->count;
    reader->sequence_slack = 0;
    reader->offset = probe + lsm_log_record_size(record->payload.size);
    return 1;
}

int lsm_log_salvage_next(lsm_log_reader *reader, lsm_log_record *record, lsm_error *error) {
    for (size_t probe = reader->offset; probe + LSM_LOG_RECORD_HEADER_SIZE <= reader->size;
         probe += LSM_LOG_ALIGNMENT) {
        if (LSM_LIKELY(!is_plausible(reader, probe))) continue;
        int status = salvage_record(reader, probe, record, error);
        if (status != 0) return status;
    }
    reader->offset = reader->size;
    return 0;
}

/* --- operations --------------------------------------------------------------------------------------- */

int lsm_log_next_operation(lsm_reader *payload, uint8_t *kind, lsm_slice *key, lsm_slice *value) {
    if (lsm_reader_left(payload) == 0) return 0;
    uint64_t key_size, value_size = 0;
    if (lsm_read8(payload, kind)) return LSM_E_CORRUPT;
    if (!lsm_kind_is_known(*kind)) return LSM_E_FORMAT;
    if (lsm_read_varint(payload, &key_size) || key_size > LSM_KEY_SIZE_MAX) return LSM_E_CORRUPT;
    if (*kind != LSM_KIND_DELETE) {
        if (lsm_read_varint(payload, &value_size) || value_size > LSM_VALUE_SIZE_MAX) return LSM_E_CORRUPT;
    }
    if (lsm_read_bytes(payload, (size_t)key_size, key)) return LSM_E_CORRUPT;
    if (lsm_read_bytes(payload, (size_t)value_size, value)) return LSM_E_CORRUPT;
    return 1;
}

int lsm_log_check_batch(const lsm_log_record *record, size_t *bytes, lsm_error *error) {
    lsm_reader payload = {record->payload.data, record->payload.data + record->payload.size};
    uint64_t count = 0;
    *bytes = 0;
    for (;;) {
        uint8_t kind = 0;
        lsm_slice key, value;
        int status = lsm_log_next_operation(&payload, &kind, &key, &value);
        if (status == LSM_E_FORMAT) {
            return lsm_fail(error, status, record->offset, NULL,
                            "operation kind %u in the batch at byte %llu: written by a newer version", kind,
                            (unsigned long long)record->offset);
        }
        if (status < 0) return lsm_fail(error, status, record->offset, NULL, "a malformed batch in the log");
        if (status == 0) break;
        count++;
        *bytes += key.size + value.size;
    }
    if (count == record->count) return LSM_OK;
    return lsm_fail(error, LSM_E_CORRUPT, record->offset, NULL, "a log batch has %llu operations, not %u",
                    (unsigned long long)count, record->count);
}
