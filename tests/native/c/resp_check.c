/* Runs the kernels of RESP under sanitizers, over junk made of pieces of the protocol.
 *
 *     resp_check requests SEED ROUNDS     cut anywhere, taken in any number: the same as in one go
 *     resp_check replies SEED ROUNDS      the same, token by token
 *     resp_check writer SEED ROUNDS       sizes, limits and failing allocations
 *
 * What has come in lies in allocations of its exact size, moved at every step, so a sanitizer sees any read
 * beyond and any use of what was there before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator.h"
#include "check.h"
#include "resp.h"
#include "resp_input.h"
#include "resp_reply.h"
#include "resp_writer.h"

enum { INPUT_SIZE_MAX = 4096, RESULT_SIZE_MAX = 16384, PIECES_MAX = 40 };

static const char *const request_pieces[] = {
    "*0\r\n", "*1\r\n", "*2\r\n", "*3\r\n", "*-1\r\n", "*01\r\n", "*9999999999\r\n", "*x\r\n", "$0\r\n\r\n",
    "$1\r\na\r\n", "$3\r\nGET\r\n", "$5\r\nab\r\n\r\n\r\n", "$-1\r\n", "$99999999999999999999\r\n", "\r\n",
    "\n", "\r", " ", "PING\r\n", "GET a b\n", "\"a b\" ", "\"\\x41\\n", "\"", "'", "'a\\'b' ", "\\", "*",
    "$", "+OK\r\n", "*1\r\n$1\r\nz\r\n", "*2\r\n$2\r\nab\r\n$0\r\n\r\n",
};

static const char *const reply_pieces[] = {
    "+OK\r\n", "-ERR\r\n", ":1\r\n", ":+7\r\n", ":-9223372036854775808\r\n", ":9223372036854775808\r\n",
    "$0\r\n\r\n", "$1\r\na\r\n", "$-1\r\n", "$3\r\na\r\n\r\n", "$2\r\na\r\n", "*2\r\n", "*-1\r\n", "*?\r\n",
    "%1\r\n", "~1\r\n", ">1\r\n", "|1\r\n", "_\r\n", "#t\r\n", "#x\r\n", ",1.5e-3\r\n", ",inf\r\n",
    ",.\r\n", ",1e\r\n", "(12345678901234567890\r\n", "(-\r\n", "=7\r\ntxt:abc\r\n", "=3\r\ntxt\r\n",
    "!3\r\nERR\r\n", "\r", "\n", "x",
};

/* A generation: how results of one way of reading are written down. */
typedef struct transcript {
    uint8_t data[RESULT_SIZE_MAX];
    size_t size;
} transcript;

static void note(transcript *t, const void *data, size_t size) {
    CHECK(size + sizeof size <= RESULT_SIZE_MAX - t->size, "the transcript is full");
    memcpy(t->data + t->size, &size, sizeof size);
    if (size != 0) memcpy(t->data + t->size + sizeof size, data, size);
    t->size += sizeof size + size;
}

static size_t make_junk(uint8_t *out, const char *const *pieces, size_t piece_count) {
    size_t size = 0;
    for (uint64_t left = 1 + random_next() % PIECES_MAX; left > 0; left--) {
        const char *piece = pieces[random_next() % piece_count];
        memcpy(out + size, piece, strlen(piece));
        size += strlen(piece);
        if (random_next() % 32 == 0) out[size++] = (uint8_t)random_next();
    }
    return size;
}

/* The bytes that are there, in a fresh allocation without one byte more. */
static uint8_t *moved(uint8_t *old, size_t old_size, size_t discarded, const uint8_t *more,
                      size_t more_size) {
    size_t kept = old_size - discarded;
    uint8_t *fresh = malloc(kept + more_size);
    CHECK(fresh != NULL || kept + more_size == 0, "out of memory");
    if (kept != 0) memcpy(fresh, old + discarded, kept);
    if (more_size != 0) memcpy(fresh + kept, more, more_size);
    free(old);
    return fresh;
}

/* --- requests ------------------------------------------------------------------------------------------- */

