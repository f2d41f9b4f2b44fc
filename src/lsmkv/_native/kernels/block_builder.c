/* Building blocks. The prefix is known only when the last key is, so keys are kept whole until finish; what
 * the finished size depends on is tracked with every add. */
#include "allocator.h"
#include "block.h"
#include "block_format.h"

enum {
    ENTRIES_CAPACITY_FIRST = 64,
    BYTES_CAPACITY_FIRST = 4096,
    BYTES_CAPACITY_KEPT = 1 << 20 /* reset gives larger buffers back: one giant value must not hold its GiB */
};

/* Ends are offsets into the builder's buffers; the start is the end of the entry before. */
typedef struct entry {
    uint32_t key_end;
    uint32_t value_end;
    uint64_t trailer;
} entry;

typedef struct buffer {
    uint8_t *data;
    uint32_t size;
    size_t capacity;
} buffer;

struct lsm_block_builder {
    buffer keys;
    buffer values;
    entry *entries;
    uint32_t count;
    uint32_t capacity;
    uint32_t prefix_size;                      /* shared by all keys so far */
    uint32_t tails_size;                       /* of all keys under prefix_size */
    uint32_t key_size_min, key_size_max;       /* REQUIRE count > 0, as do the next four */
    uint32_t value_size_min, value_size_max;
    uint64_t sequence_min, sequence_max;
    uint8_t kinds_differ_from_put;
};

