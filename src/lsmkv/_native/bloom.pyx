"""The cache-line-blocked Bloom filter of bloom.h as an immutable object, for tests and tools.

Tables probe the kernel themselves. Wherever a key is expected an int is taken as its 64-bit hash.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset

from lsmkv._native.hashing cimport lsm_key_hash
from lsmkv._native.memory cimport (
    lsm_alloc_aligned,
    lsm_free_aligned,
    lsm_memory_attach,
    shared_state,
)

from lsmkv.errors import CorruptionError

lsm_memory_attach(shared_state())


cdef uint64_t hash_of(object key) except? 0:
    cdef Py_buffer view
    if isinstance(key, int):
        return <uint64_t> key
    PyObject_GetBuffer(key, &view, PyBUF_SIMPLE)
    try:
        return lsm_key_hash(<const uint8_t *> view.buf, <size_t> view.len)
    finally:
        PyBuffer_Release(&view)


@cython.final
cdef class BloomFilter:
    """A set of keys that may claim too much, never too little. `BloomFilter()` contains nothing."""

    def __dealloc__(self):
        lsm_free_aligned(self.lines)

    cdef int allocate(self, uint32_t line_count, uint32_t probe_count) except -1:
        cdef size_t size = <size_t> line_count * LSM_BLOOM_LINE_SIZE
        self.lines = <uint8_t *> lsm_alloc_aligned(size)
        if self.lines == NULL:
            raise MemoryError("lsmkv: out of memory")
        memset(self.lines, 0, size)
        self.filter.lines = self.lines
        self.filter.line_count = line_count
        self.filter.probe_count = probe_count
        return 0

    @staticmethod
    def build(keys, double bits_per_key=10.0):
        """A filter over `keys`, each given `bits_per_key` bits (1 to 32).

        10 bits give just under 1 % of false claims, 16 under 0.1 %.
        """
        if not 1 <= bits_per_key <= LSM_BLOOM_BITS_PER_KEY_MAX:
            raise ValueError(f"bits_per_key must be in 1..{LSM_BLOOM_BITS_PER_KEY_MAX}")
        hashes = [hash_of(key) for key in keys]
        cdef BloomFilter result = BloomFilter()
        cdef uint32_t probe_count = lsm_bloom_probe_count(bits_per_key)
        result.allocate(lsm_bloom_line_count(len(hashes), bits_per_key), probe_count)
        for value in hashes:
            lsm_bloom_add(result.lines, result.filter.line_count, probe_count, value)
        return result

    @staticmethod
    def from_bytes(data, uint32_t probe_count):
        """The filter whose `to_bytes()` gave `data`; CorruptionError for what cannot be one."""
        cdef BloomFilter result = BloomFilter()
        cdef Py_buffer view
        if not 1 <= probe_count <= LSM_BLOOM_PROBES_MAX:
            raise CorruptionError(f"a Bloom filter with {probe_count} probes")
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if view.len % LSM_BLOOM_LINE_SIZE or view.len // LSM_BLOOM_LINE_SIZE > 0xFFFFFFFF:
                raise CorruptionError(f"a Bloom filter of {view.len} bytes")
            if view.len:
                result.allocate(<uint32_t> (view.len // LSM_BLOOM_LINE_SIZE), probe_count)
                memcpy(result.lines, view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        return result

    def to_bytes(self):
        """The lines, as they stand in a table."""
        cdef Py_ssize_t size = <Py_ssize_t> self.filter.line_count * LSM_BLOOM_LINE_SIZE
        return PyBytes_FromStringAndSize(<const char *> self.lines, size)

    def may_contain(self, key):
        """False only when `key` was certainly not added."""
        return lsm_bloom_may_contain(&self.filter, hash_of(key)) != 0

    @property
    def line_count(self):
        """How many 64-byte lines there are."""
        return self.filter.line_count

    @property
    def probe_count(self):
        """How many bits a key sets; 0 in the empty filter."""
        return self.filter.probe_count
