/* Merging two records of the cluster into one (record_format.h). Mechanism only: which records meet,
 * what a new version looks like and what a reader makes of it is decided above.
 *
 * With c the larger of the two cut times: in both records entries older than c fall, or become pinned where
 * their actor has an item. Then counters and times go by maximum; an item stays if both
 * records have it or the other one's clock does not cover it. Two different items of one dot are a fault of
 * whoever wrote them: they are counted, and the larger one by (kind, stamp, expiry, name size, name, value)
 * stays.
 */
#ifndef LSMKV_RECORD_MERGE_H
#define LSMKV_RECORD_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "merge_hook.h"
#include "record_format.h"
#include "status.h"

enum { LSM_RECORD_OWN_SIZE = 8 }; /* node and incarnation: the head of an actor */

/* Which of the two records a failure is about. */
enum lsm_record_side {
    LSM_RECORD_NEITHER = 0,
    LSM_RECORD_OLD = 1,
    LSM_RECORD_OPERAND = 2,
    LSM_RECORD_BOTH = 3
};

/* Zeroed at first. One thread at a time. The guard, when it is on, refuses with LSM_E_CANCELLED an operand
 * that shows a dot of the own store that the old record lacks, of an epoch from `trusted_epoch` on: the store
 * has lost something, and must not count on before it has a new epoch. */
typedef struct lsm_record_merger {
    uint8_t own[LSM_RECORD_OWN_SIZE];
    int is_guarded;
    uint64_t trusted_epoch;
    uint64_t calls, writes, collisions;
    uint64_t missed_epoch; /* of the dot the guard has met */
    int failed_side;       /* enum lsm_record_side, of the last failure */
    lsm_error error;
    uint8_t *output;       /* owned, as is `entries` */
    size_t output_capacity;
    lsm_record_entry *entries;
    size_t entry_capacity;
} lsm_record_merger;

void lsm_record_merger_release(lsm_record_merger *merger);

/* LSM_OK for a sound record. */
int lsm_record_check(lsm_record_merger *merger, lsm_slice data, lsm_error *error);

/* LSM_MERGE_KEEP when `old` already is the result, LSM_MERGE_WRITE with `result`, or a negative status.
 * `old` may be NULL. `result` is good until the next call and may be the operand itself. */
int lsm_record_merge(lsm_record_merger *merger, const lsm_slice *old, lsm_slice operand, lsm_slice *result);

/* The same as a merge hook, whose context is the merger. */
int lsm_record_apply(void *context, lsm_slice key, const lsm_slice *old, lsm_slice operand,
                     lsm_slice *result);

#endif
