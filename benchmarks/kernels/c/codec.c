/* Compression and decompression of blocks, through the codec that tables use. */
#include <string.h>

#include "bench.h"
#include "codec.h"

enum { RUN_COUNT_MAX = 64 };

typedef struct codec_bench {
    bench base;
    lsm_codec *codec;
    bench_items inputs;
    uint64_t run_count; /* blocks that go into one call */
    uint64_t output_size;
    int level; /* of compression */
    uint8_t *outputs;
    lsm_codec_item items[RUN_COUNT_MAX];
} codec_bench;

/* The next run of blocks, wherever that begins. */
static uint64_t fill_items(codec_bench *bench, uint64_t index) {
    for (uint64_t i = 0; i < bench->run_count; i++) {
        uint8_t *output = bench->outputs + i * bench->output_size;
        bench->items[i] = (lsm_codec_item){bench_item(&bench->inputs, index), output, bench->output_size, 0};
        index = bench_next(index, bench->inputs.count);
    }
    return index;
}

static uint64_t sum_of_items(const codec_bench *bench) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < bench->run_count; i++) sum += bench->items[i].output_size;
    return sum;
}

static uint64_t run_compress(bench *self, uint64_t operations) {
    codec_bench *bench = (codec_bench *)self;
    uint64_t sum = 0, index = 0;
    for (uint64_t i = 0; i < operations; i += bench->run_count) {
        index = fill_items(bench, index);
        int status = bench->codec->compress_run(bench->codec, bench->level, bench->items, bench->run_count,
                                                NULL);
        bench_require(status == 0, "compression");
        sum += sum_of_items(bench);
    }
    return sum;
}

static uint64_t run_decompress(bench *self, uint64_t operations) {
    codec_bench *bench = (codec_bench *)self;
    uint64_t sum = 0, index = 0;
    for (uint64_t i = 0; i < operations; i += bench->run_count) {
        index = fill_items(bench, index);
        int status = bench->codec->decompress_run(bench->codec, bench->items, bench->run_count, NULL);
        bench_require(status == 0, "decompression");
        sum += sum_of_items(bench) + bench->outputs[bench->output_size - 1];
    }
    return sum;
}

static void destroy_codec(bench *self) {
    codec_bench *bench = (codec_bench *)self;
    lsm_codec_zstd_destroy(bench->codec);
    free(bench->outputs);
    free(self);
}

static codec_bench *create_codec(const lsm_zstd_api *api, const bench_items *inputs, uint64_t run_count,
                                 uint64_t block_size) {
    bench_require(run_count <= RUN_COUNT_MAX, "length of a run");
    codec_bench *bench = bench_allocate(sizeof *bench);
    bench->base.destroy = destroy_codec;
    bench->codec = lsm_codec_zstd_create(api);
    bench_require(bench->codec != NULL, "making a codec");
    bench->inputs = *inputs;
    bench->run_count = run_count;
    bench->output_size = block_size;
    bench->outputs = bench_allocate(run_count * block_size);
    return bench;
}

/* Blocks of block_size bytes each; an operation is one block. REQUIRES of bench_run: operations are a
 * multiple of run_count. */
BENCH_API bench *bench_compress(const lsm_zstd_api *api, const bench_items *blocks, uint64_t run_count,
                                uint64_t block_size, uint64_t level) {
    codec_bench *bench = create_codec(api, blocks, run_count, block_size);
    bench->base.run = run_compress;
    bench->level = (int)level;
    return &bench->base;
}

BENCH_API bench *bench_decompress(const lsm_zstd_api *api, const bench_items *frames, uint64_t run_count,
                                  uint64_t block_size) {
    codec_bench *bench = create_codec(api, frames, run_count, block_size);
    bench->base.run = run_decompress;
    return &bench->base;
}
