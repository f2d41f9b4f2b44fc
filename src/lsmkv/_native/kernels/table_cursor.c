/* Walking a table, both ways.
 *
 * The cursor holds one reference to its current block and one to the block it showed before that, so that a
 * value stays readable for one move more (cursor.h). Keys are put together in a buffer of the cursor's own;
 * within a block the common prefix is written once. In read-ahead mode a window of consecutive private blocks
 * is read and decompressed at a time, through a handle of the cursor's own: no cache, no pool, no lock.
 */
#include "table_reader.h"

#include "allocator.h"

enum { INLINE_KEY_SIZE = 64 };

typedef struct read_window {
    lsm_block **blocks; /* private, one reference each */
    uint32_t first, count, capacity;
    uint8_t *stored;    /* scratch */
    size_t stored_capacity;
} read_window;

typedef struct table_cursor {
    lsm_cursor base;
    lsm_table *table; /* retained */
    lsm_read_context *context;
    lsm_block *block; /* the current one, retained; NULL when there is none */
    lsm_block *left;  /* the one shown before it, retained */
    uint32_t ordinal; /* of `block` */
    uint32_t entry;   /* in `block` */
    int shown;        /* whether the caller has seen an entry of `block` */
    uint8_t *key;     /* inline_key or owned; begins with the block's prefix */
    size_t key_capacity;
    size_t readahead_size; /* 0: block by block through the table */
    lsm_file *file;        /* read-ahead only; opened at the first read */
    read_window window;
    uint8_t inline_key[INLINE_KEY_SIZE];
} table_cursor;

static table_cursor *of(lsm_cursor *cursor) { return (table_cursor *)cursor; }

static int no_memory(const table_cursor *cursor) {
    return lsm_fail(cursor->context->error, LSM_E_MEMORY, LSM_NO_OFFSET, cursor->table->path,
                    "no memory to read a table");
}

/* --- read-ahead --------------------------------------------------------------------------------------- */

static void drop_window(read_window *window) {
    while (window->count > 0) lsm_block_release(window->blocks[--window->count]);
}

/* How many blocks of the table's average size the read-ahead size holds once they are decompressed: stored
 * bytes alone would not bound memory, as blocks may be many times larger than they are stored. */
static uint32_t window_blocks_max(const table_cursor *cursor) {
    const lsm_table *table = cursor->table;
    uint64_t average = table->summary.raw_size / table->index.block_count;
    if (average < table->block_size) average = table->block_size;
    uint64_t count = cursor->readahead_size / average;
    return count < 1 ? 1 : count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
}

/* The run of blocks to read at `ordinal`, within the read-ahead size but never empty. */
static void choose_run(const table_cursor *cursor, uint32_t ordinal, int backward, uint32_t *first,
                       uint32_t *end) {
    const uint64_t *offsets = cursor->table->index.block_offsets;
    uint32_t most = window_blocks_max(cursor);
    *first = ordinal;
    *end = ordinal + 1;
    if (backward) {
        uint32_t lowest = *end > most ? *end - most : 0;
        while (*first > lowest && offsets[*end] - offsets[*first - 1] <= cursor->readahead_size) (*first)--;
    } else {
        uint32_t block_count = cursor->table->index.block_count;
        uint32_t highest = block_count - ordinal > most ? ordinal + most : block_count;
        while (*end < highest && offsets[*end + 1] - offsets[*first] <= cursor->readahead_size) (*end)++;
    }
}

static int reserve_window(table_cursor *cursor, uint32_t count, size_t size) {
    read_window *window = &cursor->window;
    if (count > window->capacity) {
        lsm_block **blocks = lsm_realloc(window->blocks, count * sizeof *blocks);
        if (blocks == NULL) return no_memory(cursor);
        window->blocks = blocks;
        window->capacity = count;
    }
    if (size > window->stored_capacity) {
        uint8_t *stored = lsm_realloc(window->stored, size);
        if (stored == NULL) return no_memory(cursor);
        window->stored = stored;
        window->stored_capacity = size;
    }
    return 0;
}

/* Fills the empty window with the blocks first .. end - 1. */
static int read_run(table_cursor *cursor, uint32_t first, uint32_t end) {
    lsm_table *table = cursor->table;
    read_window *window = &cursor->window;
    lsm_read_context *context = cursor->context;
    uint64_t offset = table->index.block_offsets[first];
    size_t size = (size_t)(table->index.block_offsets[end] - offset);
    int code = reserve_window(cursor, end - first, size);
    if (code == 0) code = lsm_table_read(table, cursor->file, offset, window->stored, size, context);
    if (code == 0)
        code = lsm_table_unpack(table, first, window->stored, end - first, window->blocks, context->error);
    if (code) return code;
    context->block_reads += end - first;
    window->first = first;
    window->count = end - first;
    return 0;
}

