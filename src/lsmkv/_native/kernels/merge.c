/* The merge of merge.h: a binary heap of the inputs that still have entries, ordered by their current entry.
 *
 * - heap[0] is the entry shown; `runner_up` is the better of its children. As long as the same input stays
 *   ahead of the runner-up, a step costs one move and one comparison.
 * - Each heap node caches the 8-byte head of its key, so most comparisons touch no key bytes.
 * - Going forward, every input stands at its first entry after the one shown (backward: its last before it).
 *   A change of direction therefore re-seeks all inputs but the one shown.
 * - Order: key, sequence descending, input index. The index makes ties (which honest inputs do not have)
 *   come out in the same order in both directions.
 */
#include "merge.h"

#include "allocator.h"
#include "node.h"

typedef struct heap_node {
    uint64_t head;
    lsm_cursor *cursor;
    uint32_t index;
} heap_node;

typedef struct merge_cursor {
    lsm_cursor base;
    uint32_t count;
    uint32_t live;      /* nodes in the heap */
    uint32_t runner_up; /* 1 or 2; meaningless while live < 2 */
    int reverse;
    lsm_cursor **inputs;
    heap_node heap[];
} merge_cursor;

/* --- order -------------------------------------------------------------------------------------------- */

/* The order of two entries with equal heads. The heads are zero-padded, so up to the shorter key's end the
 * first 8 bytes agree, and length decides where one key is a prefix of the other. */
static int tie_order(const heap_node *a, const heap_node *b) {
    lsm_slice left = a->cursor->key, right = b->cursor->key;
    size_t shared = left.size < right.size ? left.size : right.size;
    size_t from = LSM_HEAD_SIZE;
    if (shared >= 16) {
        uint64_t left_word = __builtin_bswap64(lsm_load64(left.data + 8));
        uint64_t right_word = __builtin_bswap64(lsm_load64(right.data + 8));
        if (left_word != right_word) return left_word < right_word ? -1 : 1;
        from = 16;
    }
    if (shared > from) {
        int order = memcmp(left.data + from, right.data + from, shared - from);
        if (order != 0) return order;
    }
    if (left.size != right.size) return left.size < right.size ? -1 : 1;
    uint64_t left_sequence = lsm_trailer_sequence(a->cursor->trailer);
    uint64_t right_sequence = lsm_trailer_sequence(b->cursor->trailer);
    if (left_sequence != right_sequence) return left_sequence > right_sequence ? -1 : 1;
    return a->index < b->index ? -1 : 1;
}

/* Whether `a` is shown before `b` when walking in the given direction. */
static inline __attribute__((always_inline)) int ahead(const heap_node *a, const heap_node *b, int reverse) {
    if (LSM_LIKELY(a->head != b->head)) return (a->head < b->head) != reverse;
    return (tie_order(a, b) < 0) != reverse;
}

/* --- heap --------------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void sift_down(merge_cursor *merge, uint32_t hole, int reverse) {
    heap_node *heap = merge->heap;
    heap_node node = heap[hole];
    for (;;) {
        uint32_t child = 2 * hole + 1;
        if (child >= merge->live) break;
        if (child + 1 < merge->live && ahead(&heap[child + 1], &heap[child], reverse)) child++;
        if (!ahead(&heap[child], &node, reverse)) break;
        heap[hole] = heap[child];
        hole = child;
    }
    heap[hole] = node;
}

static inline __attribute__((always_inline)) void choose_runner_up(merge_cursor *merge, int reverse) {
    merge->runner_up = merge->live > 2 && ahead(&merge->heap[2], &merge->heap[1], reverse) ? 2 : 1;
}

static inline void show_top(merge_cursor *merge) {
    const lsm_cursor *top = merge->heap[0].cursor;
    merge->base.key = top->key;
    merge->base.value = top->value;
    merge->base.trailer = top->trailer;
    merge->base.valid = 1;
}

static int fail(merge_cursor *merge, int status) {
    merge->base.valid = 0;
    merge->live = 0;
    return status;
}

/* Builds the heap from wherever the inputs stand now. */
static int rebuild(merge_cursor *merge, int reverse) {
    uint32_t live = 0;
    for (uint32_t i = 0; i < merge->count; i++) {
        lsm_cursor *input = merge->inputs[i];
        if (!input->valid) continue;
        merge->heap[live++] = (heap_node){lsm_head_load(input->key.data, input->key.size), input, i};
    }
    merge->live = live;
    merge->reverse = reverse;
    merge->base.valid = 0;
    if (live == 0) return 0;
    for (uint32_t i = live / 2; i-- > 0;) sift_down(merge, i, reverse);
    choose_runner_up(merge, reverse);
    show_top(merge);
    return 0;
}

/* The top input has moved: puts it where it belongs now and shows the new top. */
static inline __attribute__((always_inline)) int settle(merge_cursor *merge, int reverse) {
    heap_node *top = &merge->heap[0];
    if (LSM_LIKELY(top->cursor->valid)) {
        top->head = lsm_head_load(top->cursor->key.data, top->cursor->key.size);
        if (merge->live == 1 || ahead(top, &merge->heap[merge->runner_up], reverse)) {
            show_top(merge);
            return 0;
        }
        heap_node moved = *top;
        *top = merge->heap[merge->runner_up];
        merge->heap[merge->runner_up] = moved;
        sift_down(merge, merge->runner_up, reverse);
    } else {
        *top = merge->heap[--merge->live];
        if (merge->live == 0) {
            merge->base.valid = 0;
            return 0;
        }
        sift_down(merge, 0, reverse);
    }
    choose_runner_up(merge, reverse);
    show_top(merge);
    return 0;
}

