/* Node search in leaves of the memtable, and building, parsing and searching blocks. */
#include <stdio.h>
#include <string.h>

#include "bench.h"
#include "block.h"
#include "memtable_tree.h"

/* --- node search ---------------------------------------------------------------------------------------- */

enum { KEY_SIZE = 16, KEY_STEP = 997 };

typedef struct leaf_record {
    lsm_record header;
    char key[KEY_SIZE + 8]; /* decimal; the rest is for the zero that snprintf adds */
} leaf_record;

typedef struct node_bench {
    bench base;
    lsm_tree_node *leaves;
    leaf_record *records;
    bench_items keys;        /* what is looked for, in the order of use */
    const uint64_t *numbers; /* of the record that has that key */
    uint64_t entries_per_leaf;
    uint64_t is_far; /* leaves miss the caches: prefetched as in lsm_tree_seek, and one search at a time */
} node_bench;

static uint64_t run_node_search(bench *self, uint64_t operations) {
    const node_bench *nodes = (const node_bench *)self;
    uint32_t entries_per_leaf = (uint32_t)nodes->entries_per_leaf;
    uint64_t sum = 0, index = 0;
    for (uint64_t i = 0; i < operations; i++) {
        lsm_slice key = bench_item(&nodes->keys, index);
        lsm_target target = {key.data, key.size, LSM_SEQUENCE_MAX};
        const lsm_tree_node *leaf = nodes->leaves + (uint32_t)nodes->numbers[index] / entries_per_leaf;
        if (nodes->is_far) {
            lsm_leaf_prefetch(leaf);
            sum += lsm_leaf_search(leaf, &target);
            bench_fence();
        } else {
            sum += lsm_leaf_search(leaf, &target);
        }
        index = bench_next(index, nodes->keys.count);
    }
    return sum;
}

static void fill_leaf(lsm_tree_node *leaf, const leaf_record *records, uint32_t count) {
    const uint8_t *first = (const uint8_t *)records[0].key, *last = (const uint8_t *)records[count - 1].key;
    leaf->prefix = leaf->inline_prefix;
    leaf->prefix_size = count == 1 ? 0 : (uint32_t)lsm_shared_size(first, last, KEY_SIZE);
    memcpy(leaf->inline_prefix, first, leaf->prefix_size);
    leaf->count = count;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *key = (const uint8_t *)records[i].key;
        leaf->heads[i] = lsm_head_load(key + leaf->prefix_size, KEY_SIZE - leaf->prefix_size);
        leaf->records[i] = &records[i].header;
    }
}

static void destroy_nodes(bench *self) {
    free(((node_bench *)self)->leaves);
    free(((node_bench *)self)->records);
    free(self);
}

/* Record i has the key "%016u" of i * KEY_STEP; leaf j holds the records from j * entries_per_leaf on. */
BENCH_API bench *bench_node_search(const bench_items *keys, const uint64_t *numbers,
                                   uint64_t entries_per_leaf, uint64_t leaf_count, uint64_t is_far) {
    node_bench *nodes = bench_allocate(sizeof *nodes);
    uint64_t record_count = entries_per_leaf * leaf_count;
    bench_require(entries_per_leaf <= LSM_TREE_CAPACITY, "entries of a leaf");
    lsm_tree_node *leaves = bench_allocate(leaf_count * sizeof *leaves);
    leaf_record *records = bench_allocate(record_count * sizeof *records);
    for (uint64_t i = 0; i < record_count; i++) {
        records[i].header = (lsm_record){lsm_trailer(1, LSM_KIND_PUT), KEY_SIZE, 0};
        snprintf(records[i].key, sizeof records[i].key, "%016llu", (unsigned long long)(i * KEY_STEP));
    }
    for (uint64_t j = 0; j < leaf_count; j++) {
        fill_leaf(&leaves[j], records + j * entries_per_leaf, (uint32_t)entries_per_leaf);
    }
    bench base = {NULL, run_node_search, NULL, destroy_nodes};
    *nodes = (node_bench){base, leaves, records, *keys, numbers, entries_per_leaf, is_far};
    return &nodes->base;
}

/* --- blocks --------------------------------------------------------------------------------------------- */

typedef struct block_bench {
    bench base;
    lsm_block_builder *builder;
    bench_items keys; /* of the block, ascending */
    lsm_slice value;  /* of every entry */
    uint8_t *output;
    size_t output_size;
    lsm_block_view view;
    bench_items targets; /* keys in the order in which they are looked for */
} block_bench;

static void build(block_bench *block) {
    lsm_block_builder_reset(block->builder);
    for (uint64_t i = 0; i < block->keys.count; i++) {
        int status = lsm_block_builder_add(block->builder, bench_item(&block->keys, i),
                                           lsm_trailer(i + 1, LSM_KIND_PUT), block->value);
        bench_require(status == 0, "adding to a block");
    }
}

static uint64_t run_build(bench *self, uint64_t operations) {
    block_bench *block = (block_bench *)self;
    uint64_t sum = 0, index = 0;
    for (uint64_t i = 0; i < operations; i++) {
        build(block);
        sum += lsm_block_builder_finish(block->builder, block->output);
        sum += block->output[index];
        index = bench_next(index, block->output_size);
    }
    return sum;
}

static uint64_t run_parse(bench *self, uint64_t operations) {
    block_bench *block = (block_bench *)self;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < operations; i++) {
        int status = lsm_block_parse(block->output, block->output_size, &block->view, NULL);
        bench_require(status == 0, "parsing a block");
        sum += block->view.count + lsm_block_value(&block->view, block->view.count - 1).size;
    }
    return sum;
}

static uint64_t run_seek(bench *self, uint64_t operations) {
    const block_bench *block = (const block_bench *)self;
    uint64_t sum = 0, index = 0;
    for (uint64_t i = 0; i < operations; i++) {
        lsm_slice key = bench_item(&block->targets, index);
        lsm_target target = {key.data, key.size, LSM_SEQUENCE_MAX};
        sum += lsm_block_search(&block->view, &target);
        index = bench_next(index, block->targets.count);
    }
    return sum;
}

static void destroy_block(bench *self) {
    block_bench *block = (block_bench *)self;
    lsm_block_builder_destroy(block->builder);
    free(block->output);
    free(self);
}

static block_bench *create_block(uint64_t (*run)(bench *, uint64_t), const bench_items *keys,
                                 const bench_items *values) {
    block_bench *block = bench_allocate(sizeof *block);
    block->base = (bench){NULL, run, NULL, destroy_block};
    block->builder = lsm_block_builder_create();
    bench_require(block->builder != NULL, "making a block builder");
    block->keys = *keys;
    block->value = bench_item(values, 0);
    build(block);
    block->output_size = lsm_block_builder_finished_size(block->builder);
    block->output = bench_allocate(block->output_size);
    lsm_block_builder_finish(block->builder, block->output);
    bench_require(lsm_block_parse(block->output, block->output_size, &block->view, NULL) == 0, "parsing");
    return block;
}

BENCH_API bench *bench_block_build(const bench_items *keys, const bench_items *values) {
    return &create_block(run_build, keys, values)->base;
}

BENCH_API bench *bench_block_parse(const bench_items *keys, const bench_items *values) {
    return &create_block(run_parse, keys, values)->base;
}

BENCH_API bench *bench_block_seek(const bench_items *keys, const bench_items *values,
                                  const bench_items *targets) {
    block_bench *block = create_block(run_seek, keys, values);
    block->targets = *targets;
    return &block->base;
}
