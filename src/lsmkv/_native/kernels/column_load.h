/* Loading columns: rows become log records and memtable entries a chunk at a time.
 *
 * One chunk, by the owner of the write path (ARCHITECTURE.md: GATE_BUSY):
 *
 *     plan      which rows are next                            any lock or none
 *     reserve   memtable and log: all that can fail            core lock
 *     encode    rows into the log's room, from that copy       no lock: nobody else looks at either room
 *               into the memtable's, then sorted
 *     commit    the log record                                 no lock
 *     link      the records into the tree, slice by slice      core lock, released between slices
 *
 * Readers between two slices see nothing of it: its sequences lie above what they read at, until the owner
 * moves on to the last one. Of rows with equal keys the last is linked, the others are garbage at once.
 */
#ifndef LSMKV_COLUMN_LOAD_H
#define LSMKV_COLUMN_LOAD_H

#include "columns.h"
#include "memtable.h"

enum { LSM_LOAD_ROWS_MAX = 65536, LSM_LOAD_BYTES_MAX = 8 * 1024 * 1024 };

typedef struct lsm_load {
    const lsm_column *keys, *values; /* of equal count */
    size_t next;                     /* the first row not planned yet */
    lsm_sort_item *items, *scratch;  /* one allocation */
    size_t capacity;

    size_t first, count;             /* the chunk: rows */
    size_t payload_size;             /* encoded, in the log */
    size_t row_bytes;                /* of its keys and values */
    size_t record_bytes;             /* in the memtable */
    uint64_t base_sequence;          /* of its first row */
    lsm_sort_item *sorted;           /* tags are records; without those that a later row replaces */
    size_t sorted_count, linked_count;
    size_t replaced_bytes;
} lsm_load;

/* 0 or LSM_E_MEMORY. REQUIRES: the columns outlive it. */
int lsm_load_open(lsm_load *load, const lsm_column *keys, const lsm_column *values);
void lsm_load_close(lsm_load *load);

/* The next chunk: at most LSM_LOAD_ROWS_MAX rows and LSM_LOAD_BYTES_MAX bytes of keys and values, but one row
 * at least. 1, or 0 when none is left. */
int lsm_load_plan(lsm_load *load);

/* REQUIRES: planned; `payload` from lsm_log_begin for payload_size, the memtable reserved for the chunk. */
void lsm_load_encode(lsm_load *load, uint8_t *payload, lsm_memtable *memtable, uint64_t base_sequence);

/* Links up to `count_max` more; whether any are left. The first call takes the memtable's room.
 * REQUIRES: encoded and committed, no insert or reserve in between; `pinned_sequence` as for
 * lsm_memtable_insert, and with the lock released between calls not below what readers meanwhile read at. */
int lsm_load_link(lsm_load *load, lsm_memtable *memtable, size_t count_max, uint64_t pinned_sequence);

#endif
