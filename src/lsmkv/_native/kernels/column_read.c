/* Point reads by the thousand (column_read.h). */
#include "column_read.h"

#include "murmur3.h"
#include "node.h"
#include "table_reader.h"

enum { LOOK_AHEAD = 8, BLOCK_LOOK_AHEAD = 3, BLOCK_LINES = 10, LINE_SIZE = 64, WAITING_FIRST = 65536 };

/* --- life --------------------------------------------------------------------------------------------- */

int lsm_read_open(lsm_column_read *read) {
    size_t window = read->keys->count < LSM_READ_WINDOW ? read->keys->count : LSM_READ_WINDOW;
    size_t slice = window < LSM_READ_SLICE ? window : LSM_READ_SLICE;
    read->phase = LSM_READ_SORT;
    read->items = lsm_alloc(2 * window * sizeof *read->items);
    read->wanted = lsm_alloc(slice * sizeof *read->wanted);
    read->blocks = lsm_alloc(4 * slice * sizeof *read->blocks);
    if (read->items == NULL || read->wanted == NULL || read->blocks == NULL) return LSM_E_MEMORY;
    read->scratch = read->items + window;
    read->kept = read->blocks + slice;
    read->dropped = read->kept + slice; /* what was kept and what the last run did not need */
    if (read->fixed != NULL) return LSM_OK;
    read->spans = lsm_alloc(window * sizeof *read->spans);
    if (read->spans == NULL) return LSM_E_MEMORY;
    return lsm_rows_open(&read->values);
}

static void release_all(lsm_block **blocks, uint32_t *count) {
    for (uint32_t i = 0; i < *count; i++) lsm_block_release(blocks[i]);
    *count = 0;
}

void lsm_read_close(lsm_column_read *read) {
    release_all(read->blocks, &read->block_count);
    release_all(read->kept, &read->kept_count);
    release_all(read->dropped, &read->dropped_count);
    lsm_free(read->items);
    lsm_free(read->wanted);
    lsm_free(read->blocks);
    lsm_free(read->spans);
    lsm_free(read->waiting);
    lsm_rows_close(&read->values);
    *read = (lsm_column_read){0};
}

/* --- windows and slices ------------------------------------------------------------------------------- */

/* The order is a matter of speed alone: nothing relies on it, so the caller's bytes may change under it. */
static void sort_window(lsm_column_read *read) {
    size_t left = read->keys->count - read->next;
    read->window_first = read->next;
    read->window_count = left < LSM_READ_WINDOW ? left : LSM_READ_WINDOW;
    read->next += read->window_count;
    read->slice_first = read->slice_count = 0;
    read->waiting_size = 0;
    lsm_slice first = lsm_column_row(read->keys, read->window_first);
    size_t shared = first.size;
    for (size_t i = 1; i < read->window_count && shared != 0; i++) {
        lsm_slice key = lsm_column_row(read->keys, read->window_first + i);
        shared = lsm_shared_size(first.data, key.data, key.size < shared ? key.size : shared);
    }
    for (size_t i = 0; i < read->window_count; i++) {
        lsm_slice key = lsm_column_row(read->keys, read->window_first + i);
        read->items[i] = (lsm_sort_item){lsm_head_load(key.data + shared, key.size - shared), i};
    }
    read->sorted = lsm_sort_heads(read->items, read->scratch, read->window_count);
}

/* The next slice of the window; 0 when there is none. */
static int begin_slice(lsm_column_read *read) {
    read->slice_first += read->slice_count;
    size_t left = read->window_count - read->slice_first;
    read->slice_count = left < LSM_READ_SLICE ? left : LSM_READ_SLICE;
    read->is_hashed = 0;
    read->run = 0;
    for (size_t i = 0; i < read->slice_count; i++) {
        uint32_t row = (uint32_t)read->sorted[read->slice_first + i].tag;
        lsm_slice key = lsm_column_row(read->keys, read->window_first + row);
        read->wanted[i] = (lsm_wanted){.key = key, .row = row, .is_open = 1};
        __builtin_prefetch(key.data);
    }
    return read->slice_count != 0;
}

