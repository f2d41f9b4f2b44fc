/* Group commit: one leader makes the log durable for everybody who waits.
 *
 * The group knows the live segments in order: finished ones that are not yet durable, then the current one.
 * A sync makes every older segment durable before the current one (a later segment must never be durable
 * while an earlier one has a hole), after a directory sync when a segment is new. The first failure poisons
 * the group for ever: the kernel may have marked the lost pages clean, so nothing after it can be trusted.
 *
 * A leader first waits for as many writers as the last sync served, for no longer than that sync took: with
 * eight writers a sync then serves seven or eight of them instead of one and seven in turn.
 *
 * Thread rules: add and committed are called by the owner of the writer (core lock); sync and drop by
 * any thread, without the core lock.
 */
#ifndef LSMKV_COMMIT_GROUP_H
#define LSMKV_COMMIT_GROUP_H

#include "log.h"

enum { LSM_LIVE_SEGMENTS_MAX = 64 };

typedef struct lsm_commit_group lsm_commit_group;

/* `directory` is synced before the first sync of a new segment. NULL: no memory. */
lsm_commit_group *lsm_commit_group_create(lsm_vfs *vfs, const char *directory);
void lsm_commit_group_destroy(lsm_commit_group *group); /* REQUIRES: nobody waits; does not close writers */

/* Makes `writer` the current segment; the one before becomes an older one. What lies before the first segment
 * (its previous_sequence) counts as durable. LSM_E_LIMIT when too many live. */
int lsm_commit_group_add(lsm_commit_group *group, lsm_log_writer *writer);

/* The sequence of the last operation committed to the current segment. One atomic store. */
void lsm_commit_group_committed(lsm_commit_group *group, uint64_t sequence);

/* Returns when everything committed up to `sequence` is durable (0), or once the group is poisoned: then with
 * the code and the text of the first error, for every later caller too. */
int lsm_commit_group_sync(lsm_commit_group *group, uint64_t sequence, lsm_error *error);

/* Forgets an older segment whose content is durable elsewhere (flushed). Waits for a sync in flight.
 * Afterwards the caller may destroy the writer. */
void lsm_commit_group_drop(lsm_commit_group *group, lsm_log_writer *writer);

uint64_t lsm_commit_group_durable(const lsm_commit_group *group); /* highest durable sequence, atomic */
int lsm_commit_group_poisoned(const lsm_commit_group *group, lsm_error *error); /* 1 and the error, or 0 */
void lsm_commit_group_poison(lsm_commit_group *group, const lsm_error *error);  /* keeps the first */
uint64_t lsm_commit_group_sync_count(const lsm_commit_group *group);

#endif
