/* The ordered in-memory map: a B+tree of sorted nodes (node.h) in an arena.
 *
 * - Insertion copies key and value into the arena and can only fail in lsm_memtable_reserve.
 * - A version is replaced in place (by swapping a record pointer, never by overwriting bytes) only when the
 *   old one is a PUT or DELETE with a sequence above every pinned one, so no snapshot, iterator or running
 *   read can be looking at it. Its bytes then count as garbage.
 * - Not locked: the owner serialises writers with readers (the GIL). Once frozen it is immutable and any
 *   number of threads may read it.
 * - A cursor stays right while the owner inserts: it finds its place again by itself, never yields an entry
 *   twice and never goes back. Whether it meets an entry inserted ahead of it is the order's business.
 */
#ifndef LSMKV_MEMTABLE_H
#define LSMKV_MEMTABLE_H

#include "cursor.h"

typedef struct lsm_memtable lsm_memtable;

/* NULL when out of memory. The reference count starts at 1 (atomic; release frees everything). */
lsm_memtable *lsm_memtable_create(void);
void lsm_memtable_retain(lsm_memtable *memtable);
void lsm_memtable_release(lsm_memtable *memtable);

/* Makes sure that `operation_count` inserts with `payload_size` bytes of keys and values in all cannot fail.
 * Reserves do not add up: the last one counts. What is not used serves later inserts.
 * 0 or LSM_E_MEMORY; on failure nothing has changed. */
int lsm_memtable_reserve(lsm_memtable *memtable, size_t operation_count, size_t payload_size);

/* REQUIRES: covered by a reserve; sequence above every one inserted before; not frozen.
 * `pinned_sequence`: the highest sequence any snapshot, iterator or running read may look at. */
void lsm_memtable_insert(lsm_memtable *memtable, lsm_slice key, uint64_t trailer, lsm_slice value,
                         uint64_t pinned_sequence);

/* The newest version of `key` not newer than `sequence`, which is LSM_SEQUENCE_MAX or one that was pinned at
 * every insert since. Cannot fail. */
void lsm_memtable_get(const lsm_memtable *memtable, lsm_slice key, uint64_t sequence, lsm_found *found);

/* A cursor that retains the memtable. NULL when out of memory. */
lsm_cursor *lsm_memtable_cursor(lsm_memtable *memtable);

typedef struct lsm_memtable_usage {
    uint64_t arena_bytes;    /* used, garbage included: the flush trigger */
    uint64_t garbage_bytes;  /* records of replaced versions */
    uint64_t entry_count;    /* reachable entries, tombstones and old versions included */
    uint64_t tombstone_count;
    uint64_t first_sequence; /* of the first insert ever, replaced or not; 0 when empty */
    uint64_t last_sequence;  /* of the last insert */
} lsm_memtable_usage;

void lsm_memtable_read_usage(const lsm_memtable *memtable, lsm_memtable_usage *usage);

#endif
