/* The cursor over one run: its table slices one after the other, each seen through its clamps.
 *
 * - Within bounds, slices outside of them are left alone: they may be damaged.
 * - A table cursor is opened when the walk gets to its slice; hidden keys are passed by seeking to the clamp.
 * - The value last shown must stay readable for one more move (cursor.h). When a move leaves a table, its
 *   cursor therefore lives on as `retired` until the move after that.
 */
#include "allocator.h"
#include "coding.h"
#include "version.h"

typedef struct run_cursor {
    lsm_cursor base;
    const lsm_run *run;
    uint32_t first, end; /* the slices that may show anything within the bounds */
    lsm_read_context *context;
    size_t readahead_size;
    uint32_t index;      /* the slice that `table` reads; meaningless while NULL */
    lsm_cursor *table;
    lsm_cursor *retired;
} run_cursor;

static inline const lsm_table_slice *current_slice(const run_cursor *cursor) {
    return &cursor->run->slices[cursor->index];
}

static int fail(run_cursor *cursor, int status) {
    cursor->base.valid = 0;
    return status;
}

static inline void begin_move(run_cursor *cursor) {
    if (LSM_LIKELY(cursor->retired == NULL)) return;
    lsm_cursor_destroy(cursor->retired);
    cursor->retired = NULL;
}

static inline int show(run_cursor *cursor) {
    const lsm_cursor *table = cursor->table;
    cursor->base.key = table->key;
    cursor->base.value = table->value;
    cursor->base.trailer = table->trailer;
    cursor->base.valid = 1;
    return 0;
}

static int show_nothing(run_cursor *cursor) {
    cursor->base.valid = 0;
    return 0;
}

/* Makes `table` a cursor over slice `index`, wherever it stands. 0 or LSM_E_MEMORY. */
static int open_slice(run_cursor *cursor, uint32_t index) {
    if (cursor->table != NULL && cursor->index == index) return 0;
    lsm_read_context *context = cursor->context;
    lsm_cursor *table = lsm_table_cursor(cursor->run->slices[index].table, context, cursor->readahead_size);
    if (table == NULL) {
        return lsm_fail(context->error, LSM_E_MEMORY, LSM_NO_OFFSET, NULL, "no memory for a table cursor");
    }
    /* Only the first table left in one move can have shown anything. */
    if (cursor->retired == NULL) cursor->retired = cursor->table;
    else lsm_cursor_destroy(cursor->table);
    cursor->table = table;
    cursor->index = index;
    return 0;
}

/* --- forward ------------------------------------------------------------------------------------------ */

/* Moves the table cursor to the first entry of its slice at or after (key, sequence); key NULL = of all. */
static int seek_in_slice(run_cursor *cursor, const lsm_slice *key, uint64_t sequence) {
    const lsm_table_slice *slice = current_slice(cursor);
    lsm_cursor *table = cursor->table;
    if (slice->clamp_lower && (key == NULL || lsm_slice_compare(*key, slice->lower) < 0)) {
        return table->ops->seek(table, slice->lower, LSM_SEQUENCE_MAX);
    }
    return key == NULL ? table->ops->first(table) : table->ops->seek(table, *key, sequence);
}

/* Shows the table's entry, or goes on to later slices when it has none left to show. */
static inline int settle_forward(run_cursor *cursor) {
    for (;;) {
        const lsm_table_slice *slice = current_slice(cursor);
        if (LSM_LIKELY(cursor->table->valid)) {
            if (LSM_LIKELY(!slice->clamp_upper)) return show(cursor);
            if (lsm_slice_compare(cursor->table->key, slice->upper) < 0) return show(cursor);
        }
        if (cursor->index + 1 >= cursor->end) return show_nothing(cursor);
        int status = open_slice(cursor, cursor->index + 1);
        if (status == 0) status = seek_in_slice(cursor, NULL, 0);
        if (status != 0) return fail(cursor, status);
    }
}

static int run_seek(lsm_cursor *base, lsm_slice key, uint64_t sequence) {
    run_cursor *cursor = (run_cursor *)base;
    begin_move(cursor);
    uint32_t index = lsm_run_search(cursor->run, key);
    if (index < cursor->first) index = cursor->first;
    if (index >= cursor->end) return show_nothing(cursor);
    int status = open_slice(cursor, index);
    if (status == 0) status = seek_in_slice(cursor, &key, sequence);
    return status != 0 ? fail(cursor, status) : settle_forward(cursor);
}

static int run_first(lsm_cursor *base) {
    run_cursor *cursor = (run_cursor *)base;
    begin_move(cursor);
    if (cursor->first >= cursor->end) return show_nothing(cursor);
    int status = open_slice(cursor, cursor->first);
    if (status == 0) status = seek_in_slice(cursor, NULL, 0);
    return status != 0 ? fail(cursor, status) : settle_forward(cursor);
}

static int run_next(lsm_cursor *base) {
    run_cursor *cursor = (run_cursor *)base;
    LSM_ASSERT(base->valid);
    begin_move(cursor);
    int status = cursor->table->ops->next(cursor->table);
    return LSM_UNLIKELY(status != 0) ? fail(cursor, status) : settle_forward(cursor);
}

