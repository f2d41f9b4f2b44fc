/* Leader election and ordering of syncs for commit_group.h. */
#include "commit_group.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "allocator.h"

enum { GATHER_NS_MAX = 1000000 };

struct lsm_commit_group {
    lsm_vfs *vfs;
    char *directory;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* under the mutex */
    lsm_log_writer *segments[LSM_LIVE_SEGMENTS_MAX]; /* oldest first, the current one last */
    uint32_t count;
    int syncing;         /* a leader gathers, or works outside the mutex on a copy of `segments` */
    uint32_t waiting;    /* callers whose sequence is not durable yet, the leader included */
    uint32_t expected;   /* how many the last sync served: so many may be back soon */
    uint64_t sync_ns;    /* what the last sync took */
    pthread_cond_t arrived; /* for a leader that gathers */
    int directory_dirty; /* a segment was added since the last directory sync */
    int poisoned;
    lsm_error error;
    /* atomic */
    uint64_t committed;
    uint64_t durable;
    uint64_t sync_count;
};

lsm_commit_group *lsm_commit_group_create(lsm_vfs *vfs, const char *directory) {
    lsm_commit_group *group = lsm_calloc(1, sizeof *group);
    if (group == NULL) return NULL;
    size_t size = strlen(directory) + 1;
    group->directory = lsm_alloc(size);
    if (group->directory == NULL) {
        lsm_free(group);
        return NULL;
    }
    memcpy(group->directory, directory, size);
    group->vfs = vfs;
    pthread_mutex_init(&group->mutex, NULL);
    pthread_cond_init(&group->changed, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&group->arrived, &attributes);
    pthread_condattr_destroy(&attributes);
    return group;
}

void lsm_commit_group_destroy(lsm_commit_group *group) {
    if (group == NULL) return;
    /* A forked child inherits the mutex in an unknown state; its memory is all we may touch. */
    lsm_free(group->directory);
    lsm_free(group);
}

int lsm_commit_group_add(lsm_commit_group *group, lsm_log_writer *writer) {
    int status = LSM_E_LIMIT;
    pthread_mutex_lock(&group->mutex);
    if (group->count < LSM_LIVE_SEGMENTS_MAX) {
        uint64_t before = writer->segment.previous_sequence;
        if (group->count == 0 && before > group->durable) { /* recovered: it is in synced tables */
            __atomic_store_n(&group->committed, before, __ATOMIC_RELEASE);
            __atomic_store_n(&group->durable, before, __ATOMIC_RELEASE);
        }
        group->segments[group->count++] = writer;
        group->directory_dirty = 1;
        status = LSM_OK;
    }
    pthread_mutex_unlock(&group->mutex);
    return status;
}

void lsm_commit_group_committed(lsm_commit_group *group, uint64_t sequence) {
    __atomic_store_n(&group->committed, sequence, __ATOMIC_RELEASE);
}

uint64_t lsm_commit_group_durable(const lsm_commit_group *group) {
    return __atomic_load_n(&group->durable, __ATOMIC_ACQUIRE);
}

uint64_t lsm_commit_group_sync_count(const lsm_commit_group *group) {
    return __atomic_load_n(&group->sync_count, __ATOMIC_RELAXED);
}

/* REQUIRES: the mutex. */
static void poison_locked(lsm_commit_group *group, const lsm_error *error) {
    if (group->poisoned) return;
    group->error = *error;
    __atomic_store_n(&group->poisoned, 1, __ATOMIC_RELEASE);
}

void lsm_commit_group_poison(lsm_commit_group *group, const lsm_error *error) {
    pthread_mutex_lock(&group->mutex);
    poison_locked(group, error);
    pthread_cond_broadcast(&group->changed);
    pthread_mutex_unlock(&group->mutex);
}

int lsm_commit_group_poisoned(const lsm_commit_group *group, lsm_error *error) {
    if (!__atomic_load_n(&group->poisoned, __ATOMIC_ACQUIRE)) return 0;
    if (error != NULL) *error = group->error; /* written once, before the flag */
    return 1;
}

