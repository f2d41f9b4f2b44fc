/* The input of the parsers: see resp_input.h. */
#include "resp_input.h"

#include <string.h>

#include "allocator.h"

enum { CAPACITY_MIN = 512 };

void lsm_resp_input_release(lsm_resp_input *input) {
    lsm_free(input->data);
    *input = (lsm_resp_input){0};
}

int lsm_resp_input_reserve(lsm_resp_input *input, size_t size, size_t awaited) {
    if (input->capacity - input->size >= size) return LSM_OK;
    if (size > SIZE_MAX / 4 - input->size) return LSM_E_MEMORY;
    size_t needed = input->size + size, capacity = input->capacity * 2;
    if (capacity < CAPACITY_MIN) capacity = CAPACITY_MIN;
    if (awaited > input->size && awaited < capacity) capacity = awaited;
    if (capacity < needed) capacity = needed;
    uint8_t *grown = lsm_realloc(input->data, capacity);
    if (grown == NULL) return LSM_E_MEMORY;
    input->data = grown;
    input->capacity = capacity;
    return LSM_OK;
}

void lsm_resp_input_discard(lsm_resp_input *input, size_t size) {
    LSM_ASSERT(size <= input->size);
    input->size -= size;
    if (input->size != 0) {
        memmove(input->data, input->data + size, input->size);
    } else if (input->capacity > LSM_RESP_INPUT_KEPT_MAX) {
        lsm_resp_input_release(input);
    }
}
