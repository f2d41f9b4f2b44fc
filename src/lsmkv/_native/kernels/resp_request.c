/* Reading commands, see resp.h: each step reads one piece whole, or leaves the parser as it was. */
#include "resp.h"

#include <stdio.h>
#include <string.h>

#include "allocator.h"

enum { SPANS_MIN = 64, COMMANDS_MIN = 32 };

/* What a step returns beside a negative status. */
enum { INPUT_ENDS = LSM_OK, GO_ON = 1, NO_NUMBER = 2 };

void lsm_resp_release(lsm_resp_requests *r) {
    lsm_free(r->spans);
    lsm_free(r->commands);
    r->spans = NULL;
    r->commands = NULL;
}

static int fault(lsm_resp_requests *r, int what) {
    r->fault = what;
    return LSM_E_CORRUPT;
}

/* --- the arrays ----------------------------------------------------------------------------------------- */

static __attribute__((noinline, cold)) int grow_spans(lsm_resp_requests *r, size_t count) {
    size_t capacity = r->span_capacity < SPANS_MIN ? SPANS_MIN : r->span_capacity;
    while (capacity - r->span_count < count) capacity *= 2;
    lsm_resp_span *grown = lsm_realloc(r->spans, capacity * sizeof *grown);
    if (grown == NULL) return LSM_E_MEMORY;
    r->spans = grown;
    r->span_capacity = capacity;
    return LSM_OK;
}

static inline int reserve_spans(lsm_resp_requests *r, size_t count) {
    return LSM_LIKELY(r->span_capacity - r->span_count >= count) ? LSM_OK : grow_spans(r, count);
}

static int reserve_command(lsm_resp_requests *r) {
    if (LSM_LIKELY(r->command_count != r->command_capacity)) return LSM_OK;
    size_t capacity = r->command_capacity == 0 ? COMMANDS_MIN : r->command_capacity * 2;
    lsm_resp_command *grown = lsm_realloc(r->commands, capacity * sizeof *grown);
    if (grown == NULL) return LSM_E_MEMORY;
    r->commands = grown;
    r->command_capacity = capacity;
    return LSM_OK;
}

/* Only advice: where there is no memory to make it smaller it stays. */
static void shrink_arrays(lsm_resp_requests *r) {
    if (r->command_count != 0) return;
    if (r->span_capacity > LSM_RESP_KEPT_MAX && r->span_count <= LSM_RESP_KEPT_MAX) {
        lsm_resp_span *spans = lsm_realloc(r->spans, LSM_RESP_KEPT_MAX * sizeof *spans);
        if (spans != NULL) {
            r->spans = spans;
            r->span_capacity = LSM_RESP_KEPT_MAX;
        }
    }
    if (r->command_capacity > LSM_RESP_KEPT_MAX) {
        lsm_resp_command *commands = lsm_realloc(r->commands, LSM_RESP_KEPT_MAX * sizeof *commands);
        if (commands != NULL) {
            r->commands = commands;
            r->command_capacity = LSM_RESP_KEPT_MAX;
        }
    }
}

/* REQUIRES: reserve_command. All up to r->position belongs to commands that are complete. */
static inline void finish_command(lsm_resp_requests *r) {
    if (r->span_count != r->first_span) {
        r->commands[r->command_count++] =
            (lsm_resp_command){r->first_span, r->span_count - r->first_span, r->position};
    }
    r->first_span = r->span_count;
    r->begin = r->position;
}

/* --- lines ---------------------------------------------------------------------------------------------- */

/* Looks for the byte that ends the line at r->position: GO_ON and where it is, INPUT_ENDS, or `too_long`. */
static int find_end(lsm_resp_requests *r, const uint8_t *data, size_t size, uint8_t byte, int too_long,
                    size_t *found) {
    const uint8_t *line = data + r->position;
    size_t reach = size - r->position;
    if (reach > LSM_RESP_LINE_SIZE_MAX + 1) reach = LSM_RESP_LINE_SIZE_MAX + 1;
    const uint8_t *end = memchr(line + r->scanned, byte, reach - r->scanned);
    if (end != NULL) {
        *found = (size_t)(end - data);
        return GO_ON;
    }
    r->scanned = reach;
    return reach > LSM_RESP_LINE_SIZE_MAX ? fault(r, too_long) : INPUT_ENDS;
}

/* The number in the line at r->position, whatever its first byte: GO_ON, NO_NUMBER, INPUT_ENDS or `too_long`.
 * `behind` is where the line ends, CR and one more byte included. */