static inline uint32_t size_min(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t size_max(uint32_t a, uint32_t b) { return a > b ? a : b; }

static inline uint32_t tail_size_of(uint32_t key_size, uint32_t prefix_size) {
    uint32_t full_size = prefix_size + LSM_HEAD_SIZE;
    return key_size > full_size ? key_size - full_size : 0;
}

/* --- life --------------------------------------------------------------------------------------------- */

lsm_block_builder *lsm_block_builder_create(void) { return lsm_calloc(1, sizeof(lsm_block_builder)); }

void lsm_block_builder_destroy(lsm_block_builder *builder) {
    if (builder == NULL) return;
    lsm_free(builder->keys.data);
    lsm_free(builder->values.data);
    lsm_free(builder->entries);
    lsm_free(builder);
}

static buffer buffer_emptied(buffer old) {
    old.size = 0;
    if (old.capacity > BYTES_CAPACITY_KEPT) {
        lsm_free(old.data);
        return (buffer){NULL, 0, 0};
    }
    return old;
}

void lsm_block_builder_reset(lsm_block_builder *builder) {
    lsm_block_builder empty = {
        .keys = buffer_emptied(builder->keys),
        .values = buffer_emptied(builder->values),
        .entries = builder->entries,
        .capacity = builder->capacity,
    };
    *builder = empty;
}

/* --- adding ------------------------------------------------------------------------------------------- */

static __attribute__((noinline)) int buffer_grow(buffer *grown, size_t needed) {
    size_t capacity = grown->capacity ? grown->capacity * 2 : BYTES_CAPACITY_FIRST;
    if (capacity < needed) capacity = needed;
    uint8_t *data = lsm_realloc(grown->data, capacity);
    if (data == NULL) return LSM_E_MEMORY;
    grown->data = data;
    grown->capacity = capacity;
    return 0;
}

static inline int buffer_reserve(buffer *reserved, size_t extra) {
    size_t needed = reserved->size + extra;
    return LSM_LIKELY(needed <= reserved->capacity) ? 0 : buffer_grow(reserved, needed);
}

static inline void buffer_append(buffer *appended, lsm_slice bytes) {
    if (bytes.size != 0) memcpy(appended->data + appended->size, bytes.data, bytes.size);
    appended->size += (uint32_t)bytes.size;
}

static __attribute__((noinline)) int entries_grow(lsm_block_builder *builder) {
    size_t capacity = builder->capacity ? (size_t)builder->capacity * 2 : ENTRIES_CAPACITY_FIRST;
    entry *entries = lsm_realloc(builder->entries, capacity * sizeof(entry));
    if (entries == NULL) return LSM_E_MEMORY;
    builder->entries = entries;
    builder->capacity = (uint32_t)capacity;
    return 0;
}

/* An upper bound of the finished size with one more entry. */
static inline uint64_t size_bound(const lsm_block_builder *builder, size_t key_size, size_t value_size) {
    uint64_t columns = 8 + 8 + 4 + 4 + 1 + 1;
    return sizeof(lsm_block_header) + 8 + ((uint64_t)builder->count + 1) * columns + builder->keys.size +
           builder->values.size + key_size + value_size;
}

/* Takes the shared prefix down to `prefix_size`; every key in the builder is then split elsewhere. */
static __attribute__((noinline)) void shrink_prefix(lsm_block_builder *builder, uint32_t prefix_size) {
    uint32_t start = 0, tails_size = 0;
    for (uint32_t i = 0; i < builder->count; i++) {
        uint32_t end = builder->entries[i].key_end;
        tails_size += tail_size_of(end - start, prefix_size);
        start = end;
    }
    builder->prefix_size = prefix_size;
    builder->tails_size = tails_size;
}

static inline void track_first(lsm_block_builder *builder, uint32_t key_size, uint64_t sequence,
                               uint32_t value_size) {
    builder->prefix_size = key_size;
    builder->key_size_min = builder->key_size_max = key_size;
    builder->value_size_min = builder->value_size_max = value_size;
    builder->sequence_min = builder->sequence_max = sequence;
}

static inline void track_next(lsm_block_builder *builder, lsm_slice key, uint64_t sequence,
                              uint32_t value_size) {
    uint32_t limit = size_min(builder->prefix_size, (uint32_t)key.size);
    uint32_t shared = (uint32_t)lsm_shared_size(builder->keys.data, key.data, limit);
    if (LSM_UNLIKELY(shared < builder->prefix_size)) shrink_prefix(builder, shared);
    uint32_t key_size = (uint32_t)key.size;
    builder->tails_size += tail_size_of(key_size, builder->prefix_size);
    builder->key_size_min = size_min(builder->key_size_min, key_size);
    builder->key_size_max = size_max(builder->key_size_max, key_size);
    builder->value_size_min = size_min(builder->value_size_min, value_size);
    builder->value_size_max = size_max(builder->value_size_max, value_size);
    if (sequence < builder->sequence_min) builder->sequence_min = sequence;
    if (sequence > builder->sequence_max) builder->sequence_max = sequence;
}

int lsm_block_builder_add(lsm_block_builder *builder, lsm_slice key, uint64_t trailer, lsm_slice value) {
    if (LSM_UNLIKELY(key.size > LSM_KEY_SIZE_MAX || value.size > LSM_VALUE_SIZE_MAX)) return LSM_E_LIMIT;
    if (LSM_UNLIKELY(size_bound(builder, key.size, value.size) > LSM_BLOCK_SIZE_MAX)) return LSM_E_LIMIT;
    if (buffer_reserve(&builder->keys, key.size) != 0) return LSM_E_MEMORY;
    if (buffer_reserve(&builder->values, value.size) != 0) return LSM_E_MEMORY;
    if (LSM_UNLIKELY(builder->count == builder->capacity) && entries_grow(builder) != 0) return LSM_E_MEMORY;

    uint64_t sequence = lsm_trailer_sequence(trailer);
    uint8_t kind = lsm_trailer_kind(trailer);
    LSM_ASSERT(lsm_kind_is_known(kind) && sequence <= LSM_SEQUENCE_MAX);
    if (builder->count == 0) {
        track_first(builder, (uint32_t)key.size, sequence, (uint32_t)value.size);
    } else {
        LSM_ASSERT(lsm_slice_compare(lsm_block_builder_last_key(builder), key) <= 0);
        track_next(builder, key, sequence, (uint32_t)value.size);
    }
    builder->kinds_differ_from_put |= kind != LSM_KIND_PUT;
    buffer_append(&builder->keys, key);
    buffer_append(&builder->values, value);
    builder->entries[builder->count++] = (entry){builder->keys.size, builder->values.size, trailer};
    return 0;
}

uint32_t lsm_block_builder_count(const lsm_block_builder *builder) { return builder->count; }

lsm_slice lsm_block_builder_last_key(const lsm_block_builder *builder) {
    if (builder->count == 0) return (lsm_slice){NULL, 0};
    uint32_t start = builder->count == 1 ? 0 : builder->entries[builder->count - 2].key_end;
    return (lsm_slice){builder->keys.data + start, builder->keys.size - start};
}

/* --- finishing ---------------------------------------------------------------------------------------- */

static lsm_block_header header_of(const lsm_block_builder *builder) {
    lsm_block_header header = {.version = LSM_BLOCK_VERSION, .offset_width = 2, .count = builder->count};
    if (builder->count == 0) return header;
    header.prefix_size = builder->prefix_size;
    header.tails_size = builder->tails_size;
    header.values_size = builder->values.size;
    uint32_t head_size_min = size_min(builder->key_size_min - builder->prefix_size, LSM_HEAD_SIZE);
    uint32_t head_size_max = size_min(builder->key_size_max - builder->prefix_size, LSM_HEAD_SIZE);
    if (head_size_min == head_size_max) header.head_size = (uint8_t)head_size_min;
    else header.flags |= LSM_BLOCK_HAS_HEAD_SIZES;
    if (tail_size_of(builder->key_size_min, builder->prefix_size) !=
        tail_size_of(builder->key_size_max, builder->prefix_size)) {
        header.flags |= LSM_BLOCK_HAS_TAIL_OFFSETS;
        if (header.tails_size > UINT16_MAX) header.offset_width = 4;
    }
    if (builder->value_size_min != builder->value_size_max) {
        header.flags |= LSM_BLOCK_HAS_VALUE_OFFSETS;
        if (header.values_size > UINT16_MAX) header.offset_width = 4;
    }
    if (builder->kinds_differ_from_put) header.flags |= LSM_BLOCK_HAS_KINDS;
    header.base_sequence = builder->sequence_min;
    uint64_t spread = builder->sequence_max - builder->sequence_min;
    header.sequence_width = spread == 0 ? 0 : spread <= UINT16_MAX ? 2 : spread <= UINT32_MAX ? 4 : 8;
    return header;
}

size_t lsm_block_builder_finished_size(const lsm_block_builder *builder) {
    lsm_block_header header = header_of(builder);
    return builder->count == 0 ? sizeof header : (size_t)lsm_block_layout_of(&header).end;
}

static inline void offset_store(uint8_t *column, uint8_t width, size_t index, uint32_t offset) {
    if (width == 2) lsm_store16(column + 2 * index, (uint16_t)offset);
    else lsm_store32(column + 4 * index, offset);
}

/* Splits every key into head and tail, writing the columns that depend on keys. */
static void write_keys(const lsm_block_builder *builder, const lsm_block_header *header,
                       const lsm_block_layout *layout, uint8_t *output) {
    uint8_t *heads = output + layout->heads, *head_sizes = output + layout->head_sizes;
    uint8_t *tail_offsets = output + layout->tail_offsets, *tails = output + layout->tails;
    int has_head_sizes = header->flags & LSM_BLOCK_HAS_HEAD_SIZES;
    int has_tail_offsets = header->flags & LSM_BLOCK_HAS_TAIL_OFFSETS;
    uint32_t start = 0, tail_offset = 0;
    if (has_tail_offsets) offset_store(tail_offsets, header->offset_width, 0, 0);
    for (size_t i = 0; i < builder->count; i++) {
        uint32_t end = builder->entries[i].key_end;
        const uint8_t *rest = builder->keys.data + start + builder->prefix_size;
        uint32_t rest_size = end - start - builder->prefix_size;
        lsm_store64(heads + 8 * i, lsm_head_load(rest, rest_size));
        if (has_head_sizes) head_sizes[i] = (uint8_t)size_min(rest_size, LSM_HEAD_SIZE);
        if (rest_size > LSM_HEAD_SIZE) {
            memcpy(tails + tail_offset, rest + LSM_HEAD_SIZE, rest_size - LSM_HEAD_SIZE);
            tail_offset += rest_size - LSM_HEAD_SIZE;
        }
        if (has_tail_offsets) offset_store(tail_offsets, header->offset_width, i + 1, tail_offset);
        start = end;
    }
}

static void write_sequences(const lsm_block_builder *builder, const lsm_block_header *header,
                            uint8_t *column) {
    uint8_t width = header->sequence_width;
    if (width == 0) return;
    for (size_t i = 0; i < builder->count; i++) {
        uint64_t delta = lsm_trailer_sequence(builder->entries[i].trailer) - header->base_sequence;
        memcpy(column + i * width, &delta, width);
    }
}

size_t lsm_block_builder_finish(const lsm_block_builder *builder, uint8_t *output) {
    lsm_block_header header = header_of(builder);
    memcpy(output, &header, sizeof header);
    if (builder->count == 0) return sizeof header;
    lsm_block_layout layout = lsm_block_layout_of(&header);
    write_sequences(builder, &header, output + layout.sequences);
    if (header.flags & LSM_BLOCK_HAS_VALUE_OFFSETS) {
        uint8_t *column = output + layout.value_offsets;
        offset_store(column, header.offset_width, 0, 0);
        for (size_t i = 0; i < builder->count; i++) {
            offset_store(column, header.offset_width, i + 1, builder->entries[i].value_end);
        }
    }
    if (header.flags & LSM_BLOCK_HAS_KINDS) {
        uint8_t *column = output + layout.kinds;
        for (size_t i = 0; i < builder->count; i++) column[i] = lsm_trailer_kind(builder->entries[i].trailer);
    }
    if (header.prefix_size != 0) memcpy(output + layout.prefix, builder->keys.data, header.prefix_size);
    write_keys(builder, &header, &layout, output);
    if (header.values_size != 0) memcpy(output + layout.values, builder->values.data, header.values_size);
    return (size_t)layout.end;
}
