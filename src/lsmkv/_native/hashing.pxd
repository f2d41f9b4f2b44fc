# Checksums and hashes of the kernels, for other native modules.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from "crc32c.h" nogil:
    uint32_t lsm_crc32c(uint32_t crc, const uint8_t *data, size_t size)
    uint32_t lsm_crc32c_table(uint32_t crc, const uint8_t *data, size_t size)
    const char *lsm_crc32c_implementation()
    uint32_t lsm_crc32c_seed(const uint8_t *id, size_t id_size, uint64_t offset)

cdef extern from "murmur3.h" nogil:
    void lsm_murmur3_x64_128(const uint8_t *data, size_t size, uint32_t seed, uint64_t out[2])
    uint64_t lsm_key_hash(const uint8_t *data, size_t size)
