/* The memtable (one reserve per insert, as the store does) and the merge of sorted inputs. */
#include <string.h>

#include "array_cursor.h"
#include "bench.h"
#include "memtable.h"
#include "merge.h"

/* --- memtable ------------------------------------------------------------------------------------------- */

typedef struct memtable_bench {
    bench base;
    lsm_memtable *memtable;
    lsm_cursor *cursor;    /* of a scan */
    bench_items inserted;
    bench_items used;      /* in the order of use, so that the caller's own cache misses are not measured */
    lsm_slice value;       /* of every entry */
    uint64_t sequence;
    uint64_t backwards;
} memtable_bench;

static void insert_some(memtable_bench *bench, const bench_items *keys, uint64_t operations) {
    uint64_t index = 0;
    for (uint64_t i = 0; i < operations; i++) {
        lsm_slice key = bench_item(keys, index);
        int status = lsm_memtable_reserve(bench->memtable, 1, key.size + bench->value.size);
        bench_require(status == 0, "reserving in a memtable");
        uint64_t trailer = lsm_trailer(++bench->sequence, LSM_KIND_PUT);
        lsm_memtable_insert(bench->memtable, key, trailer, bench->value, 0);
        index = bench_next(index, keys->count);
    }
}

static void prepare_empty(bench *self) {
    memtable_bench *bench = (memtable_bench *)self;
    if (bench->memtable != NULL) lsm_memtable_release(bench->memtable);
    bench->memtable = lsm_memtable_create();
    bench_require(bench->memtable != NULL, "making a memtable");
    bench->sequence = 0;
}

static void prepare_full(bench *self) {
    memtable_bench *bench = (memtable_bench *)self;
    prepare_empty(self);
    insert_some(bench, &bench->inserted, bench->inserted.count);
}

static uint64_t run_insert(bench *self, uint64_t operations) {
    memtable_bench *bench = (memtable_bench *)self;
    insert_some(bench, &bench->used, operations);
    return 0;
}

/* What the memtable says that it holds. */
static uint64_t sum_of_usage(bench *self, uint64_t operations) {
    (void)operations;
    lsm_memtable_usage usage;
    lsm_memtable_read_usage(((memtable_bench *)self)->memtable, &usage);
    return usage.entry_count + usage.last_sequence;
}

static uint64_t run_get(bench *self, uint64_t operations) {
    const memtable_bench *bench = (const memtable_bench *)self;
    uint64_t sum = 0, index = 0;
    for (uint64_t i = 0; i < operations; i++) {
        lsm_found found;
        lsm_memtable_get(bench->memtable, bench_item(&bench->used, index), LSM_SEQUENCE_MAX, &found);
        bench_require(found.found, "finding a key");
        sum += lsm_trailer_sequence(found.trailer) + found.value.data[0];
        bench_fence();
        index = bench_next(index, bench->used.count);
    }
    return sum;
}

static uint64_t run_scan(bench *self, uint64_t operations) {
    const memtable_bench *bench = (const memtable_bench *)self;
    lsm_cursor *cursor = bench->cursor;
    int (*start)(lsm_cursor *) = bench->backwards ? cursor->ops->last : cursor->ops->first;
    int (*move)(lsm_cursor *) = bench->backwards ? cursor->ops->previous : cursor->ops->next;
    uint64_t sum = 0;
    start(cursor);
    for (uint64_t i = 0; i < operations; i++) {
        sum += lsm_trailer_sequence(cursor->trailer) + cursor->key.data[0] + cursor->value.data[0];
        move(cursor);
        if (!cursor->valid) start(cursor);
    }
    return sum;
}

static void destroy_memtable(bench *self) {
    memtable_bench *bench = (memtable_bench *)self;
    lsm_cursor_destroy(bench->cursor);
    if (bench->memtable != NULL) lsm_memtable_release(bench->memtable);
    free(self);
}

static memtable_bench *create_memtable(const bench_items *inserted, const bench_items *used,
                                       const bench_items *values) {
    memtable_bench *bench = bench_allocate(sizeof *bench);
    bench->base.destroy = destroy_memtable;
    bench->inserted = *inserted;
    bench->used = *used;
    bench->value = bench_item(values, 0);
    return bench;
}

