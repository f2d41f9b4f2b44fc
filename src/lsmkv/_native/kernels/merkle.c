/* The tree of merkle.h: changes, narrowing, checkpoints. */
#include "merkle.h"

#include <string.h>

#include "allocator.h"
#include "coding.h"
#include "crc32c.h"
#include "node.h"

static const uint8_t MAGIC[8] = {'L', 'S', 'M', 'K', 'V', 'M', 'K', 'L'};

static inline uint64_t *level_nodes(lsm_merkle *tree, uint32_t level) {
    return tree->nodes + lsm_merkle_level_offset(level);
}

uint32_t lsm_merkle_depth(uint64_t expected_entries, uint32_t span_bits) {
    uint32_t depth = 1;
    while (depth < LSM_MERKLE_DEPTH_MAX && LSM_MERKLE_FANOUT_BITS * (depth + 1) <= span_bits
           && (uint64_t)lsm_merkle_level_size(depth) * LSM_MERKLE_LEAF_ENTRIES < expected_entries)
        depth++;
    return depth;
}

int lsm_merkle_create(lsm_merkle *tree, uint64_t start, uint32_t span_bits, uint32_t depth) {
    memset(tree, 0, sizeof *tree);
    if (depth < 1 || depth > LSM_MERKLE_DEPTH_MAX) return LSM_E_LIMIT;
    if (span_bits < LSM_MERKLE_FANOUT_BITS * depth || span_bits > 64) return LSM_E_LIMIT;
    uint64_t last_offset = UINT64_MAX >> (64 - span_bits);
    if (start > UINT64_MAX - last_offset) return LSM_E_LIMIT;
    tree->nodes = lsm_calloc(lsm_merkle_level_offset(depth + 1), sizeof *tree->nodes);
    if (tree->nodes == NULL) return LSM_E_MEMORY;
    tree->start = start;
    tree->span_bits = span_bits;
    tree->depth = depth;
    return LSM_OK;
}

void lsm_merkle_destroy(lsm_merkle *tree) {
    lsm_free(tree->nodes);
    tree->nodes = NULL;
}

uint64_t lsm_merkle_token(lsm_slice entry_key) { return lsm_head_load(entry_key.data, entry_key.size); }

/* The key's size in front: ("a", "bc") and ("ab", "c") are different entries. */
uint64_t lsm_merkle_entry_hash(const uint8_t key[LSM_SIPHASH_KEY_SIZE], lsm_slice entry_key,
                               lsm_slice record) {
    uint8_t key_size[4];
    lsm_store32(key_size, (uint32_t)entry_key.size);
    lsm_slice pieces[] = {{key_size, sizeof key_size}, entry_key, record};
    uint64_t hash = lsm_siphash(key, pieces, 3);
    return hash != 0 ? hash : 1;
}

/* --- changes ------------------------------------------------------------------------------------------ */

static int covers_all(const lsm_merkle *tree, const lsm_merkle_change *changes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!lsm_merkle_covers(tree, changes[i].token)) return 0;
    return 1;
}

static inline uint64_t leaf_of(const lsm_merkle *tree, uint64_t token) {
    return (token - tree->start) >> (tree->span_bits - LSM_MERKLE_FANOUT_BITS * tree->depth);
}

static inline void count_change(lsm_merkle *tree, const lsm_merkle_change *change) {
    tree->entry_count += (uint64_t)(change->new_hash != 0) - (uint64_t)(change->old_hash != 0);
}

int lsm_merkle_update(lsm_merkle *tree, const lsm_merkle_change *changes, size_t count) {
    if (!covers_all(tree, changes, count)) return LSM_E_LIMIT;
    for (size_t i = 0; i < count; i++) {
        uint64_t node = leaf_of(tree, changes[i].token);
        uint64_t delta = changes[i].new_hash - changes[i].old_hash;
        for (uint32_t level = tree->depth;; level--, node >>= LSM_MERKLE_FANOUT_BITS) {
            level_nodes(tree, level)[node] += delta;
            if (level == 0) break;
        }
        count_change(tree, &changes[i]);
    }
    return LSM_OK;
}

void lsm_merkle_expect(const lsm_merkle *tree, uint64_t token) {
    if (!lsm_merkle_covers(tree, token)) return;
    uint64_t node = leaf_of(tree, token);
    for (uint32_t level = tree->depth; level > 0; level--, node >>= LSM_MERKLE_FANOUT_BITS) {
        __builtin_prefetch(&lsm_merkle_level(tree, level)[node], 1);
    }
}

/* Makes every inner node the sum of its children, from the bottom up. */
static void sum_up(lsm_merkle *tree) {
    for (uint32_t level = tree->depth; level-- > 0;) {
        const uint64_t *children = level_nodes(tree, level + 1);
        uint64_t *nodes = level_nodes(tree, level);
        for (uint32_t i = 0; i < lsm_merkle_level_size(level); i++) {
            uint64_t sum = 0;
            for (uint32_t k = 0; k < LSM_MERKLE_FANOUT; k++) sum += children[i * LSM_MERKLE_FANOUT + k];
            nodes[i] = sum;
        }
    }
}

int lsm_merkle_build(lsm_merkle *tree, const lsm_merkle_change *changes, size_t count) {
    if (!covers_all(tree, changes, count)) return LSM_E_LIMIT;
    uint64_t *leaves = level_nodes(tree, tree->depth);
    for (size_t i = 0; i < count; i++) {
        leaves[leaf_of(tree, changes[i].token)] += changes[i].new_hash - changes[i].old_hash;
        count_change(tree, &changes[i]);
    }
    sum_up(tree);
    return LSM_OK;
}

