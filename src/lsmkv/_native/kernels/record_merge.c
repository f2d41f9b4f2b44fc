/* Cut, merge, guard: see record_merge.h. Both records are walked twice, once to check them and once to merge;
 * the result is built in one buffer that both fit into. */
#include "record_merge.h"

#include <string.h>

#include "allocator.h"
#include "coding.h"
#include "crc32c.h"

/* --- memory ------------------------------------------------------------------------------------------- */

static int reserve_entries(lsm_record_merger *merger, size_t count) {
    if (count <= merger->entry_capacity) return 0;
    size_t capacity = count < 64 ? 64 : count * 2;
    lsm_record_entry *entries = lsm_realloc(merger->entries, capacity * sizeof *entries);
    if (entries == NULL) return LSM_E_MEMORY;
    merger->entries = entries;
    merger->entry_capacity = capacity;
    return 0;
}

static int reserve_output(lsm_record_merger *merger, size_t size) {
    if (size <= merger->output_capacity) return 0;
    size_t capacity = size < 4096 ? 4096 : size + size / 2;
    lsm_free(merger->output);
    merger->output = lsm_alloc(capacity);
    merger->output_capacity = merger->output == NULL ? 0 : capacity;
    return merger->output == NULL ? LSM_E_MEMORY : 0;
}

void lsm_record_merger_release(lsm_record_merger *merger) {
    lsm_free(merger->output);
    lsm_free(merger->entries);
    merger->output = NULL;
    merger->entries = NULL;
    merger->output_capacity = merger->entry_capacity = 0;
}

int lsm_record_check(lsm_record_merger *merger, lsm_slice data, lsm_error *error) {
    lsm_record r;
    int status = lsm_record_read_header(&r, data, error);
    if (status) return status;
    if (reserve_entries(merger, r.entry_count)) return LSM_E_MEMORY;
    r.entries = merger->entries;
    return lsm_record_read_body(&r, error);
}

/* --- merging ------------------------------------------------------------------------------------------ */

static void cut_record(lsm_record *r, uint32_t cut) {
    if (cut <= r->cut) return;
    for (uint32_t i = 0; i < r->entry_count; i++) {
        lsm_record_entry *entry = &r->entries[i];
        if (entry->time >= cut) continue;
        entry->counter = entry->live;
        entry->time = 0;
    }
}

static uint8_t *put_entry(uint8_t *p, const uint8_t *actor, const lsm_record_entry *entry) {
    memcpy(p, actor, LSM_RECORD_ACTOR_SIZE);
    lsm_store32(p + 16, entry->counter);
    lsm_store32(p + 20, entry->time);
    return p + LSM_RECORD_ENTRY_SIZE;
}

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* Writes the merged clock, and tells each entry its place there and what the other record knows. */
static uint8_t *merge_clocks(lsm_record *a, lsm_record *b, uint8_t *p, uint32_t *count) {
    uint32_t i = 0, j = 0, target = 0;
    while (i < a->entry_count || j < b->entry_count) {
        const uint8_t *left = lsm_record_entry_at(a, i), *right = lsm_record_entry_at(b, j);
        int order = i == a->entry_count ? 1 : -1;
        if (i < a->entry_count && j < b->entry_count) order = memcmp(left, right, LSM_RECORD_ACTOR_SIZE);
        lsm_record_entry merged = {0};
        if (order <= 0) {
            merged = a->entries[i];
            a->entries[i].target = target;
        }
        if (order >= 0) {
            lsm_record_entry *other = &b->entries[j];
            if (order == 0) {
                a->entries[i].other = other->counter;
                other->other = merged.counter;
                merged.counter = larger(merged.counter, other->counter);
                merged.time = larger(merged.time, other->time);
            } else {
                merged = *other;
            }
            other->target = target;
        }
        if (merged.counter != 0) {
            p = put_entry(p, order <= 0 ? left : right, &merged);
            target++;
        }
        i += order <= 0;
        j += order >= 0;
    }
    *count = target;
    return p;
}