static inline void settle(lsm_wanted *wanted, uint64_t trailer, lsm_slice value) {
    wanted->is_open = 0;
    wanted->is_live = lsm_trailer_kind(trailer) == LSM_KIND_PUT;
    wanted->value = value;
}

static void search_memtable(lsm_column_read *read, const lsm_memtable *memtable) {
    for (size_t i = 0; i < read->slice_count; i++) {
        lsm_wanted *wanted = &read->wanted[i];
        lsm_found found;
        if (!wanted->is_open) continue;
        lsm_memtable_get(memtable, wanted->key, read->sequence, &found);
        if (found.found) settle(wanted, found.trailer, found.value);
    }
}

static int is_empty(const lsm_memtable *memtable) {
    lsm_memtable_usage usage;
    lsm_memtable_read_usage(memtable, &usage);
    return usage.entry_count == 0;
}

/* --- a run of the tree -------------------------------------------------------------------------------- */

static void hash_keys(lsm_column_read *read) {
    if (read->is_hashed) return;
    read->is_hashed = 1;
    for (size_t i = 0; i < read->slice_count; i++) {
        lsm_wanted *wanted = &read->wanted[i];
        if (wanted->is_open) wanted->hash = lsm_key_hash(wanted->key.data, wanted->key.size);
    }
}

/* The table of the run that may show each key, its line of the filter on the way into the cache. */
static void aim_at_tables(lsm_column_read *read, const lsm_run *run) {
    for (size_t i = 0; i < read->slice_count; i++) {
        lsm_wanted *wanted = &read->wanted[i];
        wanted->table = NULL;
        if (!wanted->is_open) continue;
        uint32_t index = lsm_run_search(run, wanted->key);
        if (index == run->count) continue;
        const lsm_table_slice *slice = &run->slices[index];
        if (lsm_slice_compare(wanted->key, slice->smallest) < 0) continue;
        wanted->table = slice->table;
        if (slice->table->has_filter && slice->table->filter.line_count != 0) {
            lsm_bloom_prefetch(&slice->table->filter, wanted->hash);
        }
    }
}

/* Whether any block has to be fetched. */
static int aim_at_blocks(lsm_column_read *read) {
    int is_any = 0;
    for (size_t i = 0; i < read->slice_count; i++) {
        lsm_wanted *wanted = &read->wanted[i];
        lsm_table *table = wanted->table;
        if (table == NULL) continue;
        if (table->has_filter && !lsm_bloom_may_contain(&table->filter, wanted->hash)) {
            read->bloom_skips++;
            wanted->table = NULL;
            continue;
        }
        lsm_target target = {wanted->key.data, wanted->key.size, read->sequence};
        wanted->ordinal = lsm_index_search(&table->index, &target);
        if (wanted->ordinal == table->index.block_count) {
            wanted->table = NULL;
            continue;
        }
        if (table->cache != NULL) __builtin_prefetch(&table->slots[wanted->ordinal]);
        is_any = 1;
    }
    return is_any;
}

/* Aims at the next run that may hold anything; 0 when none is left. */
static int aim(lsm_column_read *read) {
    for (; read->run < read->version->run_count; read->run++) {
        hash_keys(read);
        aim_at_tables(read, &read->version->runs[read->run]);
        if (aim_at_blocks(read)) return 1;
    }
    return 0;
}

static inline void prefetch_block(const lsm_block *block) {
    const uint8_t *p = (const uint8_t *)block;
    for (size_t line = 0; line < BLOCK_LINES; line++) __builtin_prefetch(p + line * LINE_SIZE);
}

static inline void prefetch_cached(const lsm_wanted *wanted) {
    if (wanted->table->cache == NULL) return;
    const lsm_block *block = wanted->table->slots[wanted->ordinal];
    if (block != NULL) __builtin_prefetch(&block->references);
}

/* Pins the blocks aimed at, each once where neighbours share it. After some loads from the disk the lock is
 * lent to others (1). */
