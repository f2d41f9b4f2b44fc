# The Merkle tree kernel and its Python holder, for other native modules.
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from lsmkv._native.failure cimport lsm_error, lsm_slice

cdef extern from "merkle.h" nogil:
    enum:
        LSM_SIPHASH_KEY_SIZE
        LSM_MERKLE_FANOUT_BITS
        LSM_MERKLE_FANOUT
        LSM_MERKLE_DEPTH_MAX
    ctypedef struct lsm_merkle:
        uint64_t *nodes
        uint64_t start
        uint64_t entry_count
        uint32_t span_bits
        uint32_t depth
    ctypedef struct lsm_merkle_change:
        uint64_t token
        uint64_t old_hash
        uint64_t new_hash
    uint64_t lsm_siphash(const uint8_t *key, const lsm_slice *pieces, size_t count)
    uint32_t lsm_merkle_level_size(uint32_t level)
    const uint64_t *lsm_merkle_level(const lsm_merkle *tree, uint32_t level)
    uint32_t lsm_merkle_depth(uint64_t expected_entries, uint32_t span_bits)
    int lsm_merkle_create(lsm_merkle *tree, uint64_t start, uint32_t span_bits, uint32_t depth)
    void lsm_merkle_destroy(lsm_merkle *tree)
    uint64_t lsm_merkle_token(lsm_slice entry_key)
    uint64_t lsm_merkle_entry_hash(const uint8_t *key, lsm_slice entry_key, lsm_slice record)
    int lsm_merkle_update(lsm_merkle *tree, const lsm_merkle_change *changes, size_t count)
    void lsm_merkle_expect(const lsm_merkle *tree, uint64_t token)
    int lsm_merkle_build(lsm_merkle *tree, const lsm_merkle_change *changes, size_t count)
    int64_t lsm_merkle_differing(const lsm_merkle *tree, uint32_t level, const uint32_t *indices,
                                 uint32_t count, const uint64_t *digests, uint32_t *differing)
    int64_t lsm_merkle_compare(const lsm_merkle *a, const lsm_merkle *b, uint32_t *differing,
                               uint32_t capacity)
    size_t lsm_merkle_checkpoint_size(const lsm_merkle *tree)
    void lsm_merkle_checkpoint(const lsm_merkle *tree, uint8_t *out)
    int lsm_merkle_restore(lsm_merkle *tree, const uint8_t *data, size_t size, lsm_error *error)


# The bytes of a key for the hashes; ValueError for a wrong size.
cdef const uint8_t *checked_hash_key(bytes key) except NULL


@cython.final
cdef class MerkleTree:
    cdef lsm_merkle tree  # owned
    cdef bint building    # the GIL is released over it

    cdef int check_usable(self) except -1
    cdef int check_level(self, uint32_t level, uint32_t level_max) except -1