/* Damage matters when the cursor gets there, not when it is read ahead: behind it may be the end of what the
 * caller wants. So a run that cannot be read is halved, down to the block at `ordinal`. */
static int fill_window(table_cursor *cursor, uint32_t ordinal, int backward) {
    lsm_table *table = cursor->table;
    lsm_read_context *context = cursor->context;
    drop_window(&cursor->window);
    if (cursor->file == NULL) {
        lsm_vfs *vfs = table->pool->vfs;
        int code = vfs->ops->open(vfs, table->path, LSM_OPEN_READ, &cursor->file, context->error);
        if (code) {
            cursor->file = NULL;
            return code;
        }
    }
    uint32_t first, end;
    choose_run(cursor, ordinal, backward, &first, &end);
    for (;;) {
        int code = read_run(cursor, first, end);
        uint32_t half = (end - first) / 2;
        if (half == 0 || (code != LSM_E_CORRUPT && code != LSM_E_SYSTEM)) return code;
        if (context->error != NULL) context->error->code = LSM_OK;
        if (backward) first = end - half;
        else end = first + half;
    }
}

static int block_from_window(table_cursor *cursor, uint32_t ordinal, int backward, lsm_block **block) {
    read_window *window = &cursor->window;
    if (window->count == 0 || ordinal < window->first || ordinal - window->first >= window->count) {
        int code = fill_window(cursor, ordinal, backward);
        if (code) return code;
    }
    *block = window->blocks[ordinal - window->first];
    lsm_block_retain(*block);
    return 0;
}

/* --- position ----------------------------------------------------------------------------------------- */

static int invalidate(table_cursor *cursor, int code) {
    cursor->base.valid = 0;
    return code;
}

static int reserve_key(table_cursor *cursor, size_t size) {
    if (LSM_LIKELY(size <= cursor->key_capacity)) return 0;
    size_t capacity = cursor->key_capacity * 2 > size ? cursor->key_capacity * 2 : size;
    uint8_t *key = lsm_alloc(capacity);
    if (key == NULL) return no_memory(cursor);
    memcpy(key, cursor->block->view.prefix, cursor->block->view.prefix_size);
    if (cursor->key != cursor->inline_key) lsm_free(cursor->key);
    cursor->key = key;
    cursor->key_capacity = capacity;
    return 0;
}

/* Shows entry `entry` of the current block. REQUIRES: the key buffer begins with the block's prefix. */
static inline int show(table_cursor *cursor, uint32_t entry) {
    const lsm_block_view *view = &cursor->block->view;
    int code = reserve_key(cursor, lsm_block_key_size(view, entry) + LSM_HEAD_SIZE);
    if (LSM_UNLIKELY(code)) return invalidate(cursor, code);
    cursor->entry = entry;
    cursor->base.key = (lsm_slice){cursor->key, lsm_block_key_complete(view, entry, cursor->key)};
    cursor->base.value = lsm_block_value(view, entry);
    cursor->base.trailer = lsm_block_trailer(view, entry);
    cursor->base.valid = 1;
    cursor->shown = 1;
    return 0;
}

/* One move may enter two blocks; only what was shown is worth keeping. */
static void replace_block(table_cursor *cursor, lsm_block *block, uint32_t ordinal) {
    if (cursor->shown) {
        lsm_block_release(cursor->left);
        cursor->left = cursor->block;
    } else {
        lsm_block_release(cursor->block);
    }
    cursor->block = block;
    cursor->ordinal = ordinal;
    cursor->shown = 0;
}

/* Makes a block current and puts its prefix into the key buffer. */
static int enter_block(table_cursor *cursor, uint32_t ordinal, int backward) {
    if (cursor->block == NULL || cursor->ordinal != ordinal) {
        lsm_block *block;
        int code = cursor->readahead_size != 0 ? block_from_window(cursor, ordinal, backward, &block)
                                               : lsm_table_block(cursor->table, ordinal, cursor->context,
                                                                 &block);
        if (code) return invalidate(cursor, code);
        replace_block(cursor, block, ordinal);
    }
    const lsm_block_view *view = &cursor->block->view;
    int code = reserve_key(cursor, view->prefix_size + LSM_HEAD_SIZE);
    if (code) return invalidate(cursor, code);
    memcpy(cursor->key, view->prefix, view->prefix_size);
    return 0;
}