static int fetch_blocks(lsm_column_read *read, lsm_read_context *context) {
    uint64_t loads_before = context->block_reads;
    const lsm_wanted *previous = NULL;
    for (; read->fetched < read->slice_count; read->fetched++) {
        lsm_wanted *wanted = &read->wanted[read->fetched];
        if (read->fetched + LOOK_AHEAD < read->slice_count && wanted[LOOK_AHEAD].table != NULL) {
            prefetch_cached(&wanted[LOOK_AHEAD]);
        }
        if (wanted->table == NULL) continue;
        if (previous != NULL && previous->table == wanted->table && previous->ordinal == wanted->ordinal) {
            wanted->block = previous->block;
            continue;
        }
        lsm_block *block;
        int status = lsm_table_block(wanted->table, wanted->ordinal, context, &block);
        if (status < 0) return status;
        wanted->block = read->block_count;
        read->blocks[read->block_count++] = block;
        previous = wanted;
        if (context->block_reads - loads_before >= LSM_READ_LOADS) {
            read->fetched++;
            return 1;
        }
    }
    return 0;
}

static void search_blocks(lsm_column_read *read) {
    uint32_t seen = 0; /* blocks prefetched */
    for (size_t i = 0; i < read->slice_count; i++) {
        lsm_wanted *wanted = &read->wanted[i];
        if (wanted->table == NULL) continue;
        while (seen < read->block_count && seen <= wanted->block + BLOCK_LOOK_AHEAD) {
            prefetch_block(read->blocks[seen++]);
        }
        const lsm_block_view *view = &read->blocks[wanted->block]->view;
        lsm_target target = {wanted->key.data, wanted->key.size, read->sequence};
        uint32_t entry = lsm_block_search(view, &target);
        if (entry == view->count || !lsm_block_key_equals(view, entry, wanted->key)) {
            wanted->table = NULL;
            continue;
        }
        settle(wanted, lsm_block_trailer(view, entry), lsm_block_value(view, entry));
    }
}

/* Sorts the run's blocks into those that values lie in and the others. */
static void sort_out_blocks(lsm_column_read *read) {
    for (size_t i = 0; i < read->slice_count; i++) {
        const lsm_wanted *wanted = &read->wanted[i];
        if (wanted->table == NULL || !wanted->is_live) continue;
        lsm_block **block = &read->blocks[wanted->block];
        if (*block == NULL) continue;
        read->kept[read->kept_count++] = *block;
        *block = NULL;
    }
    for (uint32_t i = 0; i < read->block_count; i++) {
        if (read->blocks[i] != NULL) read->dropped[read->dropped_count++] = read->blocks[i];
    }
    read->block_count = 0;
}

/* --- values ------------------------------------------------------------------------------------------- */

static inline void prefetch_value(const lsm_column_read *read, size_t index) {
    if (index >= read->slice_count || !read->wanted[index].is_live) return;
    lsm_slice value = read->wanted[index].value;
    __builtin_prefetch(value.data);
    __builtin_prefetch(value.data + LINE_SIZE);
}

static int emit_fixed(lsm_column_read *read) {
    for (size_t i = 0; i < read->slice_count; i++) {
        const lsm_wanted *wanted = &read->wanted[i];
        prefetch_value(read, i + LOOK_AHEAD);
        if (!wanted->is_live) continue;
        size_t row = read->window_first + wanted->row;
        if (LSM_UNLIKELY(wanted->value.size != read->width)) {
            return lsm_fail(read->error, LSM_E_LIMIT, LSM_NO_OFFSET, NULL,
                            "the value of row %zu has %zu bytes, not %zu: read it without a width", row,
                            wanted->value.size, read->width);
        }
        if (read->width != 0) memcpy(read->fixed + row * read->width, wanted->value.data, read->width);
        read->found[row] = 1;
    }
    return LSM_OK;
}

static int reserve_waiting(lsm_column_read *read) {
    size_t needed = read->waiting_size;
    for (size_t i = 0; i < read->slice_count; i++) {
        if (read->wanted[i].is_live) needed += read->wanted[i].value.size;
    }
    if (needed <= read->waiting_capacity) return LSM_OK;
    size_t capacity = 2 * read->waiting_capacity;
    if (capacity < WAITING_FIRST) capacity = WAITING_FIRST;
    if (capacity < needed) capacity = needed;
    uint8_t *grown = lsm_realloc(read->waiting, capacity);
    if (grown == NULL) return LSM_E_MEMORY;
    read->waiting = grown;
    read->waiting_capacity = capacity;
    return LSM_OK;
}

