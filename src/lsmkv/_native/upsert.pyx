"""Atomic read-merge-write of many keys: the native part of `lsmkv.kernel.merge_batch`.

The write path is held (GATE_BUSY) from the first read to the last insert, so that no other writer
comes between a read and its write, even while a read waits for the disk. Either all records are
applied or none.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid
from libc.stdint cimport uint8_t, uint64_t
from lsmkv._native.batch cimport OperationBuffer
from lsmkv._native.buffers cimport Slice, acquire_key, slice_of
from lsmkv._native.failure cimport lsm_slice, raise_error
from lsmkv._native.memory cimport lsm_memory_attach, shared_state
from lsmkv._native.merkle cimport checked_hash_key, lsm_merkle_entry_hash, lsm_merkle_token
from lsmkv._native.store cimport Store

from lsmkv._native.buffers import key_bytes, value_bytes

lsm_memory_attach(shared_state())

cdef extern from "merge_hook.h" nogil:
    const char *LSM_MERGE_HOOK_NAME
    enum:
        LSM_MERGE_KEEP
        LSM_MERGE_WRITE
        LSM_MERGE_DELETE
    ctypedef struct lsm_merge_hook:
        int (*apply)(void *context, lsm_slice key, const lsm_slice *old, lsm_slice operand,
                     lsm_slice *result) noexcept
        void *context


cdef object merge_native(lsm_merge_hook *hook, bytes key, bytes old, bytes operand):
    """(changed, new): `new` is None for absent."""
    cdef lsm_slice old_slice = slice_of(old)
    cdef lsm_slice result
    cdef int action
    result.data = NULL
    result.size = 0
    action = hook.apply(
        hook.context, slice_of(key), &old_slice if old is not None else NULL, slice_of(operand),
        &result,
    )
    if action == LSM_MERGE_KEEP:
        return False, old
    if action == LSM_MERGE_WRITE:
        return True, (<const char *> result.data)[:result.size]
    if action == LSM_MERGE_DELETE:
        return True, None
    raise_error(action, NULL)


cdef uint64_t hash_of(const uint8_t *hash_key, bytes key, bytes value) noexcept:
    if value is None:
        return 0
    return lsm_merkle_entry_hash(hash_key, slice_of(key), slice_of(value))


cdef object merkle_change(const uint8_t *hash_key, bytes key, bytes old, bytes new):
    """What a MerkleTree wants to be told."""
    token = lsm_merkle_token(slice_of(key))
    return token, hash_of(hash_key, key, old), hash_of(hash_key, key, new)


def merge_batch(
    Store store not None, records, function, *, bint sync=False, bint pairs=False,
    bytes hash_key=None,
):
    """Apply `function(key, old, operand) -> new` to every (key, operand), atomically, in order.

    `old` and `new` are bytes, or None for absent. `function` is a Python callable, or a PyCapsule
    "lsmkv.merge_hook" (merge_hook.h). Returns the list of values before each record's merge. If
    anything raises, nothing is written; but a sync that fails does so after the write. The function
    must not write to the same database.

    pairs: the list has (old, new) instead; `new is old` where nothing was written.
    hash_key: the list has (token, old hash, new hash) instead, as MerkleTree.update takes them, or
    None where nothing was written.
    """
    cdef lsm_merge_hook *hook = NULL
    cdef const uint8_t *checked = NULL
    cdef OperationBuffer operations = OperationBuffer()
    cdef Slice slice
    cdef list answers = []
    cdef dict overlay = {}
    cdef list wanted = [(key_bytes(key), value_bytes(operand)) for key, operand in records]
    if hash_key is not None:
        checked = checked_hash_key(hash_key)
        if pairs:
            raise ValueError("pairs and hash_key exclude each other")
    if PyCapsule_IsValid(function, LSM_MERGE_HOOK_NAME):
        hook = <lsm_merge_hook *> PyCapsule_GetPointer(function, LSM_MERGE_HOOK_NAME)
    store.enter_write()
    store._begin_exclusive()
    try:
        for key, operand in wanted:
            if key in overlay:
                old = overlay[key]
            else:
                acquire_key(key, &slice)
                old = store.lookup(slice.bytes, store.sequence, store.state)
            if hook != NULL:
                changed, new = merge_native(hook, key, old, operand)
            else:
                new = function(key, old, operand)
                changed = new is not old
                if new is not None:
                    new = value_bytes(new)  # the next record's `old` must not change
            if changed:
                if new is None:
                    operations.add_delete(key)
                else:
                    operations.add_pair(key, new)
            overlay[key] = new
            if pairs:
                answers.append((old, new))
            elif checked == NULL:
                answers.append(old)
            else:
                answers.append(merkle_change(checked, key, old, new) if changed else None)
        store.gate.refuse_write()
        if operations.count != 0:
            store.apply(operations)
    finally:
        store._end_exclusive()
    if sync:
        store.make_durable()
    return answers
