/* Chunks of rows on their way into log and memtable (column_load.h). */
#include "column_load.h"

#include "log.h"
#include "memtable_tree.h"

enum { LOOK_AHEAD = 8 };

int lsm_load_open(lsm_load *load, const lsm_column *keys, const lsm_column *values) {
    LSM_ASSERT(keys->count == values->count);
    *load = (lsm_load){.keys = keys, .values = values};
    load->capacity = keys->count < LSM_LOAD_ROWS_MAX ? keys->count : LSM_LOAD_ROWS_MAX;
    load->items = lsm_alloc(2 * load->capacity * sizeof *load->items);
    if (load->items == NULL) return LSM_E_MEMORY;
    load->scratch = load->items + load->capacity;
    return LSM_OK;
}

void lsm_load_close(lsm_load *load) {
    lsm_free(load->items);
    *load = (lsm_load){0};
}

int lsm_load_plan(lsm_load *load) {
    size_t left = load->keys->count - load->next;
    if (left > load->capacity) left = load->capacity;
    load->first = load->next;
    load->count = load->payload_size = load->row_bytes = load->record_bytes = 0;
    for (size_t i = 0; i < left; i++) {
        size_t key_size = lsm_column_row(load->keys, load->first + i).size;
        size_t value_size = lsm_column_row(load->values, load->first + i).size;
        if (load->row_bytes + key_size + value_size > LSM_LOAD_BYTES_MAX && load->count != 0) break;
        load->row_bytes += key_size + value_size;
        load->payload_size += lsm_log_operation_size(LSM_KIND_PUT, key_size, value_size);
        load->record_bytes += lsm_record_size(key_size, value_size);
        load->count++;
    }
    load->next += load->count;
    return load->count != 0;
}

/* --- encoding ----------------------------------------------------------------------------------------- */

static inline const lsm_record *record_of(uint64_t tag) { return (const lsm_record *)(uintptr_t)tag; }

static int compare_keys(uint64_t left, uint64_t right) {
    return lsm_slice_compare(lsm_record_key_slice(record_of(left)), lsm_record_key_slice(record_of(right)));
}

/* Copies the rows into the log and from there into the memtable, so that both hold the same whatever becomes
 * of the caller's bytes. Returns how many bytes all keys share. */
static size_t copy_rows(lsm_load *load, uint8_t *payload, uint8_t *room, uint64_t sequence) {
    lsm_slice first = {0};
    size_t shared = 0;
    for (size_t i = 0; i < load->count; i++) {
        lsm_slice key = lsm_column_row(load->keys, load->first + i);
        lsm_slice value = lsm_column_row(load->values, load->first + i);
        lsm_slice key_copy, value_copy;
        payload = lsm_log_encode(payload, LSM_KIND_PUT, key, value, &key_copy, &value_copy);
        const lsm_record *record =
            lsm_record_write(room, key_copy, lsm_trailer(sequence + i, LSM_KIND_PUT), value_copy);
        room += lsm_record_size(key.size, value.size);
        load->items[i].tag = (uintptr_t)record;
        if (i == 0) {
            first = lsm_record_key_slice(record);
            shared = first.size;
        } else {
            shared = lsm_shared_size(first.data, lsm_record_key(record),
                                     key.size < shared ? key.size : shared);
        }
    }
    return shared;
}

/* Runs of equal heads get their order by whole keys. */
static void order_ties(lsm_sort_item *items, lsm_sort_item *scratch, size_t count) {
    for (size_t start = 0, end; start < count; start = end) {
        for (end = start + 1; end < count && items[end].head == items[start].head;) end++;
        if (end - start > 1) lsm_sort_ties(items + start, scratch + start, end - start, compare_keys);
    }
}

/* Of neighbours with equal keys, which stand in the order of their rows, only the last one stays. */
static void drop_replaced(lsm_load *load) {
    lsm_sort_item *items = load->sorted;
    size_t kept = 0;
    load->replaced_bytes = 0;
    for (size_t i = 0; i < load->count; i++) {
        if (i + 1 < load->count && items[i].head == items[i + 1].head &&
            compare_keys(items[i].tag, items[i + 1].tag) == 0) {
            const lsm_record *record = record_of(items[i].tag);
            load->replaced_bytes += lsm_record_size(record->key_size, record->value_size);
        } else {
            items[kept++] = items[i];
        }
    }
    load->sorted_count = kept;
}

void lsm_load_encode(lsm_load *load, uint8_t *payload, lsm_memtable *memtable, uint64_t base_sequence) {
    load->base_sequence = base_sequence;
    uint8_t *room = lsm_arena_peek(&memtable->record_arena, load->record_bytes);
    size_t shared = copy_rows(load, payload, room, base_sequence);
    for (size_t i = 0; i < load->count; i++) {
        lsm_slice key = lsm_record_key_slice(record_of(load->items[i].tag));
        load->items[i].head = lsm_head_load(key.data + shared, key.size - shared);
    }
    load->sorted = lsm_sort_heads(load->items, load->scratch, load->count);
    order_ties(load->sorted, load->sorted == load->items ? load->scratch : load->items, load->count);
    drop_replaced(load);
    load->linked_count = 0;
}

/* --- linking ------------------------------------------------------------------------------------------ */

static void begin_link(const lsm_load *load, lsm_memtable *memtable) {
    lsm_memtable_usage *usage = &memtable->usage;
    lsm_arena_take(&memtable->record_arena, load->record_bytes);
    if (usage->entry_count == 0) usage->first_sequence = load->base_sequence;
    usage->last_sequence = load->base_sequence + load->count - 1;
    usage->garbage_bytes += load->replaced_bytes;
}

int lsm_load_link(lsm_load *load, lsm_memtable *memtable, size_t count_max, uint64_t pinned_sequence) {
    if (load->linked_count == 0) begin_link(load, memtable);
    size_t left = load->sorted_count - load->linked_count;
    size_t count = left < count_max ? left : count_max;
    const lsm_sort_item *items = load->sorted + load->linked_count;
    for (size_t i = 0; i < count; i++) {
        if (i + LOOK_AHEAD < left) __builtin_prefetch(record_of(items[i + LOOK_AHEAD].tag));
        lsm_memtable_link(memtable, record_of(items[i].tag), pinned_sequence);
    }
    load->linked_count += count;
    return count < left;
}
