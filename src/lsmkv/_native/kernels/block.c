/* Parsing and searching blocks. What parse has let through, nothing else checks again. */
#include "block.h"

#include "block_format.h"

static int corrupt(lsm_error *error, const char *what) {
    return lsm_fail(error, LSM_E_CORRUPT, LSM_NO_OFFSET, NULL, "block: %s", what);
}

/* --- parsing ------------------------------------------------------------------------------------------ */

/* Ascending from 0 to `end`, no item larger than `item_max`. Inlined per width: the loops vectorise. */
static inline __attribute__((always_inline)) int offsets_are_valid(const uint8_t *column, uint8_t width,
                                                                   uint32_t count, uint32_t end,
                                                                   uint64_t item_max) {
    if (lsm_block_offset_load(column, width, 0) != 0) return 0;
    if (lsm_block_offset_load(column, width, count) != end) return 0;
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t start = lsm_block_offset_load(column, width, i);
        uint32_t stop = lsm_block_offset_load(column, width, i + 1);
        bad |= start > stop;
    }
    if (bad != 0) return 0;
    if (end <= item_max) return 1;
    for (size_t i = 0; i < count; i++) {
        uint32_t start = lsm_block_offset_load(column, width, i);
        bad |= lsm_block_offset_load(column, width, i + 1) - start > item_max;
    }
    return bad == 0;
}

/* One region: either its offsets are sound, or it splits evenly. Fills the fixed size. */
static int region_is_valid(const uint8_t *offsets, uint8_t width, uint32_t count, uint32_t region_size,
                           uint64_t item_max, uint32_t *fixed_size) {
    if (offsets != NULL) {
        return width == 2 ? offsets_are_valid(offsets, 2, count, region_size, item_max)
                          : offsets_are_valid(offsets, 4, count, region_size, item_max);
    }
    *fixed_size = region_size / count;
    return region_size % count == 0 && *fixed_size <= item_max;
}

/* The bits of a head that lie beyond `head_size` (0..8) key bytes. */
static inline uint64_t padding_mask(uint8_t head_size) {
    return (UINT64_MAX >> (4 * head_size)) >> (4 * head_size);
}

/* Heads are zero beyond their size, and only a full head has a tail. */
static int heads_are_padded(const lsm_block_view *view, uint32_t tails_size) {
    uint64_t bad = 0;
    if (view->head_sizes == NULL) {
        if (view->head_size > LSM_HEAD_SIZE || (view->head_size < LSM_HEAD_SIZE && tails_size != 0)) return 0;
        if (view->head_size == LSM_HEAD_SIZE) return 1;
        uint64_t mask = padding_mask(view->head_size);
        for (size_t i = 0; i < view->count; i++) bad |= view->heads[i] & mask;
        return bad == 0;
    }
    for (uint32_t i = 0; i < view->count; i++) {
        uint8_t head_size = view->head_sizes[i];
        if (head_size > LSM_HEAD_SIZE) return 0;
        bad |= view->heads[i] & padding_mask(head_size);
        bad |= (uint64_t)(head_size < LSM_HEAD_SIZE) & (uint64_t)(lsm_block_tail(view, i).size != 0);
    }
    return bad == 0;
}

/* Only a prefix about as large as the limit leaves this to check: tails were held to what a full head
 * leaves them. */
static int keys_are_within_limit(const lsm_block_view *view) {
    if ((size_t)view->prefix_size + LSM_HEAD_SIZE <= LSM_KEY_SIZE_MAX) return 1;
    for (uint32_t i = 0; i < view->count; i++) {
        if (lsm_block_key_size(view, i) > LSM_KEY_SIZE_MAX) return 0;
    }
    return 1;
}

static int sequences_are_valid(const lsm_block_view *view) {
    if (view->base_sequence > LSM_SEQUENCE_MAX) return 0;
    uint64_t delta_max = LSM_SEQUENCE_MAX - view->base_sequence;
    uint8_t width = view->sequence_width;
    if (width < 8 && delta_max >> (8 * width) != 0) return 1; /* no delta of this width can exceed it */
    for (size_t i = 0; i < view->count; i++) {
        const uint8_t *delta = view->sequences + i * width;
        uint64_t value = width == 0 ? 0 : width == 2 ? lsm_load16(delta) : width == 4 ? lsm_load32(delta)
                                                                                      : lsm_load64(delta);
        if (value > delta_max) return 0;
    }
    return 1;
}

static int kinds_are_known(const lsm_block_view *view) {
    if (view->kinds == NULL) return 1;
    int known = 1;
    for (size_t i = 0; i < view->count; i++) known &= lsm_kind_is_known(view->kinds[i]);
    return known;
}

/* Whether entry `index` comes before the next one, given that their heads are equal. */
static int tie_is_ordered(const lsm_block_view *view, uint32_t index) {
    lsm_slice tail = lsm_block_tail(view, index), next_tail = lsm_block_tail(view, index + 1);
    size_t shared = tail.size < next_tail.size ? tail.size : next_tail.size;
    int order = shared ? memcmp(tail.data, next_tail.data, shared) : 0;
    if (order != 0) return order < 0;
    size_t key_size = lsm_block_key_size(view, index), next_key_size = lsm_block_key_size(view, index + 1);
    if (key_size != next_key_size) return key_size < next_key_size;
    return lsm_block_sequence(view, index) > lsm_block_sequence(view, index + 1);
}

