/* Requests in RESP, the protocol of Redis (redis.io/docs/latest/develop/reference/protocol-spec): from bytes
 * to arguments, without copying one.
 *
 * The caller owns the input, a buffer that grows at its end, and calls lsm_resp_parse whenever it has grown.
 * Whole commands then wait in `commands`, in order; their arguments are spans of the input. A command that is
 * not all there is read as far as it goes and resumed at the next call, so no byte is looked at twice. The
 * caller takes commands from the front (lsm_resp_take); what lies before lsm_resp_discardable may then leave
 * the buffer, and lsm_resp_shift tells the parser that the rest has moved.
 *
 * What Redis takes is taken, what it refuses is refused in its words: arrays of bulk strings, and inline
 * commands with the quoting of its sdssplitargs. As there, nothing looks at the byte behind a CR nor at the
 * two bytes behind a bulk string, and a command of no arguments (an empty line, *0, *-1) is nothing at all.
 * Different from Redis: results never depend on how the input was cut, so a line is too long wherever it
 * ends beyond 64 KiB; a NUL byte is a byte like others; and the size of a whole command has a limit.
 *
 * Limits are checked on the numbers that a client announces, before anything is allocated for them. What is
 * allocated grows with the bytes that have come in: 16 bytes an argument, 24 a command.
 *
 * The input is written to in one case: a quoted argument of an inline command is decoded in its place.
 */
#ifndef LSMKV_RESP_H
#define LSMKV_RESP_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

enum lsm_resp_limit {
    LSM_RESP_LINE_SIZE_MAX = 64 * 1024,     /* bytes before the end of a line */
    LSM_RESP_RESTRICTED_ARGUMENTS_MAX = 10, /* before authentication */
    LSM_RESP_RESTRICTED_BULK_SIZE_MAX = 16 * 1024,
    LSM_RESP_ARGUMENT_SIZE_MIN = 6, /* bytes of the shortest argument: $0 CR LF CR LF */
    LSM_RESP_KEPT_MAX = 256,        /* spans, and commands, that stay allocated when nothing waits */
    LSM_RESP_FAULT_TEXT_SIZE = 64
};

#define LSM_RESP_SIZE_MAX ((size_t)1 << 40) /* no limit may be above: sums of sizes cannot overflow */

/* May change between two calls of lsm_resp_parse; each at most LSM_RESP_SIZE_MAX. */
typedef struct lsm_resp_limits {
    size_t argument_count_max; /* of a multibulk command; an inline one is limited by its line */
    size_t bulk_size_max;      /* bytes of one argument */
    size_t command_size_max;   /* bytes of a multibulk command as sent */
    int is_restricted;         /* whether the smaller limits from before authentication hold, too */
} lsm_resp_limits;

enum lsm_resp_fault {
    LSM_RESP_SOUND = 0,
    LSM_RESP_BAD_COUNT,
    LSM_RESP_RESTRICTED_COUNT,
    LSM_RESP_LONG_COUNT,
    LSM_RESP_BAD_BULK_SIZE,
    LSM_RESP_RESTRICTED_BULK_SIZE,
    LSM_RESP_LONG_BULK_SIZE,
    LSM_RESP_NO_BULK,
    LSM_RESP_LONG_INLINE,
    LSM_RESP_UNBALANCED_QUOTES,
    LSM_RESP_LARGE_COMMAND
};

/* Bytes [offset, offset + size) of the input. */
typedef struct lsm_resp_span {
    size_t offset;
    size_t size;
} lsm_resp_span;

typedef struct lsm_resp_command {
    size_t first; /* index of its first span */
    size_t count; /* of arguments, at least 1 */
    size_t end;   /* where it ends in the input */
} lsm_resp_command;

/* Zeroed at first, but for the limits. */
typedef struct lsm_resp_requests {
    lsm_resp_limits limits;
    lsm_resp_span *spans;       /* owned; of the waiting commands, then of the one being read */
    lsm_resp_command *commands; /* owned; [taken, command_count) wait */
    size_t span_count, span_capacity;
    size_t command_count, command_capacity;
    size_t taken;
    size_t done; /* where the last command that was taken ends in the input, if others still wait */
    /* The command that is being read. */
    size_t begin;          /* where it begins in the input */
    size_t position;       /* how far it has been read */
    size_t scanned;        /* so many bytes from there on hold no end of a line */
    size_t first_span;
    size_t arguments_left; /* 0 = its first line has not been read */
    size_t bulk_size;      /* of the argument at `position`, if its size has been read */
    int in_bulk;
    size_t awaited; /* the size of the input with which that argument is whole, 0 = not known */
    int fault;      /* enum lsm_resp_fault; for ever */
    uint8_t found;  /* instead of '$' */
} lsm_resp_requests;