/* --- narrowing ---------------------------------------------------------------------------------------- */

int64_t lsm_merkle_differing(const lsm_merkle *tree, uint32_t level, const uint32_t *indices, uint32_t count,
                             const uint64_t *digests, uint32_t *differing) {
    LSM_ASSERT(level < tree->depth);
    const uint64_t *children = lsm_merkle_level(tree, level + 1);
    int64_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (indices[i] >= lsm_merkle_level_size(level)) return LSM_E_CORRUPT;
        if (i != 0 && indices[i] <= indices[i - 1]) return LSM_E_CORRUPT;
        for (uint32_t k = 0; k < LSM_MERKLE_FANOUT; k++) {
            uint32_t child = indices[i] * LSM_MERKLE_FANOUT + k;
            if (children[child] != digests[i * LSM_MERKLE_FANOUT + k]) differing[found++] = child;
        }
    }
    return found;
}

typedef struct comparison {
    const lsm_merkle *a;
    const lsm_merkle *b;
    uint32_t depth; /* of both */
    uint32_t *differing;
    uint32_t found;
    uint32_t capacity;
} comparison;

/* Recursion is as deep as a tree: LSM_MERKLE_DEPTH_MAX. */
static void compare_below(comparison *c, uint32_t level, uint32_t index) {
    if (c->found == c->capacity) return;
    if (lsm_merkle_level(c->a, level)[index] == lsm_merkle_level(c->b, level)[index]) return;
    if (level == c->depth) {
        c->differing[c->found++] = index;
        return;
    }
    for (uint32_t k = 0; k < LSM_MERKLE_FANOUT; k++)
        compare_below(c, level + 1, index * LSM_MERKLE_FANOUT + k);
}

int64_t lsm_merkle_compare(const lsm_merkle *a, const lsm_merkle *b, uint32_t *differing, uint32_t capacity) {
    if (a->start != b->start || a->span_bits != b->span_bits) return LSM_E_LIMIT;
    comparison c = {a, b, a->depth < b->depth ? a->depth : b->depth, differing, 0, capacity};
    compare_below(&c, 0, 0);
    return c.found;
}

/* --- checkpoints -------------------------------------------------------------------------------------- */

static uint32_t checkpoint_checksum(const uint8_t *data, size_t size) {
    return lsm_crc32c(lsm_crc32c(0, data, 12), data + 16, size - 16);
}

void lsm_merkle_checkpoint(const lsm_merkle *tree, uint8_t *out) {
    memset(out, 0, LSM_MERKLE_CHECKPOINT_HEADER_SIZE);
    memcpy(out, MAGIC, sizeof MAGIC);
    lsm_store32(out + 8, LSM_MERKLE_CHECKPOINT_VERSION);
    lsm_store64(out + 16, tree->start);
    lsm_store64(out + 24, tree->entry_count);
    out[32] = (uint8_t)tree->span_bits;
    out[33] = (uint8_t)tree->depth;
    memcpy(out + LSM_MERKLE_CHECKPOINT_HEADER_SIZE, lsm_merkle_level(tree, tree->depth),
           (size_t)8 * lsm_merkle_level_size(tree->depth));
    lsm_store32(out + 12, checkpoint_checksum(out, lsm_merkle_checkpoint_size(tree)));
}

static int damaged(lsm_error *error, uint64_t offset, const char *what) {
    return lsm_fail(error, LSM_E_CORRUPT, offset, NULL, "tree checkpoint: %s", what);
}

int lsm_merkle_restore(lsm_merkle *tree, const uint8_t *data, size_t size, lsm_error *error) {
    static const uint8_t zero[6];
    memset(tree, 0, sizeof *tree);
    if (size < LSM_MERKLE_CHECKPOINT_HEADER_SIZE) return damaged(error, size, "too short");
    if (memcmp(data, MAGIC, sizeof MAGIC) != 0) return damaged(error, 0, "wrong magic bytes");
    if (lsm_load32(data + 8) != LSM_MERKLE_CHECKPOINT_VERSION)
        return lsm_fail(error, LSM_E_FORMAT, 8, NULL, "tree checkpoint of version %u, this build reads %d",
                        lsm_load32(data + 8), LSM_MERKLE_CHECKPOINT_VERSION);
    if (lsm_load32(data + 12) != checkpoint_checksum(data, size)) return damaged(error, 12, "wrong checksum");
    if (memcmp(data + 34, zero, sizeof zero) != 0) return damaged(error, 34, "bytes that must be zero");
    int code = lsm_merkle_create(tree, lsm_load64(data + 16), data[32], data[33]);
    if (code == LSM_E_LIMIT) return damaged(error, 32, "an impossible span or depth");
    if (code != LSM_OK) return code;
    if (size != lsm_merkle_checkpoint_size(tree)) {
        lsm_merkle_destroy(tree);
        return damaged(error, size, "wrong size");
    }
    tree->entry_count = lsm_load64(data + 24);
    memcpy(level_nodes(tree, tree->depth), data + LSM_MERKLE_CHECKPOINT_HEADER_SIZE,
           (size_t)8 * lsm_merkle_level_size(tree->depth));
    sum_up(tree);
    return LSM_OK;
}
