/* A block: one sorted node (node.h) in columns, as stored in tables before compression. Data and index
 * blocks have this same layout; the value of an index entry is a block handle (table.h).
 *
 * Validated once when loaded (lsm_block_parse); after that the search kernel trusts offsets and order.
 */
#ifndef LSMKV_BLOCK_H
#define LSMKV_BLOCK_H

#include "node.h"

/* The parsed view; every pointer is into the block's bytes. */
typedef struct lsm_block_view {
    const uint64_t *heads; /* 8-byte aligned */
    const uint8_t *head_sizes;   /* bytes of the key inside the head, 0..8; NULL: all 8 */
    const uint8_t *tail_offsets; /* count + 1 integers of offset_width, NULL: no key has a tail */
    const uint8_t *value_offsets;/* count + 1 integers of offset_width */
    const uint8_t *sequences;    /* count deltas of sequence_width over base_sequence; NULL: all base_sequence */
    const uint8_t *kinds;        /* count bytes; NULL: all LSM_KIND_PUT */
    const uint8_t *prefix;
    const uint8_t *tails;
    const uint8_t *values;
    uint64_t base_sequence;
    uint32_t count;
    uint32_t prefix_size;
    uint8_t offset_width;   /* 2 or 4 */
    uint8_t sequence_width; /* 0, 2, 4 or 8 */
} lsm_block_view;

/* Checks everything: widths, bounds, monotone offsets, known kinds, strict order of (key, sequence).
 * REQUIRES: data 8-byte aligned. 0, LSM_E_CORRUPT or LSM_E_FORMAT. */
int lsm_block_parse(const uint8_t *data, size_t size, lsm_block_view *view, lsm_error *error);

/* The first entry at or after the target: 0..count. */
uint32_t lsm_block_search(const lsm_block_view *view, const lsm_target *target);

/* Whether entry `index` has exactly this user key. */
int lsm_block_key_equals(const lsm_block_view *view, uint32_t index, lsm_slice key);

size_t lsm_block_key_size(const lsm_block_view *view, uint32_t index);
/* Writes the whole user key; REQUIRES room for prefix + 8 + tail rounded up: lsm_block_key_size + 8 bytes. */
size_t lsm_block_key_copy(const lsm_block_view *view, uint32_t index, uint8_t *buffer);
lsm_slice lsm_block_value(const lsm_block_view *view, uint32_t index);
uint64_t lsm_block_trailer(const lsm_block_view *view, uint32_t index);

/* --- builder ------------------------------------------------------------------------------------------ */

typedef struct lsm_block_builder lsm_block_builder;

lsm_block_builder *lsm_block_builder_create(void); /* NULL when out of memory */
void lsm_block_builder_destroy(lsm_block_builder *builder);
void lsm_block_builder_reset(lsm_block_builder *builder);

/* REQUIRES: entries arrive in strict node order. 0 or LSM_E_MEMORY / LSM_E_LIMIT. */
int lsm_block_builder_add(lsm_block_builder *builder, lsm_slice key, uint64_t trailer, lsm_slice value);
uint32_t lsm_block_builder_count(const lsm_block_builder *builder);
size_t lsm_block_builder_size_estimate(const lsm_block_builder *builder); /* of the finished block, within a few bytes */

/* The finished block appended to a growing buffer: size written through `size`. */
size_t lsm_block_builder_finished_size(const lsm_block_builder *builder);         /* exact */
size_t lsm_block_builder_finish(lsm_block_builder *builder, uint8_t *output);     /* REQUIRES that much room */

#endif
