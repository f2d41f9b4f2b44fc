/* Runs the tree of merkle.h under sanitizers, over random changes and hostile checkpoints.
 *
 *     merkle_check random ROUNDS           changes, building, narrowing, comparing, against plain sums
 *     merkle_check restore < checkpoints   u32 count, then u32 size and bytes of each: status and root
 *
 * Checkpoints lie in allocations of their exact size, so a sanitizer sees any read beyond.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator.h"
#include "check.h"
#include "merkle.h"

enum { CHANGES = 300 };

static uint64_t sum_of(const lsm_merkle *tree, uint32_t level, uint32_t index,
                       const lsm_merkle_change *changes) {
    uint64_t sum = 0;
    for (int i = 0; i < CHANGES; i++) {
        uint64_t offset = changes[i].token - tree->start;
        if (offset >> (tree->span_bits - LSM_MERKLE_FANOUT_BITS * level) == index)
            sum += changes[i].new_hash - changes[i].old_hash;
    }
    return sum;
}

static void check_levels(const lsm_merkle *tree, const lsm_merkle_change *changes) {
    for (uint32_t level = 1; level <= tree->depth; level++) {
        uint32_t step = lsm_merkle_level_size(level) / 64 + 1;
        for (uint32_t i = 0; i < lsm_merkle_level_size(level); i += step)
            CHECK(lsm_merkle_level(tree, level)[i] == sum_of(tree, level, i, changes), "%u of level %u", i,
                  level);
    }
}

/* The nodes that differ, level by level as two peers would find them, are those that comparing finds. */
static void check_narrowing(const lsm_merkle *a, const lsm_merkle *b) {
    uint32_t depth = a->depth < b->depth ? a->depth : b->depth;
    uint32_t capacity = lsm_merkle_level_size(depth);
    uint32_t *compared = malloc(capacity * sizeof *compared);
    uint32_t *found = calloc(capacity, sizeof *found), *next = malloc(capacity * sizeof *next);
    uint64_t *digests = malloc(capacity * sizeof *digests);
    CHECK(compared && found && next && digests, "out of memory");
    int64_t expected = lsm_merkle_compare(a, b, compared, capacity), count = 1;
    for (uint32_t level = 0; level < depth; level++) {
        for (int64_t i = 0; i < count; i++)
            memcpy(digests + i * LSM_MERKLE_FANOUT,
                   lsm_merkle_level(b, level + 1) + found[i] * LSM_MERKLE_FANOUT,
                   LSM_MERKLE_FANOUT * sizeof *digests);
        count = lsm_merkle_differing(a, level, found, (uint32_t)count, digests, next);
        CHECK(count >= 0, "narrowing failed");
        memcpy(found, next, (size_t)count * sizeof *found);
    }
    CHECK(count == expected, "%lld found, %lld compared", (long long)count, (long long)expected);
    CHECK(count == 0 || memcmp(found, compared, (size_t)count * sizeof *found) == 0, "other nodes");
    CHECK(lsm_merkle_compare(a, b, compared, 1) == (expected != 0), "a capacity of 1");
    free(compared);
    free(found);
    free(next);
    free(digests);
}

