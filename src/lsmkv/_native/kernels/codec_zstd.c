/* zstd blocks through the entry points of a library, and the outer structure of a zstd frame.
 *
 *     offset  bytes      field (RFC 8878 section 3.1.1; integers little-endian)
 *     0       4          magic, 0xFD2FB528
 *     4       1          descriptor: bits 7-6 width of the content size, 5 single segment, 3 reserved (0),
 *                        2 checksum present, 1-0 width of the dictionary id
 *     5       0 or 1     window descriptor; absent in a single segment
 *             0,1,2,4    dictionary id
 *             0,1,2,4,8  content size; in 2 bytes the size minus 256; 0 bytes mean unknown, unless it is a
 *                        single segment: then 1 byte
 *             3 + n ...  blocks: bit 0 last, bits 2-1 kind (0 raw, 1 repeated byte, 2 compressed),
 *                        bits 23-3 size; n = size, or 1 for a repeated byte
 *             0 or 4     checksum
 *
 * Example: 28 B5 2F FD 60 A0 0E ...: descriptor 0x60 is a single segment with a 2-byte size: 0x0EA0 + 256 =
 * 4000 bytes.
 *
 * The contexts of the library are the one thing a kernel holds that allocator.h does not count: the library
 * allocates them itself.
 */
#include "codec.h"

#include <string.h>

#include "allocator.h"
#include "coding.h"

enum { IDLE_CONTEXTS_MAX = 8 };

static const uint32_t FRAME_MAGIC = 0xFD2FB528;

/* Pinned since zstd 1.3.1 (zstd_errors.h); an error is the negative number as size_t. */
enum { ZSTD_MEMORY_ALLOCATION = 64, ZSTD_DESTINATION_TOO_SMALL = 70 };

/* --- frames --------------------------------------------------------------------------------------------- */

typedef struct frame_header {
    uint64_t content_size;
    int has_checksum;
} frame_header;

static int read_content_size(lsm_reader *reader, unsigned width_code, int single_segment, uint64_t *size) {
    size_t width = width_code == 0 ? (size_t)single_segment : (size_t)1 << width_code;
    lsm_slice bytes;
    if (width == 0) return LSM_E_CORRUPT; /* legal, but never ours */
    if (lsm_read_bytes(reader, width, &bytes)) return LSM_E_CORRUPT;
    *size = 0;
    memcpy(size, bytes.data, width);
    if (width == 2) *size += 256;
    return 0;
}

/* Leaves the reader at the first block. */
static int read_frame_header(lsm_reader *reader, frame_header *header) {
    static const uint8_t dictionary_id_widths[4] = {0, 1, 2, 4};
    uint32_t magic;
    uint8_t descriptor;
    if (lsm_read32(reader, &magic) || magic != FRAME_MAGIC) return LSM_E_CORRUPT;
    if (lsm_read8(reader, &descriptor) || (descriptor & 0x08)) return LSM_E_CORRUPT;
    int single_segment = descriptor >> 5 & 1;
    lsm_slice skipped;
    size_t skipped_size = !single_segment + (size_t)dictionary_id_widths[descriptor & 3];
    if (lsm_read_bytes(reader, skipped_size, &skipped)) return LSM_E_CORRUPT;
    header->has_checksum = descriptor >> 2 & 1;
    return read_content_size(reader, descriptor >> 6, single_segment, &header->content_size);
}

static int skip_blocks(lsm_reader *reader) {
    enum { RAW, REPEATED, COMPRESSED, RESERVED };
    for (;;) {
        lsm_slice bytes;
        if (lsm_read_bytes(reader, 3, &bytes)) return LSM_E_CORRUPT;
        uint32_t block = bytes.data[0] | (uint32_t)bytes.data[1] << 8 | (uint32_t)bytes.data[2] << 16;
        uint32_t kind = block >> 1 & 3;
        if (kind == RESERVED) return LSM_E_CORRUPT;
        if (lsm_read_bytes(reader, kind == REPEATED ? 1 : block >> 3, &bytes)) return LSM_E_CORRUPT;
        if (block & 1) return 0;
    }
}

uint64_t lsm_zstd_content_size(lsm_slice frame) {
    lsm_reader reader = {frame.data, frame.data + frame.size};
    frame_header header;
    return read_frame_header(&reader, &header) ? LSM_NO_OFFSET : header.content_size;
}

int lsm_zstd_check_frame(lsm_slice frame, uint64_t raw_size, lsm_error *error) {
    lsm_reader reader = {frame.data, frame.data + frame.size};
    frame_header header;
    lsm_slice checksum;
    if (read_frame_header(&reader, &header)) {
        return lsm_fail(error, LSM_E_CORRUPT, LSM_NO_OFFSET, NULL, "not a zstd frame with a content size");
    }
    if (header.content_size != raw_size || raw_size == 0) {
        return lsm_fail(error, LSM_E_CORRUPT, LSM_NO_OFFSET, NULL, "zstd frame states %llu bytes, not %llu",
                        (unsigned long long)header.content_size, (unsigned long long)raw_size);
    }
    if (skip_blocks(&reader) || lsm_read_bytes(&reader, header.has_checksum ? 4 : 0, &checksum)) {
        return lsm_fail(error, LSM_E_CORRUPT, LSM_NO_OFFSET, NULL, "zstd frame is cut short or malformed");
    }
    if (lsm_reader_left(&reader) != 0) {
        return lsm_fail(error, LSM_E_CORRUPT, LSM_NO_OFFSET, NULL, "bytes after the end of a zstd frame");
    }
    return 0;
}

