/* Columns: many keys or many values in one piece of memory, and what loading and reading them share.
 *
 * A column has rows of one width, or offsets in the manner of Arrow: row i lies in data[offsets[i],
 * offsets[i + 1]). The bytes belong to the caller, who may change them while we work without a lock: they
 * are read as bytes only, and whatever must stay as it was seen (offsets, keys that were sorted) is copied.
 */
#ifndef LSMKV_COLUMNS_H
#define LSMKV_COLUMNS_H

#include "allocator.h"
#include "coding.h"
#include "constants.h"

/* --- columns of the caller ---------------------------------------------------------------------------- */

typedef struct lsm_column {
    const uint8_t *data;
    int64_t *offsets; /* count + 1, a checked copy; NULL: every row has `width` bytes */
    size_t width;
    size_t count;
} lsm_column;

static inline lsm_slice lsm_column_row(const lsm_column *column, size_t row) {
    if (column->offsets == NULL) return (lsm_slice){column->data + row * column->width, column->width};
    int64_t start = column->offsets[row];
    return (lsm_slice){column->data + start, (size_t)(column->offsets[row + 1] - start)};
}

/* Makes a column of `count` rows over `data_size` bytes from the caller's count + 1 offsets of 4 or 8 bytes,
 * copied before they are checked: ascending, inside the data, no row above `row_max`. `what` is for messages.
 * 0, LSM_E_MEMORY or LSM_E_LIMIT; on failure nothing is held. */
int lsm_column_open(lsm_column *column, const uint8_t *data, size_t data_size, const void *offsets,
                    size_t offset_width, size_t count, size_t row_max, const char *what, lsm_error *error);
void lsm_column_close(lsm_column *column);

/* --- columns of ours ---------------------------------------------------------------------------------- */

/* A column that grows at its end. */
typedef struct lsm_rows {
    int64_t *offsets; /* count + 1 */
    uint8_t *data;
    size_t count;
    size_t size;      /* of the data */
    size_t count_capacity, capacity;
} lsm_rows;

int lsm_rows_open(lsm_rows *rows); /* 0 or LSM_E_MEMORY; close it in either case */
void lsm_rows_close(lsm_rows *rows);
/* Room for more rows of so many bytes in all; what is there may move. 0, or LSM_E_MEMORY with nothing
 * changed. */
int lsm_rows_reserve(lsm_rows *rows, size_t count, size_t size);

/* REQUIRES: covered by a reserve. */
static inline void lsm_rows_add(lsm_rows *rows, lsm_slice row) {
    if (row.size != 0) memcpy(rows->data + rows->size, row.data, row.size);
    rows->size += row.size;
    rows->offsets[++rows->count] = (int64_t)rows->size;
}

/* --- order -------------------------------------------------------------------------------------------- */

/* A key while it is sorted: 8 bytes of it as node.h loads them, and who it is. */
typedef struct lsm_sort_item {
    uint64_t head;
    uint64_t tag;
} lsm_sort_item;

/* Orders by head; equal heads keep their order. The result lies in one of the two arrays, which is
 * returned. */
lsm_sort_item *lsm_sort_heads(lsm_sort_item *items, lsm_sort_item *scratch, size_t count);

/* Orders by what `compare` says of two tags; equal ones keep their order. The result is in `items`. */
void lsm_sort_ties(lsm_sort_item *items, lsm_sort_item *scratch, size_t count,
                   int (*compare)(uint64_t left, uint64_t right));

#endif
