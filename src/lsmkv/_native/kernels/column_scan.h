/* Scanning into columns: entries of a view, copied one behind the other. */
#ifndef LSMKV_COLUMN_SCAN_H
#define LSMKV_COLUMN_SCAN_H

#include "columns.h"
#include "merge.h"

/* Copies entries until there are `count_max` in `keys`, or keys and values have `bytes_max` bytes together
 * (the entry that takes them there is in), or the view ends. 1: there may be more; 0: at the end; negative:
 * failed. Locks are the view's business. */
int lsm_scan_rows(lsm_view *view, lsm_rows *keys, lsm_rows *values, size_t count_max, size_t bytes_max);

#endif
