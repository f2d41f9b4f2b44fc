/* The byte layout of a block, shared by its reader (block.c) and its writer (block_builder.c).
 *
 *     offset  size  field
 *          0     1  version          1
 *          1     1  flags            which optional columns exist, LSM_BLOCK_HAS_*; an unknown bit is refused
 *          2     1  offset_width     2 or 4, of both offset columns
 *          3     1  sequence_width   0, 2, 4 or 8
 *          4     4  count            entries
 *          8     8  base_sequence    the smallest sequence inside
 *         16     4  prefix_size      bytes that all keys share
 *         20     4  tails_size       bytes of the tails region
 *         24     4  values_size      bytes of the values region
 *         28     1  head_size        key bytes in every head, 0..8; 0 when there is a head_sizes column
 *         29     3  zero
 *         32   8*n  heads            key bytes after the prefix, big-endian reading stored little-endian
 *                   sequences        n * sequence_width: sequence - base_sequence
 *                   value_offsets    (n + 1) * offset_width, if LSM_BLOCK_HAS_VALUE_OFFSETS
 *                   tail_offsets     (n + 1) * offset_width, if LSM_BLOCK_HAS_TAIL_OFFSETS
 *                   head_sizes       n, if LSM_BLOCK_HAS_HEAD_SIZES
 *                   kinds            n, if LSM_BLOCK_HAS_KINDS; otherwise all are PUT
 *                   prefix           prefix_size
 *                   tails            tails_size: what follows the head of each key, in key order
 *                   values           values_size
 *
 * Columns follow each other without padding, so equal entries give equal bytes; heads start at a multiple of
 * 8. Offsets begin with 0 and end with the size of their region. A column of equal sizes is not stored: heads
 * of one size stand in head_size, tails and values of one size are region size / count. That makes 16-byte
 * keys with 100-byte values 108.9 bytes an entry before sequences. A head shorter than 8 bytes is padded with
 * zeros and has no tail. An empty block is 32 bytes, all zero but version and offset_width.
 *
 * Example: PUT "ap" = "" at 7 and DELETE "apricot" at 9, 58 bytes in all.
 *
 *     01 0c 02 02  02 00 00 00  07 00 00 00 00 00 00 00    version, flags, widths; count 2; base_sequence 7
 *     02 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00   prefix_size 2; no tails; no values; head_size
 *     00 00 00 00 00 00 00 00   00 00 00 74 6f 63 69 72    heads: "" and "ricot"
 *     00 00 02 00                                          sequences: 7 + 0, 7 + 2
 *     00 05                                                head_sizes
 *     01 02                                                kinds
 *     61 70                                                prefix "ap"
 */
#ifndef LSMKV_BLOCK_FORMAT_H
#define LSMKV_BLOCK_FORMAT_H

#include <stdint.h>

enum { LSM_BLOCK_VERSION = 1 };

/* Persistent. */
enum lsm_block_flags {
    LSM_BLOCK_HAS_VALUE_OFFSETS = 0x01,
    LSM_BLOCK_HAS_TAIL_OFFSETS = 0x02,
    LSM_BLOCK_HAS_HEAD_SIZES = 0x04,
    LSM_BLOCK_HAS_KINDS = 0x08,
    LSM_BLOCK_FLAGS_KNOWN = 0x0F
};

/* Copied to and from disk whole: all fields are naturally aligned, the machine is little-endian. */
typedef struct lsm_block_header {
    uint8_t version;
    uint8_t flags;
    uint8_t offset_width;
    uint8_t sequence_width;
    uint32_t count;
    uint64_t base_sequence;
    uint32_t prefix_size;
    uint32_t tails_size;
    uint32_t values_size;
    uint8_t head_size;
    uint8_t zero[3];
} lsm_block_header;

_Static_assert(sizeof(lsm_block_header) == 32, "the block header is 32 bytes on disk");

/* All of a block fits 32-bit sizes. Tests build with a smaller limit. */
#ifndef LSM_BLOCK_SIZE_MAX
#define LSM_BLOCK_SIZE_MAX ((uint64_t)UINT32_MAX)
#endif

/* Where each part starts, in bytes from the block's start; absent columns have size 0. Cannot overflow:
 * every part is below 2^36. */
typedef struct lsm_block_layout {
    uint64_t heads, sequences, value_offsets, tail_offsets, head_sizes, kinds, prefix, tails, values, end;
} lsm_block_layout;

static inline lsm_block_layout lsm_block_layout_of(const lsm_block_header *header) {
    uint64_t count = header->count;
    uint64_t offsets_size = (count + 1) * header->offset_width;
    lsm_block_layout layout;
    layout.heads = sizeof(lsm_block_header);
    layout.sequences = layout.heads + 8 * count;
    layout.value_offsets = layout.sequences + count * header->sequence_width;
    layout.tail_offsets =
        layout.value_offsets + (header->flags & LSM_BLOCK_HAS_VALUE_OFFSETS ? offsets_size : 0);
    layout.head_sizes = layout.tail_offsets + (header->flags & LSM_BLOCK_HAS_TAIL_OFFSETS ? offsets_size : 0);
    layout.kinds = layout.head_sizes + (header->flags & LSM_BLOCK_HAS_HEAD_SIZES ? count : 0);
    layout.prefix = layout.kinds + (header->flags & LSM_BLOCK_HAS_KINDS ? count : 0);
    layout.tails = layout.prefix + header->prefix_size;
    layout.values = layout.tails + header->tails_size;
    layout.end = layout.values + header->values_size;
    return layout;
}

#endif
