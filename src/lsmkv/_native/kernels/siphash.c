/* The compression and finalisation of siphash.h. */
#include "siphash.h"

#include "coding.h"

typedef struct state {
    uint64_t v0, v1, v2, v3;
    uint64_t pending;   /* the bytes that fill no word yet, the first one lowest */
    size_t pending_size; /* below 8 */
    size_t size;         /* all bytes so far */
} state;

static inline uint64_t rotate(uint64_t value, int bits) { return value << bits | value >> (64 - bits); }

static inline void sip_rounds(state *s, int count) {
    for (int i = 0; i < count; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 = rotate(s->v2, 32);
    }
}

static inline void absorb_word(state *s, uint64_t word) {
    s->v3 ^= word;
    sip_rounds(s, 2);
    s->v0 ^= word;
}

/* Up to 8 bytes as the low bytes of a word. */
static inline uint64_t load_few(const uint8_t *data, size_t size) {
    if (size == 8) return lsm_load64(data);
    uint64_t word = 0;
    for (size_t i = 0; i < size; i++) word |= (uint64_t)data[i] << 8 * i;
    return word;
}

static inline void absorb(state *s, const uint8_t *data, size_t size) {
    s->size += size;
    if (s->pending_size != 0) {
        size_t fill = 8 - s->pending_size < size ? 8 - s->pending_size : size;
        s->pending |= load_few(data, fill) << 8 * s->pending_size;
        s->pending_size += fill;
        if (s->pending_size < 8) return;
        absorb_word(s, s->pending);
        data += fill;
        size -= fill;
    }
    for (; size >= 8; data += 8, size -= 8) absorb_word(s, lsm_load64(data));
    s->pending = load_few(data, size);
    s->pending_size = size;
}

uint64_t lsm_siphash(const uint8_t key[LSM_SIPHASH_KEY_SIZE], const lsm_slice *pieces, size_t count) {
    uint64_t k0 = lsm_load64(key), k1 = lsm_load64(key + 8);
    state s = {
        .v0 = k0 ^ 0x736f6d6570736575, /* "somepseudorandomlygeneratedbytes", as the authors have it */
        .v1 = k1 ^ 0x646f72616e646f6d,
        .v2 = k0 ^ 0x6c7967656e657261,
        .v3 = k1 ^ 0x7465646279746573,
    };
    for (size_t i = 0; i < count; i++) absorb(&s, pieces[i].data, pieces[i].size);
    absorb_word(&s, s.pending | (uint64_t)(s.size & 0xFF) << 56);
    s.v2 ^= 0xFF;
    sip_rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
