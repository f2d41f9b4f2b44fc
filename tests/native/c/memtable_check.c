/* Drives the memtable with batches of every pattern and checks the tree itself after them.
 *
 *     memtable_check SEED BATCHES
 *
 * After batches: every node's prefix, heads, order and separators; the chain of leaves; that no batch took
 * more node memory than its reserve had assumed. At the end: the newest version of every key, the versions
 * one snapshot saw, and the balance of the allocator. Keys are numbered; what was written last to each number
 * is the truth.
 */
#include <stdio.h>
#include <stdlib.h>

#include "allocator.h"
#include "memtable_tree.h"

#define CHECK(condition)                                                     \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);  \
            exit(1);                                                         \
        }                                                                    \
    } while (0)

enum { KEY_COUNT = 40000, KEY_SIZE = 48, BATCH_MAX = 3000, PATTERNS = 7 };

static uint64_t random_state;
static uint64_t newest[KEY_COUNT];   /* sequence of the last write, 0 = none */
static uint64_t in_snapshot[KEY_COUNT];
static uint64_t snapshot;            /* 0 = none taken yet */
static uint64_t sequence;

static uint32_t below(uint32_t limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 16) % limit);
}

/* Numbers that follow each other are neighbours in order; each quarter has a shape of its own. */
static lsm_slice key_of(uint32_t number, uint8_t *buffer) {
    static const uint8_t few[] = {0x00, 0x01, 0xFF};
    int size = 0;
    char *text = (char *)buffer;
    switch (number / (KEY_COUNT / 4)) {
        case 0: size = snprintf(text, KEY_SIZE, "%016u", number); break;
        case 1: size = snprintf(text, KEY_SIZE, "/a/long/path/%02u/of/%04u", number % 99, number); break;
        case 2: /* few bytes of few values, zeros among them */
            for (uint32_t rest = number; rest != 0; rest /= 3) buffer[size++] = few[rest % 3];
            break;
        default: size = snprintf(text, KEY_SIZE, "%c%u", (char)(0x40 + number % 7), number); break;
    }
    return (lsm_slice){buffer, (size_t)size};
}

static int order_of(lsm_slice key, uint64_t key_sequence, lsm_slice other, uint64_t other_sequence) {
    int order = lsm_slice_compare(key, other);
    if (order != 0) return order;
    return key_sequence > other_sequence ? -1 : key_sequence < other_sequence;
}

typedef struct bound {
    const lsm_record *record; /* NULL: none */
    uint64_t sequence;
} bound;

static uint64_t sequence_at(const lsm_tree_node *node, uint32_t level, uint32_t index) {
    if (level == 0) return lsm_record_sequence(node->records[index]);
    return ((const lsm_tree_inner *)node)->sequences[index];
}

/* Checks what lies below a node, all of it after `lower` and at or before `upper`; returns the entries. */
static uint64_t check_node(const lsm_tree_node *node, uint32_t level, bound lower, bound upper) {
    CHECK(node->count <= LSM_TREE_CAPACITY);
    bound last = lower;
    for (uint32_t i = 0; i < node->count; i++) {
        lsm_slice key = lsm_record_key_slice(node->records[i]);
        uint64_t key_sequence = sequence_at(node, level, i);
        CHECK(key.size >= node->prefix_size);
        CHECK(memcmp(key.data, node->prefix, node->prefix_size) == 0);
        CHECK(node->heads[i] == lsm_head_load(key.data + node->prefix_size, key.size - node->prefix_size));
        if (last.record != NULL) {
            CHECK(order_of(lsm_record_key_slice(last.record), last.sequence, key, key_sequence) < 0);
        }
        last = (bound){node->records[i], key_sequence};
    }
    if (node->count != 0 && upper.record != NULL) {
        int order = order_of(lsm_record_key_slice(last.record), last.sequence,
                             lsm_record_key_slice(upper.record), upper.sequence);
        CHECK(order < 0 || (level == 0 && order == 0));
    }
    if (level == 0) return node->count;
    uint64_t entries = 0;
    const lsm_tree_inner *inner = (const lsm_tree_inner *)node;
    for (uint32_t i = 0; i <= node->count; i++) {
        bound left = i == 0 ? lower : (bound){node->records[i - 1], inner->sequences[i - 1]};
        bound right = i == node->count ? upper : (bound){node->records[i], inner->sequences[i]};
        entries += check_node(inner->children[i], level - 1, left, right);
    }
    return entries;
}

