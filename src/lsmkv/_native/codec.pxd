# The process-wide block codec, for native modules that write or read tables.
from libc.stdint cimport uint8_t, uint64_t
from lsmkv._native.failure cimport lsm_error, lsm_slice

cdef extern from "codec.h" nogil:
    enum:
        LSM_CODEC_RAW
        LSM_CODEC_ZSTD
    ctypedef struct lsm_codec_item:
        lsm_slice input
        uint8_t *output
        size_t output_capacity
        size_t output_size
    ctypedef struct lsm_codec:
        const char *name
        int (*compress_run)(
            const lsm_codec *codec, int level, lsm_codec_item *items, size_t count,
            lsm_error *error) noexcept nogil
        int (*decompress_run)(
            const lsm_codec *codec, lsm_codec_item *items, size_t count,
            lsm_error *error) noexcept nogil
    uint64_t lsm_zstd_content_size(lsm_slice frame)
    int lsm_zstd_check_frame(lsm_slice frame, uint64_t raw_size, lsm_error *error)
    ctypedef struct lsm_zstd_api:
        void *(*create_compressor)() noexcept nogil
        size_t (*free_compressor)(void *context) noexcept nogil
        size_t (*compress)(
            void *context, void *output, size_t capacity, const void *data, size_t size,
            int level) noexcept nogil
        void *(*create_decompressor)() noexcept nogil
        size_t (*free_decompressor)(void *context) noexcept nogil
        size_t (*decompress)(
            void *context, void *output, size_t capacity, const void *data,
            size_t size) noexcept nogil
        unsigned (*is_error)(size_t result) noexcept nogil
    lsm_codec *lsm_codec_zstd_create(const lsm_zstd_api *api)
    void lsm_codec_zstd_destroy(lsm_codec *codec)

# Chosen at import, the same until the process ends. NULL: no usable zstandard, only raw blocks.
cdef const lsm_codec *zstd_codec() noexcept nogil
