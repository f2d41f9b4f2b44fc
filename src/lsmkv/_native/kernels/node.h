/* The sorted node: the one search kernel of memtable leaves and inner nodes, data blocks and index nodes.
 *
 * A node holds up to a few hundred entries in the order (user key ascending, sequence descending) and keeps
 *
 *     prefix     bytes shared by every key of the node (possibly none)
 *     heads[i]   the next 8 bytes of key i, zero-padded, as a big-endian integer
 *     tail       what follows, reached through a compare function of the caller's layout
 *
 * A key that reaches a node need not share its prefix, so the prefix is compared first. Equal heads are ties:
 * "a" and "a\0" have the same head, and a hot key under a snapshot has thousands of versions. Ties are
 * settled by binary search over (bytes after the head, key length, sequence descending).
 *
 * Everything is inline so that each layout gets its own specialised copy of one piece of logic.
 */
#ifndef LSMKV_NODE_H
#define LSMKV_NODE_H

#include <stdint.h>
#include <string.h>

#include "coding.h"
#include "constants.h"

enum { LSM_HEAD_SIZE = 8 };

/* What is looked for. Entries equal in key order by sequence descending, so a search for (key, s) lands on
 * the newest version not newer than s; LSM_SEQUENCE_MAX finds the newest of all. */
typedef struct lsm_target {
    const uint8_t *key;
    size_t key_size;
    uint64_t sequence;
} lsm_target;

/* The big-endian integer of the first 8 of `size` bytes, zero-padded. Never reads past `size`. */
static inline uint64_t lsm_head_load(const uint8_t *p, size_t size) {
    if (LSM_LIKELY(size >= LSM_HEAD_SIZE)) return __builtin_bswap64(lsm_load64(p));
    if (size >= 4) { /* two loads that overlap */
        uint64_t high = __builtin_bswap32(lsm_load32(p));
        uint64_t low = __builtin_bswap32(lsm_load32(p + size - 4));
        return high << 32 | low << (64 - 8 * size);
    }
    if (size == 0) return 0;
    /* First, middle and last of 1 to 3 bytes; some of them the same one. */
    size_t middle = size / 2, last = size - 1;
    return (uint64_t)p[0] << 56 | (uint64_t)p[middle] << (56 - 8 * middle) |
           (uint64_t)p[last] << (56 - 8 * last);
}

/* How many leading bytes of `a` and `b` are equal, at most `limit`. */
static inline size_t lsm_shared_size(const uint8_t *a, const uint8_t *b, size_t limit) {
    size_t i = 0;
    for (; i + 8 <= limit; i += 8) {
        uint64_t difference = lsm_load64(a + i) ^ lsm_load64(b + i);
        if (difference != 0) return i + (size_t)__builtin_ctzll(difference) / 8;
    }
    while (i < limit && a[i] == b[i]) i++;
    return i;
}

/* Equality and order of runs of bytes without a call: prefixes and tails rarely exceed a few words. */
static inline int lsm_bytes_equal(const uint8_t *a, const uint8_t *b, size_t size) {
    if (size < 8) return lsm_head_load(a, size) == lsm_head_load(b, size);
    if (LSM_UNLIKELY(size > 64)) return memcmp(a, b, size) == 0;
    uint64_t difference = lsm_load64(a + size - 8) ^ lsm_load64(b + size - 8);
    for (size_t i = 0; i + 8 < size; i += 8) difference |= lsm_load64(a + i) ^ lsm_load64(b + i);
    return difference == 0;
}

static inline int lsm_bytes_order(const uint8_t *a, const uint8_t *b, size_t size) {
    if (LSM_UNLIKELY(size > 64)) return memcmp(a, b, size);
    for (; size >= 8; size -= 8, a += 8, b += 8) {
        uint64_t x = lsm_load64(a), y = lsm_load64(b);
        if (x != y) return __builtin_bswap64(x) < __builtin_bswap64(y) ? -1 : 1;
    }
    uint64_t x = lsm_head_load(a, size), y = lsm_head_load(b, size);
    return (x > y) - (x < y);
}

