/* Runs the kernels of columns.h against the plainest code that does the same.
 *
 *     columns_check sort     orders by head and by ties, stable, for many shapes of input
 *     columns_check rows     grows columns, with every allocation failing once
 */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "columns.h"

static uint64_t state = 1;

static uint64_t random64(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * UINT64_C(0x2545F4914F6CDD1D);
}

/* Heads that differ everywhere, in one byte, hardly, in order, in reverse, not at all. */
static uint64_t head_of(int shape, size_t i) {
    switch (shape) {
    case 0: return random64();
    case 1: return random64() % 200 << 24;
    case 2: return random64() % 3;
    case 3: return i;
    case 4: return UINT64_MAX - i;
    default: return 7;
    }
}

enum { SHAPES = 6 };

static void check_sort(size_t count, int shape) {
    lsm_sort_item *items = lsm_alloc(count * sizeof *items), *scratch = lsm_alloc(count * sizeof *scratch);
    for (size_t i = 0; i < count; i++) items[i] = (lsm_sort_item){head_of(shape, i), i};
    uint64_t *heads = lsm_alloc(count * sizeof *heads);
    for (size_t i = 0; i < count; i++) heads[i] = items[i].head;
    const lsm_sort_item *sorted = lsm_sort_heads(items, scratch, count);
    CHECK(sorted == items || sorted == scratch, "neither of the two arrays");
    for (size_t i = 0; i < count; i++) {
        CHECK(sorted[i].tag < count && heads[sorted[i].tag] == sorted[i].head, "an item was changed");
        heads[sorted[i].tag] = ~sorted[i].head; /* a second one with this tag is noticed */
        if (i == 0) continue;
        CHECK(sorted[i - 1].head <= sorted[i].head, "%zu items of shape %d: order", count, shape);
        CHECK(sorted[i - 1].head < sorted[i].head || sorted[i - 1].tag < sorted[i].tag, "not stable");
    }
    lsm_free(items);
    lsm_free(scratch);
    lsm_free(heads);
}

/* Tags are compared without their low byte, which tells equal ones apart. */
static int compare_tags(uint64_t left, uint64_t right) {
    return (left >> 8 > right >> 8) - (left >> 8 < right >> 8);
}

static void check_ties(size_t count) {
    lsm_sort_item *items = lsm_alloc(count * sizeof *items), *scratch = lsm_alloc(count * sizeof *scratch);
    for (size_t i = 0; i < count; i++) items[i] = (lsm_sort_item){5, random64() % 20 << 8 | i};
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) sum += items[i].tag;
    lsm_sort_ties(items, scratch, count, compare_tags);
    for (size_t i = 0; i < count; i++) sum -= items[i].tag;
    CHECK(sum == 0, "tags were lost");
    for (size_t i = 1; i < count; i++) CHECK(items[i - 1].tag < items[i].tag, "%zu ties: order", count);
    lsm_free(items);
    lsm_free(scratch);
}

static void run_sort(void) {
    static const size_t counts[] = {0, 1, 2, 3, 47, 48, 49, 50, 255, 256, 257, 1000, 70000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (int shape = 0; shape < SHAPES; shape++) check_sort(counts[i], shape);
    }
    for (size_t count = 0; count < 256; count++) check_ties(count);
}

static int grow_rows(lsm_rows *rows) {
    if (lsm_rows_open(rows) != LSM_OK) return LSM_E_MEMORY;
    uint8_t row[5000];
    for (size_t i = 0; i < 3000; i++) {
        lsm_slice slice = {row, i * 37 % sizeof row};
        memset(row, (int)(i % 251), slice.size);
        if (lsm_rows_reserve(rows, 1, slice.size) != LSM_OK) return LSM_E_MEMORY;
        lsm_rows_add(rows, slice);
    }
    return LSM_OK;
}

static void check_rows(const lsm_rows *rows) {
    size_t end = 0;
    for (size_t i = 0; i < rows->count; i++) {
        CHECK(rows->offsets[i] == (int64_t)end, "row %zu begins elsewhere", i);
        end += i * 37 % 5000;
        CHECK(rows->offsets[i + 1] == (int64_t)end, "row %zu ends elsewhere", i);
        for (size_t at = (size_t)rows->offsets[i]; at < end; at++) {
            CHECK(rows->data[at] == i % 251, "row %zu holds something else", i);
        }
    }
    CHECK(rows->size == end, "the size is wrong");
}

static void run_rows(void) {
    lsm_memory_state *memory = lsm_memory_shared();
    for (int64_t failing = 1;; failing++) {
        lsm_rows rows;
        memory->calls = 0;
        memory->fail_at = failing;
        int status = grow_rows(&rows);
        memory->fail_at = 0;
        if (status == LSM_OK) CHECK(rows.count == 3000, "rows are missing");
        if (rows.offsets != NULL && rows.data != NULL) check_rows(&rows);
        lsm_rows_close(&rows);
        CHECK(memory->blocks == 0, "allocation %lld leaves a leak", (long long)failing);
        if (status == LSM_OK) break;
    }
    lsm_rows rows = {.count = 5, .size = 5};
    CHECK(lsm_rows_reserve(&rows, SIZE_MAX - 1, 0) == LSM_E_MEMORY, "a count that overflows");
    CHECK(lsm_rows_reserve(&rows, 0, SIZE_MAX - 1) == LSM_E_MEMORY, "a size that overflows");
}

int main(int argc, char **argv) {
    CHECK(argc == 2, "usage: columns_check sort|rows");
    if (strcmp(argv[1], "sort") == 0) run_sort();
    else run_rows();
    printf("ok\n");
    return 0;
}
