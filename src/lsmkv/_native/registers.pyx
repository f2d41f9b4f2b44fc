"""Registers: plain values as records of the cluster, read and overwritten where they are stored.

`read_register` and `overwrite_register` are the kernels by themselves. `Registers` serves the plain
GET and SET commands that wait in a parser, up to the first that is anything else, straight from the
engine into the replies: for a node that is alone, whose owner sees to it that nothing else of the
store's work is under way.

Commands that wait together are prepared together, some at a time: what the row cache says of their
keys is on its way to the processor before the first of them is served.

What holds: a SET is answered after it was applied, and a GET sees those before it; a command that
could not be served is left where it is, with nothing written of it and no reply; the tree of the
key's slot is told of each change in the step that makes it.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint16_t
from libc.string cimport memcpy, memset
from lsmkv._native.buffers cimport Slice, acquire_value, release, slice_of
from lsmkv._native.failure cimport LSM_E_LIMIT, LSM_E_MEMORY, raise_error
from lsmkv._native.hashing cimport lsm_key_hash
from lsmkv._native.memory cimport lsm_alloc, lsm_free, lsm_memory_attach, shared_state
from lsmkv._native.merkle cimport (
    LSM_SIPHASH_KEY_SIZE,
    MerkleTree,
    checked_hash_key,
    lsm_merkle_change,
    lsm_merkle_entry_hash,
    lsm_merkle_expect,
    lsm_merkle_token,
    lsm_merkle_update,
    lsm_siphash,
)
from lsmkv._native.resp cimport RequestParser, lsm_resp_argument, lsm_resp_batch
from lsmkv._native.resp_writer cimport (
    ReplyWriter,
    lsm_resp_writer,
    lsm_resp_write_bulk,
    lsm_resp_write_line,
    lsm_resp_write_null,
)
from lsmkv._native.row_cache cimport lsm_row_cache_expect, lsm_row_cache_expect_row
from lsmkv._native.store cimport Store
from lsmkv._native.table cimport lsm_found, lsm_found_release

lsm_memory_attach(shared_state())

cdef extern from "constants.h" nogil:
    const uint8_t LSM_KIND_PUT

cdef extern from "crc16.h" nogil:
    enum:
        LSM_SLOT_COUNT
    uint16_t lsm_slot_of(lsm_slice key)

cdef extern from "resp_writer.h" nogil:
    int lsm_resp_reserve(lsm_resp_writer *writer, size_t size)

cdef enum:
    HEAD_SIZE = 8           # of an engine key: space, slot, hash
    SPACE_DATA = 1
    HASH_BITS = 40
    KEY_SIZE_MAX = 65528    # bytes of a client's key: the engine's limit less the head
    COMMANDS_AT_ONCE = 256  # that are parsed before they are served
    PREPARED_MAX = 16       # of them
    KEYS_SIZE = 131072      # room for the engine keys of those that are prepared
    OUTPUT_SIZE_MAX = 262144  # bytes of replies after which the caller sends them
    STAMP_COUNT_BITS = 16
    OK_SIZE = 5             # of its line

# A plain command that is about to be served.
cdef struct Plain:
    bint is_set
    lsm_slice key         # as the client gave it
    lsm_slice value       # of a SET
    lsm_slice engine_key
    uint64_t hash         # of the engine key
    uint16_t slot

VALUE_SIZE_MAX = LSM_REGISTER_VALUE_SIZE_MAX


def slot_of(key):
    """Where a key belongs, 0 to 16383 (kernels/crc16.h)."""
    cdef Slice slice
    acquire_value(key, &slice)
    try:
        return lsm_slot_of(slice.bytes)
    finally:
        release(&slice)


def read_register(bytes record not None, uint64_t now_ms):
    """(True, value or None), or (False, None) for a record that is no plain value."""
    cdef lsm_slice value
    cdef lsm_error error
    error.code = 0
    cdef int outcome = lsm_register_read(slice_of(record), now_ms, &value, &error)
    if outcome < 0:
        raise_error(outcome, &error)
    if outcome == LSM_REGISTER_OTHER:
        return False, None
    if outcome == LSM_REGISTER_NOTHING:
        return True, None
    return True, value.data[:value.size]


def overwrite_register(
    bytes old, bytes value not None, bytes own not None, *, uint64_t trusted_epoch,
    uint64_t fresh_epoch, uint64_t stamp, uint64_t expiry_ms=0,
):
    """(record, whether the fresh epoch was used), or None where the full rules are needed."""
    cdef lsm_register_write write
    cdef lsm_register_buffer buffer
    cdef lsm_slice old_slice
    cdef int is_fresh
    memset(&buffer, 0, sizeof(buffer))
    fill_own(&write, own)
    write.trusted_epoch = trusted_epoch
    write.fresh_epoch = fresh_epoch
    write.stamp = stamp
    write.expiry_ms = expiry_ms
    write.value = slice_of(value)
    if old is not None:
        old_slice = slice_of(old)
    try:
        outcome = lsm_register_overwrite(
            &old_slice if old is not None else NULL, &write, &buffer, &is_fresh
        )
        if outcome < 0:
            raise_error(outcome, NULL)
        if outcome == LSM_REGISTER_OTHER:
            return None
        return (<const char *> buffer.data)[:buffer.size], bool(is_fresh)
    finally:
        lsm_register_release(&buffer)


cdef int fill_own(lsm_register_write *write, bytes own) except -1:
    if PyBytes_GET_SIZE(own) != LSM_REGISTER_OWN_SIZE:
        raise ValueError(f"own must have {LSM_REGISTER_OWN_SIZE} bytes")
    memcpy(write.own, PyBytes_AS_STRING(own), LSM_REGISTER_OWN_SIZE)
    return 0


cdef inline bint is_named(lsm_slice word, uint8_t first, uint8_t second, uint8_t third) noexcept:
    """Whether it is this name, given in capitals, of three letters."""
    return (
        word.size == 3 and word.data[0] & 0xDF == first and word.data[1] & 0xDF == second
        and word.data[2] & 0xDF == third
    )


cdef bint read_plain(lsm_resp_batch *batch, size_t i, Plain *plain) noexcept:
    """Whether it is a GET or SET without options, of a key that can be one."""
    cdef lsm_slice name = lsm_resp_argument(batch, i, 0)
    cdef size_t count = batch.commands[i].count
    plain.is_set = count == 3 and is_named(name, c'S', c'E', c'T')
    if not plain.is_set and not (count == 2 and is_named(name, c'G', c'E', c'T')):
        return False
    plain.key = lsm_resp_argument(batch, i, 1)
    if plain.is_set:
        plain.value = lsm_resp_argument(batch, i, 2)
    return plain.key.size <= KEY_SIZE_MAX


@cython.final
cdef class Registers:
    """`trees`: the MerkleTree of each slot, None where there is none; its owner may replace them.

    `key_hash` and `tree_key` are the keys of hashes in engine keys and trees, 16 bytes each.
    """

    cdef Store store
    cdef list trees
    cdef uint8_t key_hash[16]
    cdef uint8_t tree_key[16]
    cdef lsm_register_write write
    cdef lsm_register_buffer record
    cdef lsm_slice ok
    cdef uint8_t *keys       # owned: room for engine keys
    cdef Plain prepared[16]  # PREPARED_MAX
    cdef uint64_t next_serial, end_serial
    cdef uint64_t now_ms
    cdef readonly uint64_t stamp
    cdef readonly uint64_t reads, hits, writes

    def __init__(self, Store store not None, list trees not None, bytes key_hash, bytes tree_key):
        memcpy(self.key_hash, checked_hash_key(key_hash), LSM_SIPHASH_KEY_SIZE)
        memcpy(self.tree_key, checked_hash_key(tree_key), LSM_SIPHASH_KEY_SIZE)
        if len(trees) != LSM_SLOT_COUNT:
            raise ValueError("a tree, or None, for each slot")
        if self.keys == NULL:
            self.keys = <uint8_t *> lsm_alloc(KEYS_SIZE)
            if self.keys == NULL:
                raise_error(LSM_E_MEMORY, NULL)
        self.ok.data = <const uint8_t *> "OK"
        self.ok.size = 2
        self.store = store
        self.trees = trees

    def __dealloc__(self):
        lsm_register_release(&self.record)
        lsm_free(self.keys)

    def act_as(self, bytes own not None, uint64_t trusted_epoch):
        """Who writes from now on (RecordMerger says what these are). Serials are gone."""
        fill_own(&self.write, own)
        self.write.trusted_epoch = trusted_epoch
        self.next_serial = self.end_serial = 0

    def give_serials(self, uint64_t first, uint64_t end):
        """Serial numbers of epochs that nobody has used, for keys that are new."""
        if not 0 < first <= end <= 1 << 32:
            raise ValueError("serial numbers of 32 bits, from 1 on")
        self.next_serial, self.end_serial = first, end

    @property
    def block_reads(self):
        """How many blocks the store has read from its files."""
        return self.store.block_reads

    @property
    def serials_left(self):
        return self.end_serial - self.next_serial

    def serve(
        self, RequestParser parser not None, ReplyWriter writer not None, uint64_t now_ms,
        uint64_t stamp, object locked,
    ):
        """How many commands were served; whoever it stops at is the caller's.

        now_ms: wall time. stamp: the newest that the node's clock has given or followed; the
        attribute is the newest afterwards. locked: keys that somebody holds, anything with a
        length and `in`, or None.
        Errors of the engine come out; what was served before has its replies.
        """
        cdef lsm_resp_batch batch
        cdef size_t i, k, count, served = 0
        cdef int outcome = 1
        self.now_ms = now_ms
        self.stamp = stamp
        while outcome == 1 and writer.writer.size < OUTPUT_SIZE_MAX:
            if parser.parse(COMMANDS_AT_ONCE) == 0:
                break
            batch = parser.batch()
            i = 0
            try:
                while outcome == 1 and i < batch.count:
                    count = self.prepare(&batch, i)
                    outcome = count != 0
                    k = 0
                    while outcome == 1 and k < count and writer.writer.size < OUTPUT_SIZE_MAX:
                        outcome = self.serve_one(&self.prepared[k], writer, locked)
                        k += outcome
                        i += outcome
                    if k < count:
                        break
            finally:
                parser.done(i)
            served += i
        return served

    cdef size_t prepare(self, lsm_resp_batch *batch, size_t first) noexcept:
        """How many of the commands from the first on are plain, and can be served next."""
        cdef size_t count = 0, used = 0, i
        cdef Plain *plain
        while count < PREPARED_MAX and first + count < batch.count:
            plain = &self.prepared[count]
            if not read_plain(batch, first + count, plain):
                break
            if used + HEAD_SIZE + plain.key.size > KEYS_SIZE:
                break
            self.fill_engine_key(plain, self.keys + used)
            used += plain.engine_key.size
            plain.hash = lsm_key_hash(plain.engine_key.data, plain.engine_key.size)
            lsm_row_cache_expect(&self.store.rows, plain.hash)
            count += 1
        for i in range(count):
            plain = &self.prepared[i]
            lsm_row_cache_expect_row(&self.store.rows, plain.hash)
            tree = self.trees[plain.slot]
            if plain.is_set and tree is not None:
                lsm_merkle_expect(&(<MerkleTree> tree).tree, lsm_merkle_token(plain.engine_key))
        return count

    cdef int serve_one(self, Plain *plain, ReplyWriter writer, object locked) except -1:
        """1 when it was served, 0 when it is left alone."""
        cdef lsm_slice key = plain.key
        if locked is not None and len(locked) and (<const char *> key.data)[:key.size] in locked:
            return 0
        return self.set(plain, writer) if plain.is_set else self.get(plain, writer)

    cdef void fill_engine_key(self, Plain *plain, uint8_t *room) noexcept:
        cdef lsm_slice key = plain.key
        cdef uint64_t head = <uint64_t> SPACE_DATA << 56
        cdef int i
        plain.slot = lsm_slot_of(key)
        head |= <uint64_t> plain.slot << HASH_BITS
        head |= lsm_siphash(self.key_hash, &key, 1) >> (64 - HASH_BITS)
        for i in range(HEAD_SIZE):
            room[i] = <uint8_t> (head >> (56 - 8 * i))
        if key.size:
            memcpy(room + HEAD_SIZE, key.data, key.size)
        plain.engine_key.data = room
        plain.engine_key.size = HEAD_SIZE + key.size

    cdef int get(self, Plain *plain, ReplyWriter writer) except -1:
        cdef lsm_found found
        cdef lsm_slice value
        cdef lsm_error error
        cdef int status = LSM_REGISTER_NOTHING
        cdef bint is_found = self.store.find_newest(plain.engine_key, plain.hash, &found)
        if is_found:
            status = lsm_register_read(found.value, self.now_ms, &value, &error)
        if status == LSM_REGISTER_VALUE:
            self.hits += 1
            status = lsm_resp_write_bulk(&writer.writer, value)
        elif status == LSM_REGISTER_NOTHING:
            status = lsm_resp_write_null(&writer.writer)
        else:
            status = LSM_E_LIMIT  # damaged, or not plain
        if is_found:
            lsm_found_release(&found)
        if status == LSM_E_LIMIT:
            return 0
        if status < 0:
            raise_error(status, NULL)
        self.reads += 1
        return 1

    cdef int set(self, Plain *plain, ReplyWriter writer) except -1:
        cdef lsm_slice engine_key = plain.engine_key, record
        cdef lsm_merkle_change change
        cdef int is_fresh
        cdef int status = lsm_resp_reserve(&writer.writer, OK_SIZE)
        if status == LSM_E_LIMIT:
            return 0
        if status < 0:
            raise_error(status, NULL)
        tree = self.trees[plain.slot]
        if tree is None:
            return 0
        (<MerkleTree> tree).check_usable()
        if self.make(plain, &change.old_hash, &is_fresh) == LSM_REGISTER_OTHER:
            return 0
        record.data = self.record.data
        record.size = self.record.size
        self.store.write_one(LSM_KIND_PUT, engine_key, record, False)
        self.stamp = self.write.stamp
        self.next_serial += is_fresh
        self.writes += 1
        change.token = lsm_merkle_token(engine_key)
        change.new_hash = lsm_merkle_entry_hash(self.tree_key, engine_key, record)
        lsm_merkle_update(&(<MerkleTree> tree).tree, &change, 1)
        lsm_resp_write_line(&writer.writer, c'+', self.ok)  # there is room
        return 1

    cdef int make(self, Plain *plain, uint64_t *old_hash, int *is_fresh) except -1:
        """The record that takes the place of what is stored, in self.record."""
        cdef lsm_found found
        cdef int status
        cdef bint is_found = self.store.find_newest(plain.engine_key, plain.hash, &found)
        self.write.stamp = max(self.stamp + 1, self.now_ms << STAMP_COUNT_BITS)
        self.write.expiry_ms = 0
        self.write.value = plain.value
        self.write.fresh_epoch = 0
        if self.next_serial < self.end_serial:
            self.write.fresh_epoch = self.next_serial << 32 | min(self.now_ms // 1000, 0xFFFFFFFF)
        status = lsm_register_overwrite(
            &found.value if is_found else NULL, &self.write, &self.record, is_fresh
        )
        old_hash[0] = 0
        if is_found:
            if status == LSM_REGISTER_VALUE:
                old_hash[0] = lsm_merkle_entry_hash(self.tree_key, plain.engine_key, found.value)
            lsm_found_release(&found)
        if status < 0:
            raise_error(status, NULL)
        return status
