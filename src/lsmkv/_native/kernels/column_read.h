/* Reading columns: many point reads at once, sorted and side by side, mostly without the core lock.
 *
 * A read goes through its keys a window at a time: the window is sorted (by eight bytes of each key, so that
 * neighbours share index nodes and blocks), then looked up slice by slice, and its values put in the order of
 * the rows.
 * The sources are searched as a single read searches them, newest first, but a whole slice at a time:
 *
 *     active memtable    with the lock: it may grow meanwhile
 *     frozen memtables   without: they never change
 *     a run of the tree  without: slice of the run, filter, index;  with: take the blocks from the cache or
 *                        load them;  without: search the blocks
 *
 * lsm_read_advance does what needs no lock and stops where the lock is needed; lsm_read_serve does that part.
 * Blocks are pinned from serve to serve; what is no longer needed is let go in the next one.
 */
#ifndef LSMKV_COLUMN_READ_H
#define LSMKV_COLUMN_READ_H

#include "columns.h"
#include "memtable.h"
#include "version.h"

enum { LSM_READ_WINDOW = 65536, LSM_READ_SLICE = 4096, LSM_READ_LOADS = 32 };

enum lsm_read_phase {
    LSM_READ_SORT,    /* the next window */
    LSM_READ_ACTIVE,  /* served: search the active memtable */
    LSM_READ_FROZEN,
    LSM_READ_AIM,     /* find the blocks of one run that may hold a key */
    LSM_READ_FETCH,   /* served: pin them */
    LSM_READ_SEARCH,
    LSM_READ_EMIT,
    LSM_READ_DONE     /* served: let go of the last blocks */
};

/* One key of a slice on its way through the sources. */
typedef struct lsm_wanted {
    lsm_slice key;
    uint64_t hash;
    lsm_slice value;   /* once found */
    lsm_table *table;  /* aimed at; NULL: not in this run */
    uint32_t ordinal;  /* of the block */
    uint32_t block;    /* its place in `blocks` */
    uint32_t row;      /* in the window */
    uint8_t is_open;   /* neither found nor known to be absent */
    uint8_t is_live;   /* found, and not deleted */
} lsm_wanted;

/* What became of a row of the window: where its value waits. */
typedef struct lsm_read_span {
    uint64_t offset, size;
} lsm_read_span;

typedef struct lsm_column_read {
    const lsm_column *keys;
    uint64_t sequence;
    lsm_memtable *const *memtables; /* newest first; the first one may still be written to */
    uint32_t memtable_count;
    lsm_version *version;

    uint8_t *found;  /* one byte a row */
    uint8_t *fixed;  /* rows of `width` bytes, zeros where nothing was found; NULL: `values` */
    size_t width;
    lsm_rows values;

    enum lsm_read_phase phase;
    size_t next;     /* the first row after the window */
    size_t window_first, window_count;
    size_t slice_first, slice_count; /* in the sorted window */
    lsm_sort_item *items, *scratch, *sorted;
    lsm_wanted *wanted;
    lsm_read_span *spans;
    uint8_t *waiting; /* values of the window in the order they were found */
    size_t waiting_size, waiting_capacity;
    uint32_t run;
    uint32_t fetched; /* how many of the slice are served */
    int is_hashed;
    lsm_block **blocks;  /* pinned for the present run */
    lsm_block **kept;    /* pinned because values lie in them */
    lsm_block **dropped; /* pinned, not needed any more */
    uint32_t block_count, kept_count, dropped_count;
    uint64_t bloom_skips;
    lsm_error *error;
} lsm_column_read;

/* 0 or LSM_E_MEMORY; close it in either case. Before: keys, sequence, memtables, version, found, error, and
 * fixed with width or neither. All of these outlive it. */
int lsm_read_open(lsm_column_read *read);
void lsm_read_close(lsm_column_read *read); /* with the core lock */

/* Without the core lock. 1: serve, 0: done, negative: failed. */
int lsm_read_advance(lsm_column_read *read);
/* With the core lock. 1: let others have the lock and serve again, 0: advance, negative: failed. */
int lsm_read_serve(lsm_column_read *read, lsm_read_context *context);

#endif
