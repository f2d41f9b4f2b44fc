/* K-way merge of cursors in internal order, in both directions; and the user's view on top of it.
 *
 * The merge yields every entry of every input, ties (which cannot happen between honest inputs) going to the
 * input with the lower index. The view applies a snapshot, hides tombstones and old versions, and honours
 * bounds: the last step before Python sees anything.
 */
#ifndef LSMKV_MERGE_H
#define LSMKV_MERGE_H

#include "cursor.h"

enum { LSM_MERGE_INPUTS_MAX = 1024 };

/* Takes over the cursors (destroys them also when it fails). NULL: no memory or too many inputs. */
lsm_cursor *lsm_merge_cursor(lsm_cursor **inputs, uint32_t count);

/* A bounded, snapshot-consistent walk over live user keys. */
typedef struct lsm_view lsm_view;

/* Takes over `merged`. Bounds are copied: [start, stop), .data NULL = open. NULL: no memory. */
lsm_view *lsm_view_create(lsm_cursor *merged, uint64_t sequence, lsm_slice start, lsm_slice stop, int reverse);
void lsm_view_destroy(lsm_view *view); /* NULL-safe */

/* 1 and an entry, 0 at the end, or a negative status. The slices are valid until the next call. */
int lsm_view_next(lsm_view *view, lsm_slice *key, lsm_slice *value);

/* Repositions so that the next entry is the first at or after `key` (reverse: at or before); bounds stay. */
int lsm_view_seek(lsm_view *view, lsm_slice key);

#endif
