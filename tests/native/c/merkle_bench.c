/* Nanoseconds of the Merkle tree's kernels alone, over COUNT entries; benchmarks/merkle.py runs it.
 *
 *     merkle_bench COUNT
 *
 * Prints `name nanoseconds` lines. Tokens are random, keys of 24 bytes, records of 100 bytes; thread CPU
 * time, the best of three. A difference is one entry that one of the trees lacks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "merkle.h"

enum { KEY_SIZE = 24, RECORD_SIZE = 100, ROUNDS = 3, DIFFERENCES = 10, SPAN_BITS = 44 };
enum { CACHED = 4096, COMPARISONS = 1000 };

static double nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void must(int64_t code) {
    if (code < 0) {
        fprintf(stderr, "status %lld\n", (long long)code);
        exit(1);
    }
}

typedef struct bench {
    uint64_t count;
    lsm_merkle_change *changes;
    lsm_merkle a, b;
    uint8_t entries[CACHED][KEY_SIZE + RECORD_SIZE];
    uint8_t *checkpoint;
    size_t checkpoint_size;
    uint32_t found[DIFFERENCES + 1];
    int64_t found_count;
    uint64_t sum; /* keeps hashes from being optimised away */
} bench;

static const uint8_t hash_key[LSM_SIPHASH_KEY_SIZE] = {1};

/* Prints the best round of `work`, per operation. */
static void measure(const char *name, bench *b, uint64_t operations, void (*work)(bench *)) {
    double best = 1e30;
    for (int round = 0; round < ROUNDS; round++) {
        double begin = nanoseconds();
        work(b);
        double spent = (nanoseconds() - begin) / (double)operations;
        if (spent < best) best = spent;
    }
    printf("%s %.1f\n", name, best);
}

static void update_one(bench *b) {
    for (uint64_t i = 0; i < b->count; i++) must(lsm_merkle_update(&b->a, &b->changes[i], 1));
}

static void update_batches(bench *b) {
    for (uint64_t i = 0; i + 64 <= b->count; i += 64) must(lsm_merkle_update(&b->a, &b->changes[i], 64));
}

static void build(bench *b) { must(lsm_merkle_build(&b->a, b->changes, b->count)); }

static void hash_entries(bench *b) {
    for (uint64_t i = 0; i < b->count; i++) {
        const uint8_t *entry = b->entries[i % CACHED];
        b->sum += lsm_merkle_entry_hash(hash_key, (lsm_slice){entry, KEY_SIZE},
                                        (lsm_slice){entry + KEY_SIZE, RECORD_SIZE});
    }
}

/* What a merge adds to its own work: both hashes and the change, at the random places of `changes`. */
static void hash_and_update(bench *b) {
    for (uint64_t i = 0; i < b->count; i++) {
        const uint8_t *entry = b->entries[i % CACHED];
        lsm_slice key = {entry, KEY_SIZE}, record = {entry + KEY_SIZE, RECORD_SIZE};
        lsm_merkle_change change = {b->changes[i].token, 0, 0};
        change.old_hash = lsm_merkle_entry_hash(hash_key, key, record);
        record.size--;
        change.new_hash = lsm_merkle_entry_hash(hash_key, key, record);
        must(lsm_merkle_update(&b->a, &change, 1));
    }
}

static void compare(bench *b) {
    for (int i = 0; i < COMPARISONS; i++) {
        b->found_count = lsm_merkle_compare(&b->a, &b->b, b->found, DIFFERENCES + 1);
        must(b->found_count);
    }
}

static void write_checkpoint(bench *b) { lsm_merkle_checkpoint(&b->a, b->checkpoint); }

static void restore(bench *b) {
    lsm_merkle restored;
    must(lsm_merkle_restore(&restored, b->checkpoint, b->checkpoint_size, NULL));
    lsm_merkle_destroy(&restored);
}

static void empty_tree(lsm_merkle *tree, uint64_t count) {
    lsm_merkle_destroy(tree);
    must(lsm_merkle_create(tree, 0, SPAN_BITS, lsm_merkle_depth(count, SPAN_BITS)));
}

static void measure_changes(bench *b) {
    empty_tree(&b->a, b->count);
    measure("update one", b, b->count, update_one);
    measure("update in batches of 64", b, b->count, update_batches);
    measure("build, hashes given", b, b->count, build);
    measure("entry hash", b, b->count, hash_entries);
    measure("hash old and new, update", b, b->count, hash_and_update);
}

static void measure_comparing(bench *b) {
    empty_tree(&b->a, b->count);
    empty_tree(&b->b, b->count);
    must(lsm_merkle_build(&b->a, b->changes, b->count));
    must(lsm_merkle_build(&b->b, b->changes, b->count));
    measure("compare equal trees", b, COMPARISONS, compare);
    for (int i = 0; i < DIFFERENCES; i++) {
        const lsm_merkle_change *added = &b->changes[i * 1000 + 1];
        lsm_merkle_change gone = {added->token, added->new_hash, 0};
        must(lsm_merkle_update(&b->b, &gone, 1));
    }
    measure("compare, 10 entries differ", b, COMPARISONS, compare);
    if (b->found_count < 1 || b->found_count > DIFFERENCES) must(-1);
    b->checkpoint_size = lsm_merkle_checkpoint_size(&b->a);
    b->checkpoint = malloc(b->checkpoint_size);
    if (b->checkpoint == NULL) must(-1);
    measure("checkpoint", b, 1, write_checkpoint);
    measure("restore", b, 1, restore);
    free(b->checkpoint);
}

int main(int argument_count, char **arguments) {
    static bench b;
    b.count = argument_count == 2 ? strtoull(arguments[1], NULL, 10) : 0;
    if (b.count <= DIFFERENCES * 1000) {
        fputs("merkle_bench COUNT, above 10000\n", stderr);
        return 2;
    }
    b.changes = malloc(b.count * sizeof *b.changes);
    if (b.changes == NULL) return 1;
    for (uint64_t i = 0; i < b.count; i++)
        b.changes[i] = (lsm_merkle_change){random_next() >> (64 - SPAN_BITS), 0, random_next() | 1};
    for (size_t i = 0; i < sizeof b.entries; i++) (&b.entries[0][0])[i] = (uint8_t)random_next();
    measure_changes(&b);
    measure_comparing(&b);
    lsm_merkle_destroy(&b.a);
    lsm_merkle_destroy(&b.b);
    free(b.changes);
    return b.sum == 1; /* never */
}