static int read_number(lsm_resp_requests *r, const uint8_t *data, size_t size, int too_long, int64_t *number,
                       size_t *behind) {
    size_t quick_number, line_end;
    size_t quick = lsm_resp_quick_number(data + r->position, data + size, &quick_number);
    if (LSM_LIKELY(quick != 0)) {
        *number = (int64_t)quick_number;
        *behind = r->position + quick;
        return GO_ON;
    }
    int status = find_end(r, data, size, '\r', too_long, &line_end);
    if (status != GO_ON) return status;
    if (line_end + 2 > size) return INPUT_ENDS;
    *behind = line_end + 2;
    if (line_end == r->position) return NO_NUMBER; /* not even a first byte */
    size_t digit_count = line_end - r->position - 1;
    return lsm_resp_decimal(data + r->position + 1, digit_count, number) ? GO_ON : NO_NUMBER;
}

/* --- the two kinds of command --------------------------------------------------------------------------- */

static int read_count(lsm_resp_requests *r, const uint8_t *data, size_t size) {
    int64_t count;
    size_t behind;
    int status = read_number(r, data, size, LSM_RESP_LONG_COUNT, &count, &behind);
    if (status < GO_ON) return status;
    const lsm_resp_limits *limits = &r->limits;
    if (status == NO_NUMBER || count > (int64_t)limits->argument_count_max) {
        return fault(r, LSM_RESP_BAD_COUNT);
    }
    if (limits->is_restricted && count > LSM_RESP_RESTRICTED_ARGUMENTS_MAX) {
        return fault(r, LSM_RESP_RESTRICTED_COUNT);
    }
    if (count > 0) {
        size_t least = behind - r->position + (size_t)count * LSM_RESP_ARGUMENT_SIZE_MIN;
        if (least > limits->command_size_max) return fault(r, LSM_RESP_LARGE_COMMAND);
        r->arguments_left = (size_t)count;
    }
    r->position = behind;
    r->scanned = 0;
    if (count <= 0) r->begin = behind;
    return GO_ON;
}

static int read_bulk_size(lsm_resp_requests *r, const uint8_t *data, size_t size) {
    int64_t bulk_size;
    size_t behind;
    int status = read_number(r, data, size, LSM_RESP_LONG_BULK_SIZE, &bulk_size, &behind);
    if (status < GO_ON) return status;
    if (data[r->position] != '$') {
        r->found = data[r->position];
        return fault(r, LSM_RESP_NO_BULK);
    }
    const lsm_resp_limits *limits = &r->limits;
    if (status == NO_NUMBER || bulk_size < 0 || bulk_size > (int64_t)limits->bulk_size_max) {
        return fault(r, LSM_RESP_BAD_BULK_SIZE);
    }
    if (limits->is_restricted && bulk_size > LSM_RESP_RESTRICTED_BULK_SIZE_MAX) {
        return fault(r, LSM_RESP_RESTRICTED_BULK_SIZE);
    }
    size_t command_size = behind - r->begin + (size_t)bulk_size + 2;
    if (command_size > limits->command_size_max) return fault(r, LSM_RESP_LARGE_COMMAND);
    r->position = behind;
    r->scanned = 0;
    r->bulk_size = (size_t)bulk_size;
    r->in_bulk = 1;
    return GO_ON;
}

static int read_arguments(lsm_resp_requests *r, const uint8_t *data, size_t size) {
    while (r->arguments_left != 0) {
        if (!r->in_bulk) {
            int status = read_bulk_size(r, data, size);
            if (status != GO_ON) return status;
        }
        size_t wanted = r->bulk_size + 2;
        if (size - r->position < wanted) {
            r->awaited = r->position + wanted;
            return INPUT_ENDS;
        }
        if (reserve_spans(r, 1) != LSM_OK) return LSM_E_MEMORY;
        r->spans[r->span_count++] = (lsm_resp_span){r->position, r->bulk_size};
        r->position += wanted;
        r->in_bulk = 0;
        r->arguments_left--;
    }
    finish_command(r);
    return GO_ON;
}

static int read_inline(lsm_resp_requests *r, uint8_t *data, size_t size) {
    size_t line_end;
    int status = find_end(r, data, size, '\n', LSM_RESP_LONG_INLINE, &line_end);
    if (status != GO_ON) return status;
    size_t line_size = line_end - r->position;
    if (line_size != 0 && data[line_end - 1] == '\r') line_size--;
    /* Before a byte is decoded: what was decoded cannot be read again. */
    if (reserve_spans(r, lsm_resp_inline_arguments_max(line_size)) != LSM_OK) return LSM_E_MEMORY;
    lsm_resp_span *spans = r->spans + r->span_count;
    int64_t count = lsm_resp_split(data + r->position, line_size, spans);
    if (count < 0) return fault(r, LSM_RESP_UNBALANCED_QUOTES);
    for (int64_t i = 0; i < count; i++) spans[i].offset += r->position;
    r->span_count += (size_t)count;
    r->position = line_end + 1;
    r->scanned = 0;
    finish_command(r);
    return GO_ON;
}

