/* Feeds damaged blocks to the parser and holds those it lets through to everything a view promises.
 *
 *     block_check SEED ROUNDS
 *
 * Built with sanitizers and with a small LSM_BLOCK_SIZE_MAX, so that the limit of the builder is met too.
 * Each block lies in an allocation of its exact size: no accessor may read beyond it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "allocator.h"
#include "block.h"
#include "block_format.h"
#include "check.h"

typedef struct bytes {
    uint8_t *data;
    size_t size;
} bytes;

static uint64_t accepted, refused, limits;

static void *allocated(size_t size) {
    void *pointer = malloc(size ? size : 1);
    CHECK(pointer != NULL, "out of memory");
    return pointer;
}

/* --- building ----------------------------------------------------------------------------------------- */

/* The next key in order: the last one with a byte raised or bytes appended, often sharing much of it. */
static size_t next_key(uint8_t *key, size_t size, size_t size_max) {
    if (size + 9 < size_max && random_below(3) != 0) {
        for (size_t added = random_below(9) + 1; added != 0; added--) {
            key[size++] = (uint8_t)(random_below(3) * 127);
        }
        return size;
    }
    while (size != 0 && key[size - 1] == 255) size--;
    if (size == 0) return 0;
    key[size - 1]++;
    return size;
}

static bytes build_block(uint32_t count, size_t key_size_max, size_t value_size_max, int one_size) {
    lsm_block_builder *builder = lsm_block_builder_create();
    CHECK(builder != NULL, "out of memory");
    uint8_t key[600] = {0}, value[600] = {0};
    size_t key_size = random_below(2) * random_below(40) + 1;
    size_t collected = 0;
    uint64_t sequence = random_below(LSM_SEQUENCE_MAX), spread = 1ull << random_below(50);
    for (uint32_t i = 0; i < count; i++) {
        int again = i != 0 && sequence > 0 && random_below(4) == 0; /* one more version of the same key */
        if (!again && i != 0) key_size = next_key(key, key_size, key_size_max);
        if (key_size == 0) break;
        sequence = again ? random_below(sequence) : random_below(spread);
        size_t value_size = one_size ? value_size_max : random_below(value_size_max + 1);
        uint8_t kind = random_below(5) == 0 ? LSM_KIND_DELETE : LSM_KIND_PUT;
        size_t size = lsm_block_builder_finished_size(builder);
        int status = lsm_block_builder_add(builder, (lsm_slice){key, key_size}, lsm_trailer(sequence, kind),
                                           (lsm_slice){value, value_size});
        if (status == LSM_E_LIMIT) {
            CHECK(collected + key_size + value_size + 66 > LSM_BLOCK_SIZE_MAX, "limit met at %zu", collected);
            CHECK(lsm_block_builder_finished_size(builder) == size, "a refused entry changed the builder");
            limits++;
            break;
        }
        CHECK(status == 0, "add: %d", status);
        collected += key_size + value_size + 26; /* the most an entry takes in columns */
    }
    bytes block = {NULL, lsm_block_builder_finished_size(builder)};
    CHECK(block.size <= LSM_BLOCK_SIZE_MAX, "%zu bytes are beyond the limit", block.size);
    block.data = allocated(block.size);
    CHECK(lsm_block_builder_finish(builder, block.data) == block.size, "finish disagrees with finished_size");
    lsm_block_builder_destroy(builder);
    return block;
}

/* --- holding a view to its promises ------------------------------------------------------------------- */

static int naive_order(bytes a, bytes b) {
    size_t i = 0;
    while (i < a.size && i < b.size && a.data[i] == b.data[i]) i++;
    if (i == a.size || i == b.size) return (a.size > b.size) - (a.size < b.size);
    return a.data[i] < b.data[i] ? -1 : 1;
}

static void check_search(const lsm_block_view *view, const bytes *keys, const uint8_t *key, size_t key_size,
                         uint64_t sequence) {
    bytes exact = {allocated(key_size), key_size};
    memcpy(exact.data, key, key_size);
    uint32_t wanted = 0;
    for (; wanted < view->count; wanted++) {
        int order = naive_order(keys[wanted], exact);
        if (order > 0 || (order == 0 && lsm_block_sequence(view, wanted) <= sequence)) break;
    }
    lsm_target target = {exact.data, exact.size, sequence};
    uint32_t found = lsm_block_search(view, &target);
    CHECK(found == wanted, "found %u, wanted %u of %u", found, wanted, view->count);
    if (found < view->count) {
        int equal = lsm_block_key_equals(view, found, (lsm_slice){exact.data, exact.size}) != 0;
        CHECK(equal == (naive_order(keys[found], exact) == 0), "equality of key %u", found);
    }
    free(exact.data);
}

static uint8_t check_entry(const lsm_block_view *view, uint32_t index, bytes *key) {
    size_t size = lsm_block_key_size(view, index);
    CHECK(size <= LSM_KEY_SIZE_MAX, "key of %zu bytes", size);
    uint8_t *room = allocated(size + 8);
    CHECK(lsm_block_key_copy(view, index, room) == size, "key sizes disagree");
    key->data = allocated(size);
    key->size = size;
    memcpy(key->data, room, size);
    free(room);
    uint64_t trailer = lsm_block_trailer(view, index);
    CHECK(lsm_trailer_sequence(trailer) == lsm_block_sequence(view, index), "trailer");
    CHECK(lsm_block_sequence(view, index) <= LSM_SEQUENCE_MAX, "sequence");
    CHECK(lsm_kind_is_known(lsm_trailer_kind(trailer)), "kind");
    lsm_slice value = lsm_block_value(view, index);
    CHECK(value.size <= LSM_VALUE_SIZE_MAX, "value of %zu bytes", value.size);
    uint8_t sum = 0;
    for (size_t i = 0; i < value.size; i++) sum ^= value.data[i]; /* every byte is readable */
    return sum;
}

