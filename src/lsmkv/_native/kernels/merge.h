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

/* Takes over the cursors (destroys them also when it fails). NULL: no memory or too many inputs; an input
 * that is NULL, because making it failed, counts as no memory. The merge of one is that cursor itself, of
 * none an empty cursor. A move of the merge moves each input at most once unless the direction changes, so
 * values stay readable as long as the inputs promise. After a failed move only first, last and the seeks may
 * follow. */
lsm_cursor *lsm_merge_cursor(lsm_cursor **inputs, uint32_t count);

/* A bounded, snapshot-consistent walk over live user keys. */
typedef struct lsm_view lsm_view;

/* Takes over `merged` (destroys it also when it fails; NULL counts as no memory). Bounds are copied:
 * [start, stop), .data NULL = open. Nothing is read before the first next or seek. NULL: no memory.
 * Entries have sequences from 1 on: a view at sequence 0 is empty. */
lsm_view *lsm_view_create(lsm_cursor *merged, uint64_t sequence, lsm_slice start, lsm_slice stop,
                          int reverse);
void lsm_view_destroy(lsm_view *view); /* NULL-safe */

/* 1 and an entry, 0 at the end, or a negative status, which repeats until a seek. The slices are valid until
 * the next call. */
int lsm_view_next(lsm_view *view, lsm_slice *key, lsm_slice *value);

/* Repositions so that the next entry is the first at or after `key` (reverse: at or before); bounds stay.
 * 0 or a negative status. REQUIRES: `key` does not point into what the view handed out. */
int lsm_view_seek(lsm_view *view, lsm_slice key);

#endif