int lsm_resp_parse(lsm_resp_requests *r, uint8_t *data, size_t size, size_t waiting_max) {
    int status = GO_ON;
    r->awaited = 0;
    if (r->fault != LSM_RESP_SOUND) return LSM_E_CORRUPT;
    while (status == GO_ON && lsm_resp_waiting(r) < waiting_max) {
        /* So that a command, once begun, can be finished. */
        if (reserve_command(r) != LSM_OK) return LSM_E_MEMORY;
        if (r->arguments_left != 0) {
            status = read_arguments(r, data, size);
        } else if (r->position == size) {
            status = INPUT_ENDS;
        } else if (data[r->position] == '*') {
            status = read_count(r, data, size);
        } else {
            status = read_inline(r, data, size);
        }
    }
    return status < 0 ? status : LSM_OK;
}

/* --- afterwards ----------------------------------------------------------------------------------------- */

/* What was taken leaves the arrays once it is most of them, so that each element moves a bounded number of
 * times however little is taken at once. */
static void compact_arrays(lsm_resp_requests *r) {
    size_t waiting = lsm_resp_waiting(r);
    if (waiting != 0 && (r->taken < LSM_RESP_KEPT_MAX || r->taken < waiting)) return;
    size_t first = waiting == 0 ? r->first_span : r->commands[r->taken].first;
    r->span_count -= first;
    r->first_span -= first;
    if (r->span_count != 0) memmove(r->spans, r->spans + first, r->span_count * sizeof *r->spans);
    if (waiting != 0) memmove(r->commands, r->commands + r->taken, waiting * sizeof *r->commands);
    for (size_t i = 0; i < waiting; i++) r->commands[i].first -= first;
    r->command_count = waiting;
    r->taken = 0;
    shrink_arrays(r);
}

void lsm_resp_take(lsm_resp_requests *r, size_t count) {
    LSM_ASSERT(count <= lsm_resp_waiting(r));
    if (count == 0) return;
    r->taken += count;
    r->done = r->commands[r->taken - 1].end;
    compact_arrays(r);
}

size_t lsm_resp_discardable(const lsm_resp_requests *r) {
    return lsm_resp_waiting(r) == 0 ? r->begin : r->done;
}

void lsm_resp_shift(lsm_resp_requests *r, size_t size) {
    LSM_ASSERT(size <= lsm_resp_discardable(r));
    size_t first = lsm_resp_waiting(r) == 0 ? r->first_span : r->commands[r->taken].first;
    for (size_t i = first; i < r->span_count; i++) r->spans[i].offset -= size;
    for (size_t i = r->taken; i < r->command_count; i++) r->commands[i].end -= size;
    r->done = r->done > size ? r->done - size : 0;
    r->awaited = r->awaited > size ? r->awaited - size : 0;
    r->begin -= size;
    r->position -= size;
}

size_t lsm_resp_fault_text(const lsm_resp_requests *r, char out[LSM_RESP_FAULT_TEXT_SIZE]) {
    static const char *const texts[] = {
        [LSM_RESP_SOUND] = "",
        [LSM_RESP_BAD_COUNT] = "invalid multibulk length",
        [LSM_RESP_RESTRICTED_COUNT] = "unauthenticated multibulk length",
        [LSM_RESP_LONG_COUNT] = "too big mbulk count string",
        [LSM_RESP_BAD_BULK_SIZE] = "invalid bulk length",
        [LSM_RESP_RESTRICTED_BULK_SIZE] = "unauthenticated bulk length",
        [LSM_RESP_LONG_BULK_SIZE] = "too big bulk count string",
        [LSM_RESP_NO_BULK] = "expected '$', got '",
        [LSM_RESP_LONG_INLINE] = "too big inline request",
        [LSM_RESP_UNBALANCED_QUOTES] = "unbalanced quotes in request",
        [LSM_RESP_LARGE_COMMAND] = "too big request",
    };
    size_t size = (size_t)snprintf(out, LSM_RESP_FAULT_TEXT_SIZE, "Protocol error: %s", texts[r->fault]);
    if (r->fault == LSM_RESP_NO_BULK) {
        out[size++] = (char)(r->found == '\r' || r->found == '\n' ? ' ' : r->found);
        out[size++] = '\'';
    }
    return size;
}
