/* Runs the search kernel of node.h over many nodes and compares every result with the truth.
 *
 *     node_check helpers                              loads, comparisons and counting, against byte loops
 *     node_check windows VERSIONS WIDTH... < keys     searches
 *
 * `windows` reads keys in ascending order (u32 count, then u32 size and bytes of each, little-endian). The
 * order in which they stand is the truth: nothing here compares keys. Every window of WIDTH neighbouring
 * keys, each in VERSIONS versions, becomes a node, and every key of the whole list, with sequences around
 * those stored, is searched in it. Keys lie in allocations of their exact size, so a sanitizer sees any read
 * beyond.
 */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "node.h"

enum { SEQUENCE_STEP = 10, ENTRIES_MAX = 1 << 16 };

typedef struct key {
    uint8_t *data;
    uint32_t size;
} key;

typedef struct node {
    const key *keys; /* the first of the window */
    uint32_t versions;
    uint32_t prefix_size;
    uint64_t heads[ENTRIES_MAX];
} node;

static uint8_t *exact_copy(const void *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    CHECK(copy != NULL, "out of memory");
    if (size) memcpy(copy, data, size);
    return copy;
}

static uint64_t naive_head(const uint8_t *p, size_t size) {
    uint64_t head = 0;
    for (size_t i = 0; i < 8; i++) head = head << 8 | (i < size ? p[i] : 0);
    return head;
}

/* --- helpers ------------------------------------------------------------------------------------------ */

static void check_pair(const uint8_t *a, const uint8_t *b, size_t size) {
    size_t shared = 0;
    while (shared < size && a[shared] == b[shared]) shared++;
    int order = shared == size ? 0 : a[shared] < b[shared] ? -1 : 1;
    int found = lsm_bytes_order(a, b, size);
    CHECK(lsm_shared_size(a, b, size) == shared, "shared size of %zu bytes", size);
    CHECK(lsm_bytes_equal(a, b, size) == (shared == size), "equality of %zu bytes", size);
    CHECK((found > 0) - (found < 0) == order, "order of %zu bytes", size);
}

static void check_bytes(void) {
    for (size_t size = 0; size <= 80; size++) {
        uint8_t bytes[80];
        for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)random_next();
        uint8_t *a = exact_copy(bytes, size), *b = exact_copy(bytes, size);
        CHECK(lsm_head_load(a, size) == naive_head(a, size), "head of %zu bytes", size);
        check_pair(a, b, size);
        for (size_t i = 0; i < size; i++) {
            for (int change = 0; change < 4; change++) {
                b[i] = change == 0 ? 0 : change == 1 ? 255 : change == 2 ? a[i] ^ 1 : a[i] ^ 128;
                b[size - 1] ^= (uint8_t)(random_next() & 1); /* a later difference must not matter */
                check_pair(a, b, size);
                check_pair(b, a, size);
                memcpy(b, a, size);
            }
        }
        free(a);
        free(b);
    }
}

static void check_counting(void) {
    for (uint32_t count = 0; count <= 200; count++) {
        uint64_t *heads = (uint64_t *)(void *)exact_copy("", 0);
        heads = realloc(heads, count ? count * sizeof *heads : 1);
        CHECK(heads != NULL, "out of memory");
        for (int round = 0; round < 8; round++) {
            uint64_t head = round < 6 ? 1 : UINT64_MAX - 3 * count;
            for (uint32_t i = 0; i < count; i++) {
                head += round == 0 ? 0 : round == 1 ? 2 : random_next() % 3;
                heads[i] = head;
            }
            for (uint32_t i = 0; i <= count + 4; i++) {
                uint64_t wanted = i < count         ? heads[i]
                                  : i == count      ? 0
                                  : i == count + 1  ? UINT64_MAX
                                                    : heads[0] + i;
                for (uint64_t near = wanted - 1; near != wanted + 2; near++) {
                    uint32_t below = 0, through = 0;
                    for (uint32_t k = 0; k < count; k++) {
                        below += heads[k] < near;
                        through += heads[k] <= near;
                    }
                    CHECK(lsm_heads_below(heads, count, near) == below, "below of %u", count);
                    CHECK(lsm_heads_through(heads, below, count, near) == through, "through of %u", count);
                }
                if (count == 0) break;
            }
        }
        free(heads);
    }
}

/* --- windows ------------------------------------------------------------------------------------------ */

