/* Versions: building them, and point reads over their runs from newest to oldest.
 *
 * A run owns one allocation: the slices, then the heads of their `largest` keys, then all key bytes. The
 * heads are taken after the prefix that all `largest` keys share, so that finding the slice of a key is the
 * node search of node.h: mostly integer comparisons in one array, no key bytes touched.
 */
#include "version.h"

#include "allocator.h"
#include "murmur3.h"
#include "node.h"

/* --- building ----------------------------------------------------------------------------------------- */

lsm_version *lsm_version_create(uint32_t run_count) {
    lsm_version *version = lsm_alloc(sizeof *version + run_count * sizeof(lsm_run));
    if (version == NULL) return NULL;
    version->references = 1;
    version->run_count = run_count;
    version->runs = (lsm_run *)(version + 1);
    if (run_count != 0) memset(version->runs, 0, run_count * sizeof(lsm_run));
    return version;
}

static size_t key_bytes(const lsm_table_slice *slice) {
    return slice->smallest.size + slice->largest.size + (slice->clamp_lower ? slice->lower.size : 0) +
           (slice->clamp_upper ? slice->upper.size : 0);
}

static lsm_slice copy_key(lsm_slice key, uint8_t **room) {
    lsm_slice copy = {*room, key.size};
    if (key.size != 0) memcpy(*room, key.data, key.size);
    *room += key.size;
    return copy;
}

/* Tightens the bounds to the clamps, so that the bounds of one run never cross. */
static void copy_slice(lsm_table_slice *target, const lsm_table_slice *source, uint8_t **room) {
    *target = *source;
    target->smallest = copy_key(source->smallest, room);
    target->largest = copy_key(source->largest, room);
    target->lower = source->clamp_lower ? copy_key(source->lower, room) : (lsm_slice){0};
    target->upper = source->clamp_upper ? copy_key(source->upper, room) : (lsm_slice){0};
    if (target->clamp_lower && lsm_slice_compare(target->smallest, target->lower) < 0) {
        target->smallest = target->lower;
    }
    if (target->clamp_upper && lsm_slice_compare(target->largest, target->upper) > 0) {
        target->largest = target->upper;
    }
    lsm_table_retain(target->table);
}

/* What the `largest` keys of ascending slices have in common is what the first and the last have. */
static size_t common_prefix(const lsm_table_slice *slices, uint32_t count) {
    lsm_slice first = slices[0].largest, last = slices[count - 1].largest;
    size_t limit = first.size < last.size ? first.size : last.size, size = 0;
    while (size < limit && first.data[size] == last.data[size]) size++;
    return size;
}

#ifdef LSMKV_DEBUG
static int slices_ascend(const lsm_table_slice *slices, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (lsm_slice_compare(slices[i].smallest, slices[i].largest) > 0) return 0;
        if (i == 0) continue;
        const lsm_table_slice *before = &slices[i - 1];
        int order = lsm_slice_compare(before->largest, slices[i].smallest);
        int hidden = before->clamp_upper && lsm_slice_compare(before->largest, before->upper) == 0;
        if (order > 0 || (order == 0 && !hidden)) return 0;
    }
    return 1;
}
#endif

int lsm_version_set_run(lsm_version *version, uint32_t index, uint32_t level, const lsm_table_slice *slices,
                        uint32_t count) {
    lsm_run *run = &version->runs[index];
    LSM_ASSERT(index < version->run_count);
    LSM_ASSERT(run->slices == NULL);
    run->level = level;
    if (count == 0) return 0;
    size_t size = count * (sizeof *slices + sizeof(uint64_t));
    for (uint32_t i = 0; i < count; i++) size += key_bytes(&slices[i]);
    lsm_table_slice *copies = lsm_alloc(size);
    if (copies == NULL) return LSM_E_MEMORY;
    uint64_t *heads = (uint64_t *)(copies + count);
    uint8_t *room = (uint8_t *)(heads + count);
    for (uint32_t i = 0; i < count; i++) copy_slice(&copies[i], &slices[i], &room);
    LSM_ASSERT(slices_ascend(copies, count));
    size_t prefix_size = common_prefix(copies, count);
    for (uint32_t i = 0; i < count; i++) {
        heads[i] = lsm_head_load(copies[i].largest.data + prefix_size, copies[i].largest.size - prefix_size);
    }
    run->slices = copies;
    run->count = count;
    run->heads = heads;
    run->prefix_size = prefix_size;
    return 0;
}

void lsm_version_retain(lsm_version *version) { version->references++; }

void lsm_version_release(lsm_version *version) {
    LSM_ASSERT(version->references > 0);
    if (--version->references != 0) return;
    for (uint32_t i = 0; i < version->run_count; i++) {
        lsm_run *run = &version->runs[i];
        for (uint32_t j = 0; j < run->count; j++) lsm_table_release(run->slices[j].table);
        lsm_free(run->slices);
    }
    lsm_free(version);
}

/* --- searching ---------------------------------------------------------------------------------------- */

static int compare_largest(const void *node, uint32_t index, const lsm_target *target, size_t skip) {
    lsm_slice largest = ((const lsm_run *)node)->slices[index].largest;
    size_t tail_size = largest.size > skip ? largest.size - skip : 0;
    const uint8_t *tail = tail_size != 0 ? largest.data + skip : NULL;
    return lsm_tie_order(tail, tail_size, largest.size, 0, target, skip);
}

uint32_t lsm_run_search(const lsm_run *run, lsm_slice key) {
    if (run->count == 0) return 0;
    lsm_target target = {key.data, key.size, 0};
    const uint8_t *prefix = run->slices[0].largest.data;
    uint32_t index = lsm_node_search(run, prefix, run->prefix_size, run->heads, run->count, &target,
                                     compare_largest);
    if (index == run->count) return index;
    /* `largest` may be the upper clamp, which the slice hides and the next one may begin with. */
    const lsm_table_slice *slice = &run->slices[index];
    return index + (slice->clamp_upper && lsm_slice_compare(key, slice->upper) >= 0);
}

/* The only slice that may show `key`, or NULL. */
static const lsm_table_slice *slice_of_key(const lsm_run *run, lsm_slice key) {
    uint32_t index = lsm_run_search(run, key);
    if (index == run->count) return NULL;
    const lsm_table_slice *slice = &run->slices[index];
    return lsm_slice_compare(key, slice->smallest) < 0 ? NULL : slice;
}

int lsm_version_get(lsm_version *version, lsm_slice key, uint64_t sequence, lsm_read_context *context,
                    lsm_found *found) {
    *found = (lsm_found){0};
    if (version->run_count == 0) return 0;
    uint64_t hash = lsm_key_hash(key.data, key.size);
    for (uint32_t i = 0; i < version->run_count; i++) {
        const lsm_table_slice *slice = slice_of_key(&version->runs[i], key);
        if (slice == NULL) continue;
        int status = lsm_table_get(slice->table, key, hash, sequence, context, found);
        if (status != 0 || found->found) return status;
    }
    return 0;
}
