/* Registers: records (record_format.h) of one plain value, as nearly all of a key-value store are.
 *
 * Reading and overwriting them is what a plain GET and SET come to on a node that is alone. The full rules
 * are the cluster's (its minting.py and resolve.py); here is the part of them that needs no decision, with
 * the same bytes as a result. Whatever is not as simple as that is LSM_REGISTER_OTHER, and left to those
 * rules: siblings, counters, sets and maps, clocks that were or are to be cut, stamps ahead of the clock.
 */
#ifndef LSMKV_REGISTER_H
#define LSMKV_REGISTER_H

#include <stddef.h>
#include <stdint.h>

#include "record_format.h"
#include "status.h"

enum lsm_register_outcome {
    LSM_REGISTER_NOTHING = 0, /* deleted, or expired */
    LSM_REGISTER_VALUE = 1,
    LSM_REGISTER_OTHER = 2
};

enum {
    LSM_REGISTER_CLOCK_MAX = 49, /* entries that another one may be added to: 50 is the threshold of cuts */
    LSM_REGISTER_ITEMS_MAX = 8,
    LSM_REGISTER_OWN_SIZE = 8,       /* node and incarnation: the head of an actor */
    LSM_REGISTER_VALUE_SIZE_MAX = 1 << 20 /* larger ones go the long way, too */
};

/* What a record says at `now_ms`; the value is a part of it. Negative: it is no record. */
int lsm_register_read(lsm_slice record, uint64_t now_ms, lsm_slice *value, lsm_error *error);

typedef struct lsm_register_write {
    uint8_t own[LSM_REGISTER_OWN_SIZE];
    uint64_t trusted_epoch; /* the first epoch that may count on */
    uint64_t fresh_epoch;   /* for a key that has none to count on from; 0 = there is none at hand */
    uint64_t stamp;
    uint64_t expiry_ms; /* 0 = never */
    lsm_slice value;
} lsm_register_write;

/* Where the new record goes: grows as needed. Zeroed at first. */
typedef struct lsm_register_buffer {
    uint8_t *data; /* owned */
    size_t size, capacity;
} lsm_register_buffer;

void lsm_register_release(lsm_register_buffer *buffer);

/* The record that takes the place of `old`, NULL for nothing. LSM_REGISTER_VALUE and the record in `buffer`,
 * and whether the fresh epoch was used; LSM_REGISTER_OTHER; or LSM_E_MEMORY. A damaged old record is OTHER:
 * the rules say what becomes of it. */
int lsm_register_overwrite(const lsm_slice *old, const lsm_register_write *write, lsm_register_buffer *buffer,
                           int *is_fresh);

#endif
