/* The commit log: segments of batch records, written by one writer, read back after a crash.
 *
 * Segment = 64-byte segment header, then records, each 8-byte aligned:
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
 * SYNC_MARK (no payload) follows each successful sync, CLOSE (no payload) ends a segment that was finished.
 * Zeros where a record should be, up to the end of the file, are pre-allocated space.
 */
#ifndef LSMKV_LOG_H
#define LSMKV_LOG_H

#include "constants.h"
#include "coding.h"
#include "vfs.h"

enum { LSM_LOG_HEADER_SIZE = 64, LSM_LOG_RECORD_HEADER_SIZE = 32, LSM_LOG_ALIGNMENT = 8, LSM_LOG_FORMAT_VERSION = 1 };

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

/* --- writer ------------------------------------------------------------------------------------------- */

typedef struct lsm_log_writer {
    lsm_file *file;
    lsm_log_segment segment;
    uint64_t length;        /* committed bytes */
    uint64_t synced_to;     /* committed bytes known durable; atomic, written by the syncing thread */
    uint64_t last_sequence; /* of the last batch committed, or previous_sequence */
    int mode;               /* enum lsm_log_mode actually used */
    int poisoned;           /* a sync failed: every later call returns LSM_E_POISONED */
} lsm_log_writer;

/* Creates the file (it must not exist) and commits the segment header. Nothing is synced.
 * `mode` LSM_LOG_MAPPED falls back to LSM_LOG_WRITTEN where the file system does not allow it. */
int lsm_log_create(lsm_vfs *vfs, const char *path, const lsm_log_segment *segment, int mode,
                   lsm_log_writer **writer, lsm_error *error);

/* Room for a payload of up to `payload_size` bytes; encode the operations there with lsm_log_put. */
int lsm_log_begin(lsm_log_writer *writer, size_t payload_size, uint8_t **payload, lsm_error *error);

/* The size of one encoded operation, and its encoding. `kind` DELETE carries no value.
 * lsm_log_encode returns the position after the operation and where key and value were copied to. */
size_t lsm_log_operation_size(uint8_t kind, size_t key_size, size_t value_size);
uint8_t *lsm_log_encode(uint8_t *cursor, uint8_t kind, lsm_slice key, lsm_slice value, lsm_slice *key_copy,
                        lsm_slice *value_copy);

/* Seals the payload begun above (checksum over the copy) and commits it. On failure nothing was logged. */
int lsm_log_commit(lsm_log_writer *writer, uint8_t type, uint64_t base_sequence, uint32_t count,
                   size_t payload_size, lsm_error *error);

/* Makes everything committed so far durable; may run without the GIL beside commits of the owner. Reports
 * through `covered` how many bytes are durable. A failure poisons the writer for ever. It writes no mark:
 * the owner appends one (lsm_log_mark_synced) when it next holds the writer. */
int lsm_log_sync(lsm_log_writer *writer, uint64_t *covered, lsm_error *error);
int lsm_log_mark_synced(lsm_log_writer *writer, uint64_t covered, lsm_error *error);

/* Appends CLOSE and cuts the file to its length. The file stays open for lsm_log_sync. */
int lsm_log_finish(lsm_log_writer *writer, lsm_error *error);
void lsm_log_destroy(lsm_log_writer *writer); /* closes the file; in a forked child frees memory only */

/* --- reader ------------------------------------------------------------------------------------------- */

typedef struct lsm_log_record {
    uint8_t type;
    uint32_t count;
    uint64_t base_sequence;
    uint64_t synced_to;
    uint64_t offset;
    lsm_slice payload;
} lsm_log_record;

/* How a segment ends; FORMATS.md has the decision table. */
enum lsm_log_end {
    LSM_LOG_END_NONE = 0,
    LSM_LOG_END_CLOSED = 1,  /* a CLOSE record, nothing after it */
    LSM_LOG_END_CLEAN = 2,   /* ends, or goes over into zeros, right after a record */
    LSM_LOG_END_TORN = 3     /* a bad record above the last synced claim with nothing intact and newer that
                                claims it durable: dropped */
};

typedef struct lsm_log_reader {
    const uint8_t *data; /* the whole segment in memory, owned by the caller */
    size_t size;
    lsm_log_segment segment;
    size_t offset;      /* of the next record */
    uint64_t synced_to; /* the highest claim seen so far, looking ahead past damage included */
    int end;            /* enum lsm_log_end once next has returned 0 */
} lsm_log_reader;

/* Checks the segment header. LSM_E_CORRUPT, or LSM_E_FORMAT for a newer version. An empty or all-zero file
 * (the header never reached the disk) reports LSM_E_CORRUPT with offset 0 and end = LSM_LOG_END_TORN. */
int lsm_log_reader_open(lsm_log_reader *reader, const uint8_t *data, size_t size, lsm_error *error);

/* 1 and a record, 0 at the end (see `end`), or LSM_E_CORRUPT when data that was promised durable is damaged:
 * some intact later record in this segment has synced_to beyond the damage. */
int lsm_log_next(lsm_log_reader *reader, lsm_log_record *record, lsm_error *error);

/* Walks the operations of a batch: 1, 0 at the end, LSM_E_CORRUPT or LSM_E_FORMAT. */
int lsm_log_next_operation(lsm_reader *payload, uint8_t *kind, lsm_slice *key, lsm_slice *value);

#endif
