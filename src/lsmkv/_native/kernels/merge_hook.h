/* The native merge hook: how a cluster (or a counter) combines a stored value with an incoming one.
 *
 * A PyCapsule named "lsmkv.merge_hook" holds a pointer to this struct. `apply` is called with the core lock
 * held, once per record, inside one atomic batch, and sees the value as left by the records before it. It
 * must not call Python.
 */
#ifndef LSMKV_MERGE_HOOK_H
#define LSMKV_MERGE_HOOK_H

#include "status.h"

#define LSM_MERGE_HOOK_NAME "lsmkv.merge_hook"

enum lsm_merge_action {
    LSM_MERGE_KEEP = 0,   /* leave the stored value (or its absence) as it is */
    LSM_MERGE_WRITE = 1,  /* store `result` */
    LSM_MERGE_DELETE = 2
};

typedef struct lsm_merge_hook {
    /* `old` is NULL when the key is absent. `result` must stay readable until the next call.
     * Returns an lsm_merge_action or a negative status, which drops the whole batch. */
    int (*apply)(void *context, lsm_slice key, const lsm_slice *old, lsm_slice operand, lsm_slice *result);
    void *context;
} lsm_merge_hook;

#endif