static int compare_bodies(const lsm_item *a, const lsm_item *b) {
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->stamp != b->stamp) return a->stamp < b->stamp ? -1 : 1;
    if (a->expiry != b->expiry) return a->expiry < b->expiry ? -1 : 1;
    if (a->name.size != b->name.size) return a->name.size < b->name.size ? -1 : 1;
    int order = lsm_slice_compare(a->name, b->name);
    return order != 0 ? order : lsm_slice_compare(a->value, b->value);
}

static uint8_t *put_item(uint8_t *p, const lsm_item *from, uint32_t target) {
    memcpy(p, from->data, from->size);
    lsm_store16(p, (uint16_t)target);
    return p + from->size;
}

/* The items of one record, in turn. They were checked: reading cannot fail. */
typedef struct item_walk {
    const lsm_record *r;
    lsm_reader reader;
    uint32_t left;
    lsm_item now;
    uint64_t dot; /* target index and counter; UINT64_MAX at the end */
} item_walk;

static void advance(item_walk *walk) {
    walk->dot = UINT64_MAX;
    if (walk->left == 0) return;
    walk->left--;
    if (lsm_record_read_item(&walk->reader, walk->r, &walk->now, NULL) != 0) {
        walk->left = 0;
        return;
    }
    walk->dot = (uint64_t)walk->r->entries[walk->now.index].target << 32 | walk->now.counter;
}

static item_walk walk_items(const lsm_record *r) {
    item_walk walk = {.r = r, .reader = {r->items, r->end}, .left = r->item_count};
    advance(&walk);
    return walk;
}

static uint8_t *merge_items(const lsm_record *a, const lsm_record *b, uint8_t *p, uint32_t *count,
                            uint64_t *collisions) {
    item_walk left = walk_items(a), right = walk_items(b);
    *count = 0;
    while (left.dot != UINT64_MAX || right.dot != UINT64_MAX) {
        const item_walk *from = left.dot <= right.dot ? &left : &right;
        int both = left.dot == right.dot;
        const lsm_record_entry *entry = &from->r->entries[from->now.index];
        if (both) {
            int order = compare_bodies(&left.now, &right.now);
            *collisions += order != 0;
            from = order < 0 ? &right : &left;
        }
        if (both || from->now.counter > entry->other) {
            p = put_item(p, &from->now, entry->target);
            ++*count;
        }
        int take_right = both || from == &right;
        if (both || from == &left) advance(&left);
        if (take_right) advance(&right);
    }
    return p;
}

/* Whether the operand shows a dot of the own store, of a trusted epoch, that the old record lacks. */
static int shows_missed_dot(lsm_record_merger *merger, const lsm_record *old, const lsm_record *operand) {
    for (uint32_t i = 0; i < operand->entry_count; i++) {
        const uint8_t *actor = lsm_record_entry_at(operand, i);
        if (memcmp(actor, merger->own, LSM_RECORD_OWN_SIZE) != 0) continue;
        uint64_t epoch = __builtin_bswap64(lsm_load64(actor + LSM_RECORD_OWN_SIZE));
        if (epoch < merger->trusted_epoch) continue;
        uint32_t known = 0;
        for (uint32_t j = 0; old != NULL && j < old->entry_count; j++) {
            if (memcmp(lsm_record_entry_at(old, j), actor, LSM_RECORD_ACTOR_SIZE) == 0) {
                known = old->entries[j].counter;
            }
        }
        if (operand->entries[i].counter > known) {
            merger->missed_epoch = epoch;
            return 1;
        }
    }
    return 0;
}

static int fail_side(lsm_record_merger *merger, int side, int status) {
    merger->failed_side = side;
    return status;
}

