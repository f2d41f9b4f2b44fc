"""The Merkle tree of merkle.h, one for each partition: which few ranges of keys two replicas
differ in.

A change costs one addition per level, so it is applied in the step that changes the record. Hashes
are ints; 0 stands for "absent". A tree belongs to one thread at a time; calls that come while
`add_entries` works without the GIL are refused.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from lsmkv._native.buffers cimport Slice, acquire_key, acquire_value, release, slice_of
from lsmkv._native.failure cimport LSM_E_LIMIT, LSM_OK, lsm_error, lsm_slice, raise_error
from lsmkv._native.memory cimport lsm_alloc, lsm_free, lsm_memory_attach, shared_state

lsm_memory_attach(shared_state())

FANOUT = LSM_MERKLE_FANOUT
DEPTH_MAX = LSM_MERKLE_DEPTH_MAX


cdef const uint8_t *checked_hash_key(bytes key) except NULL:
    if key is None or PyBytes_GET_SIZE(key) != LSM_SIPHASH_KEY_SIZE:
        raise ValueError(f"a hash key has {LSM_SIPHASH_KEY_SIZE} bytes")
    return <const uint8_t *> PyBytes_AS_STRING(key)


def siphash(bytes key, data):
    """SipHash-2-4 of `data` under a key of 16 bytes."""
    cdef const uint8_t *checked = checked_hash_key(key)
    cdef Slice slice
    acquire_value(data, &slice)
    try:
        return lsm_siphash(checked, &slice.bytes, 1)
    finally:
        release(&slice)


def key_token(entry_key):
    """Where an entry belongs: the first 8 bytes of its key, big-endian, padded with zeros."""
    cdef Slice slice
    acquire_key(entry_key, &slice)
    try:
        return lsm_merkle_token(slice.bytes)
    finally:
        release(&slice)


def entry_hash(bytes hash_key, entry_key, record):
    """What an entry adds to the digests: SipHash of key and record, never 0."""
    cdef const uint8_t *checked = checked_hash_key(hash_key)
    cdef Slice key_slice
    cdef Slice record_slice
    acquire_key(entry_key, &key_slice)
    try:
        acquire_value(record, &record_slice)
        try:
            return lsm_merkle_entry_hash(checked, key_slice.bytes, record_slice.bytes)
        finally:
            release(&record_slice)
    finally:
        release(&key_slice)


@cython.final
cdef class MerkleTree:
    """Digests of the entries whose tokens lie in [start, start + 2**span_bits).

    `depth` (1 to 5) is that of the leaves; 0 chooses it for `expected_entries`.
    """

    def __init__(
        self,
        uint64_t start,
        uint32_t span_bits,
        *,
        uint64_t expected_entries=0,
        uint32_t depth=0,
    ):
        cdef lsm_merkle made
        if depth == 0:
            depth = lsm_merkle_depth(expected_entries, span_bits)
        cdef int code = lsm_merkle_create(&made, start, span_bits, depth)
        if code == LSM_E_LIMIT:
            raise ValueError(f"no tree of depth {depth} over 2**{span_bits} tokens from {start} on")
        if code != LSM_OK:
            raise_error(code, NULL)
        if self.tree.nodes != NULL:
            lsm_merkle_destroy(&made)
            raise ValueError("a tree is made once")
        self.tree = made

    def __dealloc__(self):
        lsm_merkle_destroy(&self.tree)

    @staticmethod
    def from_checkpoint(data):
        """The tree whose `checkpoint()` gave `data`. CorruptionError, or Error for a version that
        this build does not know."""
        cdef MerkleTree result = MerkleTree.__new__(MerkleTree)
        cdef Slice slice
        cdef lsm_error error
        cdef int code
        error.code = LSM_OK
        acquire_value(data, &slice)
        try:
            code = lsm_merkle_restore(
                &result.tree, slice.bytes.data, slice.bytes.size, &error
            )
            if code != LSM_OK:
                raise_error(code, &error)
        finally:
            release(&slice)
        return result

    cdef int check_usable(self) except -1:
        if self.tree.nodes == NULL:
            raise ValueError("the tree was not initialised")
        if self.building:
            raise ValueError("another thread is adding entries to this tree")
        return 0

    cdef int check_level(self, uint32_t level, uint32_t level_max) except -1:
        self.check_usable()
        if level > level_max:
            raise ValueError(f"level {level} of a tree of depth {self.tree.depth}")
        return 0

    def checkpoint(self):
        """The tree as bytes (merkle.h): its leaves, 8 bytes each, and a header."""
        self.check_usable()
        size = <Py_ssize_t> lsm_merkle_checkpoint_size(&self.tree)
        data = PyBytes_FromStringAndSize(NULL, size)
        lsm_merkle_checkpoint(&self.tree, <uint8_t *> PyBytes_AS_STRING(data))
        return data

    @property
    def start(self):
        """The first token."""
        return self.tree.start

    @property
    def span_bits(self):
        """The binary logarithm of how many tokens the tree covers."""
        return self.tree.span_bits

    @property
    def depth(self):
        """The level of the leaves."""
        return self.tree.depth

    @property
    def entry_count(self):
        """How many entries it was told of."""
        return self.tree.entry_count

    @property
    def root(self):
        """The digest of everything."""
        self.check_usable()
        return self.tree.nodes[0]

    def level(self, uint32_t level):
        """All digests of a level."""
        self.check_level(level, self.tree.depth)
        cdef const uint64_t *nodes = lsm_merkle_level(&self.tree, level)
        return tuple([nodes[i] for i in range(lsm_merkle_level_size(level))])

    def token_range(self, uint32_t level, uint32_t index):
        """[first, end) of the tokens of a node; the end may be 2**64."""
        self.check_level(level, self.tree.depth)
        if index >= lsm_merkle_level_size(level):
            raise ValueError(f"node {index} of level {level}")
        bits = self.tree.span_bits - LSM_MERKLE_FANOUT_BITS * level
        first = int(self.tree.start) + (int(index) << bits)
        return first, first + (1 << bits)

    def update(self, uint64_t token, uint64_t old_hash, uint64_t new_hash):
        """An entry came (old 0), went (new 0) or changed."""
        cdef lsm_merkle_change change
        self.check_usable()
        change.token = token
        change.old_hash = old_hash
        change.new_hash = new_hash
        if lsm_merkle_update(&self.tree, &change, 1) != LSM_OK:
            raise ValueError(f"token {token} lies outside the tree")

    def update_many(self, changes):
        """The same for (token, old hash, new hash) tuples; all or none."""
        cdef size_t index
        cdef list wanted = list(changes)
        cdef size_t count = <size_t> len(wanted)
        cdef int code
        self.check_usable()
        cdef lsm_merkle_change *packed = <lsm_merkle_change *> lsm_alloc(count * sizeof(packed[0]))
        if packed == NULL:
            raise MemoryError("lsmkv: out of memory")
        try:
            for index in range(count):
                token, old_hash, new_hash = wanted[index]
                packed[index].token = token
                packed[index].old_hash = old_hash
                packed[index].new_hash = new_hash
            code = lsm_merkle_update(&self.tree, packed, count)
        finally:
            lsm_free(packed)
        if code != LSM_OK:
            raise ValueError("a token lies outside the tree")

    def add_entries(self, bytes hash_key, entries):
        """Add (key, record) pairs that the tree does not have, all or none: for building."""
        cdef size_t index
        cdef const uint8_t *checked = checked_hash_key(hash_key)
        cdef list wanted = list(entries)
        cdef size_t count = <size_t> len(wanted)
        cdef lsm_slice key_slice
        cdef lsm_slice record_slice
        cdef int code
        self.check_usable()
        cdef lsm_merkle_change *packed = <lsm_merkle_change *> lsm_alloc(count * sizeof(packed[0]))
        if packed == NULL:
            raise MemoryError("lsmkv: out of memory")
        try:
            for index in range(count):
                key, record = wanted[index]
                if key is None or record is None:
                    raise TypeError("keys and records are bytes")
                key_slice = slice_of(key)
                record_slice = slice_of(record)
                packed[index].token = lsm_merkle_token(key_slice)
                packed[index].old_hash = 0
                packed[index].new_hash = lsm_merkle_entry_hash(checked, key_slice, record_slice)
            self.building = True
            with nogil:
                code = lsm_merkle_build(&self.tree, packed, count)
            self.building = False
        finally:
            lsm_free(packed)
        if code != LSM_OK:
            raise ValueError("the key of an entry lies outside the tree")

    def children(self, uint32_t level, uint32_t index):
        """The 16 digests below a node of `level`."""
        self.check_level(level, self.tree.depth - 1)
        if index >= lsm_merkle_level_size(level):
            raise ValueError(f"node {index} of level {level}")
        cdef const uint64_t *nodes = lsm_merkle_level(&self.tree, level + 1)
        cdef uint32_t first = index * LSM_MERKLE_FANOUT
        return tuple([nodes[first + i] for i in range(<uint32_t> LSM_MERKLE_FANOUT)])

    def differing(self, uint32_t level, indices, digests):
        """Which children of nodes of `level` differ from another tree's.

        `indices` ascend; `digests` has the other tree's `children` of each. Returns indices of
        level + 1. ValueError for what cannot be such a list: it may come from a peer.
        """
        cdef size_t count = <size_t> len(indices)
        cdef int64_t found
        cdef size_t i, k
        self.check_level(level, self.tree.depth - 1)
        if count != <size_t> len(digests) or count > lsm_merkle_level_size(level):
            raise ValueError(f"{count} nodes and {len(digests)} lists of digests")
        # Theirs first, for its alignment; then our answer and the question.
        cdef size_t node_size = LSM_MERKLE_FANOUT * (sizeof(uint64_t) + sizeof(uint32_t)) + 4
        cdef uint64_t *theirs = <uint64_t *> lsm_alloc(count * node_size)
        if theirs == NULL:
            raise MemoryError("lsmkv: out of memory")
        cdef uint32_t *answer = <uint32_t *> (theirs + count * LSM_MERKLE_FANOUT)
        cdef uint32_t *nodes = answer + count * LSM_MERKLE_FANOUT
        try:
            for i in range(count):
                nodes[i] = indices[i]
                row = digests[i]
                if len(row) != LSM_MERKLE_FANOUT:
                    raise ValueError(f"{len(row)} children of a node")
                for k in range(<size_t> LSM_MERKLE_FANOUT):
                    theirs[i * LSM_MERKLE_FANOUT + k] = row[k]
            found = lsm_merkle_differing(
                &self.tree, level, nodes, <uint32_t> count, theirs, answer
            )
            if found < 0:
                raise ValueError("indices that do not ascend, or lie outside their level")
            return [answer[i] for i in range(<size_t> found)]
        finally:
            lsm_free(theirs)

    def compare(self, MerkleTree other not None, uint32_t count_max):
        """The first `count_max` nodes in which two trees of the same tokens differ.

        Indices on the deepest level that both trees have.
        """
        self.check_usable()
        other.check_usable()
        cdef size_t leaf_count = lsm_merkle_level_size(self.tree.depth)
        cdef uint32_t capacity = min(count_max, leaf_count)
        cdef uint32_t *found = <uint32_t *> lsm_alloc(capacity * sizeof(uint32_t))
        if found == NULL:
            raise MemoryError("lsmkv: out of memory")
        cdef int64_t count
        cdef size_t i
        try:
            count = lsm_merkle_compare(&self.tree, &other.tree, found, capacity)
            if count < 0:
                raise ValueError("the trees cover different tokens")
            return [found[i] for i in range(<size_t> count)]
        finally:
            lsm_free(found)
