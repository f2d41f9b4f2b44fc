# Blocks of sorted entries: see kernels/block.h (contract) and kernels/block_format.h (bytes).
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from lsmkv._native.failure cimport lsm_error, lsm_slice

cdef extern from "constants.h" nogil:
    enum:
        LSM_KIND_PUT
        LSM_KIND_DELETE
    const uint64_t LSM_SEQUENCE_MAX
    bint lsm_kind_is_known(uint8_t kind)
    uint64_t lsm_trailer(uint64_t sequence, uint8_t kind)

cdef extern from "node.h" nogil:
    ctypedef struct lsm_target:
        const uint8_t *key
        size_t key_size
        uint64_t sequence

cdef extern from "block.h" nogil:
    ctypedef struct lsm_block_view:
        uint32_t count
        uint32_t prefix_size
    int lsm_block_parse(const uint8_t *data, size_t size, lsm_block_view *view, lsm_error *error)
    uint32_t lsm_block_search(const lsm_block_view *view, const lsm_target *target)
    lsm_slice lsm_block_value(const lsm_block_view *view, uint32_t index)
    size_t lsm_block_key_size(const lsm_block_view *view, uint32_t index)
    size_t lsm_block_key_copy(const lsm_block_view *view, uint32_t index, uint8_t *buffer)
    uint64_t lsm_block_sequence(const lsm_block_view *view, uint32_t index)
    uint8_t lsm_block_kind(const lsm_block_view *view, uint32_t index)
    bint lsm_block_key_equals(const lsm_block_view *view, uint32_t index, lsm_slice key)

cdef extern from "block_fold.h" nogil:
    void lsm_block_fold(uint8_t *data, size_t size)
    void lsm_block_unfold(uint8_t *data, size_t size)

cdef extern from "block.h" nogil:
    ctypedef struct lsm_block_builder:
        pass
    lsm_block_builder *lsm_block_builder_create()
    void lsm_block_builder_destroy(lsm_block_builder *builder)
    void lsm_block_builder_reset(lsm_block_builder *builder)
    int lsm_block_builder_add(
        lsm_block_builder *builder, lsm_slice key, uint64_t trailer, lsm_slice value)
    uint32_t lsm_block_builder_count(const lsm_block_builder *builder)
    lsm_slice lsm_block_builder_last_key(const lsm_block_builder *builder)
    size_t lsm_block_builder_finished_size(const lsm_block_builder *builder)
    size_t lsm_block_builder_size_estimate(const lsm_block_builder *builder)
    size_t lsm_block_builder_finish(const lsm_block_builder *builder, uint8_t *output)


cdef class BlockBuilder:
    cdef lsm_block_builder *builder
    cdef uint64_t last_sequence
    cdef int add_slices(
        self, lsm_slice key, uint64_t sequence, uint8_t kind, lsm_slice value) except -1


cdef class Block:
    cdef uint8_t *data          # aligned copy, owned; NULL until parsed
    cdef lsm_block_view view    # empty until parsed
    cdef int load(self, lsm_slice source) except -1
    cdef uint32_t checked_index(self, index) except? 0xFFFFFFFF
