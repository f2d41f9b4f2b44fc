/* Writing replies: see resp_writer.h. */
#include "resp_writer.h"

#include <stdio.h>
#include <stdlib.h>

#include "allocator.h"

enum { CAPACITY_MIN = 512 };

void lsm_resp_writer_release(lsm_resp_writer *w) {
    lsm_free(w->data);
    w->data = NULL;
    w->size = w->capacity = 0;
}

void lsm_resp_writer_clear(lsm_resp_writer *w) {
    w->size = 0;
    if (w->capacity > LSM_RESP_OUTPUT_KEPT_MAX) lsm_resp_writer_release(w);
}

__attribute__((noinline)) int lsm_resp_writer_grow(lsm_resp_writer *w, size_t size) {
    if (size > w->size_max - w->size) return LSM_E_LIMIT;
    size_t capacity = w->capacity * 2;
    if (capacity < CAPACITY_MIN) capacity = CAPACITY_MIN;
    if (capacity < w->size + size) capacity = w->size + size;
    /* Also what keeps the quick check of lsm_resp_reserve true to the limit. */
    if (capacity > w->size_max) capacity = w->size_max;
    uint8_t *grown = lsm_realloc(w->data, capacity);
    if (grown == NULL) return LSM_E_MEMORY;
    w->data = grown;
    w->capacity = capacity;
    return LSM_OK;
}

static int write_text(lsm_resp_writer *w, const char *text, size_t size) {
    int status = lsm_resp_reserve(w, size);
    if (status != LSM_OK) return status;
    memcpy(w->data + w->size, text, size);
    w->size += size;
    return LSM_OK;
}

#define WRITE_LITERAL(writer, literal) write_text(writer, literal, sizeof(literal) - 1)

int lsm_resp_write_line(lsm_resp_writer *w, uint8_t type, lsm_slice text) {
    int status = lsm_resp_reserve(w, text.size + 3);
    if (status != LSM_OK) return status;
    uint8_t *p = w->data + w->size;
    *p++ = type;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        *p++ = c == '\r' || c == '\n' ? ' ' : c;
    }
    memcpy(p, "\r\n", 2);
    w->size += text.size + 3;
    return LSM_OK;
}

int lsm_resp_write_null(lsm_resp_writer *w) {
    return w->protocol == 2 ? WRITE_LITERAL(w, "$-1\r\n") : WRITE_LITERAL(w, "_\r\n");
}

int lsm_resp_write_null_array(lsm_resp_writer *w) {
    return w->protocol == 2 ? WRITE_LITERAL(w, "*-1\r\n") : WRITE_LITERAL(w, "_\r\n");
}

int lsm_resp_write_boolean(lsm_resp_writer *w, int is_true) {
    if (w->protocol == 2) return is_true ? WRITE_LITERAL(w, ":1\r\n") : WRITE_LITERAL(w, ":0\r\n");
    return is_true ? WRITE_LITERAL(w, "#t\r\n") : WRITE_LITERAL(w, "#f\r\n");
}

int lsm_resp_write_number(lsm_resp_writer *w, uint8_t type, lsm_slice text) {
    return w->protocol == 2 ? lsm_resp_write_bulk(w, text) : lsm_resp_write_line(w, type, text);
}

/* The digits of a number without zeros at either end: value = digits * 10^exponent. */
typedef struct decimal {
    char digits[LSM_RESP_DOUBLE_SIZE_MAX];
    int count;
    int exponent;
} decimal;

static decimal read_digits(const char *text) {
    decimal d = {.count = 0};
    int is_fraction = 0;
    for (; *text != 0 && *text != 'e'; text++) {
        if (*text == '.') is_fraction = 1;
        if (*text < '0' || *text > '9') continue;
        d.exponent -= is_fraction;
        if ((d.count != 0 || *text != '0') && d.count < (int)sizeof d.digits) d.digits[d.count++] = *text;
    }
    if (*text == 'e') d.exponent += atoi(text + 1);
    while (d.count != 0 && d.digits[d.count - 1] == '0') {
        d.count--;
        d.exponent++;
    }
    return d;
}

static int point_of(const decimal *d) { return d->count + d->exponent; }

size_t lsm_resp_format_double(uint8_t out[LSM_RESP_DOUBLE_SIZE_MAX], const char *shortest, double value) {
    static const char zeros[] = "0000000"; /* no text below has more in front or behind */
    char *text = (char *)out;
    size_t capacity = LSM_RESP_DOUBLE_SIZE_MAX;
    const char *sign = *shortest == '-' ? "-" : "";
    if (value - value != 0) return (size_t)snprintf(text, capacity, "%s", shortest);
    if (value >= -0x1p62 && value <= 0x1p62 && value == (double)(int64_t)value) {
        if (value == 0) return (size_t)snprintf(text, capacity, "%s0", sign);
        return (size_t)snprintf(text, capacity, "%lld", (long long)value);
    }
    decimal d = read_digits(shortest);
    int magnitude = abs(point_of(&d) - 1), point = point_of(&d);
    if (d.exponent >= 0 && magnitude < d.count + 7) {
        return (size_t)snprintf(text, capacity, "%s%.*s%.*s", sign, d.count, d.digits, d.exponent, zeros);
    }
    if (d.exponent < 0 && (d.exponent > -7 || magnitude < 4)) {
        if (point <= 0) {
            return (size_t)snprintf(text, capacity, "%s0.%.*s%.*s", sign, -point, zeros, d.count, d.digits);
        }
        return (size_t)snprintf(text, capacity, "%s%.*s.%.*s", sign, point, d.digits, d.count - point,
                                d.digits + point);
    }
    return (size_t)snprintf(text, capacity, "%s%c%s%.*se%+d", sign, d.digits[0], d.count > 1 ? "." : "",
                            d.count - 1, d.digits + 1, point - 1);
}

int lsm_resp_write_verbatim(lsm_resp_writer *w, const uint8_t form[3], lsm_slice text) {
    if (w->protocol == 2) return lsm_resp_write_bulk(w, text);
    unsigned digit_count = lsm_resp_digit_count(text.size + 4);
    int status = lsm_resp_reserve(w, digit_count + text.size + 9);
    if (status != LSM_OK) return status;
    uint8_t *p = lsm_resp_put_header(w->data + w->size, '=', (int64_t)text.size + 4, digit_count);
    memcpy(p, form, 3);
    p[3] = ':';
    if (text.size != 0) memcpy(p + 4, text.data, text.size);
    memcpy(p + 4 + text.size, "\r\n", 2);
    w->size = (size_t)(p + text.size + 6 - w->data);
    return LSM_OK;
}

int lsm_resp_write_aggregate(lsm_resp_writer *w, uint8_t type, int64_t count) {
    if (w->protocol == 2) return lsm_resp_write_header(w, '*', type == '%' ? 2 * count : count);
    return lsm_resp_write_header(w, type, count);
}
