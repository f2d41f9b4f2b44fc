/* The one cursor shape: memtables, tables, runs and merges of them all look like this.
 *
 * Entries come in internal order (user key ascending, sequence descending), tombstones and old versions
 * included. `key`, `value` and `trailer` are meaningful while `valid`, until the cursor's next move; a cursor
 * over a memtable or a pinned block keeps the value (not the key) readable until the move after that.
 * Moves return 0 or a negative status; after an error the cursor is not valid.
 */
#ifndef LSMKV_CURSOR_H
#define LSMKV_CURSOR_H

#include "constants.h"
#include "status.h"

typedef struct lsm_cursor lsm_cursor;

typedef struct lsm_cursor_ops {
    int (*seek)(lsm_cursor *cursor, lsm_slice key, uint64_t sequence);        /* first >= (key, sequence) */
    int (*seek_before)(lsm_cursor *cursor, lsm_slice key, uint64_t sequence); /* last < (key, sequence) */
    int (*first)(lsm_cursor *cursor);
    int (*last)(lsm_cursor *cursor);
    int (*next)(lsm_cursor *cursor);     /* REQUIRES: valid */
    int (*previous)(lsm_cursor *cursor); /* REQUIRES: valid */
    void (*destroy)(lsm_cursor *cursor); /* frees it, drops its pins; NULL-safe through lsm_cursor_destroy */
} lsm_cursor_ops;

struct lsm_cursor {
    const lsm_cursor_ops *ops;
    int valid;
    lsm_slice key;
    lsm_slice value;
    uint64_t trailer; /* constants.h: sequence << 8 | kind */
};

static inline void lsm_cursor_destroy(lsm_cursor *cursor) {
    if (cursor != NULL) cursor->ops->destroy(cursor);
}

/* The outcome of a point read in one source. `value` stays readable as long as the source is pinned
 * (memtable) or `pin` is held (table block): see lsm_found_release in table.h. */
typedef struct lsm_found {
    int found;         /* 0: this source knows nothing of the key */
    uint64_t trailer;  /* of the version found; its kind may be LSM_KIND_DELETE */
    lsm_slice value;
    struct lsm_block *pin; /* NULL when the value lies in a memtable */
} lsm_found;

#endif
