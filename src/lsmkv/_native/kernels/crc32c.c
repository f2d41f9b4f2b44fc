/* CRC-32C: one step per instruction set, one algorithm over them, and slicing tables where there is none.
 *
 * Notation: polynomials over GF(2) modulo P, bit-reflected, so that bit 0 of a 32-bit value is x^31. A CRC
 * register followed by n zero bytes is that register times x^(8n): this is what lets three lanes run side by
 * side (the instruction has a latency of three cycles but starts every cycle) and be joined afterwards.
 *
 * Tables and dispatch are set by a constructor, before any other code of the module can run, and only read
 * from then on.
 */
#include "crc32c.h"

#include "coding.h"

#define POLYNOMIAL 0x82F63B78u /* 0x1EDC6F41 reflected */

enum {
    SLICES = 8,
    LANES = 3,
    LANE_WORDS_MIN = 6,   /* below this the joins cost more than the lanes save (measured) */
    LANE_WORDS_MAX = 256, /* bounds the table of joins; longer input takes several rounds */
    JOINS = (LANES - 1) * LANE_WORDS_MAX + 1
};

/* slice[k][b]: the register after byte b and k zero bytes, from an empty register. */
static uint32_t slice[SLICES][256];

static uint32_t table_update(uint32_t crc, const uint8_t *data, size_t size) {
    while (size >= SLICES) {
        uint64_t word = lsm_load64(data) ^ crc;
        crc = 0;
        for (int k = 0; k < SLICES; k++) {
            crc ^= slice[SLICES - 1 - k][word >> (8 * k) & 0xFF];
        }
        data += SLICES;
        size -= SLICES;
    }
    while (size-- > 0) crc = slice[0][(crc ^ *data++) & 0xFF] ^ crc >> 8;
    return crc;
}

uint32_t lsm_crc32c_table(uint32_t crc, const uint8_t *data, size_t size) {
    return ~table_update(~crc, data, size);
}

/* --- instruction sets: a target, two steps, a carry-less product, a test for presence ------------------- */

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

#define HAVE_HARDWARE 1
#define HARDWARE_NAME "sse4.2"
#if defined(__clang__) && __clang_major__ >= 14 /* split the instruction off from sse4.2 */
#define HARDWARE_TARGET __attribute__((target("sse4.2,crc32,pclmul")))
#else
#define HARDWARE_TARGET __attribute__((target("sse4.2,pclmul")))
#endif

/* Every processor with PCLMULQDQ has SSE4.2; the one generation without it (2008) takes the tables. */
static int hardware_is_present(void) {
    enum { SSE4_2 = 1 << 20, PCLMULQDQ = 1 << 1 }; /* ecx of cpuid leaf 1 */
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
    return (ecx & SSE4_2) != 0 && (ecx & PCLMULQDQ) != 0;
}

HARDWARE_TARGET static inline uint32_t step8(uint32_t crc, uint8_t byte) { return _mm_crc32_u8(crc, byte); }

HARDWARE_TARGET static inline uint32_t step64(uint32_t crc, uint64_t word) {
    return (uint32_t)_mm_crc32_u64(crc, word);
}

HARDWARE_TARGET static inline uint64_t carryless_product(uint32_t a, uint32_t b) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128(a), _mm_cvtsi64_si128(b), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

#elif defined(__aarch64__)

#include <arm_acle.h>
#include <sys/auxv.h>

#define HAVE_HARDWARE 1
#define HARDWARE_NAME "armv8"
#define HARDWARE_TARGET __attribute__((target("+crc")))

enum { CAPABILITY_CRC32 = 1 << 7 }; /* HWCAP_CRC32 of the Linux arm64 ABI */

static int hardware_is_present(void) { return (getauxval(AT_HWCAP) & CAPABILITY_CRC32) != 0; }

HARDWARE_TARGET static inline uint32_t step8(uint32_t crc, uint8_t byte) { return __crc32cb(crc, byte); }

HARDWARE_TARGET static inline uint32_t step64(uint32_t crc, uint64_t word) { return __crc32cd(crc, word); }

/* In plain arithmetic: PMULL is optional and missing on common small boards. */
static inline uint64_t carryless_product(uint32_t a, uint32_t b) {
    uint64_t product = 0;
    for (int bit = 0; bit < 32; bit++) product ^= ((uint64_t)a << bit) & -(uint64_t)(b >> bit & 1);
    return product;
}

#endif

#ifdef HAVE_HARDWARE

/* join[n] = x^(64n - 33). The product of two reflected 32-bit values is a 63-bit value, one place short of
 * a 64-bit one, and a step over a 64-bit word multiplies by x^32: together the missing x^33. */
static uint32_t join[JOINS];

/* The register moved past `words` words of zeros. */
HARDWARE_TARGET static inline uint32_t advance(uint32_t crc, size_t words) {
    return step64(0, carryless_product(crc, join[words]));
}

HARDWARE_TARGET static inline uint32_t update_lanes(uint32_t crc, const uint8_t *data, size_t words) {
    const uint8_t *second = data + 8 * words, *third = second + 8 * words;
    uint32_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < words; i++) {
        a = step64(a, lsm_load64(data + 8 * i));
        b = step64(b, lsm_load64(second + 8 * i));
        c = step64(c, lsm_load64(third + 8 * i));
    }
    return advance(a, 2 * words) ^ advance(b, words) ^ c;
}

HARDWARE_TARGET static uint32_t hardware_update(uint32_t crc, const uint8_t *data, size_t size) {
    while (size >= LANES * LANE_WORDS_MIN * 8) {
        size_t words = size / (LANES * 8);
        if (words > LANE_WORDS_MAX) words = LANE_WORDS_MAX;
        crc = update_lanes(crc, data, words);
        data += LANES * 8 * words;
        size -= LANES * 8 * words;
    }
    for (; size >= 8; size -= 8, data += 8) crc = step64(crc, lsm_load64(data));
    while (size-- > 0) crc = step8(crc, *data++);
    return crc;
}

#endif

/* --- dispatch ------------------------------------------------------------------------------------------- */

static uint32_t (*update)(uint32_t crc, const uint8_t *data, size_t size) = table_update;
static const char *implementation = "table";

__attribute__((constructor)) static void initialize(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (POLYNOMIAL & -(crc & 1));
        slice[0][byte] = crc;
    }
    for (int k = 1; k < SLICES; k++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t crc = slice[k - 1][byte];
            slice[k][byte] = slice[0][crc & 0xFF] ^ crc >> 8;
        }
    }
#ifdef HAVE_HARDWARE
    static const uint8_t zeros[8];
    join[1] = 1; /* x^31 */
    for (int n = 2; n < JOINS; n++) join[n] = table_update(join[n - 1], zeros, sizeof zeros);
    if (hardware_is_present()) {
        update = hardware_update;
        implementation = HARDWARE_NAME;
    }
#endif
}

uint32_t lsm_crc32c(uint32_t crc, const uint8_t *data, size_t size) { return ~update(~crc, data, size); }

const char *lsm_crc32c_implementation(void) { return implementation; }

uint32_t lsm_crc32c_seed(const uint8_t *id, size_t id_size, uint64_t offset) {
    uint8_t position[8];
    lsm_store64(position, offset);
    return lsm_crc32c(lsm_crc32c(0, id, id_size), position, sizeof position);
}
