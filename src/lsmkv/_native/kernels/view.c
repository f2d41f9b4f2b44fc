/* The user's view of merge.h: snapshot, bounds, tombstones and old versions, in both directions.
 *
 * Forward, the newest version of a key comes first: versions above the snapshot are passed, the first visible
 * one decides, the rest are hidden. Backward, the oldest comes first: each visible version replaces the
 * candidate until the user key changes; the cursor then stands one move past it, which by cursor.h leaves its
 * value readable. Further moves would not, so a small value is copied before the second one and a large one
 * is looked up again. After SKIP_MAX versions of one key either direction seeks instead of stepping.
 */
#include "merge.h"

#include "key_buffer.h"
#include "node.h"

enum {
    SKIP_MAX = 8,         /* versions of one key passed by single steps before a seek is cheaper */
    VALUE_COPY_MAX = 4096 /* bytes; a larger candidate is sought again rather than copied */
};

typedef struct bound {
    lsm_slice key; /* .data NULL: open */
    uint64_t head;
} bound;

enum view_state {
    VIEW_UNPOSITIONED, /* the cursor has not been placed yet */
    VIEW_AHEAD,        /* the cursor stands on the first entry not looked at */
    VIEW_ON_ENTRY,     /* forward: the cursor stands on the entry handed out last */
    VIEW_SOUGHT,       /* backward: the cursor was sent elsewhere; resume before `key` */
    VIEW_ENDED
};

struct lsm_view {
    lsm_cursor *merged;
    uint64_t sequence;
    bound start, stop;
    int reverse;
    int status;         /* the failure that ended the walk, 0 otherwise */
    enum view_state state;
    lsm_key_buffer key; /* the user key being decided or decided last */
    int has_key;
    int decided;        /* forward: its remaining versions are hidden */
    uint8_t value[VALUE_COPY_MAX];
    uint8_t bound_bytes[];
};

static bound bound_copy(lsm_slice key, uint8_t *room) {
    if (key.data == NULL) return (bound){0};
    memcpy(room, key.data, key.size);
    return (bound){{room, key.size}, lsm_head_load(room, key.size)};
}

/* Negative, 0, positive: `key` against a closed bound. */
static inline int bound_compare(const bound *limit, lsm_slice key) {
    uint64_t head = lsm_head_load(key.data, key.size);
    if (LSM_LIKELY(head != limit->head)) return head < limit->head ? -1 : 1;
    return lsm_slice_compare(key, limit->key);
}

static inline int at_or_after_stop(const lsm_view *view, lsm_slice key) {
    return view->stop.key.data != NULL && bound_compare(&view->stop, key) >= 0;
}

static inline int before_start(const lsm_view *view, lsm_slice key) {
    return view->start.key.data != NULL && bound_compare(&view->start, key) < 0;
}

static inline int is_live(uint64_t trailer) { return lsm_trailer_kind(trailer) == LSM_KIND_PUT; }

static int end(lsm_view *view) {
    view->state = VIEW_ENDED;
    return 0;
}

static int fail(lsm_view *view, int status) {
    view->state = VIEW_ENDED;
    view->status = status;
    return status;
}

/* --- forward ------------------------------------------------------------------------------------------ */

/* Passes one version of `view->key` that is hidden or too new. */
static int pass_version(lsm_view *view, uint32_t *passed) {
    lsm_cursor *cursor = view->merged;
    if (++*passed < SKIP_MAX) return cursor->ops->next(cursor);
    *passed = 0;
    return cursor->ops->seek(cursor, lsm_key_buffer_slice(&view->key), view->decided ? 0 : view->sequence);
}

static int next_forward(lsm_view *view, lsm_slice *key, lsm_slice *value) {
    lsm_cursor *cursor = view->merged;
    uint32_t passed = 0;
    int status = 0;
    if (view->state == VIEW_ON_ENTRY) status = cursor->ops->next(cursor);
    view->state = VIEW_AHEAD;
    for (;;) {
        if (LSM_UNLIKELY(status != 0)) return fail(view, status);
        if (!cursor->valid) return end(view);
        if (!view->has_key || !lsm_key_buffer_equals(&view->key, cursor->key)) {
            if (at_or_after_stop(view, cursor->key)) return end(view);
            status = lsm_key_buffer_set(&view->key, cursor->key);
            if (LSM_UNLIKELY(status != 0)) return fail(view, status);
            view->has_key = 1;
            view->decided = 0;
            passed = 0;
        }
        if (view->decided || lsm_trailer_sequence(cursor->trailer) > view->sequence) {
            status = pass_version(view, &passed);
            continue;
        }
        view->decided = 1;
        if (is_live(cursor->trailer)) break;
        status = cursor->ops->next(cursor);
    }
    *key = lsm_key_buffer_slice(&view->key);
    *value = cursor->value;
    view->state = VIEW_ON_ENTRY;
    return 1;
}

/* --- backward ----------------------------------------------------------------------------------------- */

/* Finds the visible version of `view->key` by seeking. 1: live, shown by the cursor; 0: hidden. Either way
 * the walk resumes before the key. */
