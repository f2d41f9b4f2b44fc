/* Replies in RESP2 or RESP3 as bytes, into a buffer that grows up to a limit.
 *
 * `protocol` is 2 or 3. What RESP2 does not have is said as Redis says it there: a map as a flat array, a set
 * and a push as an array, a boolean as 1 or 0, a double, a big number and a verbatim string as a bulk string.
 * Null and the null array are one in RESP3.
 *
 * Each function writes a whole piece or nothing: LSM_OK, LSM_E_LIMIT when `size_max` would be exceeded,
 * LSM_E_MEMORY. Sizes are those of what was written and not yet taken. An aggregate is its header; its
 * elements are for the caller to write behind it.
 */
#ifndef LSMKV_RESP_WRITER_H
#define LSMKV_RESP_WRITER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "resp.h"
#include "status.h"

/* Zeroed at first, but for the limit and the protocol. */
typedef struct lsm_resp_writer {
    uint8_t *data; /* owned */
    size_t size, capacity;
    size_t size_max; /* bytes, at most LSM_RESP_SIZE_MAX */
    int protocol;
} lsm_resp_writer;

enum lsm_resp_writer_sizes {
    LSM_RESP_DOUBLE_SIZE_MAX = 32,       /* of a double as text */
    LSM_RESP_OUTPUT_KEPT_MAX = 16 * 1024 /* bytes that stay allocated when all is taken */
};

void lsm_resp_writer_release(lsm_resp_writer *writer);

/* Everything was taken. A buffer that had become large is given back. */
void lsm_resp_writer_clear(lsm_resp_writer *writer);

/* The slow half of lsm_resp_reserve. REQUIRES: size <= LSM_RESP_SIZE_MAX. */
int lsm_resp_writer_grow(lsm_resp_writer *writer, size_t size);

/* Room for `size` more bytes. */
static inline int lsm_resp_reserve(lsm_resp_writer *w, size_t size) {
    return LSM_LIKELY(w->capacity - w->size >= size) ? LSM_OK : lsm_resp_writer_grow(w, size);
}

static inline unsigned lsm_resp_digit_count(uint64_t number) {
    for (unsigned count = 1;; count += 4, number /= 10000) {
        if (number < 10) return count;
        if (number < 100) return count + 1;
        if (number < 1000) return count + 2;
        if (number < 10000) return count + 3;
    }
}

/* The line of a header, type, number, CR LF, at `out`; returns where it ends. REQUIRES: room; digit_count is
 * that of the absolute value. */
static inline uint8_t *lsm_resp_put_header(uint8_t *out, uint8_t type, int64_t number, unsigned digit_count) {
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    *out++ = type;
    if (number < 0) *out++ = '-';
    uint8_t *end = out + digit_count;
    for (uint8_t *p = end; p != out; left /= 10) *--p = (uint8_t)('0' + left % 10);
    end[0] = '\r';
    end[1] = '\n';
    return end + 2;
}

static inline int lsm_resp_write_header(lsm_resp_writer *w, uint8_t type, int64_t number) {
    unsigned digit_count = lsm_resp_digit_count(number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
    int status = lsm_resp_reserve(w, digit_count + (number < 0) + 3);
    if (status != LSM_OK) return status;
    w->size = (size_t)(lsm_resp_put_header(w->data + w->size, type, number, digit_count) - w->data);
    return LSM_OK;
}

/* REQUIRES: value.size <= LSM_RESP_SIZE_MAX. */
static inline int lsm_resp_write_bulk(lsm_resp_writer *w, lsm_slice value) {
    unsigned digit_count = lsm_resp_digit_count(value.size);
    int status = lsm_resp_reserve(w, digit_count + value.size + 5);
    if (status != LSM_OK) return status;
    uint8_t *p = lsm_resp_put_header(w->data + w->size, '$', (int64_t)value.size, digit_count);
    if (value.size != 0) memcpy(p, value.data, value.size);
    memcpy(p + value.size, "\r\n", 2);
    w->size = (size_t)(p + value.size + 2 - w->data);
    return LSM_OK;
}

/* A line of text: '+' a simple string, '-' an error, and the numbers of RESP3. CR and LF in it become
 * blanks. */
int lsm_resp_write_line(lsm_resp_writer *writer, uint8_t type, lsm_slice text);

int lsm_resp_write_null(lsm_resp_writer *writer);
int lsm_resp_write_null_array(lsm_resp_writer *writer);
int lsm_resp_write_boolean(lsm_resp_writer *writer, int is_true);

/* Numbers as text: ',' a double, '(' a big number. */
int lsm_resp_write_number(lsm_resp_writer *writer, uint8_t type, lsm_slice text);

/* A double as Redis prints it since 7.2, from the shortest digits that mean it: `shortest` is such a text in
 * the syntax of C, or inf, -inf, nan. Returns the size of `out`. REQUIRES: at most 17 digits beside zeros. */
size_t lsm_resp_format_double(uint8_t out[LSM_RESP_DOUBLE_SIZE_MAX], const char *shortest, double value);

/* `form` is what kind of text it is: "txt" or "mkd". */
int lsm_resp_write_verbatim(lsm_resp_writer *writer, const uint8_t form[3], lsm_slice text);

/* The header of an aggregate: '*', '~' or '>' with elements, '%' with pairs. REQUIRES: 0 <= count <= 2^62. */
int lsm_resp_write_aggregate(lsm_resp_writer *writer, uint8_t type, int64_t count);

#endif