/* Into an empty memtable: the mean over its growth. REQUIRES of bench_run: operations <= keys->count. */
BENCH_API bench *bench_memtable_insert(const bench_items *keys, const bench_items *values) {
    memtable_bench *bench = create_memtable(keys, keys, values);
    bench->base.prepare = prepare_empty;
    bench->base.run = run_insert;
    bench->base.verify = sum_of_usage;
    return &bench->base;
}

/* Of keys that are there, so each version replaces the one before it. */
BENCH_API bench *bench_memtable_overwrite(const bench_items *inserted, const bench_items *used,
                                          const bench_items *values) {
    memtable_bench *bench = create_memtable(inserted, used, values);
    bench->base.prepare = prepare_full;
    bench->base.run = run_insert;
    bench->base.verify = sum_of_usage;
    return &bench->base;
}

BENCH_API bench *bench_memtable_get(const bench_items *inserted, const bench_items *used,
                                    const bench_items *values) {
    memtable_bench *bench = create_memtable(inserted, used, values);
    prepare_full(&bench->base);
    bench->base.run = run_get;
    return &bench->base;
}

BENCH_API bench *bench_memtable_scan(const bench_items *inserted, const bench_items *values,
                                     uint64_t backwards) {
    memtable_bench *bench = create_memtable(inserted, inserted, values);
    prepare_full(&bench->base);
    bench->base.run = run_scan;
    bench->cursor = lsm_memtable_cursor(bench->memtable);
    bench_require(bench->cursor != NULL, "making a cursor");
    bench->backwards = backwards;
    return &bench->base;
}

/* --- merge ---------------------------------------------------------------------------------------------- */

enum { INPUTS_MAX = 16 };

typedef struct merge_bench {
    bench base;
    lsm_cursor *merged;
    lsm_array_entry *entries[INPUTS_MAX];
} merge_bench;

static uint64_t run_merge(bench *self, uint64_t operations) {
    lsm_cursor *merged = ((merge_bench *)self)->merged;
    uint64_t sum = 0;
    bench_require(merged->ops->first(merged) == 0, "starting a merge");
    for (uint64_t i = 0; i < operations; i++) {
        sum += lsm_trailer_sequence(merged->trailer) + merged->key.data[merged->key.size - 1];
        bench_require(merged->ops->next(merged) == 0, "a step of a merge");
        if (!merged->valid) merged->ops->first(merged);
    }
    return sum;
}

static void destroy_merge(bench *self) {
    merge_bench *merge = (merge_bench *)self;
    lsm_cursor_destroy(merge->merged);
    for (int i = 0; i < INPUTS_MAX; i++) free(merge->entries[i]);
    free(self);
}

/* `keys` ascend; key i lies in input `owners[i]` with sequence i + 1. */
BENCH_API bench *bench_merge(const bench_items *keys, const uint64_t *owners, uint64_t input_count) {
    bench_require(input_count <= INPUTS_MAX, "number of inputs");
    merge_bench *merge = bench_allocate(sizeof *merge);
    merge->base = (bench){NULL, run_merge, NULL, destroy_merge};
    uint32_t counts[INPUTS_MAX] = {0};
    lsm_cursor *inputs[INPUTS_MAX];
    for (uint64_t input = 0; input < input_count; input++) {
        merge->entries[input] = bench_allocate(keys->count * sizeof(lsm_array_entry));
    }
    for (uint64_t i = 0; i < keys->count; i++) {
        lsm_slice key = bench_item(keys, i);
        uint64_t owner = owners[i];
        lsm_array_entry *entry = &merge->entries[owner][counts[owner]++];
        *entry = (lsm_array_entry){key, key, lsm_trailer(i + 1, LSM_KIND_PUT)};
    }
    for (uint64_t input = 0; input < input_count; input++) {
        inputs[input] = lsm_array_cursor(merge->entries[input], counts[input], (lsm_array_options){0, 0});
    }
    merge->merged = lsm_merge_cursor(inputs, (uint32_t)input_count);
    bench_require(merge->merged != NULL, "making a merge");
    return &merge->base;
}
