/* See array_cursor.h. A move picks an index; `show` publishes it, strictly or by reference. */
#include "array_cursor.h"

#include "allocator.h"
#include "coding.h"

enum { SCRIBBLE = 0xDD };

typedef struct copy {
    uint8_t *data;
    size_t size, capacity;
} copy;

typedef struct array_cursor {
    lsm_cursor base;
    const lsm_array_entry *entries;
    uint32_t count;
    uint32_t index; /* count: not valid */
    uint32_t moves;
    lsm_array_options options;
    copy key;
    copy values[2]; /* the one shown lies at moves % 2 */
} array_cursor;

static int copy_set(copy *target, lsm_slice source) {
    if (source.size > target->capacity || target->data == NULL) {
        uint8_t *grown = lsm_realloc(target->data, source.size);
        if (grown == NULL) return LSM_E_MEMORY;
        target->data = grown;
        target->capacity = source.size;
    }
    if (source.size != 0) memcpy(target->data, source.data, source.size);
    target->size = source.size;
    return 0;
}

static void copy_scribble(copy *target) {
    if (target->data != NULL) memset(target->data, SCRIBBLE, target->capacity);
}

static int show(array_cursor *cursor, uint32_t index) {
    cursor->index = index;
    cursor->base.valid = 0;
    cursor->moves++;
    if (cursor->moves == cursor->options.fail_at) return LSM_E_CORRUPT;
    const lsm_array_entry *entry = &cursor->entries[index];
    if (!cursor->options.strict) {
        if (index == cursor->count) return 0;
        cursor->base.key = entry->key;
        cursor->base.value = entry->value;
    } else {
        copy *value = &cursor->values[cursor->moves % 2];
        copy_scribble(&cursor->key);
        copy_scribble(value);
        if (index == cursor->count) return 0;
        if (copy_set(&cursor->key, entry->key) || copy_set(value, entry->value)) return LSM_E_MEMORY;
        cursor->base.key = (lsm_slice){cursor->key.data, cursor->key.size};
        cursor->base.value = (lsm_slice){value->data, value->size};
    }
    cursor->base.trailer = entry->trailer;
    cursor->base.valid = 1;
    return 0;
}

/* How many entries come before (key, sequence). */
static uint32_t count_before(const array_cursor *cursor, lsm_slice key, uint64_t sequence) {
    uint32_t low = 0, high = cursor->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const lsm_array_entry *entry = &cursor->entries[middle];
        int order = lsm_slice_compare(entry->key, key);
        if (order == 0) order = lsm_trailer_sequence(entry->trailer) > sequence ? -1 : 1;
        if (order < 0) low = middle + 1; else high = middle;
    }
    return low;
}

static int array_seek(lsm_cursor *base, lsm_slice key, uint64_t sequence) {
    array_cursor *cursor = (array_cursor *)base;
    return show(cursor, count_before(cursor, key, sequence));
}

static int array_seek_before(lsm_cursor *base, lsm_slice key, uint64_t sequence) {
    array_cursor *cursor = (array_cursor *)base;
    uint32_t before = count_before(cursor, key, sequence);
    return show(cursor, before == 0 ? cursor->count : before - 1);
}

static int array_first(lsm_cursor *base) { return show((array_cursor *)base, 0); }

static int array_last(lsm_cursor *base) {
    array_cursor *cursor = (array_cursor *)base;
    return show(cursor, cursor->count == 0 ? 0 : cursor->count - 1);
}

static int array_next(lsm_cursor *base) {
    array_cursor *cursor = (array_cursor *)base;
    LSM_ASSERT(base->valid);
    return show(cursor, cursor->index + 1);
}

static int array_previous(lsm_cursor *base) {
    array_cursor *cursor = (array_cursor *)base;
    LSM_ASSERT(base->valid);
    return show(cursor, cursor->index == 0 ? cursor->count : cursor->index - 1);
}

static void array_destroy(lsm_cursor *base) {
    array_cursor *cursor = (array_cursor *)base;
    lsm_free(cursor->key.data);
    lsm_free(cursor->values[0].data);
    lsm_free(cursor->values[1].data);
    lsm_free(cursor);
}

static const lsm_cursor_ops array_ops = {
    .seek = array_seek,
    .seek_before = array_seek_before,
    .first = array_first,
    .last = array_last,
    .next = array_next,
    .previous = array_previous,
    .destroy = array_destroy,
};

lsm_cursor *lsm_array_cursor(const lsm_array_entry *entries, uint32_t count, lsm_array_options options) {
    array_cursor *cursor = lsm_calloc(1, sizeof *cursor);
    if (cursor == NULL) return NULL;
    cursor->base.ops = &array_ops;
    cursor->entries = entries;
    cursor->count = count;
    cursor->index = count;
    cursor->options = options;
    return &cursor->base;
}