/* --- contexts -------------------------------------------------------------------------------------------
 * Idle contexts wait in slots; taking and giving back is one atomic exchange each. Never a lock: a thread of
 * the parent that held it at fork() would block the child for ever. */

typedef void *(*create_function)(void);
typedef size_t (*free_function)(void *);

typedef struct context_pool {
    void *idle[IDLE_CONTEXTS_MAX]; /* NULL: free slot */
} context_pool;

typedef struct zstd_codec {
    lsm_codec base; /* first: a pointer to it is a pointer to the whole */
    lsm_zstd_api api;
    context_pool compressors;
    context_pool decompressors;
} zstd_codec;

static void *pool_take(context_pool *pool, create_function create) {
    for (int i = 0; i < IDLE_CONTEXTS_MAX; i++) {
        if (__atomic_load_n(&pool->idle[i], __ATOMIC_RELAXED) == NULL) continue;
        void *context = __atomic_exchange_n(&pool->idle[i], NULL, __ATOMIC_ACQUIRE);
        if (context != NULL) return context;
    }
    return create();
}

static void pool_give(context_pool *pool, free_function destroy, void *context) {
    for (int i = 0; i < IDLE_CONTEXTS_MAX; i++) {
        void *expected = NULL;
        if (__atomic_compare_exchange_n(&pool->idle[i], &expected, context, 0, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED)) {
            return;
        }
    }
    destroy(context);
}

static void pool_clear(context_pool *pool, free_function destroy) {
    for (int i = 0; i < IDLE_CONTEXTS_MAX; i++) {
        if (pool->idle[i] != NULL) destroy(pool->idle[i]);
        pool->idle[i] = NULL;
    }
}

/* --- runs ----------------------------------------------------------------------------------------------- */

/* Const ends here: the pools are the only part of a codec that changes, and they are atomic. */
static zstd_codec *whole(const lsm_codec *codec) { return (zstd_codec *)(uintptr_t)codec; }

static int out_of_memory(lsm_error *error) {
    return lsm_fail(error, LSM_E_MEMORY, LSM_NO_OFFSET, NULL, "no memory for a zstd context");
}

static int compress_item(const lsm_zstd_api *api, void *context, int level, lsm_codec_item *item,
                         lsm_error *error) {
    LSM_ASSERT(item->output_capacity >= item->input.size);
    item->output_size = 0;
    if (item->input.size == 0) return 0;
    size_t room = item->input.size - 1; /* what does not fit is not smaller */
    size_t size = api->compress(context, item->output, room, item->input.data, item->input.size, level);
    if (!api->is_error(size)) {
        item->output_size = size;
        return 0;
    }
    size_t number = (size_t)0 - size;
    if (number == ZSTD_DESTINATION_TOO_SMALL) return 0;
    if (number == ZSTD_MEMORY_ALLOCATION) return out_of_memory(error);
    return lsm_fail(error, LSM_E_CODEC, LSM_NO_OFFSET, NULL, "zstd compression failed (error %zu)", number);
}

static int compress_run(const lsm_codec *codec, int level, lsm_codec_item *items, size_t count,
                        lsm_error *error) {
    zstd_codec *zstd = whole(codec);
    void *context = pool_take(&zstd->compressors, zstd->api.create_compressor);
    if (context == NULL) return out_of_memory(error);
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++) {
        status = compress_item(&zstd->api, context, level, &items[i], error);
    }
    pool_give(&zstd->compressors, zstd->api.free_compressor, context);
    return status;
}

static int decompress_item(const lsm_zstd_api *api, void *context, lsm_codec_item *item, lsm_error *error) {
    size_t size =
        api->decompress(context, item->output, item->output_capacity, item->input.data, item->input.size);
    item->output_size = 0;
    if (!api->is_error(size)) {
        if (size != item->output_capacity) {
            return lsm_fail(error, LSM_E_CORRUPT, LSM_NO_OFFSET, NULL,
                            "zstd frame holds %zu bytes, states %zu", size, item->output_capacity);
        }
        item->output_size = size;
        return 0;
    }
    size_t number = (size_t)0 - size;
    if (number == ZSTD_MEMORY_ALLOCATION) return out_of_memory(error);
    return lsm_fail(error, LSM_E_CORRUPT, LSM_NO_OFFSET, NULL, "zstd frame is damaged (error %zu)", number);
}

static int decompress_run(const lsm_codec *codec, lsm_codec_item *items, size_t count, lsm_error *error) {
    zstd_codec *zstd = whole(codec);
    for (size_t i = 0; i < count; i++) {
        int status = lsm_zstd_check_frame(items[i].input, items[i].output_capacity, error);
        if (status != 0) return status;
    }
    void *context = pool_take(&zstd->decompressors, zstd->api.create_decompressor);
    if (context == NULL) return out_of_memory(error);
    int status = 0;
    for (size_t i = 0; i < count && status == 0; i++) {
        status = decompress_item(&zstd->api, context, &items[i], error);
    }
    pool_give(&zstd->decompressors, zstd->api.free_decompressor, context);
    return status;
}

lsm_codec *lsm_codec_zstd_create(const lsm_zstd_api *api) {
    zstd_codec *zstd = lsm_calloc(1, sizeof *zstd);
    if (zstd == NULL) return NULL;
    zstd->base = (lsm_codec){"zstd (direct)", compress_run, decompress_run};
    zstd->api = *api;
    return &zstd->base;
}

void lsm_codec_zstd_destroy(lsm_codec *codec) {
    if (codec == NULL) return;
    zstd_codec *zstd = whole(codec);
    pool_clear(&zstd->compressors, zstd->api.free_compressor);
    pool_clear(&zstd->decompressors, zstd->api.free_decompressor);
    lsm_free(zstd);
}