void lsm_resp_release(lsm_resp_requests *requests);

/* Reads on in data[0 .. size), until `waiting_max` commands wait, or all is read, or something is wrong.
 * LSM_OK; LSM_E_CORRUPT at a fault, which comes behind the commands that wait; LSM_E_MEMORY, and the call can
 * be repeated. REQUIRES: bytes before `size` of the last call are the same, moved as lsm_resp_shift was
 * told. */
int lsm_resp_parse(lsm_resp_requests *requests, uint8_t *data, size_t size, size_t waiting_max);

/* The first `count` waiting commands are done with. */
void lsm_resp_take(lsm_resp_requests *requests, size_t count);

/* So many bytes at the front of the input are not needed any more. */
size_t lsm_resp_discardable(const lsm_resp_requests *requests);

/* The first `size` bytes have left the input. REQUIRES: size <= lsm_resp_discardable. */
void lsm_resp_shift(lsm_resp_requests *requests, size_t size);

/* What Redis says about the fault, without "ERR "; its size. It may hold any byte that a client sent. */
size_t lsm_resp_fault_text(const lsm_resp_requests *requests, char out[LSM_RESP_FAULT_TEXT_SIZE]);

/* The arguments of an inline command, decoded in place, as spans of `line`: how many, or -1 for unbalanced
 * quotes. REQUIRES: room for lsm_resp_inline_arguments_max spans. */
int64_t lsm_resp_split(uint8_t *line, size_t size, lsm_resp_span *spans);

static inline size_t lsm_resp_inline_arguments_max(size_t line_size) { return (line_size + 1) / 2; }

static inline size_t lsm_resp_waiting(const lsm_resp_requests *requests) {
    return requests->command_count - requests->taken;
}

/* What is waiting, for walking over it. Good until the parser or the input changes. */
typedef struct lsm_resp_batch {
    const uint8_t *data;
    const lsm_resp_span *spans;
    const lsm_resp_command *commands;
    size_t count; /* of commands */
} lsm_resp_batch;

static inline lsm_resp_batch lsm_resp_waiting_batch(const lsm_resp_requests *requests, const uint8_t *data) {
    const lsm_resp_command *first = requests->commands == NULL ? NULL : requests->commands + requests->taken;
    return (lsm_resp_batch){data, requests->spans, first, lsm_resp_waiting(requests)};
}

/* REQUIRES: command_index < batch->count, argument_index < its count. */
static inline lsm_slice lsm_resp_argument(const lsm_resp_batch *batch, size_t command_index,
                                          size_t argument_index) {
    lsm_resp_span span = batch->spans[batch->commands[command_index].first + argument_index];
    return (lsm_slice){batch->data + span.offset, span.size};
}

/* --- numbers, for both directions of the protocol ------------------------------------------------------- */

/* A decimal number as Redis reads it: no blank, no plus, no zero in front. 1, or 0 for anything else. */
static inline int lsm_resp_decimal(const uint8_t *text, size_t size, int64_t *out) {
    if (size == 1 && text[0] == '0') {
        *out = 0;
        return 1;
    }
    int is_negative = size != 0 && text[0] == '-';
    const uint8_t *p = text + is_negative, *end = text + size;
    if (p == end || *p < '1' || *p > '9') return 0;
    int64_t value = 0;
    for (; p != end; p++) {
        if (*p < '0' || *p > '9') return 0;
        int64_t digit = *p - '0';
        /* Downwards, for the one number that has no positive counterpart. */
        if (__builtin_mul_overflow(value, (int64_t)10, &value)) return 0;
        if (__builtin_sub_overflow(value, digit, &value)) return 0;
    }
    return !__builtin_mul_overflow(value, (int64_t)(is_negative ? 1 : -1), out);
}

enum { LSM_RESP_QUICK_DIGITS = 10 };

/* The usual line of a number, whole in [line, end): a type byte, 1 to 10 digits, CR and one more byte.
 * Returns its size, or 0 when it has to be looked at more closely. */
static inline size_t lsm_resp_quick_number(const uint8_t *line, const uint8_t *end, size_t *out) {
    if (end - line < 4) return 0;
    unsigned digit = (unsigned)line[1] - '0';
    if (digit > 9) return 0;
    size_t value = digit;
    const uint8_t *p = line + 2;
    const uint8_t *limit = end - line > LSM_RESP_QUICK_DIGITS + 1 ? line + LSM_RESP_QUICK_DIGITS + 1 : end;
    while (p != limit && (digit = (unsigned)*p - '0') <= 9) {
        value = value * 10 + digit;
        p++;
    }
    if (end - p < 2 || *p != '\r') return 0;
    if (line[1] == '0' && p != line + 2) return 0;
    *out = value;
    return (size_t)(p - line) + 2;
}

#endif
