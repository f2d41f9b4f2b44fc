/* A cursor over a sorted array: the simplest source there is, for tests, fuzzers and measurements.
 *
 * In strict mode it promises no more than cursor.h does: the key is copied out and scribbled over by the next
 * move, the value by the move after the next, so that a reader which holds on for too long reads rubbish.
 * It can also fail on demand, which no honest source in memory ever does.
 */
#ifndef LSMKV_ARRAY_CURSOR_H
#define LSMKV_ARRAY_CURSOR_H

#include "cursor.h"

typedef struct lsm_array_entry {
    lsm_slice key;
    lsm_slice value;
    uint64_t trailer;
} lsm_array_entry;

typedef struct lsm_array_options {
    int strict;       /* 1: serve scribbled-over copies */
    uint32_t fail_at; /* the move (from 1) that fails with LSM_E_CORRUPT, 0 = none */
} lsm_array_options;

/* REQUIRES: entries in strict internal order; they outlive the cursor. NULL: no memory. */
lsm_cursor *lsm_array_cursor(const lsm_array_entry *entries, uint32_t count, lsm_array_options options);

#endif
