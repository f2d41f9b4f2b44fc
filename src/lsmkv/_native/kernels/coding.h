/* Byte cursor: fixed little-endian loads and stores, varints, and a bounds-checked reader. All inline.
 *
 * Multi-byte integers on disk are little-endian, except key heads, which are the big-endian reading of key
 * bytes *stored* as little-endian integers, so that integer order equals byte order.
 * A varint is LEB128: 7 bits a byte, low bits first, at most 10 bytes, no over-long form accepted.
 */
#ifndef LSMKV_CODING_H
#define LSMKV_CODING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "status.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "lsmkv is built for little-endian machines (x86_64, aarch64)"
#endif

static inline uint16_t lsm_load16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t lsm_load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t lsm_load64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void lsm_store16(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void lsm_store32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void lsm_store64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); }

enum { LSM_VARINT_SIZE_MAX = 10 };

/* REQUIRES: room for LSM_VARINT_SIZE_MAX bytes. Returns the position after the last byte written. */
static inline uint8_t *lsm_varint_store(uint8_t *p, uint64_t v) {
    while (v >= 0x80) {
        *p++ = (uint8_t)v | 0x80;
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static inline size_t lsm_varint_size(uint64_t v) {
    return v < 0x80 ? 1 : (size_t)(70 - __builtin_clzll(v)) / 7;
}

/* A reader never moves past `end`: each call checks before it moves and returns 0, or LSM_E_CORRUPT. */
typedef struct lsm_reader {
    const uint8_t *cursor;
    const uint8_t *end;
} lsm_reader;

static inline size_t lsm_reader_left(const lsm_reader *r) { return (size_t)(r->end - r->cursor); }

static inline int lsm_read8(lsm_reader *r, uint8_t *out) {
    if (LSM_UNLIKELY(r->cursor == r->end)) return LSM_E_CORRUPT;
    *out = *r->cursor++;
    return 0;
}

static inline int lsm_read32(lsm_reader *r, uint32_t *out) {
    if (LSM_UNLIKELY(lsm_reader_left(r) < 4)) return LSM_E_CORRUPT;
    *out = lsm_load32(r->cursor);
    r->cursor += 4;
    return 0;
}

static inline int lsm_read64(lsm_reader *r, uint64_t *out) {
    if (LSM_UNLIKELY(lsm_reader_left(r) < 8)) return LSM_E_CORRUPT;
    *out = lsm_load64(r->cursor);
    r->cursor += 8;
    return 0;
}

static inline int lsm_read_varint(lsm_reader *r, uint64_t *out) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte;
        if (lsm_read8(r, &byte)) return LSM_E_CORRUPT;
        if (shift == 63 && byte > 1) return LSM_E_CORRUPT;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            if (byte == 0 && shift != 0) return LSM_E_CORRUPT; /* over-long */
            *out = value;
            return 0;
        }
    }
    return LSM_E_CORRUPT;
}

static inline int lsm_read_bytes(lsm_reader *r, size_t size, lsm_slice *out) {
    if (LSM_UNLIKELY(lsm_reader_left(r) < size)) return LSM_E_CORRUPT;
    out->data = r->cursor;
    out->size = size;
    r->cursor += size;
    return 0;
}

/* Bytewise order, shorter first: negative, 0 or positive. */
static inline int lsm_slice_compare(lsm_slice a, lsm_slice b) {
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    if (order != 0) return order;
    return (a.size > b.size) - (a.size < b.size);
}

#endif
