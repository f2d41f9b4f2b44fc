/* Records of the cluster as bytes, and reading them.
 *
 * A record is a vector clock and the items that nothing known has superseded. It has one encoding: equal
 * records are equal bytes.
 *
 *     record                                        item (16 bytes and more)
 *     off size                                      off size
 *      0   4  CRC-32C of bytes 4..                   0   2  its actor: an index into the clock
 *      4   1  format version (1)                     2   1  kind: 1 value, 2 tombstone, 3 count,
 *      5   1  flags: none yet                               4 element, 5 field
 *      6   2  clock entries (1 to 4096)              3   1  flags: 1 = it expires
 *      8   4  items                                  4   4  counter
 *     12   4  cut time, seconds; 0 = never cut       8   8  stamp: milliseconds << 16 | count
 *     16      clock entries, ascending by actor     16   8  expiry, milliseconds; only with flag 1
 *              then items, ascending by                  .  element, field: varint name size
 *              (actor, counter)                          .  value, field: varint value size
 *     clock entry (24 bytes)                             .  name
 *     off size                                           .  value; of a count 8 bytes, signed
 *      0   4  node, big-endian
 *      4   4  incarnation, big-endian
 *      8   8  epoch, big-endian
 *     16   4  counter
 *     20   4  time, seconds; 0 = pinned
 *
 * The first 16 bytes of an entry are the actor, whose order is the order of its bytes. A counter is at least
 * 1 and that of an item at most its entry's. The time of an entry is at least the cut time and at least 1. In
 * a record that was cut an entry may be pinned instead: its time is 0 and its counter that of the newest item
 * of its actor.
 *
 * Example: "v" written as the first event of actor (1, 2, 3), at 1,700,000,000.000 s, 58 bytes:
 *
 *     8b cf 94 a7  01 00  01 00  01 00 00 00  00 00 00 00   checksum, 1 entry, 1 item, never cut
 *     00 00 00 01  00 00 00 02  00 00 00 00 00 00 00 03     actor
 *     01 00 00 00  00 f1 53 65                              counter 1, time
 *     00 00 01 00  01 00 00 00  00 00 00 68 e5 cf 8b 01     item: actor 0, value, counter 1, stamp
 *     01 76                                                 1 byte "v"
 *
 * Every byte may be hostile: what is not exactly as above is LSM_E_CORRUPT, what a later version may have
 * written (version, flags, kind) LSM_E_FORMAT, too large LSM_E_LIMIT.
 */
#ifndef LSMKV_RECORD_FORMAT_H
#define LSMKV_RECORD_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "coding.h"
#include "status.h"

#define LSM_RECORD_SIZE_MAX ((size_t)64 * 1024 * 1024) /* bytes */
#define LSM_RECORD_CLOCK_MAX 4096u                     /* entries */
#define LSM_RECORD_ITEMS_MAX (1024u * 1024u)

enum lsm_record_layout {
    LSM_RECORD_VERSION = 1,
    LSM_RECORD_HEADER_SIZE = 16,
    LSM_RECORD_ENTRY_SIZE = 24,
    LSM_RECORD_ACTOR_SIZE = 16,
    LSM_RECORD_ITEM_SIZE = 16, /* without expiry, sizes, name and value */
    LSM_RECORD_ITEM_EXPIRES = 1
};

enum lsm_record_kind { /* persistent */
    LSM_RECORD_VALUE = 1,
    LSM_RECORD_TOMBSTONE = 2,
    LSM_RECORD_COUNT = 3,
    LSM_RECORD_ELEMENT = 4,
    LSM_RECORD_FIELD = 5,
    LSM_RECORD_KIND_MAX = 5
};

/* The effective entry of one actor while two records meet. */
typedef struct lsm_record_entry {
    uint32_t counter; /* 0 = the entry has fallen */
    uint32_t time;
    uint32_t live;    /* counter of the newest item of this actor, 0 = none */
    uint32_t other;   /* what the other record knows of this actor */
    uint32_t target;  /* its index in the merged clock */
} lsm_record_entry;

/* A record being read: where its parts are. */
typedef struct lsm_record {
    const uint8_t *data;
    const uint8_t *clock;
    const uint8_t *items;
    const uint8_t *end;
    uint32_t entry_count, item_count, cut;
    lsm_record_entry *entries;
} lsm_record;

typedef struct lsm_item {
    const uint8_t *data;
    size_t size;
    uint32_t index, counter;
    uint8_t kind;
    uint64_t stamp, expiry;
    lsm_slice name, value;
} lsm_item;

/* The bytes of one clock entry; they begin with its actor. */
static inline const uint8_t *lsm_record_entry_at(const lsm_record *r, uint32_t index) {
    return r->clock + (size_t)index * LSM_RECORD_ENTRY_SIZE;
}

/* Size, checksum, version, limits and counts: what must be known before room for the entries is made. */
int lsm_record_read_header(lsm_record *r, lsm_slice data, lsm_error *error);

/* All the rest, after `r->entries` was given room for `r->entry_count` entries: fills them. */
int lsm_record_read_body(lsm_record *r, lsm_error *error);

/* Takes the item at the reader; cannot fail in a record that was read. */
int lsm_record_read_item(lsm_reader *reader, const lsm_record *r, lsm_item *out, lsm_error *error);

#endif