static int entries_are_ordered(const lsm_block_view *view) {
    uint64_t falls = 0, ties = 0;
    for (size_t i = 0; i + 1 < view->count; i++) {
        falls |= view->heads[i] > view->heads[i + 1];
        ties |= view->heads[i] == view->heads[i + 1];
    }
    if (falls) return 0;
    if (ties) {
        for (uint32_t i = 0; i + 1 < view->count; i++) {
            if (view->heads[i] == view->heads[i + 1] && !tie_is_ordered(view, i)) return 0;
        }
    }
    return 1;
}

/* The header by itself. Sizes cannot be checked before the layout is known. */
static int check_header(const lsm_block_header *header, lsm_error *error) {
    if (header->version != LSM_BLOCK_VERSION) {
        return lsm_fail(error, LSM_E_FORMAT, LSM_NO_OFFSET, NULL, "block: unknown version %u",
                        header->version);
    }
    if (header->flags & ~LSM_BLOCK_FLAGS_KNOWN) {
        return lsm_fail(error, LSM_E_FORMAT, LSM_NO_OFFSET, NULL, "block: unknown flags 0x%02x",
                        header->flags);
    }
    if (header->offset_width != 2 && header->offset_width != 4) {
        return corrupt(error, "impossible offset width");
    }
    uint8_t width = header->sequence_width;
    if (width != 0 && width != 2 && width != 4 && width != 8) {
        return corrupt(error, "impossible sequence width");
    }
    if (header->zero[0] | header->zero[1] | header->zero[2]) {
        return corrupt(error, "reserved bytes are not zero");
    }
    if (header->flags & LSM_BLOCK_HAS_HEAD_SIZES && header->head_size != 0) {
        return corrupt(error, "two kinds of head size");
    }
    return 0;
}

static int check_empty(const lsm_block_header *header, lsm_error *error) {
    lsm_block_header empty = {.version = LSM_BLOCK_VERSION, .offset_width = 2};
    if (memcmp(header, &empty, sizeof empty) != 0) return corrupt(error, "an empty block with contents");
    return 0;
}

static int check_entries(lsm_block_view *view, const lsm_block_header *header, lsm_error *error) {
    uint32_t count = view->count;
    size_t full_size = (size_t)view->prefix_size + LSM_HEAD_SIZE;
    size_t tail_max = full_size < LSM_KEY_SIZE_MAX ? LSM_KEY_SIZE_MAX - full_size : 0;
    if (!region_is_valid(view->tail_offsets, view->offset_width, count, header->tails_size, tail_max,
                         &view->tail_size)) {
        return corrupt(error, "key tails out of bounds");
    }
    if (!region_is_valid(view->value_offsets, view->offset_width, count, header->values_size,
                         LSM_VALUE_SIZE_MAX, &view->value_size)) {
        return corrupt(error, "values out of bounds");
    }
    if (!heads_are_padded(view, header->tails_size)) {
        return corrupt(error, "key heads disagree with their size");
    }
    if (!keys_are_within_limit(view)) return corrupt(error, "key larger than any key");
    if (!sequences_are_valid(view)) return corrupt(error, "sequence out of range");
    if (!kinds_are_known(view)) {
        return lsm_fail(error, LSM_E_FORMAT, LSM_NO_OFFSET, NULL, "block: unknown kind of entry");
    }
    if (!entries_are_ordered(view)) return corrupt(error, "entries out of order");
    return 0;
}

int lsm_block_parse(const uint8_t *data, size_t size, lsm_block_view *view, lsm_error *error) {
    LSM_ASSERT(((uintptr_t)data & 7) == 0);
    lsm_block_header header;
    if (size < sizeof header) return corrupt(error, "shorter than its header");
    memcpy(&header, data, sizeof header);
    int status = check_header(&header, error);
    if (status != 0) return status;
    lsm_block_layout layout = lsm_block_layout_of(&header);
    if (header.count != 0 && layout.end != size) return corrupt(error, "size disagrees with its header");

    memset(view, 0, sizeof *view);
    view->heads = (const uint64_t *)(const void *)(data + layout.heads);
    if (header.count == 0) {
        if (size != sizeof header) return corrupt(error, "size disagrees with its header");
        return check_empty(&header, error);
    }
    view->sequences = data + layout.sequences;
    if (header.flags & LSM_BLOCK_HAS_VALUE_OFFSETS) view->value_offsets = data + layout.value_offsets;
    if (header.flags & LSM_BLOCK_HAS_TAIL_OFFSETS) view->tail_offsets = data + layout.tail_offsets;
    if (header.flags & LSM_BLOCK_HAS_HEAD_SIZES) view->head_sizes = data + layout.head_sizes;
    if (header.flags & LSM_BLOCK_HAS_KINDS) view->kinds = data + layout.kinds;
    view->prefix = data + layout.prefix;
    view->tails = data + layout.tails;
    view->values = data + layout.values;
    view->base_sequence = header.base_sequence;
    view->count = header.count;
    view->prefix_size = header.prefix_size;
    view->head_size = header.head_size;
    view->offset_width = header.offset_width;
    view->sequence_width = header.sequence_width;
    return check_entries(view, &header, error);
}

/* --- search ------------------------------------------------------------------------------------------- */

static int compare_tie(const void *node, uint32_t index, const lsm_target *target, size_t skip) {
    const lsm_block_view *view = node;
    lsm_slice tail = lsm_block_tail(view, index);
    size_t key_size = skip - LSM_HEAD_SIZE + lsm_block_head_size(view, index) + tail.size;
    return lsm_tie_order(tail.data, tail.size, key_size, lsm_block_sequence(view, index), target, skip);
}

uint32_t lsm_block_search(const lsm_block_view *view, const lsm_target *target) {
    return lsm_node_search(view, view->prefix, view->prefix_size, view->heads, view->count, target,
                           compare_tie);
}