static int enter_first_entry(table_cursor *cursor, uint32_t ordinal) {
    if (ordinal >= cursor->table->index.block_count) return invalidate(cursor, 0);
    int code = enter_block(cursor, ordinal, 0);
    return code ? code : show(cursor, 0);
}

/* The last entry of the block before `ordinal`. */
static int enter_last_entry_before(table_cursor *cursor, uint32_t ordinal) {
    if (ordinal == 0) return invalidate(cursor, 0);
    int code = enter_block(cursor, ordinal - 1, 1);
    return code ? code : show(cursor, cursor->block->view.count - 1);
}

static int cursor_seek(lsm_cursor *base, lsm_slice key, uint64_t sequence) {
    table_cursor *cursor = of(base);
    lsm_target target = {key.data, key.size, sequence};
    uint32_t ordinal = lsm_index_search(&cursor->table->index, &target);
    if (ordinal == cursor->table->index.block_count) return invalidate(cursor, 0);
    int code = enter_block(cursor, ordinal, 0);
    if (code) return code;
    uint32_t entry = lsm_block_search(&cursor->block->view, &target);
    if (entry == cursor->block->view.count) return enter_first_entry(cursor, ordinal + 1);
    return show(cursor, entry);
}

static int cursor_seek_before(lsm_cursor *base, lsm_slice key, uint64_t sequence) {
    table_cursor *cursor = of(base);
    lsm_target target = {key.data, key.size, sequence};
    uint32_t ordinal = lsm_index_search(&cursor->table->index, &target);
    if (ordinal == cursor->table->index.block_count) return enter_last_entry_before(cursor, ordinal);
    int code = enter_block(cursor, ordinal, 1);
    if (code) return code;
    uint32_t entry = lsm_block_search(&cursor->block->view, &target);
    if (entry == 0) return enter_last_entry_before(cursor, ordinal);
    return show(cursor, entry - 1);
}

static int cursor_first(lsm_cursor *base) { return enter_first_entry(of(base), 0); }

static int cursor_last(lsm_cursor *base) {
    return enter_last_entry_before(of(base), of(base)->table->index.block_count);
}

static int cursor_next(lsm_cursor *base) {
    table_cursor *cursor = of(base);
    LSM_ASSERT(base->valid);
    if (LSM_LIKELY(cursor->entry + 1 < cursor->block->view.count)) return show(cursor, cursor->entry + 1);
    return enter_first_entry(cursor, cursor->ordinal + 1);
}

static int cursor_previous(lsm_cursor *base) {
    table_cursor *cursor = of(base);
    LSM_ASSERT(base->valid);
    if (LSM_LIKELY(cursor->entry > 0)) return show(cursor, cursor->entry - 1);
    return enter_last_entry_before(cursor, cursor->ordinal);
}

static void cursor_destroy(lsm_cursor *base) {
    table_cursor *cursor = of(base);
    lsm_error ignored;
    drop_window(&cursor->window);
    lsm_free(cursor->window.blocks);
    lsm_free(cursor->window.stored);
    lsm_block_release(cursor->block);
    lsm_block_release(cursor->left);
    if (cursor->file != NULL) cursor->file->ops->close(cursor->file, &ignored);
    if (cursor->key != cursor->inline_key) lsm_free(cursor->key);
    lsm_table_release(cursor->table);
    lsm_free(cursor);
}

static const lsm_cursor_ops table_cursor_ops = {
    .seek = cursor_seek,
    .seek_before = cursor_seek_before,
    .first = cursor_first,
    .last = cursor_last,
    .next = cursor_next,
    .previous = cursor_previous,
    .destroy = cursor_destroy,
};

lsm_cursor *lsm_table_cursor(lsm_table *table, lsm_read_context *context, size_t readahead_size) {
    table_cursor *cursor = lsm_calloc(1, sizeof *cursor);
    if (cursor == NULL) return NULL;
    cursor->base.ops = &table_cursor_ops;
    cursor->table = table;
    cursor->context = context;
    cursor->readahead_size = readahead_size;
    cursor->key = cursor->inline_key;
    cursor->key_capacity = INLINE_KEY_SIZE;
    lsm_table_retain(table);
    return &cursor->base;
}