static int sync_segments(lsm_commit_group *group, lsm_log_writer **segments, uint32_t count,
                         int directory_dirty,
                         lsm_error *error) {
    if (directory_dirty) {
        int status = group->vfs->ops->sync_directory(group->vfs, group->directory, error);
        if (status != LSM_OK) return status;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t covered;
        int status = lsm_log_sync(segments[i], &covered, error);
        if (status != LSM_OK) return status;
    }
    return LSM_OK;
}

/* REQUIRES: the mutex, nobody syncing. Everything but the current segment is durable now. */
static void forget_older(lsm_commit_group *group, uint32_t synced_count) {
    uint32_t done = synced_count - 1;
    if (done == 0) return;
    memmove(group->segments, group->segments + done, (group->count - done) * sizeof *group->segments);
    group->count -= done;
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* REQUIRES: the mutex. Writers that were served together come back together, one after the other: a leader
 * that went ahead with the first of them would make the others wait for a sync of their own. It waits for as
 * many as last time, but no longer than a sync takes; who does not come is not expected again. */
static void gather(lsm_commit_group *group) {
    uint64_t limit_ns = group->sync_ns < GATHER_NS_MAX ? group->sync_ns : GATHER_NS_MAX;
    if (group->waiting >= group->expected || limit_ns == 0) return;
    uint64_t deadline_ns = now_ns() + limit_ns;
    struct timespec deadline = {(time_t)(deadline_ns / 1000000000), (long)(deadline_ns % 1000000000)};
    while (group->waiting < group->expected && !group->poisoned) {
        if (pthread_cond_timedwait(&group->arrived, &group->mutex, &deadline) != 0) break;
    }
}

/* REQUIRES: the mutex, which is released while others gather and while the disk works. */
static void lead(lsm_commit_group *group) {
    lsm_log_writer *segments[LSM_LIVE_SEGMENTS_MAX];
    group->syncing = 1;
    gather(group);
    uint32_t served = group->waiting;
    uint32_t count = group->count;
    int directory_dirty = group->directory_dirty;
    memcpy(segments, group->segments, count * sizeof *segments);
    group->directory_dirty = 0;
    uint64_t started_ns = now_ns();
    uint64_t target = __atomic_load_n(&group->committed, __ATOMIC_ACQUIRE);
    pthread_mutex_unlock(&group->mutex);

    lsm_error error = {0};
    int status = sync_segments(group, segments, count, directory_dirty, &error);

    pthread_mutex_lock(&group->mutex);
    group->syncing = 0;
    group->expected = served;
    group->sync_ns = now_ns() - started_ns;
    if (status == LSM_OK) {
        forget_older(group, count);
        if (target > group->durable) __atomic_store_n(&group->durable, target, __ATOMIC_RELEASE);
        __atomic_add_fetch(&group->sync_count, 1, __ATOMIC_RELAXED);
    } else {
        poison_locked(group, &error);
    }
    pthread_cond_broadcast(&group->changed);
}

int lsm_commit_group_sync(lsm_commit_group *group, uint64_t sequence, lsm_error *error) {
    int status = LSM_OK;
    /* Nothing beyond it can become durable: waiting for more would never end. */
    uint64_t committed = __atomic_load_n(&group->committed, __ATOMIC_ACQUIRE);
    if (sequence > committed) sequence = committed;
    pthread_mutex_lock(&group->mutex);
    group->waiting++;
    pthread_cond_signal(&group->arrived);
    while (group->durable < sequence && group->count != 0 && !group->poisoned) {
        if (group->syncing) {
            pthread_cond_wait(&group->changed, &group->mutex);
        } else {
            lead(group);
        }
    }
    if (group->poisoned) {
        if (error != NULL) *error = group->error;
        status = group->error.code;
    }
    group->waiting--;
    pthread_mutex_unlock(&group->mutex);
    return status;
}

void lsm_commit_group_drop(lsm_commit_group *group, lsm_log_writer *writer) {
    pthread_mutex_lock(&group->mutex);
    while (group->syncing) pthread_cond_wait(&group->changed, &group->mutex);
    for (uint32_t i = 0; i < group->count; i++) {
        if (group->segments[i] != writer) continue;
        memmove(group->segments + i, group->segments + i + 1,
                (group->count - i - 1) * sizeof *group->segments);
        group->count--;
        break;
    }
    pthread_mutex_unlock(&group->mutex);
}
