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
    lsm_slice smallest;   /* smallest and largest visible user key bounds (inclusive); owned by the version */
    lsm_slice largest;
    int clamp_lower;      /* 1: entries below `lower` are hidden */
    int clamp_upper;      /* 1: entries at or above `upper` are hidden */
    lsm_slice lower;      /* owned by the version */
    lsm_slice upper;
} lsm_table_slice;

typedef struct lsm_run {
    lsm_table_slice *slices;
    uint32_t count;
    uint32_t level;
} lsm_run;

typedef struct lsm_version {
    int64_t references; /* core lock */
    uint32_t run_count;
    lsm_run *runs;      /* newest first */
} lsm_version;

/* An empty version with room for `run_count` runs; fill each with lsm_version_set_run, oldest last.
 * NULL: no memory. */
lsm_version *lsm_version_create(uint32_t run_count);
/* Copies the slices (keys and bounds included) and retains their tables. 0 or LSM_E_MEMORY. */
int lsm_version_set_run(lsm_version *version, uint32_t index, uint32_t level, const lsm_table_slice *slices,
                        uint32_t count);
void lsm_version_retain(lsm_version *version);
void lsm_version_release(lsm_version *version);

/* The newest version of `key` not newer than `sequence` over all runs. 0 or a negative status. */
int lsm_version_get(lsm_version *version, lsm_slice key, uint64_t sequence, lsm_read_context *context,
                    lsm_found *found);

/* A cursor over one run (concatenation of its slices, clamped). Does not retain the version: the caller does. */
lsm_cursor *lsm_run_cursor(const lsm_run *run, lsm_read_context *context, size_t readahead_size);

#endif
