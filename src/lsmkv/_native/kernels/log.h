/* The commit log: segments of batch records, written by one writer, read back after a crash.
 *
 * Segment = 64-byte segment header, then records, each 8-byte aligned; integers little-endian:
 *
 *   segment header                                record
 *   off size                                      off size
 *    0   8  magic "LSMKVLOG"                       0   4  CRC-32C of bytes 4..32+payload_size, seeded with
 *    8   4  format version (1)                            crc32c_seed(nonce, offset of the record)
 *   12   4  CRC-32C of the other 60 bytes          4   4  payload_size
 *   16   8  segment number                         8   1  type: 1 BATCH 2 SYNC_MARK 3 CLOSE
 *   24   8  nonce (random)                                      4 PREPARE 5 COMMIT 6 ABORT (reserved)
 *   32   8  previous segment's number (0 = none)   9   3  zero
 *   40   8  previous segment's final length       12   4  count of operations
 *   48   8  previous segment's last sequence      16   8  base sequence: operation i has base + i
 *   56   8  manifest edit number at creation      24   8  synced_to: bytes of this segment known durable
 *                                                 32   .  payload, then zeros up to a multiple of 8
 *
 *   operation: kind (1 byte) varint key_size [varint value_size, not for DELETE] key [value]
 *
 * SYNC_MARK (no payload) follows a successful sync, CLOSE (no payload) ends a segment that was finished.
 * Zeros where a record should be, up to the end of the file, are pre-allocated space.
 *
 * Invariants of a segment:
 * - Sequences are consecutive: the base sequence of every record, marks included, is the last one of the
 *   records before it plus 1 (of the first: previous segment's last sequence + 1). A batch has count >= 1.
 * - A record never claims more than what stands before it: synced_to <= its own offset.
 * - A seeded checksum holds for one segment at one offset only, so neither bytes of another segment nor log
 *   bytes inside a user's value ever pass as a record of this one.
 * - Magic, version and the CRC over the other 60 bytes stay where they are in every later version.
 *
 * Worked example: nonce 0x1122334455667788, the first record (offset 64, nothing synced, previous last
 * sequence 6) puts "k" = "vv" and deletes "d", so count is 2 and base sequence 7; 48 bytes:
 *
 *   64: ff 37 d9 6b  09 00 00 00  01 00 00 00  02 00 00 00     crc, payload_size 9, BATCH, count 2
 *   80: 07 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00       base sequence 7, synced_to 0
 *   96: 01 01 02 6b 76 76 02 01                                PUT 1 2 k vv, DELETE 1
 *  104: 64 00 00 00 00 00 00 00                                d, padding
 *
 * How a reader decides between a torn tail and damage: log_reader.c.
 */
#ifndef LSMKV_LOG_H
#define LSMKV_LOG_H

#include "coding.h"
#include "constants.h"
#include "crc32c.h"
#include "vfs.h"

enum {
    LSM_LOG_HEADER_SIZE = 64,
    LSM_LOG_RECORD_HEADER_SIZE = 32,
    LSM_LOG_ALIGNMENT = 8,
    LSM_LOG_FORMAT_VERSION = 1,
    LSM_LOG_OPERATION_SIZE_MIN = 2 /* a DELETE of the empty key */
};

#define LSM_LOG_MAGIC UINT64_C(0x474F4C564B4D534C) /* "LSMKVLOG" */

/* Persistent numbers. */
enum lsm_log_type {
    LSM_LOG_BATCH = 1,
    LSM_LOG_SYNC_MARK = 2,
    LSM_LOG_CLOSE = 3,
    LSM_LOG_PREPARE = 4, /* 4..6 reserved: refused as LSM_E_FORMAT */
    LSM_LOG_COMMIT = 5,
    LSM_LOG_ABORT = 6
};

typedef struct lsm_log_segment {
    uint64_t number;
    uint64_t nonce;
    uint64_t previous_number;
    uint64_t previous_length;
    uint64_t previous_sequence;
    uint64_t manifest_edit;
} lsm_log_segment;

/* Bytes of a record in the file, padding included. REQUIRES: payload_size <= LSM_BATCH_SIZE_MAX. */
static inline size_t lsm_log_record_size(size_t payload_size) {
    size_t unpadded_size = LSM_LOG_RECORD_HEADER_SIZE + payload_size;
    return (unpadded_size + LSM_LOG_ALIGNMENT - 1) & ~(size_t)(LSM_LOG_ALIGNMENT - 1);
}

static inline uint32_t lsm_log_checksum(uint64_t nonce, uint64_t offset, const uint8_t *record,
                                        size_t payload_size) {
    uint8_t id[8];
    lsm_store64(id, nonce);
    uint32_t seed = lsm_crc32c_seed(id, sizeof id, offset);
    return lsm_crc32c(seed, record + 4, LSM_LOG_RECORD_HEADER_SIZE - 4 + payload_size);
}

