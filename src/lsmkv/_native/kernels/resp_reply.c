/* Tokens of replies: see resp_reply.h. */
#include "resp_reply.h"

#include <string.h>

enum { INPUT_ENDS = 0, READ = 1 };

static int fault(lsm_resp_replies *r, const char *what) {
    r->fault = what;
    return LSM_E_CORRUPT;
}

/* The text of the line at r->position, without its first byte. `behind` is where the line ends. */
static int read_line(lsm_resp_replies *r, const uint8_t *data, size_t size, lsm_resp_span *text,
                     size_t *behind) {
    const uint8_t *line = data + r->position;
    size_t reach = size - r->position;
    if (reach > LSM_RESP_LINE_SIZE_MAX + 1) reach = LSM_RESP_LINE_SIZE_MAX + 1;
    const uint8_t *end = memchr(line + r->scanned, '\r', reach - r->scanned);
    if (end == NULL) {
        r->scanned = reach;
        return reach > LSM_RESP_LINE_SIZE_MAX ? fault(r, "a line that does not end") : INPUT_ENDS;
    }
    r->scanned = (size_t)(end - line);
    if (end + 1 == data + size) return INPUT_ENDS;
    if (end[1] != '\n') return fault(r, "a line that does not end with CR LF");
    *text = (lsm_resp_span){r->position + 1, (size_t)(end - line) - 1};
    *behind = r->position + text->size + 3;
    return READ;
}

/* Integers may have a plus in front. */
static int is_integer(const uint8_t *text, size_t size, int64_t *number) {
    size_t plus = size > 1 && text[0] == '+' && text[1] != '-';
    return lsm_resp_decimal(text + plus, size - plus, number);
}

/* Skips what is a digit; how many. */
static size_t skip_digits(const uint8_t **p, const uint8_t *end) {
    const uint8_t *first = *p;
    while (*p != end && **p >= '0' && **p <= '9') (*p)++;
    return (size_t)(*p - first);
}

static const uint8_t *skip_sign(const uint8_t *p, const uint8_t *end) {
    return p != end && (*p == '-' || *p == '+') ? p + 1 : p;
}

static int is_big_number(const uint8_t *text, size_t size) {
    const uint8_t *end = text + size, *p = skip_sign(text, end);
    return size <= LSM_RESP_NUMBER_SIZE_MAX && skip_digits(&p, end) != 0 && p == end;
}

static int is_double(const uint8_t *text, size_t size) {
    const uint8_t *end = text + size, *p = skip_sign(text, end);
    if (end - p == 3 && (memcmp(p, "inf", 3) == 0 || memcmp(p, "nan", 3) == 0)) return 1;
    size_t digits = skip_digits(&p, end);
    if (p != end && *p == '.') {
        p++;
        digits += skip_digits(&p, end);
    }
    if (digits == 0) return 0;
    if (p != end && (*p | 0x20) == 'e') {
        p = skip_sign(p + 1, end);
        if (skip_digits(&p, end) == 0) return 0;
    }
    return size <= LSM_RESP_NUMBER_SIZE_MAX && p == end;
}

static int read_bulk(lsm_resp_replies *r, const uint8_t *data, size_t size, size_t begin,
                     lsm_resp_token *token) {
    size_t bulk_size = (size_t)token->number;
    if (bulk_size > r->bulk_size_max) return fault(r, "a string over the limit");
    if (size - begin < bulk_size + 2) {
        r->awaited = begin + bulk_size + 2;
        return INPUT_ENDS;
    }
    if (memcmp(data + begin + bulk_size, "\r\n", 2) != 0) return fault(r, "a string longer than announced");
    if (token->type == '=' && (bulk_size < 4 || data[begin + LSM_RESP_VERBATIM_FORM_SIZE] != ':')) {
        return fault(r, "a verbatim string without a form");
    }
    token->text = (lsm_resp_span){begin, bulk_size};
    r->position = begin + bulk_size + 2;
    r->scanned = 0;
    return READ;
}

/* What the text of the line means to its type; READ, or LSM_E_CORRUPT. */
static int read_value(lsm_resp_replies *r, const uint8_t *text, size_t size, lsm_resp_token *token) {
    switch (token->type) {
    case '+':
    case '-':
        return READ;
    case '(':
        return is_big_number(text, size) ? READ : fault(r, "no big number");
    case ',':
        return is_double(text, size) ? READ : fault(r, "no double");
    case '_':
        return size == 0 ? READ : fault(r, "a null with a value");
    case '#':
        token->number = size == 1 && text[0] == 't';
        return size == 1 && (text[0] == 't' || text[0] == 'f') ? READ : fault(r, "no boolean");
    case ':':
        return is_integer(text, size, &token->number) ? READ : fault(r, "no integer of 64 bits");
    case '$':
    case '*':
    case '!':
    case '=':
    case '~':
    case '>':
    case '%':
    case '|':
        if (!lsm_resp_decimal(text, size, &token->number)) return fault(r, "no size");
        if (token->number == -1 && (token->type == '$' || token->type == '*')) token->type = '_';
        return token->number >= 0 || token->type == '_' ? READ : fault(r, "no size");
    default:
        return fault(r, "no type of reply");
    }
}

int lsm_resp_next_token(lsm_resp_replies *r, const uint8_t *data, size_t size, lsm_resp_token *token) {
    size_t behind, quick_number;
    r->awaited = 0;
    if (r->fault != NULL) return LSM_E_CORRUPT;
    if (r->position == size) return INPUT_ENDS;
    token->type = data[r->position];
    size_t quick = 0;
    if (token->type == '$') quick = lsm_resp_quick_number(data + r->position, data + size, &quick_number);
    if (LSM_LIKELY(quick != 0 && data[r->position + quick - 1] == '\n')) {
        token->number = (int64_t)quick_number;
        return read_bulk(r, data, size, r->position + quick, token);
    }
    int status = read_line(r, data, size, &token->text, &behind);
    if (status != READ) return status;
    status = read_value(r, data + token->text.offset, token->text.size, token);
    if (status != READ) return status;
    if (token->type == '$' || token->type == '!' || token->type == '=') {
        return read_bulk(r, data, size, behind, token);
    }
    r->position = behind;
    r->scanned = 0;
    return READ;
}
