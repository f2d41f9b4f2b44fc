/* A block: one sorted node (node.h) in columns, as stored in tables before compression. Data and index
 * blocks have this same layout (block_format.h); the value of an index entry is a block handle (table.h).
 *
 * Validated once when loaded (lsm_block_parse); after that search and accessors trust sizes and order.
 * Not here: checksums and compression, which the table adds around a block.
 */
#ifndef LSMKV_BLOCK_H
#define LSMKV_BLOCK_H

#include "node.h"

/* The parsed view; every pointer is into the block's bytes, which must outlive it. */
typedef struct lsm_block_view {
    const uint64_t *heads;        /* 8-byte aligned */
    const uint8_t *sequences;     /* count deltas of sequence_width over base_sequence */
    const uint8_t *value_offsets; /* count + 1 integers of offset_width; NULL: all values have value_size */
    const uint8_t *tail_offsets;  /* count + 1 integers of offset_width; NULL: all tails have tail_size */
    const uint8_t *head_sizes;    /* key bytes inside each head, 0..8; NULL: all head_size */
    const uint8_t *kinds;         /* count bytes; NULL: all LSM_KIND_PUT */
    const uint8_t *prefix;
    const uint8_t *tails;
    const uint8_t *values;
    uint64_t base_sequence;
    uint32_t count;
    uint32_t prefix_size;
    uint32_t tail_size;
    uint32_t value_size;
    uint8_t head_size;
    uint8_t offset_width;   /* 2 or 4 */
    uint8_t sequence_width; /* 0, 2, 4 or 8 */
} lsm_block_view;

/* Checks everything: widths, bounds, offsets, zero padding, known kinds, limits, strict order of (key,
 * sequence), no byte left over. Only the order of whole columns is trusted to their position.
 * REQUIRES: data 8-byte aligned. 0, LSM_E_CORRUPT, or LSM_E_FORMAT for a version, flag or kind from the
 * future. On failure the view is not to be used. Errors carry no file offset: the caller knows it. */
int lsm_block_parse(const uint8_t *data, size_t size, lsm_block_view *view, lsm_error *error);

/* The first entry at or after the target: 0..count. */
uint32_t lsm_block_search(const lsm_block_view *view, const lsm_target *target);

/* --- accessors: REQUIRE index < count ------------------------------------------------------------------- */

static inline uint32_t lsm_block_offset_load(const uint8_t *column, uint8_t width, size_t index) {
    return width == 2 ? lsm_load16(column + 2 * index) : lsm_load32(column + 4 * index);
}

/* Item `index` of a region: through its offsets, or by the one size that all items have. */
static inline lsm_slice lsm_block_region_item(const uint8_t *region, const uint8_t *offsets, uint8_t width,
                                              uint32_t fixed_size, size_t index) {
    lsm_slice item;
    if (offsets == NULL) {
        item.data = region + index * fixed_size;
        item.size = fixed_size;
    } else {
        uint32_t start = lsm_block_offset_load(offsets, width, index);
        item.data = region + start;
        item.size = lsm_block_offset_load(offsets, width, index + 1) - start;
    }
    return item;
}

static inline lsm_slice lsm_block_value(const lsm_block_view *view, uint32_t index) {
    LSM_ASSERT(index < view->count);
    return lsm_block_region_item(view->values, view->value_offsets, view->offset_width, view->value_size,
                                 index);
}

/* The key bytes after prefix and head; empty unless the head holds all 8. */
static inline lsm_slice lsm_block_tail(const lsm_block_view *view, uint32_t index) {
    LSM_ASSERT(index < view->count);
    return lsm_block_region_item(view->tails, view->tail_offsets, view->offset_width, view->tail_size, index);
}

static inline size_t lsm_block_head_size(const lsm_block_view *view, uint32_t index) {
    return view->head_sizes == NULL ? view->head_size : view->head_sizes[index];
}

static inline size_t lsm_block_key_size(const lsm_block_view *view, uint32_t index) {
    return view->prefix_size + lsm_block_head_size(view, index) + lsm_block_tail(view, index).size;
}

/* For walking a block: writes the key but for its prefix, and returns the size of the whole key. REQUIRES:
 * `buffer` already begins with the prefix of this block and has room for lsm_block_key_size + 8 bytes. */
