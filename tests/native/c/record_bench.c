/* Merges per second of the kernel alone: pairs of records, round and round.
 *
 *     record_bench ROUNDS < records
 *
 * Standard input: old and operand in turn, each behind its size in 4 bytes. Prints nanoseconds a merge.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "coding.h"
#include "record_merge.h"

enum { RECORDS_MAX = 65536 };

static lsm_slice records[RECORDS_MAX];

static size_t read_records(void) {
    uint8_t head[4];
    size_t count = 0;
    while (count < RECORDS_MAX && fread(head, 1, 4, stdin) == 4) {
        size_t size = lsm_load32(head);
        uint8_t *data = malloc(size);
        if (data == NULL || fread(data, 1, size, stdin) != size) exit(1);
        records[count++] = (lsm_slice){data, size};
    }
    return count;
}

int main(int argument_count, char **arguments) {
    if (argument_count != 2) return 1;
    lsm_record_merger merger = {0};
    size_t count = read_records();
    long rounds = atol(arguments[1]);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (long round = 0; round < rounds; round++) {
        for (size_t i = 0; i + 1 < count; i += 2) {
            lsm_slice result;
            if (lsm_record_merge(&merger, &records[i], records[i + 1], &result) < 0) return 1;
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    double elapsed = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
    printf("%.1f\n", elapsed / ((double)rounds * (double)(count / 2)));
    return 0;
}