static void check_tree(const lsm_memtable *memtable) {
    bound none = {NULL, 0};
    lsm_memtable_usage usage;
    lsm_memtable_read_usage(memtable, &usage);
    CHECK(check_node(memtable->root, memtable->height, none, none) == usage.entry_count);
    uint64_t chained = 0;
    size_t leaves = 0;
    for (const lsm_tree_node *leaf = memtable->first_leaf; leaf != NULL; leaf = leaf->next) {
        CHECK(leaf->next == NULL || leaf->next->previous == leaf);
        chained += leaf->count;
        leaves++;
    }
    CHECK(chained == usage.entry_count);
    CHECK(leaves == memtable->node_counts[0]);
}

static void check_reads(lsm_memtable *memtable) {
    uint8_t buffer[KEY_SIZE];
    lsm_found found;
    for (uint32_t number = 0; number < KEY_COUNT; number++) {
        lsm_slice key = key_of(number, buffer);
        lsm_memtable_get(memtable, key, LSM_SEQUENCE_MAX, &found);
        CHECK(found.found == (newest[number] != 0));
        if (found.found) CHECK(lsm_trailer_sequence(found.trailer) == newest[number]);
        lsm_memtable_get(memtable, key, snapshot, &found);
        CHECK(found.found == (in_snapshot[number] != 0));
        if (found.found) {
            CHECK(lsm_trailer_sequence(found.trailer) == in_snapshot[number]);
            CHECK(found.value.size == in_snapshot[number] % 30);
        }
    }
}

static void insert(lsm_memtable *memtable, uint32_t number) {
    static const uint8_t value[30];
    uint8_t buffer[KEY_SIZE];
    uint64_t pinned = below(8) == 0 ? sequence : snapshot;
    sequence++;
    lsm_memtable_insert(memtable, key_of(number, buffer), lsm_trailer(sequence, 1 + (uint8_t)below(2)),
                        (lsm_slice){value, sequence % 30}, pinned);
    newest[number] = sequence;
}

/* Random keys, runs up and down, few hot keys, and patterns that would split most if nothing held them. */
static uint32_t next_number(int pattern, uint32_t origin, uint32_t i) {
    switch (pattern) {
        case 0: return below(KEY_COUNT);
        case 1: return (origin + i) % KEY_COUNT;
        case 2: return (origin + BATCH_MAX - i) % KEY_COUNT;
        case 3: return (origin + below(5)) % KEY_COUNT;
        case 4: return (origin + i / 2 + i % 2 * 7000) % KEY_COUNT;
        case 5: return (origin + (i % 2 ? i : 2 * BATCH_MAX - i)) % KEY_COUNT;
        default: return (origin + i / 20 * 3 + i % 20) % KEY_COUNT;
    }
}

static void run_batch(lsm_memtable *memtable) {
    uint32_t count = below(3) == 0 ? 1 + below(BATCH_MAX) : 1 + below(40);
    int pattern = (int)below(PATTERNS);
    uint32_t origin = below(KEY_COUNT);
    lsm_memory_state *state = lsm_memory_shared();
    state->fail_at = below(2) == 0 ? state->calls + 1 : 0;
    if (lsm_memtable_reserve(memtable, count, (size_t)count * (KEY_SIZE + 30)) != 0) {
        state->fail_at = 0;
        CHECK(lsm_memtable_reserve(memtable, count, (size_t)count * (KEY_SIZE + 30)) == 0);
    }
    int64_t calls = state->calls;
    size_t worst_case = lsm_tree_worst_case(memtable, count);
    size_t taken = memtable->node_arena.taken;
    for (uint32_t i = 0; i < count; i++) insert(memtable, next_number(pattern, origin, i));
    CHECK(memtable->node_arena.taken - taken <= worst_case);
    CHECK(state->calls == calls);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    random_state = strtoull(argv[1], NULL, 10) * 2654435769u + 88172645463325252u;
    uint32_t batches = (uint32_t)strtoul(argv[2], NULL, 10);
    lsm_memtable *memtable = lsm_memtable_create();
    CHECK(memtable != NULL);
    for (uint32_t i = 0; i < batches; i++) {
        run_batch(memtable);
        if (i % 16 == 0) check_tree(memtable);
        if (i == batches / 2) {
            snapshot = sequence;
            memcpy(in_snapshot, newest, sizeof newest);
        }
    }
    check_tree(memtable);
    check_reads(memtable);
    printf("%llu operations, height %u\n", (unsigned long long)sequence, memtable->height);
    lsm_memtable_release(memtable);
    CHECK(lsm_memory_shared()->blocks == 0);
    return 0;
}