static inline uint32_t lsm_log_header_checksum(const uint8_t *header) {
    return lsm_crc32c(lsm_crc32c(0, header, 12), header + 16, LSM_LOG_HEADER_SIZE - 16);
}

/* --- writer ------------------------------------------------------------------------------------------- */

/* Owned by one thread at a time (the GIL); only lsm_log_sync may run beside the owner. Fields marked atomic
 * are what the two share. In a forked child nothing but lsm_log_destroy is allowed (a mapped room does not
 * exist there): the layer above compares lsm_fork_generation, which is counted per extension module. */
typedef struct lsm_log_writer {
    lsm_file *file;
    lsm_log_segment segment;
    uint64_t length;        /* committed bytes; atomic, written by the owner */
    uint64_t synced_to;     /* committed bytes known durable; atomic, written by the syncing thread */
    uint64_t last_sequence; /* of the last batch committed, or previous_sequence */
    int mode;               /* enum lsm_log_mode actually used */
    int poisoned;           /* atomic: a sync or commit failed; every later call returns LSM_E_POISONED */

    uint64_t data_length; /* end of the newest record that is not a SYNC_MARK; atomic */
    uint64_t claimed_to;  /* the highest synced_to that stands in a committed record */
    uint8_t *room;        /* of the record begun, NULL when there is none */
    size_t begun_size;    /* of the record begun, header and padding included */
    int finished;         /* CLOSE is committed */
} lsm_log_writer;

/* Creates the file (it must not exist) and commits the segment header. Nothing is synced.
 * `mode` LSM_LOG_MAPPED falls back to LSM_LOG_WRITTEN where the file system does not allow it.
 * On failure the file is removed again. */
int lsm_log_create(lsm_vfs *vfs, const char *path, const lsm_log_segment *segment, int mode,
                   lsm_log_writer **writer, lsm_error *error);

/* Room for a payload of up to `payload_size` bytes; encode the operations there with lsm_log_encode. A begin
 * without commit is simply replaced by the next one. LSM_E_LIMIT above LSM_BATCH_SIZE_MAX.
 *
 * A refusal by the system (no space, quota, file size, interrupted, no memory) in begin or commit leaves the
 * writer as it was. Any other system error there, a lost mapping included, poisons it: nobody knows what the
 * device holds then. */
int lsm_log_begin(lsm_log_writer *writer, size_t payload_size, uint8_t **payload, lsm_error *error);

/* The size of one encoded operation. `kind` DELETE carries no value. */
static inline size_t lsm_log_operation_size(uint8_t kind, size_t key_size, size_t value_size) {
    size_t size = 1 + lsm_varint_size(key_size) + key_size;
    return kind == LSM_KIND_DELETE ? size : size + lsm_varint_size(value_size) + value_size;
}

/* Encodes one operation at `cursor`; returns the position after it and where key and value were copied to
 * (readable until the next begin). REQUIRES: sizes within the limits of constants.h, room begun for it. */
static inline uint8_t *lsm_log_encode(uint8_t *cursor, uint8_t kind, lsm_slice key, lsm_slice value,
                                      lsm_slice *key_copy, lsm_slice *value_copy) {
    *cursor++ = kind;
    cursor = lsm_varint_store(cursor, key.size);
    if (kind == LSM_KIND_DELETE) {
        value.size = 0;
    } else {
        cursor = lsm_varint_store(cursor, value.size);
    }
    key_copy->data = cursor;
    key_copy->size = key.size;
    if (key.size != 0) memcpy(cursor, key.data, key.size);
    cursor += key.size;
    value_copy->data = cursor;
    value_copy->size = value.size;
    if (value.size != 0) memcpy(cursor, value.data, value.size);
    return cursor + value.size;
}

/* Seals the payload begun above (checksum over the copy) and commits it; `payload_size` may be less than what
 * was begun. REQUIRES: begun. LSM_E_LIMIT when the sequences do not continue the segment's or run past
 * LSM_SEQUENCE_MAX. On failure nothing was logged and the next begin uses the same place; only a crash before
 * that may bring back a record that the system had taken whole when it failed. */
int lsm_log_commit(lsm_log_writer *writer, uint8_t type, uint64_t base_sequence, uint32_t count,
                   size_t payload_size, lsm_error *error);

/* Makes everything committed so far durable; may run without the GIL beside commits of the owner. One sync at
 * a time: of two that run together the system may report a lost page to one and success to the other. Reports
 * through `covered` how many bytes are durable. Any failure poisons the writer for ever. When nothing but
 * marks was committed since the last sync it touches no device. It writes no mark: the owner appends one
 * (lsm_log_mark_synced) when it next holds the writer. */
int lsm_log_sync(lsm_log_writer *writer, uint64_t *covered, lsm_error *error);

