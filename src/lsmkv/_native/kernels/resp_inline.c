/* Inline commands: a line of words as a person types it, see resp.h. */
#include "resp.h"

static inline int is_blank(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* What ends a word outside quotes; a vertical tab and a form feed do not. */
static inline int ends_word(uint8_t c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static int hexadecimal(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint8_t escaped(uint8_t c) {
    switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return c;
    }
}

/* The line while it is being split. What has been decoded never overtakes what has been read. */
typedef struct splitter {
    const uint8_t *next;
    const uint8_t *end;
    uint8_t *out;
} splitter;

/* Behind a closing quote comes a blank or nothing. */
static int at_end_of_quoted(const splitter *s) { return s->next == s->end || is_blank(*s->next); }

/* From behind the opening quote to behind the closing one: 0, or -1 when there is none. */
static int copy_double_quoted(splitter *s) {
    while (s->next != s->end) {
        uint8_t c = *s->next++;
        size_t left = (size_t)(s->end - s->next);
        if (c == '"') return at_end_of_quoted(s) ? 0 : -1;
        if (c == '\\' && left >= 3 && s->next[0] == 'x' && hexadecimal(s->next[1]) >= 0
            && hexadecimal(s->next[2]) >= 0) {
            c = (uint8_t)(hexadecimal(s->next[1]) * 16 + hexadecimal(s->next[2]));
            s->next += 3;
        } else if (c == '\\' && left >= 1) {
            c = escaped(*s->next++);
        }
        *s->out++ = c;
    }
    return -1;
}

static int copy_single_quoted(splitter *s) {
    while (s->next != s->end) {
        uint8_t c = *s->next++;
        if (c == '\'') return at_end_of_quoted(s) ? 0 : -1;
        if (c == '\\' && s->next != s->end && *s->next == '\'') c = *s->next++;
        *s->out++ = c;
    }
    return -1;
}

/* One word, which may turn into a quoted one and then ends with its quote. */
static int copy_word(splitter *s) {
    while (s->next != s->end && !ends_word(*s->next)) {
        uint8_t c = *s->next++;
        if (c == '"') return copy_double_quoted(s);
        if (c == '\'') return copy_single_quoted(s);
        *s->out++ = c;
    }
    return 0;
}

int64_t lsm_resp_split(uint8_t *line, size_t size, lsm_resp_span *spans) {
    splitter s = {line, line + size, line};
    int64_t count = 0;
    for (;;) {
        while (s.next != s.end && is_blank(*s.next)) s.next++;
        if (s.next == s.end) return count;
        uint8_t *begin = line + (s.next - line);
        s.out = begin;
        if (copy_word(&s) != 0) return -1;
        spans[count++] = (lsm_resp_span){(size_t)(begin - line), (size_t)(s.out - begin)};
    }
}