/* --- backward ----------------------------------------------------------------------------------------- */

/* Moves the table cursor to the last entry of its slice before (key, sequence); key NULL = of all. */
static int seek_before_in_slice(run_cursor *cursor, const lsm_slice *key, uint64_t sequence) {
    const lsm_table_slice *slice = current_slice(cursor);
    lsm_cursor *table = cursor->table;
    if (slice->clamp_upper && (key == NULL || lsm_slice_compare(*key, slice->upper) >= 0)) {
        return table->ops->seek_before(table, slice->upper, LSM_SEQUENCE_MAX);
    }
    return key == NULL ? table->ops->last(table) : table->ops->seek_before(table, *key, sequence);
}

static inline int settle_backward(run_cursor *cursor) {
    for (;;) {
        const lsm_table_slice *slice = current_slice(cursor);
        if (LSM_LIKELY(cursor->table->valid)) {
            if (LSM_LIKELY(!slice->clamp_lower)) return show(cursor);
            if (lsm_slice_compare(cursor->table->key, slice->lower) >= 0) return show(cursor);
        }
        if (cursor->index <= cursor->first) return show_nothing(cursor);
        int status = open_slice(cursor, cursor->index - 1);
        if (status == 0) status = seek_before_in_slice(cursor, NULL, 0);
        if (status != 0) return fail(cursor, status);
    }
}

static int run_last(lsm_cursor *base) {
    run_cursor *cursor = (run_cursor *)base;
    begin_move(cursor);
    if (cursor->first >= cursor->end) return show_nothing(cursor);
    int status = open_slice(cursor, cursor->end - 1);
    if (status == 0) status = seek_before_in_slice(cursor, NULL, 0);
    return status != 0 ? fail(cursor, status) : settle_backward(cursor);
}

static int run_seek_before(lsm_cursor *base, lsm_slice key, uint64_t sequence) {
    run_cursor *cursor = (run_cursor *)base;
    begin_move(cursor);
    const lsm_run *run = cursor->run;
    uint32_t index = lsm_run_search(run, key);
    if (index > cursor->end) index = cursor->end;
    int order = index == cursor->end ? -1 : lsm_slice_compare(key, run->slices[index].smallest);
    /* Nothing of this slice comes before its smallest key: leave its table closed. */
    if (order < 0 || (order == 0 && sequence == LSM_SEQUENCE_MAX)) {
        if (index <= cursor->first) return show_nothing(cursor);
        index--;
    }
    if (index < cursor->first) return show_nothing(cursor);
    int status = open_slice(cursor, index);
    if (status == 0) status = seek_before_in_slice(cursor, &key, sequence);
    return status != 0 ? fail(cursor, status) : settle_backward(cursor);
}

static int run_previous(lsm_cursor *base) {
    run_cursor *cursor = (run_cursor *)base;
    LSM_ASSERT(base->valid);
    begin_move(cursor);
    int status = cursor->table->ops->previous(cursor->table);
    return LSM_UNLIKELY(status != 0) ? fail(cursor, status) : settle_backward(cursor);
}

/* --- life --------------------------------------------------------------------------------------------- */

static void run_destroy(lsm_cursor *base) {
    run_cursor *cursor = (run_cursor *)base;
    lsm_cursor_destroy(cursor->retired);
    lsm_cursor_destroy(cursor->table);
    lsm_free(cursor);
}

static const lsm_cursor_ops run_ops = {
    .seek = run_seek,
    .seek_before = run_seek_before,
    .first = run_first,
    .last = run_last,
    .next = run_next,
    .previous = run_previous,
    .destroy = run_destroy,
};

/* How many slices of the run begin before `stop`. */
static uint32_t slices_before(const lsm_run *run, lsm_slice stop) {
    uint32_t low = 0, high = run->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (lsm_slice_compare(run->slices[middle].smallest, stop) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

lsm_cursor *lsm_run_cursor(const lsm_run *run, lsm_read_context *context, size_t readahead_size) {
    lsm_slice open = {NULL, 0};
    return lsm_run_cursor_within(run, open, open, context, readahead_size);
}

lsm_cursor *lsm_run_cursor_within(const lsm_run *run, lsm_slice start, lsm_slice stop,
                                  lsm_read_context *context, size_t readahead_size) {
    uint32_t first = start.data == NULL ? 0 : lsm_run_search(run, start);
    uint32_t end = stop.data == NULL ? run->count : slices_before(run, stop);
    if (first < end && run->count == 1 && !run->slices[0].clamp_lower && !run->slices[0].clamp_upper) {
        return lsm_table_cursor(run->slices[0].table, context, readahead_size);
    }
    run_cursor *cursor = lsm_calloc(1, sizeof *cursor);
    if (cursor == NULL) return NULL;
    cursor->base.ops = &run_ops;
    cursor->run = run;
    cursor->first = first;
    cursor->end = end;
    cursor->context = context;
    cursor->readahead_size = readahead_size;
    return &cursor->base;
}