/* Appends SYNC_MARK, unless a record committed since already claims `covered` or the segment is finished.
 * Its failure loses no promise: `covered` is durable, only the proof of it is missing. */
int lsm_log_mark_synced(lsm_log_writer *writer, uint64_t covered, lsm_error *error);

/* Appends CLOSE and cuts the file to its length; only sync, a repeated finish and destroy may follow. */
int lsm_log_finish(lsm_log_writer *writer, lsm_error *error);

/* Closes the file, NULL is allowed. In a forked child the parent's file stays as it is (vfs.h: close). */
void lsm_log_destroy(lsm_log_writer *writer);

/* --- reader ------------------------------------------------------------------------------------------- */

typedef struct lsm_log_record {
    uint8_t type;
    uint32_t count;
    uint64_t base_sequence;
    uint64_t synced_to;
    uint64_t offset;
    lsm_slice payload;
} lsm_log_record;

/* How a segment ends; log_reader.c has the decision table. */
enum lsm_log_end {
    LSM_LOG_END_NONE = 0,
    LSM_LOG_END_CLOSED = 1, /* a CLOSE record, nothing after it */
    LSM_LOG_END_CLEAN = 2,  /* ends, or goes over into zeros, right after a record */
    LSM_LOG_END_TORN = 3    /* a bad record that no intact later record claims to be durable: dropped */
};

typedef struct lsm_log_reader {
    const uint8_t *data; /* the whole segment in memory, owned by the caller, unchanging */
    size_t size;
    lsm_log_segment segment;
    size_t offset;          /* of the next record */
    uint64_t synced_to;     /* the highest claim seen so far; after damage the claim that proves it */
    uint64_t last_sequence; /* of the last batch returned, or previous_sequence */
    int closed;             /* the last record returned was CLOSE */
    int end;                /* enum lsm_log_end once next has returned 0 */
    uint64_t sequence_slack; /* how far last_sequence may be behind, besides what the bytes skipped allow */
    uint64_t salvage_budget; /* bytes that lsm_log_salvage_next may still checksum */
} lsm_log_reader;

/* Checks the segment header. LSM_E_CORRUPT, or LSM_E_FORMAT for another version. A file shorter than a header
 * or with a header of zeros (it never reached the disk, so no sync ever succeeded) reports LSM_E_CORRUPT with
 * offset 0 and end = LSM_LOG_END_TORN. */
int lsm_log_reader_open(lsm_log_reader *reader, const uint8_t *data, size_t size, lsm_error *error);

/* 1 and a record, 0 at the end (see `end`), or LSM_E_CORRUPT when data that was promised durable is damaged:
 * some intact later record in this segment has synced_to beyond the damage. LSM_E_FORMAT for an intact record
 * of a type this build does not know. After an error the reader stays where it is. */
int lsm_log_next(lsm_log_reader *reader, lsm_log_record *record, lsm_error *error);

/* Prepares for the records of the segment `nonce` at or after `offset`, a multiple of LSM_LOG_ALIGNMENT,
 * whatever lies between them. `last_sequence` NULL: not known, as when the segment's header is damaged. */
void lsm_log_salvage_open(lsm_log_reader *reader, const uint8_t *data, size_t size, uint64_t nonce,
                          size_t offset, const uint64_t *last_sequence);

/* The next intact record, a batch with its operations checked: 1, 0 when there is none, LSM_E_FORMAT as
 * above. LSM_E_CORRUPT when so much looks like records without being any that more than 8 times the file's
 * size would be checksummed: nothing further on was looked at. For a reader of lsm_log_salvage_open only. */
int lsm_log_salvage_next(lsm_log_reader *reader, lsm_log_record *record, lsm_error *error);

/* Walks the operations of a batch: 1, 0 at the end, LSM_E_CORRUPT or LSM_E_FORMAT. */
int lsm_log_next_operation(lsm_reader *payload, uint8_t *kind, lsm_slice *key, lsm_slice *value);

/* Walks a whole batch before anything of it is used: 0 and the bytes of its keys and values, or an error. */
int lsm_log_check_batch(const lsm_log_record *record, size_t *bytes, lsm_error *error);

/* --- replay (log_replay.c) ---------------------------------------------------------------------------- */

struct lsm_memtable;

/* Applies whole batches to `memtable` until its arena holds more than `bytes_max` or the segment ends (then
 * reader->end is set). Adds the operations applied to `applied`, also on failure; a batch that fails leaves
 * nothing behind and is the next one still. LSM_E_CORRUPT when a batch does not follow what `memtable` holds.
 * REQUIRES: nobody reads `memtable` yet. */
int lsm_log_replay(lsm_log_reader *reader, struct lsm_memtable *memtable, uint64_t bytes_max,
                   uint64_t *applied, lsm_error *error);

#endif