/* --- moves -------------------------------------------------------------------------------------------- */

static int at_entry(const lsm_cursor *cursor, lsm_slice key, uint64_t sequence) {
    return cursor->valid && lsm_trailer_sequence(cursor->trailer) == sequence &&
           lsm_slice_compare(cursor->key, key) == 0;
}

/* Puts one input, other than the one shown, behind the entry shown as seen in the new direction. An input
 * that holds the very same entry shows it before or after, as the input indices say. */
static int turn_input(lsm_cursor *input, int goes_first, lsm_slice key, uint64_t sequence, int reverse) {
    int status;
    if (!reverse) {
        status = input->ops->seek(input, key, sequence);
        if (status == 0 && goes_first && at_entry(input, key, sequence)) status = input->ops->next(input);
        return status;
    }
    if (goes_first) {
        status = input->ops->seek(input, key, sequence);
        if (status != 0 || at_entry(input, key, sequence)) return status;
    }
    return input->ops->seek_before(input, key, sequence);
}

static __attribute__((noinline)) int turn(merge_cursor *merge, int reverse) {
    heap_node top = merge->heap[0];
    lsm_slice key = top.cursor->key;
    uint64_t sequence = lsm_trailer_sequence(top.cursor->trailer);
    for (uint32_t i = 0; i < merge->count; i++) {
        if (i == top.index) continue;
        int status = turn_input(merge->inputs[i], i < top.index, key, sequence, reverse);
        if (status != 0) return fail(merge, status);
    }
    int status = reverse ? top.cursor->ops->previous(top.cursor) : top.cursor->ops->next(top.cursor);
    return status != 0 ? fail(merge, status) : rebuild(merge, reverse);
}

static int merge_next(lsm_cursor *base) {
    merge_cursor *merge = (merge_cursor *)base;
    LSM_ASSERT(base->valid);
    if (LSM_UNLIKELY(merge->reverse)) return turn(merge, 0);
    lsm_cursor *top = merge->heap[0].cursor;
    int status = top->ops->next(top);
    return LSM_UNLIKELY(status != 0) ? fail(merge, status) : settle(merge, 0);
}

static int merge_previous(lsm_cursor *base) {
    merge_cursor *merge = (merge_cursor *)base;
    LSM_ASSERT(base->valid);
    if (LSM_UNLIKELY(!merge->reverse)) return turn(merge, 1);
    lsm_cursor *top = merge->heap[0].cursor;
    int status = top->ops->previous(top);
    return LSM_UNLIKELY(status != 0) ? fail(merge, status) : settle(merge, 1);
}

static int merge_first(lsm_cursor *base) {
    merge_cursor *merge = (merge_cursor *)base;
    for (uint32_t i = 0; i < merge->count; i++) {
        int status = merge->inputs[i]->ops->first(merge->inputs[i]);
        if (status != 0) return fail(merge, status);
    }
    return rebuild(merge, 0);
}

static int merge_last(lsm_cursor *base) {
    merge_cursor *merge = (merge_cursor *)base;
    for (uint32_t i = 0; i < merge->count; i++) {
        int status = merge->inputs[i]->ops->last(merge->inputs[i]);
        if (status != 0) return fail(merge, status);
    }
    return rebuild(merge, 1);
}

static int merge_seek(lsm_cursor *base, lsm_slice key, uint64_t sequence) {
    merge_cursor *merge = (merge_cursor *)base;
    for (uint32_t i = 0; i < merge->count; i++) {
        int status = merge->inputs[i]->ops->seek(merge->inputs[i], key, sequence);
        if (status != 0) return fail(merge, status);
    }
    return rebuild(merge, 0);
}

static int merge_seek_before(lsm_cursor *base, lsm_slice key, uint64_t sequence) {
    merge_cursor *merge = (merge_cursor *)base;
    for (uint32_t i = 0; i < merge->count; i++) {
        int status = merge->inputs[i]->ops->seek_before(merge->inputs[i], key, sequence);
        if (status != 0) return fail(merge, status);
    }
    return rebuild(merge, 1);
}

static void merge_destroy(lsm_cursor *base) {
    merge_cursor *merge = (merge_cursor *)base;
    for (uint32_t i = 0; i < merge->count; i++) lsm_cursor_destroy(merge->inputs[i]);
    lsm_free(merge);
}

static const lsm_cursor_ops merge_ops = {
    .seek = merge_seek,
    .seek_before = merge_seek_before,
    .first = merge_first,
    .last = merge_last,
    .next = merge_next,
    .previous = merge_previous,
    .destroy = merge_destroy,
};

static int any_missing(lsm_cursor **inputs, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (inputs[i] == NULL) return 1;
    }
    return 0;
}

lsm_cursor *lsm_merge_cursor(lsm_cursor **inputs, uint32_t count) {
    if (count == 1) return inputs[0];
    merge_cursor *merge = NULL;
    if (count <= LSM_MERGE_INPUTS_MAX && !any_missing(inputs, count)) {
        merge = lsm_alloc(sizeof *merge + count * (sizeof(heap_node) + sizeof *inputs));
    }
    if (merge == NULL) {
        for (uint32_t i = 0; i < count; i++) lsm_cursor_destroy(inputs[i]);
        return NULL;
    }
    *merge = (merge_cursor){.base = {.ops = &merge_ops}, .count = count};
    merge->inputs = (lsm_cursor **)(merge->heap + count);
    if (count != 0) memcpy(merge->inputs, inputs, count * sizeof *inputs);
    return &merge->base;
}
