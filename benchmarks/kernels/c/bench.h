/* What all native benchmarks share: the shape of a benchmark, its inputs, and the barriers.
 *
 * A benchmark is made by an exported function bench_<name>(...), run any number of times by bench_run
 * (bench.c) and freed by bench_destroy. Inputs belong to the caller and outlive the benchmark. `run` and
 * `verify` return a checksum that depends on every operation, so that no compiler can drop one and the caller
 * sees that the work was done. A failure that would make the figure meaningless ends the process.
 */
#ifndef LSMKV_BENCH_H
#define LSMKV_BENCH_H

#include <stdint.h>
#include <stdlib.h>

#include "status.h"

#define BENCH_API __attribute__((visibility("default")))

typedef struct bench bench;
struct bench {
    void (*prepare)(bench *self);                            /* untimed, before each run; may be NULL */
    uint64_t (*run)(bench *self, uint64_t operations);       /* timed; returns a checksum */
    uint64_t (*verify)(bench *self, uint64_t operations);    /* untimed, added to it; may be NULL */
    void (*destroy)(bench *self);
};

/* Byte strings, one after the other: item i is data[ends[i - 1] .. ends[i]). */
typedef struct bench_items {
    const uint8_t *data;
    const uint64_t *ends;
    uint64_t count;
} bench_items;

static inline lsm_slice bench_item(const bench_items *items, uint64_t index) {
    uint64_t start = index == 0 ? 0 : items->ends[index - 1];
    return (lsm_slice){items->data + start, items->ends[index] - start};
}

/* Walks 0, 1, ... count - 1, 0, ... without a division. */
static inline uint64_t bench_next(uint64_t index, uint64_t count) {
    return index + 1 == count ? 0 : index + 1;
}

/* The compiler must take it that memory behind `pointer` is read and written here. */
static inline void bench_use(const void *pointer) { __asm__ volatile("" : : "r"(pointer) : "memory"); }

/* Waits until every load before it is done: operations that miss the caches must not overlap, because their
 * caller never starts a second one before it has the result of the first. Costs a few nanoseconds. */
static inline void bench_fence(void) {
#if defined(__x86_64__)
    __builtin_ia32_lfence();
#elif defined(__aarch64__)
    __asm__ volatile("dsb ld\n\tisb" : : : "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

void bench_fail(const char *what) __attribute__((cold, noreturn));

static inline void bench_require(int condition, const char *what) {
    if (__builtin_expect(!condition, 0)) bench_fail(what);
}

/* Zeroed, every page touched, aligned to cache lines; free() frees it. */
void *bench_allocate(uint64_t size_bytes);

/* A benchmark without preparation whose state is one allocated block. */
void bench_free(bench *self);

#endif
