/* What the targets share. Each is one LLVMFuzzerTestOneInput: libFuzzer drives it, or replay.c over a corpus.
 *
 * They are linked with no_checksums.c in place of crc32c.c, or the fuzzer would never get past a checksum; an
 * input is whatever a writer could have written with checksums of zero.
 */
#ifndef LSMKV_FUZZ_H
#define LSMKV_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator.h"

#define REQUIRE(condition)                                                   \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);  \
            abort();                                                         \
        }                                                                    \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes in an allocation of exactly their size, so that a read beyond them is noticed. */
static inline uint8_t *exact_copy(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    REQUIRE(copy != NULL);
    if (size != 0) memcpy(copy, data, size);
    return copy;
}

static inline void require_no_leak(void) {
    REQUIRE(lsm_memory_shared()->blocks == 0 && lsm_memory_shared()->bytes == 0);
}

#endif