static int parse(lsm_resp_requests *requests, uint8_t *data, size_t size, size_t waiting_max) {
    lsm_memory_state *memory = lsm_memory_shared();
    int status;
    if (random_next() % 4 == 0) memory->fail_at = memory->calls + 1 + (int64_t)(random_next() % 3);
    while ((status = lsm_resp_parse(requests, data, size, waiting_max)) == LSM_E_MEMORY) memory->fail_at = 0;
    memory->fail_at = 0;
    return status;
}

static void take(lsm_resp_requests *requests, const uint8_t *data, size_t count, transcript *t) {
    lsm_resp_batch batch = lsm_resp_waiting_batch(requests, data);
    CHECK(count <= batch.count, "more than wait");
    for (size_t i = 0; i < count; i++) {
        note(t, &batch.commands[i].count, sizeof batch.commands[i].count);
        for (size_t k = 0; k < batch.commands[i].count; k++) {
            lsm_slice argument = lsm_resp_argument(&batch, i, k);
            note(t, argument.data, argument.size);
        }
    }
    lsm_resp_take(requests, count);
}

static void read_requests(const uint8_t *input, size_t input_size, lsm_resp_limits limits, int is_cut,
                          transcript *t) {
    lsm_resp_requests requests = {.limits = limits};
    uint8_t *data = NULL;
    size_t size = 0, at = 0;
    char text[LSM_RESP_FAULT_TEXT_SIZE];
    while (at < input_size) {
        size_t more = is_cut ? 1 + random_next() % 9 : input_size;
        if (more > input_size - at) more = input_size - at;
        size_t discarded = is_cut ? random_next() % (lsm_resp_discardable(&requests) + 1) : 0;
        lsm_resp_shift(&requests, discarded);
        data = moved(data, size, discarded, input + at, more);
        size += more - discarded;
        at += more;
        parse(&requests, data, size, is_cut ? random_next() % 4 : SIZE_MAX);
        size_t waiting = lsm_resp_waiting(&requests);
        take(&requests, data, is_cut ? random_next() % (waiting + 1) : waiting, t);
    }
    parse(&requests, data, size, SIZE_MAX);
    take(&requests, data, lsm_resp_waiting(&requests), t);
    note(t, text, requests.fault == LSM_RESP_SOUND ? 0 : lsm_resp_fault_text(&requests, text));
    lsm_resp_release(&requests);
    free(data);
}

static void check_requests(void) {
    static transcript whole, cut;
    uint8_t input[INPUT_SIZE_MAX];
    size_t size = make_junk(input, request_pieces, sizeof request_pieces / sizeof *request_pieces);
    int is_small = random_next() % 3 == 0;
    lsm_resp_limits limits = {is_small ? 2 : 1000, is_small ? 3 : 1000, is_small ? 30 : 5000, 0};
    whole.size = cut.size = 0;
    read_requests(input, size, limits, 0, &whole);
    read_requests(input, size, limits, 1, &cut);
    CHECK(whole.size == cut.size && memcmp(whole.data, cut.data, cut.size) == 0, "another result when cut");
}

/* --- replies -------------------------------------------------------------------------------------------- */

static void read_replies(const uint8_t *input, size_t input_size, int is_cut, transcript *t) {
    lsm_resp_replies replies = {.bulk_size_max = 6};
    lsm_resp_token token;
    uint8_t *data = NULL;
    size_t size = 0, at = 0;
    int status = 0;
    while (at < input_size) {
        size_t more = is_cut ? 1 + random_next() % 9 : input_size;
        if (more > input_size - at) more = input_size - at;
        size_t discarded = is_cut ? random_next() % (replies.position + 1) : 0;
        lsm_resp_shift_replies(&replies, discarded);
        data = moved(data, size, discarded, input + at, more);
        size += more - discarded;
        at += more;
        while ((status = lsm_resp_next_token(&replies, data, size, &token)) == 1) {
            note(t, &token.type, 1);
            int is_text = strchr("+-(,$!=", token.type) != NULL;
            if (is_text) note(t, data + token.text.offset, token.text.size);
            else if (token.type != '_') note(t, &token.number, sizeof token.number);
        }
        CHECK(replies.awaited == 0 || replies.awaited > size, "it is there already");
    }
    if (status < 0) note(t, replies.fault, strlen(replies.fault));
    free(data);
}

