/* Folding: the heads of a block, rearranged for the compressor and back. Only compressed blocks are folded.
 *
 * Heads ascend, so most bytes of the difference to the head before are zero, and the others are alike from
 * entry to entry - but interleaved, eight bytes an entry, a compressor of bytes does not see it. Folding
 * takes the heads in groups of 64 (the last group may be smaller, k heads) and replaces each group by its
 * differences, byte plane by byte plane:
 *
 *     off   size  of a group of k heads
 *       0      k  byte 0 (lowest) of head[i] - head[i - 1], for i in the group; modulo 2^64, the head before
 *                 the block's first is 0
 *       k      k  byte 1
 *     ...
 *     7*k      k  byte 7
 *
 * Nothing else of the block changes, nor does its size. It saves 3 % of a block of 37 decimal keys under zstd
 * level 1 and some 150 ns, either way.
 *
 * Example: the heads 0x0102, 0x0104, 0x0204 fold to 02 02 00  01 00 01  and 18 zeros.
 */
#ifndef LSMKV_BLOCK_FOLD_H
#define LSMKV_BLOCK_FOLD_H

#include <stddef.h>
#include <stdint.h>

enum { LSM_FOLD_GROUP = 64 };

/* In place. Bytes that cannot be a block (its heads do not fit) are left alone: parsing refuses them.
 * Unfolding what was folded gives the same bytes again, whatever they are. */
void lsm_block_fold(uint8_t *data, size_t size);
void lsm_block_unfold(uint8_t *data, size_t size);

#endif