static int guard(lsm_record_merger *merger, const lsm_record *old, const lsm_record *operand) {
    if (!merger->is_guarded || !shows_missed_dot(merger, old, operand)) return 0;
    lsm_fail(&merger->error, LSM_E_CANCELLED, LSM_NO_OFFSET, NULL,
             "a record shows a write of this store that the store has lost");
    return fail_side(merger, LSM_RECORD_OPERAND, LSM_E_CANCELLED);
}

static int merge_into_output(lsm_record_merger *merger, lsm_record *a, lsm_record *b, lsm_slice *result) {
    uint32_t cut = larger(a->cut, b->cut), entry_count, item_count;
    if (reserve_output(merger, (size_t)(a->end - a->data) + (size_t)(b->end - b->data))) return LSM_E_MEMORY;
    cut_record(a, cut);
    cut_record(b, cut);
    uint8_t *p = merge_clocks(a, b, merger->output + LSM_RECORD_HEADER_SIZE, &entry_count);
    p = merge_items(a, b, p, &item_count, &merger->collisions);
    size_t size = (size_t)(p - merger->output);
    if (entry_count > LSM_RECORD_CLOCK_MAX || item_count > LSM_RECORD_ITEMS_MAX ||
        size > LSM_RECORD_SIZE_MAX) {
        return lsm_fail(&merger->error, LSM_E_LIMIT, LSM_NO_OFFSET, NULL,
                        "records merge to %u clock entries and %u items in %zu bytes", entry_count,
                        item_count, size);
    }
    merger->output[4] = LSM_RECORD_VERSION;
    merger->output[5] = 0;
    lsm_store16(merger->output + 6, (uint16_t)entry_count);
    lsm_store32(merger->output + 8, item_count);
    lsm_store32(merger->output + 12, cut);
    lsm_store32(merger->output, lsm_crc32c(0, merger->output + 4, size - 4));
    *result = (lsm_slice){merger->output, size};
    return 0;
}

int lsm_record_merge(lsm_record_merger *merger, const lsm_slice *old, lsm_slice operand, lsm_slice *result) {
    lsm_record a = {0}, b;
    lsm_error *error = &merger->error;
    merger->calls++;
    int status = lsm_record_read_header(&b, operand, error);
    if (status) return fail_side(merger, LSM_RECORD_OPERAND, status);
    if (old != NULL && (status = lsm_record_read_header(&a, *old, error)) != 0) {
        return fail_side(merger, LSM_RECORD_OLD, status);
    }
    if (reserve_entries(merger, (size_t)a.entry_count + b.entry_count)) {
        return fail_side(merger, LSM_RECORD_NEITHER, LSM_E_MEMORY);
    }
    a.entries = merger->entries;
    b.entries = merger->entries + a.entry_count;
    status = lsm_record_read_body(&b, error);
    if (status) return fail_side(merger, LSM_RECORD_OPERAND, status);
    if (old != NULL && old->size == operand.size && memcmp(old->data, operand.data, operand.size) == 0) {
        return LSM_MERGE_KEEP;
    }
    if (old == NULL) {
        *result = operand;
        if ((status = guard(merger, NULL, &b)) != 0) return status;
        merger->writes++;
        return LSM_MERGE_WRITE;
    }
    if ((status = lsm_record_read_body(&a, error)) != 0) {
        return fail_side(merger, LSM_RECORD_OLD, status);
    }
    if ((status = guard(merger, &a, &b)) != 0) return status;
    status = merge_into_output(merger, &a, &b, result);
    if (status == LSM_E_LIMIT) return fail_side(merger, LSM_RECORD_BOTH, status);
    if (status) return fail_side(merger, LSM_RECORD_NEITHER, status);
    if (result->size == old->size && memcmp(result->data, old->data, old->size) == 0) return LSM_MERGE_KEEP;
    merger->writes++;
    return LSM_MERGE_WRITE;
}

int lsm_record_apply(void *context, lsm_slice key, const lsm_slice *old, lsm_slice operand,
                     lsm_slice *result) {
    (void)key;
    return lsm_record_merge(context, old, operand, result);
}
