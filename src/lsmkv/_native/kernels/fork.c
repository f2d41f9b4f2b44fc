/* Knowing that we are a forked child: a generation counter, and descriptors that are closed there.
 *
 * The state is per process by its nature, hence global. The handlers are registered when the library that
 * contains this file is loaded. The mutex is taken around fork() so that a child never inherits a table
 * that another thread was changing.
 */
#include "fork.h"
#include "vfs.h"

#include <pthread.h>
#include <unistd.h>

static uint64_t generation;
static pthread_mutex_t process_mutex = PTHREAD_MUTEX_INITIALIZER;
static lsm_fork_descriptor *tracked;

static void before_fork(void) { pthread_mutex_lock(&process_mutex); }

static void after_fork_in_parent(void) { pthread_mutex_unlock(&process_mutex); }

static void after_fork_in_child(void) {
    __atomic_add_fetch(&generation, 1, __ATOMIC_RELAXED);
    for (lsm_fork_descriptor *d = tracked; d != NULL; d = d->next) {
        if (d->fd >= 0) close(d->fd);
        d->fd = -1;
    }
    pthread_mutex_unlock(&process_mutex);
}

__attribute__((constructor)) static void register_handlers(void) {
    /* Fails only when a few bytes cannot be allocated while the process loads its libraries. */
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

uint64_t lsm_fork_generation(void) { return __atomic_load_n(&generation, __ATOMIC_RELAXED); }

void lsm_fork_lock(void) { pthread_mutex_lock(&process_mutex); }

void lsm_fork_unlock(void) { pthread_mutex_unlock(&process_mutex); }

void lsm_fork_track(lsm_fork_descriptor *descriptor) {
    lsm_fork_lock();
    descriptor->previous = NULL;
    descriptor->next = tracked;
    if (tracked != NULL) tracked->previous = descriptor;
    tracked = descriptor;
    lsm_fork_unlock();
}

void lsm_fork_untrack(lsm_fork_descriptor *descriptor) {
    lsm_fork_lock();
    if (descriptor->previous != NULL) {
        descriptor->previous->next = descriptor->next;
    } else {
        tracked = descriptor->next;
    }
    if (descriptor->next != NULL) descriptor->next->previous = descriptor->previous;
    lsm_fork_unlock();
}
