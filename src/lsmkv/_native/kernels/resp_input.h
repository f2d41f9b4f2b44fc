/* What has come in and is not done with: a buffer that grows at its end and shrinks at its front.
 *
 * It belongs to one of the parsers (resp.h, resp_reply.h), which know what is done with. What is allocated is
 * proportional to what has come in, never to what was announced. That nothing moves while somebody writes
 * behind the end is for the caller to see to.
 */
#ifndef LSMKV_RESP_INPUT_H
#define LSMKV_RESP_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum {
    LSM_RESP_READ_SIZE = 16 * 1024, /* bytes that are asked for when nothing better is known */
    LSM_RESP_READ_SIZE_MAX = 64 * 1024, /* bytes in one read: while one client is read others wait */
    LSM_RESP_INPUT_KEPT_MAX = 16 * 1024 /* bytes that stay allocated when the buffer is empty */
};

/* Zeroed at first. */
typedef struct lsm_resp_input {
    uint8_t *data; /* owned */
    size_t size, capacity;
} lsm_resp_input;

void lsm_resp_input_release(lsm_resp_input *input);

/* Room for `size` more bytes: LSM_OK or LSM_E_MEMORY. `awaited` is the size with which what is being read is
 * whole: doubling stops there. 0 = not known. */
int lsm_resp_input_reserve(lsm_resp_input *input, size_t size, size_t awaited);

/* How much to ask for at once: more, the more has come in of what is being read. */
static inline size_t lsm_resp_read_size(const lsm_resp_input *input, size_t awaited) {
    size_t missing = awaited > input->size ? awaited - input->size : 0;
    size_t wanted = missing < input->size ? missing : input->size;
    if (wanted > LSM_RESP_READ_SIZE_MAX) return LSM_RESP_READ_SIZE_MAX;
    return wanted > LSM_RESP_READ_SIZE ? wanted : LSM_RESP_READ_SIZE;
}

/* So many of `discardable` bytes should leave the front now: all or none, so that each byte moves a bounded
 * number of times. */
static inline size_t lsm_resp_worth_discarding(const lsm_resp_input *input, size_t discardable) {
    return discardable >= input->size - discardable ? discardable : 0;
}

/* The first `size` bytes are done with. An empty buffer that had become large is given back. */
void lsm_resp_input_discard(lsm_resp_input *input, size_t size);

#endif
