/* Checking the caller's offsets, growing columns, sorting keys (columns.h). */
#include "columns.h"

enum { ROWS_FIRST = 256, BYTES_FIRST = 4096, DIGITS = 8, DIGIT_VALUES = 256, SMALL = 48 };

/* --- columns of the caller ---------------------------------------------------------------------------- */

static int check_offsets(const int64_t *offsets, size_t count, size_t data_size, size_t row_max,
                         const char *what, lsm_error *error) {
    if (offsets[0] < 0) {
        return lsm_fail(error, LSM_E_LIMIT, LSM_NO_OFFSET, NULL, "%s offsets begin below 0", what);
    }
    for (size_t i = 0; i < count; i++) {
        if (LSM_UNLIKELY(offsets[i + 1] < offsets[i])) {
            return lsm_fail(error, LSM_E_LIMIT, LSM_NO_OFFSET, NULL, "%s offsets descend at row %zu", what,
                            i);
        }
        size_t size = (size_t)(offsets[i + 1] - offsets[i]);
        if (LSM_UNLIKELY(size > row_max)) {
            return lsm_fail(error, LSM_E_LIMIT, LSM_NO_OFFSET, NULL,
                            "%s of %zu bytes is over the limit of %zu bytes (row %zu)", what, size, row_max,
                            i);
        }
    }
    if ((uint64_t)offsets[count] > data_size) {
        return lsm_fail(error, LSM_E_LIMIT, LSM_NO_OFFSET, NULL,
                        "%s offsets end at %lld, the data has %zu bytes", what, (long long)offsets[count],
                        data_size);
    }
    return LSM_OK;
}

int lsm_column_open(lsm_column *column, const uint8_t *data, size_t data_size, const void *offsets,
                    size_t offset_width, size_t count, size_t row_max, const char *what, lsm_error *error) {
    *column = (lsm_column){0};
    int64_t *copies = NULL;
    if (count < SIZE_MAX / sizeof *copies) copies = lsm_alloc((count + 1) * sizeof *copies);
    if (copies == NULL) return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, NULL, "no memory for offsets");
    if (offset_width == sizeof(int64_t)) {
        memcpy(copies, offsets, (count + 1) * sizeof *copies);
    } else {
        const uint8_t *p = offsets;
        for (size_t i = 0; i <= count; i++) copies[i] = (int32_t)lsm_load32(p + i * sizeof(int32_t));
    }
    int status = check_offsets(copies, count, data_size, row_max, what, error);
    if (status < 0) {
        lsm_free(copies);
        return status;
    }
    *column = (lsm_column){data, copies, 0, count};
    return LSM_OK;
}

void lsm_column_close(lsm_column *column) {
    lsm_free(column->offsets);
    *column = (lsm_column){0};
}

/* --- columns of ours ---------------------------------------------------------------------------------- */

int lsm_rows_open(lsm_rows *rows) {
    *rows = (lsm_rows){0};
    int status = lsm_rows_reserve(rows, ROWS_FIRST, BYTES_FIRST);
    if (status == LSM_OK) rows->offsets[0] = 0;
    return status;
}

void lsm_rows_close(lsm_rows *rows) {
    lsm_free(rows->offsets);
    lsm_free(rows->data);
    *rows = (lsm_rows){0};
}

/* What to grow to so that `needed` fits and growing stays rare. */
static size_t grown_capacity(size_t capacity, size_t needed) {
    size_t doubled = capacity > SIZE_MAX / 2 ? SIZE_MAX : capacity * 2;
    return needed > doubled ? needed : doubled;
}

int lsm_rows_reserve(lsm_rows *rows, size_t count, size_t size) {
    if (count > SIZE_MAX / 16 - rows->count || size > SIZE_MAX / 2 - rows->size) return LSM_E_MEMORY;
    if (rows->offsets == NULL || rows->count + count > rows->count_capacity) {
        size_t capacity = grown_capacity(rows->count_capacity, rows->count + count);
        int64_t *grown = lsm_realloc(rows->offsets, (capacity + 1) * sizeof *grown);
        if (grown == NULL) return LSM_E_MEMORY;
        rows->offsets = grown;
        rows->count_capacity = capacity;
    }
    if (rows->data == NULL || rows->size + size > rows->capacity) {
        size_t capacity = grown_capacity(rows->capacity, rows->size + size);
        uint8_t *grown = lsm_realloc(rows->data, capacity);
        if (grown == NULL) return LSM_E_MEMORY;
        rows->data = grown;
        rows->capacity = capacity;
    }
    return LSM_OK;
}

/* --- order -------------------------------------------------------------------------------------------- */

static void insertion_sort(lsm_sort_item *items, size_t count) {
    for (size_t i = 1; i < count; i++) {
        lsm_sort_item item = items[i];
        size_t hole = i;
        for (; hole > 0 && items[hole - 1].head > item.head; hole--) items[hole] = items[hole - 1];
        items[hole] = item;
    }
}

/* Counts the values of every byte of the heads. Returns whether the items are in order already. */
static int count_digits(const lsm_sort_item *items, size_t count, uint32_t counts[DIGITS][DIGIT_VALUES]) {
    uint64_t previous = 0;
    int sorted = 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t head = items[i].head;
        sorted &= head >= previous;
        previous = head;
        for (unsigned digit = 0; digit < DIGITS; digit++) counts[digit][head >> (8 * digit) & 0xFF]++;
    }
    return sorted;
}

/* Radix sort from the last byte to the first: bounded whatever the keys; bytes that all share are skipped. */
lsm_sort_item *lsm_sort_heads(lsm_sort_item *items, lsm_sort_item *scratch, size_t count) {
    if (count <= SMALL) {
        insertion_sort(items, count);
        return items;
    }
    LSM_ASSERT(count <= UINT32_MAX);
    uint32_t counts[DIGITS][DIGIT_VALUES] = {0};
    if (count_digits(items, count, counts)) return items;
    for (unsigned digit = 0; digit < DIGITS; digit++) {
        uint32_t *starts = counts[digit];
        unsigned shift = 8 * digit;
        if (starts[items[0].head >> shift & 0xFF] == count) continue;
        uint32_t start = 0;
        for (unsigned value = 0; value < DIGIT_VALUES; value++) {
            uint32_t here = starts[value];
            starts[value] = start;
            start += here;
        }
        for (size_t i = 0; i < count; i++) scratch[starts[items[i].head >> shift & 0xFF]++] = items[i];
        lsm_sort_item *sorted = scratch;
        scratch = items;
        items = sorted;
    }
    return items;
}

static void merge_halves(const lsm_sort_item *left, const lsm_sort_item *middle, const lsm_sort_item *end,
                         lsm_sort_item *output, int (*compare)(uint64_t, uint64_t)) {
    const lsm_sort_item *right = middle;
    while (left < middle && right < end) {
        *output++ = compare(right->tag, left->tag) < 0 ? *right++ : *left++;
    }
    while (left < middle) *output++ = *left++;
    while (right < end) *output++ = *right++;
}

void lsm_sort_ties(lsm_sort_item *items, lsm_sort_item *scratch, size_t count,
                   int (*compare)(uint64_t left, uint64_t right)) {
    lsm_sort_item *from = items, *to = scratch;
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t start = 0; start < count; start += 2 * width) {
            size_t middle = count - start > width ? start + width : count;
            size_t end = count - start > 2 * width ? start + 2 * width : count;
            merge_halves(from + start, from + middle, from + end, to + start, compare);
        }
        lsm_sort_item *swapped = from;
        from = to;
        to = swapped;
    }
    if (from != items) memcpy(items, from, count * sizeof *items);
}
