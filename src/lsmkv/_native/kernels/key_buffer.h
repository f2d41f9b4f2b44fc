/* A user key that outlives the cursor move it came from: one growing buffer. All inline.
 *
 * Walks compare every entry with the key before it, so the copy and the comparison are on the hot path: keys
 * that differ mostly differ near their end, hence the last word is compared first.
 */
#ifndef LSMKV_KEY_BUFFER_H
#define LSMKV_KEY_BUFFER_H

#include "allocator.h"
#include "coding.h"

typedef struct lsm_key_buffer {
    uint8_t *data; /* NULL until the first key arrives; lsm_key_buffer_clear frees it */
    size_t size;
    size_t capacity;
} lsm_key_buffer;

enum { LSM_KEY_BUFFER_CAPACITY_MIN = 128 };

static inline lsm_slice lsm_key_buffer_slice(const lsm_key_buffer *buffer) {
    return (lsm_slice){buffer->data, buffer->size};
}

/* 0 or LSM_E_MEMORY, the old key then stands. REQUIRES: `key` does not lie in this buffer. */
static inline int lsm_key_buffer_set(lsm_key_buffer *buffer, lsm_slice key) {
    if (LSM_UNLIKELY(key.size > buffer->capacity || buffer->data == NULL)) {
        size_t capacity = buffer->capacity * 2;
        if (capacity < LSM_KEY_BUFFER_CAPACITY_MIN) capacity = LSM_KEY_BUFFER_CAPACITY_MIN;
        if (capacity < key.size) capacity = key.size;
        uint8_t *grown = lsm_realloc(buffer->data, capacity);
        if (grown == NULL) return LSM_E_MEMORY;
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    if (key.size != 0) memcpy(buffer->data, key.data, key.size);
    buffer->size = key.size;
    return 0;
}

static inline int lsm_key_buffer_equals(const lsm_key_buffer *buffer, lsm_slice key) {
    size_t size = key.size;
    if (buffer->size != size) return 0;
    if (size < 8) return size == 0 || memcmp(buffer->data, key.data, size) == 0;
    if (lsm_load64(buffer->data + size - 8) != lsm_load64(key.data + size - 8)) return 0;
    return size == 8 || memcmp(buffer->data, key.data, size - 8) == 0;
}

static inline void lsm_key_buffer_clear(lsm_key_buffer *buffer) {
    lsm_free(buffer->data);
    *buffer = (lsm_key_buffer){0};
}

#endif
