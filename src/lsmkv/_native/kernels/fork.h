/* Descriptors that a forked child must not keep, and a mutex that is safe to use on both sides of a fork.
 *
 * An flock(2) belongs to the open file description, which parent and child share: were the child to keep its
 * descriptor, the lock would outlive a parent that is killed. A child handler therefore closes every tracked
 * descriptor (close, never LOCK_UN, which would take the lock from the parent) and sets its `fd` to -1.
 */
#ifndef LSMKV_FORK_H
#define LSMKV_FORK_H

typedef struct lsm_fork_descriptor {
    int fd; /* -1 once closed in a child */
    struct lsm_fork_descriptor *previous;
    struct lsm_fork_descriptor *next;
} lsm_fork_descriptor;

/* REQUIRES: `descriptor->fd` is set; the record stays where it is until untracked. */
void lsm_fork_track(lsm_fork_descriptor *descriptor);
void lsm_fork_untrack(lsm_fork_descriptor *descriptor);

/* A leaf mutex for per-process tables: held around fork(), so that a child always finds it free and what it
 * guards whole. */
void lsm_fork_lock(void);
void lsm_fork_unlock(void);

#endif
