/* An immutable picture of the tree: runs from newest to oldest, each a sorted list of table slices.
 *
 * A slice is a table seen through bounds: [lower, upper) of user keys, either side possibly open. drop_range
 * makes such virtual tables; most slices show their whole table. Slices of one run do not overlap and ascend.
 * A level-0 table is a run of its own. Versions are reference counted under the core lock.
 */
#ifndef LSMKV_VERSION_H
#define LSMKV_VERSION_H

#include "table.h"

typedef struct lsm_table_slice {
    lsm_table *table;     /* retained */
    lsm_slice smallest;   /* no visible user key is below this; owned by the version */
    lsm_slice largest;    /* nor above this, which may be `upper` itself, a hidden key */
    int clamp_lower;      /* 1: entries below `lower` are hidden */
    int clamp_upper;      /* 1: entries at or above `upper` are hidden */
    lsm_slice lower;      /* owned by the version */
    lsm_slice upper;
} lsm_table_slice;

typedef struct lsm_run {
    lsm_table_slice *slices;
    uint32_t count;
    uint32_t level;
    const uint64_t *heads; /* of the `largest` keys after their common prefix: version.c */
    size_t prefix_size;
} lsm_run;

typedef struct lsm_version {
    int64_t references; /* core lock */
    uint32_t run_count;
    lsm_run *runs;      /* newest first */
} lsm_version;

/* An empty version with room for `run_count` runs and one reference, the caller's; fill each run once with
 * lsm_version_set_run, newest first. NULL: no memory. */
lsm_version *lsm_version_create(uint32_t run_count);
/* Copies the slices (keys and bounds included) and retains their tables. 0 or LSM_E_MEMORY, the run then
 * stays empty. REQUIRES: slices ascend and show no key twice. */
int lsm_version_set_run(lsm_version *version, uint32_t index, uint32_t level, const lsm_table_slice *slices,
                        uint32_t count);
void lsm_version_retain(lsm_version *version);
void lsm_version_release(lsm_version *version);

/* The first slice of the run that may show a key at or after `key`: 0..count. */
uint32_t lsm_run_search(const lsm_run *run, lsm_slice key);

/* The newest version of `key` not newer than `sequence` over all runs, tombstones included.
 * 0 or a negative status; a found value is readable until lsm_found_release. */
int lsm_version_get(lsm_version *version, lsm_slice key, uint64_t sequence, lsm_read_context *context,
                    lsm_found *found);

/* A cursor over one run (concatenation of its slices, clamped). Does not retain the version: the caller does.
 * Opens a table when it gets there; `context` and `readahead_size` as for lsm_table_cursor.
 * NULL: no memory. */
lsm_cursor *lsm_run_cursor(const lsm_run *run, lsm_read_context *context, size_t readahead_size);

/* The same for somebody who looks at [start, stop) only; data NULL: no bound. Slices without a key in there
 * are not touched, and it need not show what lies outside. */
lsm_cursor *lsm_run_cursor_within(const lsm_run *run, lsm_slice start, lsm_slice stop,
                                  lsm_read_context *context, size_t readahead_size);

#endif