static void check_view(const lsm_block_view *view) {
    bytes *keys = allocated(view->count * sizeof *keys);
    uint8_t sum = 0;
    for (uint32_t i = 0; i < view->count; i++) sum ^= check_entry(view, i, &keys[i]);
    for (uint32_t i = 1; i < view->count; i++) {
        int order = naive_order(keys[i - 1], keys[i]);
        uint64_t before = lsm_block_sequence(view, i - 1), after = lsm_block_sequence(view, i);
        CHECK(order < 0 || (order == 0 && before > after), "entries %u and %u are out of order", i - 1, i);
    }
    uint32_t step = view->count / 24 + 1;
    for (uint32_t i = 0; i < view->count; i += step) {
        uint8_t near[LSM_KEY_SIZE_MAX + 1];
        size_t size = keys[i].size;
        memcpy(near, keys[i].data, size);
        check_search(view, keys, near, size, lsm_block_sequence(view, i));
        check_search(view, keys, near, size, random_below(LSM_SEQUENCE_MAX));
        check_search(view, keys, near, random_below(size + 1), LSM_SEQUENCE_MAX);
        near[size] = 0;
        check_search(view, keys, near, size + 1, 0);
        near[random_below(size + 1)] ^= (uint8_t)(1 << random_below(8));
        check_search(view, keys, near, size + random_below(2), 5);
    }
    lsm_target empty = {NULL, 0, LSM_SEQUENCE_MAX};
    CHECK(lsm_block_search(view, &empty) == 0, "the empty key at the last sequence comes first (%u)", sum);
    for (uint32_t i = 0; i < view->count; i++) free(keys[i].data);
    free(keys);
}

static int try_block(const uint8_t *data, size_t size) {
    bytes exact = {allocated(size), size};
    memcpy(exact.data, data, size);
    lsm_block_view view;
    lsm_error error;
    int status = lsm_block_parse(exact.data, size, &view, &error);
    CHECK(status == 0 || status == LSM_E_CORRUPT || status == LSM_E_FORMAT, "status %d", status);
    CHECK(status == 0 || (error.code == status && error.message[0] != '\0'), "an error without its record");
    if (status == 0) check_view(&view);
    accepted += status == 0;
    refused += status != 0;
    free(exact.data);
    return status;
}

/* --- damage ------------------------------------------------------------------------------------------- */

static void damage(bytes *block) {
    switch (random_below(5)) {
    case 0: /* a bit anywhere */
        block->data[random_below(block->size)] ^= (uint8_t)(1 << random_below(8));
        break;
    case 1: /* a byte of the header or the first columns */
        block->data[random_below(block->size < 96 ? block->size : 96)] = (uint8_t)random_below(256);
        break;
    case 2: { /* a header field at an edge */
        static const uint32_t edges[] = {0, 1, 2, 8, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
        uint32_t edge = edges[random_below(sizeof edges / sizeof *edges)];
        memcpy(block->data + 4 * random_below(8), &edge, 4);
        break;
    }
    case 3: { /* two header fields moved against each other: the total stays right */
        uint32_t fields[3], amount;
        memcpy(fields, block->data + 16, sizeof fields);
        size_t from = random_below(3), to = random_below(3);
        amount = (uint32_t)random_below((uint64_t)fields[from] + 1);
        fields[from] -= amount;
        fields[to] += amount;
        memcpy(block->data + 16, fields, sizeof fields);
        break;
    }
    default: { /* a piece copied over another */
        size_t size = random_below(block->size < 16 ? block->size : 16);
        size_t from = random_below(block->size - size), to = random_below(block->size - size);
        memmove(block->data + to, block->data + from, size);
    }
    }
}

static void check_round(void) {
    static const size_t key_sizes[] = {2, 9, 24, 24, 60, 580}, value_sizes[] = {0, 1, 20, 20, 100, 599};
    uint32_t count = (uint32_t)random_below(random_below(40) == 0 ? 3000 : 40);
    bytes block =
        build_block(count, key_sizes[random_below(6)], value_sizes[random_below(6)], random_below(2));
    CHECK(try_block(block.data, block.size) == 0, "a sound block is refused");
    CHECK(try_block(block.data, random_below(block.size)) != 0, "a truncated block is let through");
    bytes damaged = {allocated(block.size), block.size};
    for (int i = 0; i < 12; i++) {
        memcpy(damaged.data, block.data, block.size);
        for (uint64_t times = random_below(3) + 1; times != 0; times--) damage(&damaged);
        try_block(damaged.data, damaged.size);
    }
    free(damaged.data);
    free(block.data);
}

int main(int argument_count, char **arguments) {
    CHECK(argument_count == 3, "see the head of this file");
    random_state = strtoull(arguments[1], NULL, 10) * 0x9E3779B97F4A7C15u + 1;
    for (long rounds = atol(arguments[2]); rounds > 0; rounds--) check_round();
    CHECK(lsm_memory_shared()->blocks == 0 && lsm_memory_shared()->bytes == 0, "memory was not given back");
    printf("%llu %llu %llu\n", (unsigned long long)accepted, (unsigned long long)refused,
           (unsigned long long)limits);
    return 0;
}