static inline size_t lsm_block_key_complete(const lsm_block_view *view, uint32_t index, uint8_t *buffer) {
    LSM_ASSERT(index < view->count);
    uint8_t *end = buffer + view->prefix_size;
    lsm_store64(end, __builtin_bswap64(view->heads[index]));
    end += lsm_block_head_size(view, index);
    lsm_slice tail = lsm_block_tail(view, index);
    if (tail.size != 0) memcpy(end, tail.data, tail.size);
    return (size_t)(end - buffer) + tail.size;
}

/* Writes the whole user key and returns its size. REQUIRES: room for lsm_block_key_size + 8 bytes. */
static inline size_t lsm_block_key_copy(const lsm_block_view *view, uint32_t index, uint8_t *buffer) {
    memcpy(buffer, view->prefix, view->prefix_size);
    return lsm_block_key_complete(view, index, buffer);
}

static inline uint64_t lsm_block_sequence(const lsm_block_view *view, uint32_t index) {
    LSM_ASSERT(index < view->count);
    switch (view->sequence_width) {
    case 0: return view->base_sequence;
    case 2: return view->base_sequence + lsm_load16(view->sequences + 2 * (size_t)index);
    case 4: return view->base_sequence + lsm_load32(view->sequences + 4 * (size_t)index);
    default: return view->base_sequence + lsm_load64(view->sequences + 8 * (size_t)index);
    }
}

static inline uint8_t lsm_block_kind(const lsm_block_view *view, uint32_t index) {
    LSM_ASSERT(index < view->count);
    return view->kinds == NULL ? LSM_KIND_PUT : view->kinds[index];
}

static inline uint64_t lsm_block_trailer(const lsm_block_view *view, uint32_t index) {
    return lsm_trailer(lsm_block_sequence(view, index), lsm_block_kind(view, index));
}

/* Whether entry `index` has exactly this user key. */
static inline int lsm_block_key_equals(const lsm_block_view *view, uint32_t index, lsm_slice key) {
    LSM_ASSERT(index < view->count);
    lsm_slice tail = lsm_block_tail(view, index);
    size_t head_size = lsm_block_head_size(view, index);
    if (key.size != view->prefix_size + head_size + tail.size) return 0;
    if (lsm_head_load(key.data + view->prefix_size, head_size) != view->heads[index]) return 0;
    return lsm_bytes_equal(key.data, view->prefix, view->prefix_size) &&
           lsm_bytes_equal(key.data + view->prefix_size + head_size, tail.data, tail.size);
}

/* --- builder ------------------------------------------------------------------------------------------ */

/* Collects entries in memory of its own; `finish` may be called repeatedly and changes nothing. */
typedef struct lsm_block_builder lsm_block_builder;

lsm_block_builder *lsm_block_builder_create(void); /* NULL when out of memory */
void lsm_block_builder_destroy(lsm_block_builder *builder); /* NULL is allowed */
void lsm_block_builder_reset(lsm_block_builder *builder);   /* forgets the entries, keeps the memory */

/* REQUIRES: entries arrive in strict node order, kinds are known, sequences at most LSM_SEQUENCE_MAX.
 * 0, LSM_E_MEMORY, or LSM_E_LIMIT: key or value too large, or the collected entries (whole keys) beyond
 * 4 GiB. A failed add has changed nothing. */
int lsm_block_builder_add(lsm_block_builder *builder, lsm_slice key, uint64_t trailer, lsm_slice value);
uint32_t lsm_block_builder_count(const lsm_block_builder *builder);
/* The key added last, until the next add or reset; data is NULL when there is none. */
lsm_slice lsm_block_builder_last_key(const lsm_block_builder *builder);

/* The finished block: exact at every moment and O(1), so it also serves as the running estimate. */
size_t lsm_block_builder_finished_size(const lsm_block_builder *builder);
static inline size_t lsm_block_builder_size_estimate(const lsm_block_builder *builder) {
    return lsm_block_builder_finished_size(builder);
}
/* Writes the block and returns its size. REQUIRES: room for lsm_block_builder_finished_size bytes. */
size_t lsm_block_builder_finish(const lsm_block_builder *builder, uint8_t *output);

#endif