static int emit_variable(lsm_column_read *read) {
    if (reserve_waiting(read) != LSM_OK) return LSM_E_MEMORY;
    for (size_t i = 0; i < read->slice_count; i++) {
        const lsm_wanted *wanted = &read->wanted[i];
        prefetch_value(read, i + LOOK_AHEAD);
        lsm_read_span *span = &read->spans[wanted->row];
        *span = (lsm_read_span){read->waiting_size, 0};
        if (!wanted->is_live) continue;
        span->size = wanted->value.size;
        read->found[read->window_first + wanted->row] = 1;
        if (span->size != 0) memcpy(read->waiting + span->offset, wanted->value.data, span->size);
        read->waiting_size += span->size;
    }
    return LSM_OK;
}

/* Puts the values of the window behind those of the windows before, in the order of the rows. */
static int end_window(lsm_column_read *read) {
    if (read->fixed != NULL) return LSM_OK;
    if (lsm_rows_reserve(&read->values, read->window_count, read->waiting_size) != LSM_OK)
        return LSM_E_MEMORY;
    for (size_t i = 0; i < read->window_count; i++) {
        if (i + LOOK_AHEAD < read->window_count) {
            const uint8_t *ahead = read->waiting + read->spans[i + LOOK_AHEAD].offset;
            __builtin_prefetch(ahead);
            __builtin_prefetch(ahead + LINE_SIZE);
        }
        lsm_rows_add(&read->values, (lsm_slice){read->waiting + read->spans[i].offset, read->spans[i].size});
    }
    return LSM_OK;
}

/* --- the course of a read ----------------------------------------------------------------------------- */

static enum lsm_read_phase next_slice(lsm_column_read *read, int *status) {
    if (begin_slice(read)) return read->memtable_count != 0 ? LSM_READ_ACTIVE : LSM_READ_AIM;
    *status = end_window(read);
    return read->next < read->keys->count ? LSM_READ_SORT : LSM_READ_DONE;
}

static enum lsm_read_phase emit(lsm_column_read *read, int *status) {
    *status = read->fixed != NULL ? emit_fixed(read) : emit_variable(read);
    for (uint32_t i = 0; i < read->kept_count; i++) read->dropped[read->dropped_count++] = read->kept[i];
    read->kept_count = 0;
    return *status == LSM_OK ? next_slice(read, status) : LSM_READ_DONE;
}

int lsm_read_advance(lsm_column_read *read) {
    int status = LSM_OK;
    while (status == LSM_OK) {
        switch (read->phase) {
        case LSM_READ_SORT:
            if (read->keys->count == 0) return 0;
            sort_window(read);
            read->phase = next_slice(read, &status);
            break;
        case LSM_READ_FROZEN:
            for (uint32_t i = 1; i < read->memtable_count; i++) search_memtable(read, read->memtables[i]);
            read->phase = LSM_READ_AIM;
            break;
        case LSM_READ_AIM:
            read->phase = aim(read) ? LSM_READ_FETCH : LSM_READ_EMIT;
            read->fetched = 0;
            break;
        case LSM_READ_SEARCH:
            search_blocks(read);
            sort_out_blocks(read);
            read->run++;
            read->phase = LSM_READ_AIM;
            break;
        case LSM_READ_EMIT:
            read->phase = emit(read, &status);
            break;
        case LSM_READ_DONE:
            return read->dropped_count != 0;
        default:
            return 1;
        }
    }
    return status;
}

int lsm_read_serve(lsm_column_read *read, lsm_read_context *context) {
    release_all(read->dropped, &read->dropped_count);
    if (read->phase == LSM_READ_ACTIVE) {
        if (!is_empty(read->memtables[0])) search_memtable(read, read->memtables[0]);
        read->phase = LSM_READ_FROZEN;
    } else if (read->phase == LSM_READ_FETCH) {
        int status = fetch_blocks(read, context);
        if (status != 0) return status;
        read->phase = LSM_READ_SEARCH;
    }
    return 0;
}
