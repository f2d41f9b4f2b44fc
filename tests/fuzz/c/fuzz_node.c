/* A block of any bytes: one that is accepted keeps every promise of a sorted node. Each entry is found where
 * it is, what lies before the first as well, and keys read the same in both ways. */
#include "block.h"
#include "fuzz.h"

static void check_entry(const lsm_block_view *view, uint32_t index) {
    size_t size = lsm_block_key_size(view, index);
    uint8_t *key = exact_copy(NULL, 0);
    key = realloc(key, size + 16);
    REQUIRE(key != NULL && lsm_block_key_copy(view, index, key) == size);
    uint8_t *exact = exact_copy(key, size);
    lsm_target target = {exact, size, lsm_block_sequence(view, index)};
    REQUIRE(lsm_block_search(view, &target) == index);
    REQUIRE(lsm_block_key_equals(view, index, (lsm_slice){exact, size}));
    target.sequence = LSM_SEQUENCE_MAX;
    uint32_t first = lsm_block_search(view, &target);
    REQUIRE(first <= index && lsm_block_key_equals(view, first, (lsm_slice){exact, size}));
    lsm_slice value = lsm_block_value(view, index);
    uint8_t sum = 0;
    for (size_t i = 0; i < value.size; i++) sum ^= value.data[i];
    volatile uint8_t sink = sum;
    (void)sink;
    free(exact);
    free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = exact_copy(data, size); /* malloc aligns it */
    lsm_block_view view;
    lsm_error error;
    if (lsm_block_parse(copy, size, &view, &error) == 0) {
        for (uint32_t i = 0; i < view.count; i++) check_entry(&view, i);
        lsm_target least = {copy, 0, LSM_SEQUENCE_MAX};
        REQUIRE(view.count == 0 || lsm_block_search(&view, &least) == 0);
    }
    free(copy);
    require_no_leak();
    return 0;
}
