/* Merkle tree of one partition: two replicas find out which few ranges of keys differ.
 *
 * Place. An entry's token is the head of its key: the first 8 bytes, big endian, padded with zeros. A tree
 * covers 2^span_bits tokens from `start` on, a node of level l 2^(span_bits - 4 * l) of them. So every node
 * is one contiguous range of keys, and repairing it is one scan; keys must differ early for leaves to fill
 * evenly, which a hash in the head sees to:
 *
 *     level 0 is the root; fan-out 16; leaf level `depth`, 1 to 5, with 16^depth leaves
 *     node of level l   = (token - start) >> (span_bits - 4 * l)
 *     children of i     = 16 * i .. 16 * i + 15, one level further down
 *     in memory         = all levels in one array, the root first: level l begins at (16^l - 1) / 15
 *     depth             = the smallest with 16^depth * 32 >= expected entries: 2 to 32 entries a leaf
 *
 * Where nodes lie depends on the span alone, not on the depth: trees of different depths compare on the
 * levels that both have.
 *
 * Digest. A node's digest is the *sum*, modulo 2^64, of the keyed hashes of the entries in its range. That
 * makes a change cost one addition per level, whatever the order of changes; gives every node the same digest
 * at every depth; and, unlike XOR, makes neither the same entry twice vanish nor a delta that was applied
 * twice undo itself. Sums of public hashes can be forged (generalised birthday attack); these are SipHash
 * values under the cluster's secret key, which nobody outside sees, so two different ranges agree by accident
 * only, once in 2^64. An entry's hash is never 0: 0 says "absent".
 *
 *     entry hash = SipHash-2-4(tree key, key size as 4 bytes, key, record), and 1 where that is 0
 *
 * Checkpoint (little-endian), only the leaves, since everything above is their sum:
 *
 *     off size  checkpoint
 *       0    8  "LSMKVMKL"
 *       8    4  version: 1
 *      12    4  checksum: CRC-32C of bytes 0 to 11 and 16 to the end
 *      16    8  start token
 *      24    8  entry count
 *      32    1  span bits, 4 * depth to 64
 *      33    1  depth, 1 to 5
 *      34    6  zero
 *      40    .  leaf digests, 8 bytes each
 *
 * Worked example: start 01 00 .. 00, 44 bits, depth 1, one entry in leaf 3 with hash 1122334455667788; the
 * leaves not shown are zero:
 *
 *       0  4c534d4b 564d4b4c 01000000 3fb2365e  "LSMKVMKL", version, checksum
 *      16  00000000 00000001 01000000 00000000  start 2^56, 1 entry
 *      32  2c010000 00000000                    44 span bits, depth 1
 *      64  88776655 44332211                    leaf 3
 *
 * A tree knows no keys, no records and no lock: its one owner brings old and new hash of every change, in the
 * same step that makes the change. Functions that return int follow status.h.
 */
#ifndef LSMKV_MERKLE_H
#define LSMKV_MERKLE_H

#include <stddef.h>
#include <stdint.h>

#include "siphash.h"
#include "status.h"

enum {
    LSM_MERKLE_FANOUT_BITS = 4,
    LSM_MERKLE_FANOUT = 1 << LSM_MERKLE_FANOUT_BITS,
    LSM_MERKLE_DEPTH_MAX = 5,
    LSM_MERKLE_LEAF_ENTRIES = 32, /* at most that many are expected in a leaf */
    LSM_MERKLE_CHECKPOINT_HEADER_SIZE = 40,
    LSM_MERKLE_CHECKPOINT_VERSION = 1
};

typedef struct lsm_merkle {
    uint64_t *nodes; /* owned; all levels, the root first */
    uint64_t start;  /* first token */
    uint64_t entry_count;
    uint32_t span_bits; /* 4 * depth to 64 */
    uint32_t depth;     /* level of the leaves, 1 to LSM_MERKLE_DEPTH_MAX */
} lsm_merkle;

