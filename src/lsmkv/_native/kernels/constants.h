/* Limits and the constants that reach disk. Persistent numbers are never renumbered; 0 is reserved. */
#ifndef LSMKV_CONSTANTS_H
#define LSMKV_CONSTANTS_H

#include <stdint.h>

#define LSM_KEY_SIZE_MAX ((size_t)64 * 1024)               /* bytes; the empty key is a key */
#define LSM_VALUE_SIZE_MAX ((size_t)1024 * 1024 * 1024)    /* bytes */
/* bytes: the encoded operations of one log record */
#define LSM_BATCH_SIZE_MAX ((size_t)1024 * 1024 * 1024 + 128 * 1024)
#define LSM_SEQUENCE_MAX ((uint64_t)0x00FFFFFFFFFFFFFF)     /* 56 bits, one per operation */
/* What a merge writes for an entry that every reader sees and that has no older version anywhere: such a
 * sequence orders nothing any more, and equal ones take no space. The first operation's own, so not above any
 * other. */
#define LSM_SEQUENCE_SETTLED ((uint64_t)1)

/* Operation kinds (persistent: log operations and the kind column of blocks). */
enum lsm_kind {
    LSM_KIND_PUT = 1,
    LSM_KIND_DELETE = 2,
    LSM_KIND_MERGE = 3,        /* reserved */
    LSM_KIND_RANGE_DELETE = 4, /* reserved */
    LSM_KIND_BLOB_REF = 5,     /* reserved */
    LSM_KIND_MASK = 0x0F,
    LSM_KIND_FLAG_EXPIRES = 0x10,  /* reserved: 8 bytes of absolute milliseconds follow */
    LSM_KIND_FLAG_HAS_SPACE = 0x20 /* reserved: a key-space number follows */
};

/* What this build can read; anything else is refused as LSM_E_FORMAT, never guessed. */
static inline int lsm_kind_is_known(uint8_t kind) { return kind == LSM_KIND_PUT || kind == LSM_KIND_DELETE; }

/* trailer = sequence << 8 | kind. Order is (user key ascending, sequence descending); kind takes no part. */
static inline uint64_t lsm_trailer(uint64_t sequence, uint8_t kind) { return sequence << 8 | kind; }
static inline uint64_t lsm_trailer_sequence(uint64_t trailer) { return trailer >> 8; }
static inline uint8_t lsm_trailer_kind(uint64_t trailer) { return (uint8_t)trailer; }

#endif
