/* Folding and unfolding heads (block_fold.h). Both walk groups of at most 64 through a buffer on the stack;
 * the loops over a plane are the compiler's to vectorise. */
#include "block_fold.h"

#include <string.h>

#include "block_format.h"

/* How many heads there are by the header's own word; 0 when the block has no room for them. */
static size_t head_count(const uint8_t *data, size_t size) {
    lsm_block_header header;
    if (size < sizeof header) return 0;
    memcpy(&header, data, sizeof header);
    return header.count <= (size - sizeof header) / 8 ? header.count : 0;
}

void lsm_block_fold(uint8_t *data, size_t size) {
    size_t left = head_count(data, size);
    uint8_t *place = data + sizeof(lsm_block_header);
    uint64_t previous = 0, difference[LSM_FOLD_GROUP];
    while (left > 0) {
        size_t count = left < LSM_FOLD_GROUP ? left : LSM_FOLD_GROUP;
        for (size_t i = 0; i < count; i++) {
            uint64_t head;
            memcpy(&head, place + 8 * i, sizeof head);
            difference[i] = head - previous;
            previous = head;
        }
        for (size_t plane = 0; plane < 8; plane++) {
            uint8_t *out = place + plane * count;
            for (size_t i = 0; i < count; i++) out[i] = (uint8_t)(difference[i] >> (8 * plane));
        }
        place += 8 * count;
        left -= count;
    }
}

void lsm_block_unfold(uint8_t *data, size_t size) {
    size_t left = head_count(data, size);
    uint8_t *place = data + sizeof(lsm_block_header);
    uint64_t head = 0, difference[LSM_FOLD_GROUP];
    while (left > 0) {
        size_t count = left < LSM_FOLD_GROUP ? left : LSM_FOLD_GROUP;
        for (size_t i = 0; i < count; i++) difference[i] = place[i];
        for (size_t plane = 1; plane < 8; plane++) {
            const uint8_t *in = place + plane * count;
            for (size_t i = 0; i < count; i++) difference[i] |= (uint64_t)in[i] << (8 * plane);
        }
        for (size_t i = 0; i < count; i++) {
            head += difference[i];
            memcpy(place + 8 * i, &head, sizeof head);
        }
        place += 8 * count;
        left -= count;
    }
}
