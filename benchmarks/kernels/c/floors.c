/* Floors: what the machine asks for the least that a kernel must do.
 *
 * bench_memcpy    copies each item: no kernel that reads or writes as much can be quicker
 * bench_chase     a chain of dependent loads over memory of a given size: one cache miss each if it is large
 * bench_write     write(2) of a given size, 0 included, to a file: the price of entering the system
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

/* --- memcpy ------------------------------------------------------------------------------------------- */

typedef struct copy_bench {
    bench base;
    bench_items items;
    uint8_t *output;
} copy_bench;

static uint64_t run_copy(bench *self, uint64_t operations) {
    const copy_bench *copy = (const copy_bench *)self;
    uint64_t sum = 0, index = 0;
    for (uint64_t i = 0; i < operations; i++) {
        lsm_slice item = bench_item(&copy->items, index);
        memcpy(copy->output, item.data, item.size);
        bench_use(copy->output);
        sum += copy->output[item.size - 1];
        index = bench_next(index, copy->items.count);
    }
    return sum;
}

static void destroy_copy(bench *self) {
    free(((copy_bench *)self)->output);
    free(self);
}

BENCH_API bench *bench_memcpy(const bench_items *items) {
    uint64_t size_max = 0;
    for (uint64_t i = 0; i < items->count; i++) {
        lsm_slice item = bench_item(items, i);
        if (item.size > size_max) size_max = item.size;
    }
    copy_bench *copy = bench_allocate(sizeof *copy);
    *copy = (copy_bench){{NULL, run_copy, NULL, destroy_copy}, *items, bench_allocate(size_max)};
    return &copy->base;
}

/* --- a cache miss -------------------------------------------------------------------------------------- */

enum { WORDS_PER_LINE = 8 };

/* Full period over every power of two (Hull and Dobell), and no stride that a prefetcher could follow. */
static const uint64_t chase_multiplier = 1664525, chase_increment = 1013904223;

typedef struct chase_bench {
    bench base;
    uint64_t *lines; /* the first word of each line is the number of the next one */
} chase_bench;

static uint64_t run_chase(bench *self, uint64_t operations) {
    const uint64_t *lines = ((const chase_bench *)self)->lines;
    uint64_t sum = 0, line = 0;
    for (uint64_t i = 0; i < operations; i++) {
        line = lines[line * WORDS_PER_LINE];
        sum += line;
    }
    return sum;
}

static void destroy_chase(bench *self) {
    free(((chase_bench *)self)->lines);
    free(self);
}

/* REQUIRES: line_count is a power of two. */
BENCH_API bench *bench_chase(uint64_t line_count) {
    chase_bench *chase = bench_allocate(sizeof *chase);
    uint64_t *lines = bench_allocate(line_count * WORDS_PER_LINE * sizeof *lines);
    for (uint64_t i = 0; i < line_count; i++) {
        lines[i * WORDS_PER_LINE] = (i * chase_multiplier + chase_increment) & (line_count - 1);
    }
    *chase = (chase_bench){{NULL, run_chase, NULL, destroy_chase}, lines};
    return &chase->base;
}

/* --- write(2) ------------------------------------------------------------------------------------------ */

enum { WRITE_SIZE_MAX = 4096 };

typedef struct write_bench {
    bench base;
    int file;
    uint64_t size;
    uint8_t data[WRITE_SIZE_MAX];
} write_bench;

static void prepare_write(bench *self) {
    write_bench *written = (write_bench *)self;
    bench_require(ftruncate(written->file, 0) == 0, "ftruncate");
    bench_require(lseek(written->file, 0, SEEK_SET) == 0, "lseek");
}

static uint64_t run_write(bench *self, uint64_t operations) {
    const write_bench *written = (const write_bench *)self;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        ssize_t size = write(written->file, written->data, written->size);
        bench_require(size == (ssize_t)written->size, "write");
        sum += 1 + (uint64_t)size;
    }
    return sum;
}

static uint64_t verify_write(bench *self, uint64_t operations) {
    (void)operations;
    return (uint64_t)lseek(((write_bench *)self)->file, 0, SEEK_END);
}

static void destroy_write(bench *self) {
    close(((write_bench *)self)->file);
    free(self);
}

BENCH_API bench *bench_write(const char *path, uint64_t size) {
    bench_require(size <= WRITE_SIZE_MAX, "size of the write");
    write_bench *written = bench_allocate(sizeof *written);
    written->base = (bench){prepare_write, run_write, verify_write, destroy_write};
    written->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    written->size = size;
    bench_require(written->file >= 0, "open");
    return &written->base;
}
