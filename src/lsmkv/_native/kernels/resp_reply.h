/* Replies in RESP2 and RESP3, as a client reads them: one token after the other, from a buffer that grows.
 *
 * A token is a line or a bulk string, whole. An aggregate is the token of its count, and its elements follow
 * as tokens of their own: what they make together is for the caller, who also limits depth and number.
 *
 *     type   token                       size, number
 *     + -    string, error               the line
 *     (      big number                  the line: digits, perhaps a sign
 *     ,      double                      the line: as C has it, or inf, -inf, nan
 *     :      integer                     number
 *     #      boolean                     number: 0 or 1
 *     _      null, also $-1 and *-1      -
 *     $      bulk string                 the bytes
 *     !      bulk error                  the bytes
 *     =      verbatim string             the bytes, at least 4: a form of 3 and a colon come first
 *     *      array                       number: elements
 *     ~ >    set, push                   number: elements
 *     % |    map, attributes             number: pairs
 *
 * Stricter than the request parser: lines end with CR LF, bulk strings too. Streamed strings and aggregates,
 * which no server sends, are refused.
 */
#ifndef LSMKV_RESP_REPLY_H
#define LSMKV_RESP_REPLY_H

#include <stddef.h>
#include <stdint.h>

#include "resp.h"

/* Zeroed at first, but for the limit. */
typedef struct lsm_resp_replies {
    size_t bulk_size_max;
    size_t position; /* in the input: what lies before belongs to tokens that were read */
    size_t scanned;  /* so many bytes from there on hold no CR */
    size_t awaited;  /* the size of the input with which a bulk string is whole, 0 = not known */
    const char *fault; /* what is wrong, once something is */
} lsm_resp_replies;

typedef struct lsm_resp_token {
    uint8_t type;
    int64_t number;
    lsm_resp_span text; /* of the input */
} lsm_resp_token;

enum {
    LSM_RESP_VERBATIM_FORM_SIZE = 3,
    LSM_RESP_NUMBER_SIZE_MAX = 4096 /* of a number as text: reading one may take the square of that */
};

/* 1 and the next token, 0 when it is not all there, LSM_E_CORRUPT and why in `fault`. */
int lsm_resp_next_token(lsm_resp_replies *replies, const uint8_t *data, size_t size, lsm_resp_token *token);

/* The first `size` bytes have left the input. REQUIRES: size <= replies->position. */
static inline void lsm_resp_shift_replies(lsm_resp_replies *replies, size_t size) {
    replies->position -= size;
    replies->awaited = replies->awaited > size ? replies->awaited - size : 0;
}

#endif