static int compare_tie(const void *opaque, uint32_t index, const lsm_target *target, size_t skip) {
    const node *searched = opaque;
    const key *entry = &searched->keys[index / searched->versions];
    uint64_t sequence = (uint64_t)SEQUENCE_STEP * (searched->versions - index % searched->versions);
    size_t tail_size = entry->size > skip ? entry->size - skip : 0;
    const uint8_t *tail = tail_size != 0 ? entry->data + skip : NULL;
    return lsm_tie_order(tail, tail_size, entry->size, sequence, target, skip);
}

static uint32_t common_prefix(const key *a, const key *b) {
    uint32_t size = 0;
    while (size < a->size && size < b->size && a->data[size] == b->data[size]) size++;
    return size;
}

static void fill_node(node *filled, const key *keys, uint32_t width, uint32_t versions,
                      uint32_t prefix_size) {
    filled->keys = keys;
    filled->versions = versions;
    filled->prefix_size = prefix_size;
    for (uint32_t i = 0; i < width * versions; i++) {
        const key *entry = &keys[i / versions];
        filled->heads[i] = naive_head(entry->data + prefix_size, entry->size - prefix_size);
    }
}

/* Searches every key of the list in a node that holds keys start .. start + width. */
static uint64_t search_all(const node *searched, const key *keys, uint32_t count, uint32_t start,
                           uint32_t width) {
    uint32_t versions = searched->versions, total = width * versions;
    uint64_t searches = 0;
    for (uint32_t rank = 0; rank < count; rank++) {
        uint64_t sequence = versions == 1 ? SEQUENCE_STEP : 0;
        uint64_t last = versions == 1 ? SEQUENCE_STEP : (uint64_t)SEQUENCE_STEP * (versions + 1);
        for (; sequence <= last; sequence += SEQUENCE_STEP / 2) {
            lsm_target target = {keys[rank].data, keys[rank].size, sequence};
            uint32_t found = lsm_node_search(searched, searched->keys[0].data, searched->prefix_size,
                                             searched->heads, total, &target, compare_tie);
            uint32_t visible = (uint32_t)(sequence / SEQUENCE_STEP); /* versions not above the target's */
            uint32_t newer = visible > versions ? 0 : versions - visible;
            uint32_t wanted = rank < start            ? 0
                              : rank >= start + width ? total
                                                      : (rank - start) * versions + newer;
            CHECK(found == wanted, "key %u at %llu in keys %u..%u, prefix %u: found %u, wanted %u", rank,
                  (unsigned long long)sequence, start, start + width, searched->prefix_size, found, wanted);
            searches++;
        }
    }
    return searches;
}

static key *read_keys(uint32_t *count) {
    CHECK(fread(count, 4, 1, stdin) == 1, "no keys");
    key *keys = malloc(*count * sizeof *keys);
    CHECK(keys != NULL, "out of memory");
    for (uint32_t i = 0; i < *count; i++) {
        CHECK(fread(&keys[i].size, 4, 1, stdin) == 1, "short input");
        keys[i].data = exact_copy("", 0);
        keys[i].data = realloc(keys[i].data, keys[i].size ? keys[i].size : 1);
        CHECK(fread(keys[i].data, 1, keys[i].size, stdin) == keys[i].size, "short input");
    }
    return keys;
}

static void check_windows(uint32_t versions, int width_count, char **widths) {
    static node searched;
    uint32_t count;
    key *keys = read_keys(&count);
    uint64_t searches = 0;
    for (int w = 0; w < width_count; w++) {
        uint32_t width = (uint32_t)atoi(widths[w]);
        if (width > count) width = count;
        CHECK(width > 0 && (uint64_t)width * versions <= ENTRIES_MAX, "impossible width");
        /* Every start for small windows; large ones overlap anyway. */
        uint32_t step = width < 16 ? 1 : width / 8;
        for (uint32_t start = 0; start + width <= count; start += step) {
            uint32_t prefix_max = common_prefix(&keys[start], &keys[start + width - 1]);
            /* A node's prefix may be shorter than what its keys share: memtable leaves never lengthen it. */
            uint32_t prefix_size = start % 4 == 3 && prefix_max ? start / 4 % prefix_max : prefix_max;
            fill_node(&searched, keys + start, width, versions, prefix_size);
            searches += search_all(&searched, keys, count, start, width);
        }
    }
    for (uint32_t i = 0; i < count; i++) free(keys[i].data);
    free(keys);
    printf("%llu\n", (unsigned long long)searches);
}

int main(int argument_count, char **arguments) {
    if (argument_count == 2 && strcmp(arguments[1], "helpers") == 0) {
        check_bytes();
        check_counting();
    } else {
        CHECK(argument_count > 3 && strcmp(arguments[1], "windows") == 0, "see the head of this file");
        check_windows((uint32_t)atoi(arguments[2]), argument_count - 3, arguments + 3);
    }
    return 0;
}
