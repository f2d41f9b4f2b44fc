/* Block compression: a table of functions over whole runs of blocks.
 *
 * zstandard comes from the `zstandard` package. Its shared library is called directly where it exports the
 * ZSTD functions (no GIL needed); otherwise a whole run goes through the package's multi_*_to_buffer calls
 * with one GIL round trip. `_native/codec.pyx` chooses once at import and tests itself.
 */
#ifndef LSMKV_CODEC_H
#define LSMKV_CODEC_H

#include "status.h"

/* Persistent: the codec byte of a block header. 2 was zstd over an unfolded block, before 0.1.0. */
enum lsm_codec_id { LSM_CODEC_RAW = 1, LSM_CODEC_ZSTD = 3 };

typedef struct lsm_codec_item {
    lsm_slice input;
    uint8_t *output;
    size_t output_capacity; /* compress: at least input.size; decompress: exactly the raw size */
    size_t output_size;     /* result; compress: 0 = not smaller than the input, store it raw */
} lsm_codec_item;

typedef struct lsm_codec lsm_codec;
struct lsm_codec {
    const char *name; /* "zstd (direct)", "zstd (package)" */
    /* Both may be called from any thread, with or without the GIL. The package way takes the GIL and lets go
     * of it meanwhile, even when the caller held it: whoever relies on the GIL as a lock pins first.
     * Compressed size must be below the input's or it is reported as 0. LSM_E_MEMORY or LSM_E_CODEC. */
    int (*compress_run)(const lsm_codec *codec, int level, lsm_codec_item *items, size_t count,
                        lsm_error *error);
    /* LSM_E_CORRUPT unless each frame states exactly output_capacity bytes and yields them; or LSM_E_MEMORY.
     * The frames' content sizes are checked before anything is allocated. */
    int (*decompress_run)(const lsm_codec *codec, lsm_codec_item *items, size_t count, lsm_error *error);
};

/* The content size a zstd frame states (RFC 8878 §3.1.1), or LSM_NO_OFFSET when unknown or not a frame. */
uint64_t lsm_zstd_content_size(lsm_slice frame);

/* 0 when `frame` has the outer structure of exactly one frame, without bytes after it, that states
 * `raw_size`; else LSM_E_CORRUPT. raw_size 0 is never right: what is empty does not get smaller and is stored
 * raw. Every decompress_run asks this of all its items first, so both ways to the library reject alike. */
int lsm_zstd_check_frame(lsm_slice frame, uint64_t raw_size, lsm_error *error);

/* The entry points of a zstd library, as found by dlsym. */
typedef struct lsm_zstd_api {
    void *(*create_compressor)(void);
    size_t (*free_compressor)(void *);
    size_t (*compress)(void *, void *, size_t, const void *, size_t, int); /* ZSTD_compressCCtx */
    void *(*create_decompressor)(void);
    size_t (*free_decompressor)(void *);
    size_t (*decompress)(void *, void *, size_t, const void *, size_t); /* ZSTD_decompressDCtx */
    unsigned (*is_error)(size_t);
} lsm_zstd_api;

/* A codec over that library with a small pool of contexts, without locks: it works in a forked child,
 * whatever other threads did at the fork. NULL when out of memory.
 * Returns a codec that lives until lsm_codec_zstd_destroy; REQUIRES no call in flight then. */
lsm_codec *lsm_codec_zstd_create(const lsm_zstd_api *api);
void lsm_codec_zstd_destroy(lsm_codec *codec);

#endif
