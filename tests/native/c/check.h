/* What the programs here share: a check that tells where it failed, and random numbers that a seed repeats.
 *
 * The generator is xorshift64 (Marsaglia, "Xorshift RNGs", 2003): its state must not be 0.
 */
#ifndef LSM_TESTS_CHECK_H
#define LSM_TESTS_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition, ...)                                    \
    do {                                                         \
        if (!(condition)) {                                      \
            fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);      \
            fprintf(stderr, __VA_ARGS__);                        \
            fputc('\n', stderr);                                 \
            exit(1);                                             \
        }                                                        \
    } while (0)

static uint64_t random_state = 88172645463325252u;

static inline uint64_t random_next(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static inline uint64_t random_below(uint64_t limit) { return random_next() % limit; }

#endif