/* How many of the ascending `heads[0..count)` are below `head`: halving down to 4..7 heads, which are
 * counted. The mask matters: written as a condition, compilers make it a jump that is mispredicted every
 * other time (22 instead of 7 ns for 35 heads). Counting shortens the chain of dependent loads. */
static inline uint32_t lsm_heads_below(const uint64_t *heads, uint32_t count, uint64_t head) {
    const uint64_t *base = heads;
    size_t left = count;
    while (left >= 8) {
        size_t half = left / 2;
        base += half & -(size_t)(base[half - 1] < head);
        left -= half;
    }
    uint32_t below = (uint32_t)(base - heads);
    if (left & 4) {
        below += (uint32_t)(base[0] < head) + (base[1] < head) + (base[2] < head) + (base[3] < head);
        base += 4;
    }
    if (left & 2) {
        below += (uint32_t)(base[0] < head) + (base[1] < head);
        base += 2;
    }
    return (left & 1) ? below + (*base < head) : below;
}

/* How many are below or equal, given that `from` are below: a short run is counted, a long one halved. */
static inline uint32_t lsm_heads_through(const uint64_t *heads, uint32_t from, uint32_t count,
                                         uint64_t head) {
    uint32_t end = from;
    while (end < count && end < from + 4 && heads[end] == head) end++;
    if (end < from + 4 || end == count) return end;
    uint32_t low = end, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (heads[middle] == head) low = middle + 1; else high = middle;
    }
    return low;
}

/* Compares entry `index` with the target, given that both share the node's prefix and the head: by the bytes
 * after the head, then key length, then sequence descending. `skip` = prefix size + 8.
 * Returns negative when the entry comes before the target, 0 when key and sequence are equal. */
typedef int (*lsm_tie_compare)(const void *node, uint32_t index, const lsm_target *target, size_t skip);

/* The order of two keys that agree in their first `skip` (zero-padded) bytes, then of their sequences. */
static inline int lsm_tie_order(const uint8_t *tail, size_t tail_size, size_t key_size, uint64_t sequence,
                                const lsm_target *target, size_t skip) {
    size_t target_tail_size = target->key_size > skip ? target->key_size - skip : 0;
    size_t shared = tail_size < target_tail_size ? tail_size : target_tail_size;
    if (shared != 0) {
        int order = lsm_bytes_order(tail, target->key + skip, shared);
        if (order != 0) return order;
    }
    if (key_size != target->key_size) return key_size < target->key_size ? -1 : 1;
    return (sequence < target->sequence) - (sequence > target->sequence);
}

/* Where a target that lacks the node's prefix belongs: before all entries or after them. */
static inline uint32_t lsm_node_outside(const uint8_t *prefix, size_t prefix_size, uint32_t count,
                                        const lsm_target *target) {
    size_t shared = target->key_size < prefix_size ? target->key_size : prefix_size;
    return shared != 0 && memcmp(target->key, prefix, shared) > 0 ? count : 0;
}

/* The first entry at or after the target: an index in 0..count.
 * REQUIRES: heads ascending, entries in node order, all keys share `prefix`. */
static inline __attribute__((always_inline)) uint32_t lsm_node_search(
    const void *node, const uint8_t *prefix, size_t prefix_size, const uint64_t *heads, uint32_t count,
    const lsm_target *target, lsm_tie_compare compare) {
    if (target->key_size < prefix_size || !lsm_bytes_equal(target->key, prefix, prefix_size)) {
        return lsm_node_outside(prefix, prefix_size, count, target);
    }
    uint64_t head = lsm_head_load(target->key + prefix_size, target->key_size - prefix_size);
    uint32_t low = lsm_heads_below(heads, count, head);
    if (low == count || heads[low] != head) return low;
    /* Among ties the first is by far the likeliest: a unique head, or the newest version. Only when it comes
     * too early is the end of the ties looked for. One call of `compare`, so that it is inlined. */
    size_t skip = prefix_size + LSM_HEAD_SIZE;
    uint32_t middle = low, high = low;
    do {
        if (compare(node, middle, target, skip) >= 0) {
            high = middle;
        } else {
            if (low == high) high = lsm_heads_through(heads, middle + 1, count, head);
            low = middle + 1;
        }
        middle = low + (high - low) / 2;
    } while (low < high);
    return low;
}

#endif
