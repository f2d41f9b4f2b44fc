/* RESP: pipelines of commands parsed and walked over, replies written into a buffer that is emptied. */
#include <string.h>

#include "bench.h"
#include "resp.h"
#include "resp_writer.h"

/* --- requests ------------------------------------------------------------------------------------------- */

typedef struct parse_bench {
    bench base;
    lsm_resp_requests requests;
    bench_items pipelines;
    uint64_t command_count; /* of each pipeline */
} parse_bench;

/* Every byte of the last argument but its first stays unread, as for a command that is passed on. */
static uint64_t sum_of_commands(const lsm_resp_batch *batch) {
    uint64_t sum = 0;
    for (size_t i = 0; i < batch->count; i++) {
        lsm_slice last = lsm_resp_argument(batch, i, batch->commands[i].count - 1);
        sum += last.size + last.data[0];
    }
    return sum;
}

static uint64_t run_parse(bench *self, uint64_t operations) {
    parse_bench *parse = (parse_bench *)self;
    uint64_t sum = 0, index = 0;
    for (uint64_t i = 0; i < operations; i += parse->command_count) {
        lsm_slice input = bench_item(&parse->pipelines, index);
        /* Nothing is decoded in place: there is no inline command. */
        int status = lsm_resp_parse(&parse->requests, (uint8_t *)(uintptr_t)input.data, input.size, SIZE_MAX);
        bench_require(status == 0, "parsing");
        lsm_resp_batch batch = lsm_resp_waiting_batch(&parse->requests, input.data);
        sum += sum_of_commands(&batch);
        lsm_resp_take(&parse->requests, batch.count);
        lsm_resp_shift(&parse->requests, input.size);
        index = bench_next(index, parse->pipelines.count);
    }
    return sum;
}

static void destroy_parse(bench *self) {
    lsm_resp_release(&((parse_bench *)self)->requests);
    free(self);
}

/* An operation is one command. REQUIRES of bench_run: operations are a multiple of command_count. */
BENCH_API bench *bench_resp_parse(const bench_items *pipelines, uint64_t command_count) {
    parse_bench *parse = bench_allocate(sizeof *parse);
    parse->base = (bench){NULL, run_parse, NULL, destroy_parse};
    parse->requests.limits = (lsm_resp_limits){1 << 20, 512 << 20, 1 << 30, 0};
    parse->pipelines = *pipelines;
    parse->command_count = command_count;
    return &parse->base;
}

/* --- replies -------------------------------------------------------------------------------------------- */

enum { OUTPUT_SIZE = 8 * 1024 }; /* a buffer that stays allocated */

typedef struct write_bench {
    bench base;
    lsm_resp_writer writer;
    bench_items items;
    uint64_t type; /* '$' a bulk string, else of a line */
} write_bench;

static uint64_t run_write(bench *self, uint64_t operations) {
    write_bench *bench = (write_bench *)self;
    lsm_resp_writer *writer = &bench->writer;
    uint64_t sum = 0, index = 0;
    for (uint64_t i = 0; i < operations; i++) {
        lsm_slice item = bench_item(&bench->items, index);
        size_t before = writer->size;
        int status = bench->type == '$' ? lsm_resp_write_bulk(writer, item)
                                        : lsm_resp_write_line(writer, (uint8_t)bench->type, item);
        bench_require(status == 0, "writing");
        sum += writer->size - before + writer->data[writer->size - 3];
        if (writer->size > OUTPUT_SIZE) lsm_resp_writer_clear(writer);
        index = bench_next(index, bench->items.count);
    }
    return sum;
}

static void destroy_write(bench *self) {
    lsm_resp_writer_release(&((write_bench *)self)->writer);
    free(self);
}

BENCH_API bench *bench_resp_write(const bench_items *items, uint64_t type) {
    write_bench *bench = bench_allocate(sizeof *bench);
    bench->base = (struct bench){NULL, run_write, NULL, destroy_write};
    bench->writer = (lsm_resp_writer){.size_max = 1 << 30, .protocol = 2};
    bench->items = *items;
    bench->type = type;
    return &bench->base;
}