static void check_round(uint32_t depth, uint32_t span_bits) {
    lsm_merkle changed, built;
    lsm_merkle_change changes[CHANGES];
    uint64_t start = span_bits == 64 ? 0 : random_next() & (UINT64_MAX >> 1);
    uint32_t built_depth = 1 + (uint32_t)(random_next() % depth);
    CHECK(lsm_merkle_create(&changed, start, span_bits, depth) == LSM_OK, "create");
    CHECK(lsm_merkle_create(&built, start, span_bits, built_depth) == LSM_OK, "create");
    for (int i = 0; i < CHANGES; i++) {
        uint64_t offset = random_next() & (UINT64_MAX >> (64 - span_bits));
        if (i % 7 == 0) offset = i % 2 ? 0 : UINT64_MAX >> (64 - span_bits);
        changes[i] = (lsm_merkle_change){start + offset, i % 3 ? 0 : random_next(), random_next()};
    }
    CHECK(lsm_merkle_update(&changed, changes, CHANGES) == LSM_OK, "update");
    CHECK(lsm_merkle_build(&built, changes, CHANGES) == LSM_OK, "build");
    check_levels(&changed, changes);
    check_levels(&built, changes);
    CHECK(lsm_merkle_level(&changed, 0)[0] == lsm_merkle_level(&built, 0)[0], "roots differ");
    CHECK(changed.entry_count == built.entry_count, "counts differ");
    check_narrowing(&changed, &built);
    changes[3].token = start - 1;
    if (start != 0) CHECK(lsm_merkle_update(&built, changes, CHANGES) == LSM_E_LIMIT, "below the start");
    changes[3].token = start;
    CHECK(lsm_merkle_update(&built, changes + random_next() % 200, 40) == LSM_OK, "update");
    check_narrowing(&changed, &built);
    check_narrowing(&built, &changed);
    lsm_merkle_destroy(&changed);
    lsm_merkle_destroy(&built);
}

static void check_failing_allocation(void) {
    lsm_merkle tree;
    lsm_memory_state *memory = lsm_memory_shared();
    memory->fail_at = memory->calls + 1;
    CHECK(lsm_merkle_create(&tree, 0, 64, 5) == LSM_E_MEMORY, "an allocation that failed");
    CHECK(tree.nodes == NULL, "nothing is held");
    memory->fail_at = 0;
    CHECK(lsm_merkle_create(&tree, 1, 64, 5) == LSM_E_LIMIT, "beyond the last token");
    CHECK(lsm_merkle_create(&tree, 0, 15, 4) == LSM_E_LIMIT, "leaves without a token");
    CHECK(lsm_merkle_create(&tree, 0, 65, 4) == LSM_E_LIMIT, "65 bits");
    CHECK(lsm_merkle_create(&tree, 0, 64, 6) == LSM_E_LIMIT, "too deep");
    CHECK(lsm_merkle_create(&tree, 0, 64, 0) == LSM_E_LIMIT, "no leaves");
}

static void restore_all(void) {
    uint32_t count, size;
    CHECK(fread(&count, 4, 1, stdin) == 1, "no input");
    while (count-- > 0) {
        CHECK(fread(&size, 4, 1, stdin) == 1, "short input");
        uint8_t *data = malloc(size ? size : 1);
        CHECK(data != NULL, "out of memory");
        CHECK(fread(data, 1, size, stdin) == size, "short input");
        lsm_merkle tree;
        lsm_error error = {0};
        int code = lsm_merkle_restore(&tree, data, size, &error);
        printf("%d %" PRIx64 "\n", code, code == LSM_OK ? tree.nodes[0] : 0);
        if (code == LSM_OK) {
            uint8_t *again = malloc(lsm_merkle_checkpoint_size(&tree));
            CHECK(again != NULL, "out of memory");
            lsm_merkle_checkpoint(&tree, again);
            CHECK(memcmp(again, data, size) == 0, "another checkpoint");
            free(again);
        }
        lsm_merkle_destroy(&tree);
        free(data);
    }
}

int main(int argument_count, char **arguments) {
    if (argument_count == 2 && strcmp(arguments[1], "restore") == 0) {
        restore_all();
    } else {
        CHECK(argument_count == 3 && strcmp(arguments[1], "random") == 0, "see the head of this file");
        for (int round = atoi(arguments[2]); round > 0; round--) {
            uint32_t depth = 1 + (uint32_t)(random_next() % (round % 16 ? 3 : LSM_MERKLE_DEPTH_MAX));
            uint32_t bits = LSM_MERKLE_FANOUT_BITS * depth;
            check_round(depth, round % 5 ? bits + (uint32_t)(random_next() % (64 - bits)) : 64);
        }
        check_failing_allocation();
    }
    CHECK(lsm_memory_shared()->blocks == 0, "memory was not returned");
    return 0;
}
