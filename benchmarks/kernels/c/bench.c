/* Runs benchmarks and times them. CPU time of the thread: what other processes take does not count. */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CACHE_LINE_SIZE = 64 };

void bench_fail(const char *what) {
    fprintf(stderr, "benchmark: %s failed\n", what);
    abort();
}

void *bench_allocate(uint64_t size_bytes) {
    uint64_t rounded = (size_bytes + CACHE_LINE_SIZE - 1) / CACHE_LINE_SIZE * CACHE_LINE_SIZE;
    void *block = aligned_alloc(CACHE_LINE_SIZE, rounded);
    bench_require(block != NULL, "allocation");
    memset(block, 0, rounded);
    return block;
}

void bench_free(bench *self) { free(self); }

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A function of its own, so that a profiler can collect here and nowhere else. */
static __attribute__((noinline)) uint64_t bench_measured(bench *self, uint64_t operations) {
    uint64_t checksum = self->run(self, operations);
    bench_use(self); /* no tail call: this function is on the stack meanwhile */
    return checksum;
}

/* Returns the nanoseconds that all operations took together. */
BENCH_API uint64_t bench_run(bench *self, uint64_t operations, uint64_t *checksum) {
    if (self->prepare != NULL) self->prepare(self);
    uint64_t start = nanoseconds();
    *checksum = bench_measured(self, operations);
    uint64_t elapsed = nanoseconds() - start;
    if (self->verify != NULL) *checksum += self->verify(self, operations);
    return elapsed;
}

BENCH_API void bench_destroy(bench *self) { self->destroy(self); }
