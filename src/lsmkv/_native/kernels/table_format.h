/* The byte layout of a sorted table: what writer and reader share, and nothing else.
 *
 * A table is a file header, stored blocks, and a footer. Everything between is a stored block: data blocks
 * one after the other, then the tail: index nodes, Bloom filter, properties, section directory. All integers
 * are little-endian; every byte is covered by a checksum or must be zero.
 *
 *   file header (32 bytes)                        stored block
 *   off size                                      off size
 *    0   8  magic "LSMKVTBL"                       0   4  CRC-32C of bytes 4..16+payload, seeded with
 *    8   4  format version (1)                            crc32c_seed(table id, offset of the block)
 *   12   4  CRC-32C of the other 28 bytes          4   4  payload size as stored
 *   16  16  table id, random                       8   4  payload size when decompressed
 *                                                 12   1  codec: 1 raw, 3 zstd of a folded block
 *   footer (64 bytes)                             13   1  type: 1 data, 2 index node, 3 filter,
 *   off size                                              4 properties, 5 section directory
 *    0   4  CRC-32C of bytes 4..64, seeded with   14   2  zero
 *           crc32c_seed(table id, its offset)     16   .  payload
 *    4   4  format version (1)
 *    8  16  table id                              section directory payload: one record per section,
 *   24   8  file size                             ascending and adjacent (but for zero padding)
 *   32   8  tail size: bytes after the data       off size
 *   40   8  offset of the section directory        0   2  section number: 1 index, 2 filter, 3 properties,
 *   48   4  size of it, block header included             4 range deletes (reserved)
 *   52   4  zero                                   2   2  flags: bit 0 = must understand
 *   56   8  magic "LSMKVEND"                       4   4  zero
 *                                                  8   8  offset
 *                                                 16   8  size
 *
 * A reader refuses (LSM_E_FORMAT) a section that it does not know and must understand, skips any other.
 *
 * Data blocks begin at byte 32 and are adjacent. Tail blocks are raw, and zeros put each of their payloads
 * and the footer on a multiple of 64 bytes in the file: the tail is read in one piece, and index nodes and
 * filter lines are used in place, aligned.
 *
 * Data and index payloads have the layout of block.h. An index entry stands for one child: its key is a
 * separator, at or after the child's last entry and before the next child's first in (key, sequence) order;
 * its value a handle: 8 bytes offset, 4 bytes size with block header, 4 bytes ordinal of the child in its
 * level. Separators have sequence 0 and the shortest user key that serves; where a block was cut inside the
 * versions of one user key, they are that key with the sequence of the last entry. Level 1 nodes point at
 * data blocks, level n+1 nodes at level n nodes, with the child's last separator as key. All nodes of level 1
 * come first, the root last. The last separator is the largest key.
 *
 *   filter payload                                properties payload
 *   off size                                      off size
 *    0   4  line count                             0   8  entries
 *    4   4  probe count                            8   8  tombstones
 *    8   4  hash: 1 = murmur3 x64-128, low 64     16   8  key and value bytes
 *   12  52  zero                                  24   8  smallest sequence *
 *   64   .  64-byte lines (bloom.h)               32   8  largest sequence *
 *                                                 40   4  data blocks
 *                                                 44   4  index levels
 *                                                 48   4  target block size of the writer
 *                                                 52   4  zero
 *                                                 56   4  smallest key's size
 *                                                 60   4  largest key's size
 *                                                 64   .  smallest key, largest key
 *
 * The range of sequences (*) covers the operations the table was made from. An entry that every reader
 * sees and that had no older version anywhere is settled: it stands in its block with sequence 1, whatever it
 * had.
 *
 * Example: PUT "k" = "v" at sequence 1, no filter, id 00 01 .. 0f: 512 bytes, tail size 0x1a6.
 *
 *     0  4c534d4b 5654424c 01000000 c5114e65  "LSMKVTBL", version, checksum
 *    16  00010203 04050607 08090a0b 0c0d0e0f  table id
 *    32  7ae1d817 2a000000 2a000000 01010000  data block: checksum, 42 bytes, raw, data
 *    48  01000200 01000000 01000000 00000000  payload as in block_format.h
 *    64  01000000 00000000 01000000 00000000
 *    80  00000000 00000000 6b76
 *   112  064fb0f9 39000000 39000000 01020000  root: 57 bytes, raw, index
 *   128  01000200 01000000 00000000 00000000
 *   144  01000000 00000000 10000000 00000000
 *   160  00000000 00000000 6b                 separator "k", sequence 0
 *   169  20000000 00000000 3a000000 00000000  handle: offset 32, 58 bytes, ordinal 0
 *   240  e6e8bd1b 42000000 42000000 01040000  properties: 66 bytes
 *   256  01000000 00000000 00000000 00000000  1 entry, no tombstone
 *   272  02000000 00000000 01000000 00000000  2 bytes, sequences from 1
 *   288  01000000 00000000 01000000 01000000  to 1, 1 data block, 1 level
 *   304  00100000 00000000 01000000 01000000  block size 4096, key sizes
 *   320  6b6b                                 "k", "k"
 *   368  aefc94d3 30000000 30000000 01050000  section directory: 48 bytes
 *   384  01000100 00000000 70000000 00000000  index, must be understood, at 112,
 *   400  49000000 00000000 03000100 00000000  73 bytes; properties, the same,
 *   416  f0000000 00000000 52000000 00000000  at 240, 82 bytes
 *   448  f5455a93 01000000 00010203 04050607  footer: checksum, version, table id,
 *   464  08090a0b 0c0d0e0f 00020000 00000000  file size 512,
 *   480  a6010000 00000000 70010000 00000000  tail size 422, directory at 368,
 *   496  40000000 00000000 4c534d4b 56454e44  64 bytes; "LSMKVEND"
 */