static void check_replies(void) {
    static transcript whole, cut;
    uint8_t input[INPUT_SIZE_MAX];
    size_t size = make_junk(input, reply_pieces, sizeof reply_pieces / sizeof *reply_pieces);
    whole.size = cut.size = 0;
    read_replies(input, size, 0, &whole);
    read_replies(input, size, 1, &cut);
    CHECK(whole.size == cut.size && memcmp(whole.data, cut.data, cut.size) == 0, "another result when cut");
}

/* --- the writer and the input --------------------------------------------------------------------------- */

static int write_something(lsm_resp_writer *w, uint64_t choice, lsm_slice text) {
    switch (choice % 8) {
    case 0: return lsm_resp_write_bulk(w, text);
    case 1: return lsm_resp_write_line(w, '+', text);
    case 2: return lsm_resp_write_header(w, ':', (int64_t)random_next());
    case 3: return lsm_resp_write_verbatim(w, (const uint8_t *)"txt", text);
    case 4: return lsm_resp_write_null(w);
    case 5: return lsm_resp_write_boolean(w, (int)(choice & 64));
    case 6: return lsm_resp_write_aggregate(w, '%', (int64_t)(choice >> 8) & INT32_MAX);
    default: return lsm_resp_write_number(w, '(', text);
    }
}

static void check_writer(void) {
    static const uint8_t text[300];
    lsm_resp_writer writer = {.size_max = random_next() % 4000, .protocol = 2 + (int)(random_next() % 2)};
    lsm_memory_state *memory = lsm_memory_shared();
    for (int i = 0; i < 60; i++) {
        size_t before = writer.size;
        lsm_slice piece = {text, random_next() % sizeof text};
        if (random_next() % 8 == 0) memory->fail_at = memory->calls + 1;
        int status = write_something(&writer, random_next(), piece);
        memory->fail_at = 0;
        CHECK(writer.size <= writer.size_max && writer.capacity <= writer.size_max, "above the limit");
        CHECK(status == LSM_OK ? writer.size > before : writer.size == before, "half of a piece");
        if (status == LSM_E_LIMIT && random_next() % 2) lsm_resp_writer_clear(&writer);
    }
    lsm_resp_writer_release(&writer);
}

static void check_input(void) {
    lsm_resp_input input = {0};
    uint8_t next = 0, first = 0;
    for (int i = 0; i < 200; i++) {
        size_t more = random_next() % 3000;
        CHECK(lsm_resp_input_reserve(&input, more, input.size + random_next() % 5000) == LSM_OK, "reserve");
        for (size_t k = 0; k < more; k++) input.data[input.size++] = next++;
        size_t done = lsm_resp_worth_discarding(&input, random_next() % (input.size + 1));
        lsm_resp_input_discard(&input, done);
        first = (uint8_t)(first + done);
        CHECK(input.size == 0 || input.data[0] == first, "other bytes");
        CHECK(input.size != 0 || input.capacity <= LSM_RESP_INPUT_KEPT_MAX, "an empty input that is large");
    }
    lsm_resp_input_release(&input);
}

int main(int argument_count, char **arguments) {
    CHECK(argument_count == 4, "see the head of this file");
    random_state = strtoull(arguments[2], NULL, 10) * 0x9E3779B97F4A7C15u + 88172645463325252u;
    for (int round = atoi(arguments[3]); round > 0; round--) {
        if (strcmp(arguments[1], "requests") == 0) check_requests();
        else if (strcmp(arguments[1], "replies") == 0) check_replies();
        else if (round % 10 != 0) check_writer();
        else check_input();
    }
    CHECK(lsm_memory_shared()->blocks == 0, "memory was not returned");
    return 0;
}