static int seek_candidate(lsm_view *view, lsm_slice *value) {
    lsm_cursor *cursor = view->merged;
    view->state = VIEW_SOUGHT;
    int status = cursor->ops->seek(cursor, lsm_key_buffer_slice(&view->key), view->sequence);
    if (status != 0) return status;
    if (!cursor->valid || !lsm_key_buffer_equals(&view->key, cursor->key)) return 0;
    *value = cursor->value;
    return is_live(cursor->trailer);
}

/* Walks over the versions of `view->key`, of which the cursor shows the oldest. 1: live; 0: hidden. */
static int find_candidate(lsm_view *view, lsm_slice *value) {
    lsm_cursor *cursor = view->merged;
    uint32_t moves = 0; /* since the candidate was shown */
    int live = 0;
    for (uint32_t versions = 1;; versions++) {
        if (lsm_trailer_sequence(cursor->trailer) <= view->sequence) {
            live = is_live(cursor->trailer);
            *value = cursor->value;
            moves = 0;
        }
        if (versions == SKIP_MAX) return seek_candidate(view, value);
        if (live && moves == 1) {
            if (value->size > VALUE_COPY_MAX) return seek_candidate(view, value);
            if (value->size != 0) memcpy(view->value, value->data, value->size);
            value->data = view->value;
        }
        int status = cursor->ops->previous(cursor);
        if (LSM_UNLIKELY(status != 0)) return status;
        moves++;
        if (!cursor->valid || !lsm_key_buffer_equals(&view->key, cursor->key)) return live;
    }
}

static int next_backward(lsm_view *view, lsm_slice *key, lsm_slice *value) {
    lsm_cursor *cursor = view->merged;
    for (;;) {
        if (view->state == VIEW_SOUGHT) {
            int status = cursor->ops->seek_before(cursor, lsm_key_buffer_slice(&view->key), LSM_SEQUENCE_MAX);
            if (status != 0) return fail(view, status);
        }
        view->state = VIEW_AHEAD;
        if (!cursor->valid || before_start(view, cursor->key)) return end(view);
        if (LSM_UNLIKELY(lsm_key_buffer_set(&view->key, cursor->key) != 0)) return fail(view, LSM_E_MEMORY);
        int live = find_candidate(view, value);
        if (LSM_UNLIKELY(live < 0)) return fail(view, live);
        if (live) break;
    }
    *key = lsm_key_buffer_slice(&view->key);
    return 1;
}

/* --- placing ------------------------------------------------------------------------------------------ */

static int place_at_end(lsm_view *view) {
    lsm_cursor *cursor = view->merged;
    if (view->reverse) {
        if (view->stop.key.data == NULL) return cursor->ops->last(cursor);
        return cursor->ops->seek_before(cursor, view->stop.key, LSM_SEQUENCE_MAX);
    }
    if (view->start.key.data == NULL) return cursor->ops->first(cursor);
    return cursor->ops->seek(cursor, view->start.key, view->sequence);
}

static int place_at_key(lsm_view *view, lsm_slice key) {
    lsm_cursor *cursor = view->merged;
    if (view->reverse) {
        if (at_or_after_stop(view, key)) return place_at_end(view);
        return cursor->ops->seek_before(cursor, key, 0);
    }
    if (before_start(view, key)) return place_at_end(view);
    return cursor->ops->seek(cursor, key, view->sequence);
}

static int placed(lsm_view *view, int status) {
    view->has_key = 0;
    view->status = 0;
    view->state = VIEW_AHEAD;
    return status != 0 ? fail(view, status) : 0;
}

/* --- the view ----------------------------------------------------------------------------------------- */

lsm_view *lsm_view_create(lsm_cursor *merged, uint64_t sequence, lsm_slice start, lsm_slice stop,
                          int reverse) {
    if (merged == NULL) return NULL;
    size_t start_size = start.data != NULL ? start.size : 0;
    size_t stop_size = stop.data != NULL ? stop.size : 0;
    lsm_view *view = lsm_alloc(sizeof *view + start_size + stop_size);
    if (view == NULL) {
        lsm_cursor_destroy(merged);
        return NULL;
    }
    view->merged = merged;
    view->sequence = sequence;
    view->start = bound_copy(start, view->bound_bytes);
    view->stop = bound_copy(stop, view->bound_bytes + start_size);
    view->reverse = reverse;
    view->status = 0;
    view->state = VIEW_UNPOSITIONED;
    view->key = (lsm_key_buffer){0};
    view->has_key = 0;
    view->decided = 0;
    return view;
}

void lsm_view_destroy(lsm_view *view) {
    if (view == NULL) return;
    lsm_cursor_destroy(view->merged);
    lsm_key_buffer_clear(&view->key);
    lsm_free(view);
}

int lsm_view_next(lsm_view *view, lsm_slice *key, lsm_slice *value) {
    if (LSM_UNLIKELY(view->state == VIEW_ENDED)) return view->status;
    if (LSM_UNLIKELY(view->state == VIEW_UNPOSITIONED)) {
        int status = placed(view, place_at_end(view));
        if (status != 0) return status;
    }
    return view->reverse ? next_backward(view, key, value) : next_forward(view, key, value);
}

int lsm_view_seek(lsm_view *view, lsm_slice key) { return placed(view, place_at_key(view, key)); }
