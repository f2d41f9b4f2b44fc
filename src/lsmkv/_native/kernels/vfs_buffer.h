/* The private buffer behind log_reserve where a log is not mapped: room that grows, and gives a large block
 * back once small records follow a big one.
 */
#ifndef LSMKV_VFS_BUFFER_H
#define LSMKV_VFS_BUFFER_H

#include "allocator.h"
#include "vfs.h"

enum { LSM_LOG_BUFFER_SIZE_MIN = 64 * 1024, LSM_LOG_BUFFER_SIZE_KEPT = 4 * 1024 * 1024 };

typedef struct lsm_log_buffer {
    uint8_t *data;
    size_t capacity;
    size_t reserved; /* what the last reserve promised; a commit may take less */
} lsm_log_buffer;

static inline void lsm_log_buffer_free(lsm_log_buffer *buffer) {
    lsm_free(buffer->data);
    buffer->data = NULL;
    buffer->capacity = buffer->reserved = 0;
}

static inline int lsm_log_buffer_reserve(lsm_log_buffer *buffer, size_t size) {
    int too_large = buffer->capacity > LSM_LOG_BUFFER_SIZE_KEPT && size <= LSM_LOG_BUFFER_SIZE_MIN;
    if (LSM_UNLIKELY(size > buffer->capacity || too_large)) {
        /* The old content is spent: a fresh block, so that nothing is copied. */
        size_t capacity = LSM_LOG_BUFFER_SIZE_MIN;
        while (capacity < size && capacity <= SIZE_MAX / 2) capacity *= 2;
        if (capacity < size) return LSM_E_MEMORY;
        uint8_t *data = lsm_alloc(capacity);
        if (data == NULL && !too_large) return LSM_E_MEMORY;
        if (data != NULL) {
            lsm_prefer_huge_pages(data, capacity);
            lsm_free(buffer->data);
            buffer->data = data;
            buffer->capacity = capacity;
        }
    }
    buffer->reserved = size;
    return LSM_OK;
}

#endif
