/* Merges and damages records, and holds the merge to its laws at full speed.
 *
 *     record_check SEED ROUNDS < records
 *
 * Standard input: sound records, each behind its size in 4 bytes. Built with sanitizers. Every record lies in
 * an allocation of its exact size: nothing may be read beyond it. Damaged ones get a checksum that fits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator.h"
#include "check.h"
#include "coding.h"
#include "crc32c.h"
#include "record_merge.h"

enum { RECORDS_MAX = 4096 };

static uint64_t accepted, refused;
static lsm_slice records[RECORDS_MAX];
static size_t record_count;
static lsm_record_merger merger;

static lsm_slice copy_of(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    CHECK(copy != NULL, "out of memory");
    memcpy(copy, data, size);
    return (lsm_slice){copy, size};
}

static void read_records(void) {
    uint8_t head[4];
    while (fread(head, 1, 4, stdin) == 4 && record_count < RECORDS_MAX) {
        size_t size = lsm_load32(head);
        uint8_t *data = malloc(size);
        CHECK(data != NULL && fread(data, 1, size, stdin) == size, "records are cut short");
        records[record_count++] = (lsm_slice){data, size};
        CHECK(lsm_record_check(&merger, records[record_count - 1], NULL) == 0, "a sound record is refused");
    }
    CHECK(record_count > 10, "%zu records", record_count);
}

/* The merge of two sound records, which may refuse by its limits only. */
static lsm_slice merged(lsm_slice a, lsm_slice b) {
    lsm_slice result = a;
    int action = lsm_record_merge(&merger, &a, b, &result);
    CHECK(action == LSM_MERGE_KEEP || action == LSM_MERGE_WRITE, "merge of sound records: %d", action);
    if (action == LSM_MERGE_KEEP) result = a;
    lsm_slice copy = copy_of(result.data, result.size);
    CHECK(lsm_record_check(&merger, copy, NULL) == 0, "the result of a merge is no record");
    return copy;
}

static void check_equal(lsm_slice a, lsm_slice b, const char *law) {
    CHECK(a.size == b.size && memcmp(a.data, b.data, a.size) == 0, "%s", law);
}

static void check_laws(lsm_slice a, lsm_slice b) {
    lsm_slice ab = merged(a, b), ba = merged(b, a);
    check_equal(ab, ba, "not commutative");
    lsm_slice again = merged(ab, a), once_more = merged(b, ab), same = merged(a, a);
    check_equal(again, ab, "the result does not absorb the first");
    check_equal(once_more, ab, "the result does not absorb the second");
    check_equal(same, a, "not idempotent");
    lsm_slice all[] = {ab, ba, again, once_more, same};
    for (size_t i = 0; i < 5; i++) free((void *)all[i].data);
}

static void damage(uint8_t *data, size_t size) {
    size_t first = random_below(4) ? 4 : 16;
    if (size <= 16) first = 0;
    switch (random_below(4)) {
    case 0:
        data[first + random_below(size - first)] ^= (uint8_t)(1 << random_below(8));
        break;
    case 1:
        data[first + random_below(size - first)] = (uint8_t)random_below(256);
        break;
    case 2: /* another count, cut time, counter or time */
        if (size >= 24) lsm_store32(data + 4 * random_below(size / 4), (uint32_t)random_below(5));
        break;
    default: {
        size_t amount = random_below(size < 24 ? size : 24);
        memmove(data + random_below(size - amount), data + random_below(size - amount), amount);
    }
    }
}

static void check_damaged(lsm_slice a, lsm_slice b) {
    size_t size = random_below(4) ? a.size : random_below(a.size + 1);
    lsm_slice bad = copy_of(a.data, size);
    uint8_t *data = (uint8_t *)bad.data;
    if (size > 4) {
        for (uint64_t times = random_below(3); times != 0; times--) damage(data, size);
        lsm_store32(data, lsm_crc32c(0, data + 4, size - 4));
    }
    lsm_error error = {0};
    int status = lsm_record_check(&merger, bad, &error);
    int is_known = status == LSM_E_CORRUPT || status == LSM_E_FORMAT || status == LSM_E_LIMIT;
    CHECK(status == 0 || is_known, "status %d", status);
    CHECK(status == 0 || (error.code == status && error.message[0] != 0), "an error without its record");
    accepted += status == 0;
    refused += status != 0;
    if (status == 0) {
        check_laws(bad, b);
    } else {
        lsm_slice result;
        CHECK(lsm_record_merge(&merger, &b, bad, &result) == status, "the merge takes what is damaged");
        CHECK(merger.failed_side == LSM_RECORD_OPERAND, "whose fault it is");
        CHECK(lsm_record_merge(&merger, &bad, b, &result) == status, "the merge takes what is damaged");
        CHECK(merger.failed_side == LSM_RECORD_OLD, "whose fault it is");
    }
    free(data);
}

int main(int argument_count, char **arguments) {
    CHECK(argument_count == 3, "see the head of this file");
    random_state = strtoull(arguments[1], NULL, 10) * 0x9E3779B97F4A7C15u + 1;
    read_records();
    for (long rounds = atol(arguments[2]); rounds > 0; rounds--) {
        lsm_slice a = records[random_below(record_count)], b = records[random_below(record_count)];
        check_laws(a, b);
        for (int i = 0; i < 8; i++) check_damaged(a, b);
    }
    for (size_t i = 0; i < record_count; i++) free((void *)records[i].data);
    lsm_record_merger_release(&merger);
    CHECK(lsm_memory_shared()->blocks == 0 && lsm_memory_shared()->bytes == 0, "memory was not given back");
    printf("%llu %llu\n", (unsigned long long)accepted, (unsigned long long)refused);
    return 0;
}