/* One entry that came, went or changed; 0 as a hash is "absent". */
typedef struct lsm_merkle_change {
    uint64_t token;
    uint64_t old_hash;
    uint64_t new_hash;
} lsm_merkle_change;

/* Index of the first node of a level, and how many a level has. */
static inline uint32_t lsm_merkle_level_offset(uint32_t level) {
    return (((uint32_t)1 << LSM_MERKLE_FANOUT_BITS * level) - 1) / (LSM_MERKLE_FANOUT - 1);
}

static inline uint32_t lsm_merkle_level_size(uint32_t level) {
    return (uint32_t)1 << LSM_MERKLE_FANOUT_BITS * level;
}

static inline const uint64_t *lsm_merkle_level(const lsm_merkle *tree, uint32_t level) {
    return tree->nodes + lsm_merkle_level_offset(level);
}

/* The depth that serves so many entries in such a span. Never fails. REQUIRES: span_bits >= 4. */
uint32_t lsm_merkle_depth(uint64_t expected_entries, uint32_t span_bits);

/* An empty tree. LSM_E_LIMIT for a depth or span outside the table above, or one that ends above 2^64;
 * LSM_E_MEMORY; nothing is held then. */
int lsm_merkle_create(lsm_merkle *tree, uint64_t start, uint32_t span_bits, uint32_t depth);
void lsm_merkle_destroy(lsm_merkle *tree); /* also of a tree that is all zero */

/* Where an entry belongs, and what it adds to the digests. */
uint64_t lsm_merkle_token(lsm_slice entry_key);
uint64_t lsm_merkle_entry_hash(const uint8_t key[LSM_SIPHASH_KEY_SIZE], lsm_slice entry_key,
                               lsm_slice record);

static inline int lsm_merkle_covers(const lsm_merkle *tree, uint64_t token) {
    uint64_t offset = token - tree->start;
    return token >= tree->start && (tree->span_bits == 64 || offset >> tree->span_bits == 0);
}

/* Applies changes, all or none: LSM_E_LIMIT when one of the tokens lies outside. */
int lsm_merkle_update(lsm_merkle *tree, const lsm_merkle_change *changes, size_t count);
/* A change of this token is about to come: what it touches is on its way to the processor meanwhile. */
void lsm_merkle_expect(const lsm_merkle *tree, uint64_t token);

/* The same for many at once: touches leaves only and sums up once at the end. For building. */
int lsm_merkle_build(lsm_merkle *tree, const lsm_merkle_change *changes, size_t count);

/* Which children of the nodes `indices` (level `level` < depth) differ from `digests`, the other tree's, 16 a
 * node. Writes their indices in level + 1, at most 16 * count, and returns how many. LSM_E_CORRUPT when the
 * indices do not ascend or lie outside: they come from a peer. */
int64_t lsm_merkle_differing(const lsm_merkle *tree, uint32_t level, const uint32_t *indices, uint32_t count,
                             const uint64_t *digests, uint32_t *differing);

/* Where two trees differ: the first `capacity` indices, in order, on the deepest level that both have. The
 * number written, or LSM_E_LIMIT for trees of different spans. Looks only where digests differ. */
int64_t lsm_merkle_compare(const lsm_merkle *a, const lsm_merkle *b, uint32_t *differing, uint32_t capacity);

static inline size_t lsm_merkle_checkpoint_size(const lsm_merkle *tree) {
    return LSM_MERKLE_CHECKPOINT_HEADER_SIZE + (size_t)8 * lsm_merkle_level_size(tree->depth);
}

void lsm_merkle_checkpoint(const lsm_merkle *tree, uint8_t *out); /* REQUIRES: room for its size */

/* The tree of a checkpoint. LSM_E_CORRUPT, LSM_E_FORMAT for another version, LSM_E_MEMORY. */
int lsm_merkle_restore(lsm_merkle *tree, const uint8_t *data, size_t size, lsm_error *error);

#endif