#ifndef LSMKV_TABLE_FORMAT_H
#define LSMKV_TABLE_FORMAT_H

#include "codec.h"
#include "coding.h"
#include "constants.h"
#include "table.h"

#define LSM_TABLE_MAGIC "LSMKVTBL"
#define LSM_TABLE_END_MAGIC "LSMKVEND"

enum {
    LSM_TABLE_FORMAT_VERSION = 1,
    LSM_TABLE_HEADER_SIZE = 32,
    LSM_TABLE_BLOCK_HEADER_SIZE = 16,
    LSM_TABLE_FOOTER_SIZE = 64,
    LSM_TABLE_ALIGNMENT = 64,
    LSM_TABLE_HANDLE_SIZE = 16,
    LSM_TABLE_SECTION_SIZE = 24,
    LSM_TABLE_PROPERTIES_SIZE = 64,
    LSM_TABLE_FILTER_HEADER_SIZE = 64,
    LSM_TABLE_FILTER_HASH_MURMUR3 = 1,
    LSM_TABLE_INDEX_FAN_OUT = 256,     /* most entries of an index node */
    LSM_TABLE_INDEX_NODE_SIZE = 65536, /* or so many bytes, once it has two entries */
    LSM_TABLE_INDEX_LEVELS_MAX = 33    /* nodes have two entries or more, but for the last of a level */
};

/* One entry of the largest size, with room for its columns. */
#define LSM_TABLE_PAYLOAD_SIZE_MAX (LSM_VALUE_SIZE_MAX + (size_t)128 * 1024)

enum lsm_stored_type {
    LSM_STORED_DATA = 1,
    LSM_STORED_INDEX = 2,
    LSM_STORED_FILTER = 3,
    LSM_STORED_PROPERTIES = 4,
    LSM_STORED_DIRECTORY = 5
};

enum lsm_section_number {
    LSM_SECTION_INDEX = 1,
    LSM_SECTION_FILTER = 2,
    LSM_SECTION_PROPERTIES = 3,
    LSM_SECTION_RANGE_DELETES = 4 /* reserved: refused */
};

enum { LSM_SECTION_MUST_UNDERSTAND = 1 };

typedef struct lsm_stored_header {
    uint32_t stored_size; /* of the payload */
    uint32_t raw_size;
    uint8_t codec;
    uint8_t type;
} lsm_stored_header;

typedef struct lsm_table_handle {
    uint64_t offset;
    uint32_t size; /* block header included */
    uint32_t ordinal;
} lsm_table_handle;

typedef struct lsm_table_section {
    uint64_t offset;
    uint64_t size;
    uint16_t number;
    uint16_t flags;
} lsm_table_section;

typedef struct lsm_table_footer {
    uint8_t id[LSM_TABLE_ID_SIZE];
    uint64_t file_size;
    uint64_t tail_size;
    uint64_t directory_offset;
    uint32_t directory_size;
} lsm_table_footer;

/* Where the block after one that ends at `end` begins in the tail: its payload is aligned. */
static inline uint64_t lsm_tail_block_offset(uint64_t end) {
    uint64_t payload = end + LSM_TABLE_BLOCK_HEADER_SIZE + LSM_TABLE_ALIGNMENT - 1;
    return payload / LSM_TABLE_ALIGNMENT * LSM_TABLE_ALIGNMENT - LSM_TABLE_BLOCK_HEADER_SIZE;
}

static inline uint64_t lsm_footer_offset(uint64_t end) {
    return (end + LSM_TABLE_ALIGNMENT - 1) / LSM_TABLE_ALIGNMENT * LSM_TABLE_ALIGNMENT;
}

static inline void lsm_handle_store(uint8_t *p, lsm_table_handle handle) {
    lsm_store64(p, handle.offset);
    lsm_store32(p + 8, handle.size);
    lsm_store32(p + 12, handle.ordinal);
}

static inline lsm_table_handle lsm_handle_load(const uint8_t *p) {
    return (lsm_table_handle){lsm_load64(p), lsm_load32(p + 8), lsm_load32(p + 12)};
}

void lsm_table_header_store(uint8_t *p, const uint8_t *id);
/* `id` receives the table id. 0, LSM_E_CORRUPT or LSM_E_FORMAT. */
int lsm_table_header_check(const uint8_t *p, uint8_t *id, const char *path, lsm_error *error);

void lsm_table_footer_store(uint8_t *p, const lsm_table_footer *footer, uint64_t offset);
int lsm_table_footer_check(const uint8_t *p, uint64_t offset, lsm_table_footer *footer, const char *path,
                           lsm_error *error);

/* Writes the block header in front of a payload that stands at p + 16 already. */
void lsm_stored_seal(uint8_t *p, const lsm_stored_header *header, const uint8_t *id, uint64_t offset);
/* Checks `size` bytes that must be exactly one stored block of this type: checksum, sizes, codec. */
int lsm_stored_check(const uint8_t *p, size_t size, int type, const uint8_t *id, uint64_t offset,
                     lsm_stored_header *header, const char *path, lsm_error *error);

#endif
