"""A store of the simplest kind, for the toy node: keys are the space, then the key."""

from __future__ import annotations

from errno import ENOSPC

from lsmkv import DB, Error, StorageError
from lsmkv.kernel import RecordMerger, entry_hash
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.storage_orders import (
    Done,
    Entries,
    Entry,
    Failed,
    Failure,
    ListEntries,
    Merge,
    Merged,
    Mint,
    Order,
    Read,
    Result,
    Sync,
    Values,
)

__all__ = ["ToyStore"]

HASH_KEY = bytes(16)


class ToyStore:
    def __init__(self, database: DB) -> None:
        self._database = database
        self._merger = RecordMerger()

    def close(self) -> None:
        """Nothing to leave behind."""

    def carry_out(self, order: Order) -> Result:
        try:
            return self._carry_out(order)
        except StorageError as error:
            return Failed(Failure.FULL if error.errno == ENOSPC else Failure.BROKEN)
        except Error:
            return Failed(Failure.BROKEN)

    def _carry_out(self, order: Order) -> Result:
        if isinstance(order, Read):
            return Values(tuple(self._database.get(_key(order.space, key)) for key in order.keys))
        if isinstance(order, Merge):
            outcomes = [self._merge(order.space, key, data) for key, data in order.records]
            return self._finished(order.sync, Merged(tuple(outcomes)))
        if isinstance(order, Mint):
            outcomes = [self._mint(order, index) for index in range(len(order.keys))]
            return self._finished(order.sync, Merged(tuple(outcomes)))
        if isinstance(order, ListEntries):
            return self._list(order)
        assert isinstance(order, Sync)
        return self._finished(True, Done())

    def _finished(self, sync: bool, result: Result) -> Result:
        if sync:
            self._database.sync()
        return result

    def _merge(self, space: Space, key: bytes, data: bytes) -> bool:
        stored = self._database.get(_key(space, key))
        merged = self._merger.merge(stored, data)
        if merged == stored:
            return False
        self._database.put(_key(space, key), merged)
        return True

    def _mint(self, order: Mint, index: int) -> bool:
        key = _key(order.space, order.keys[index])
        made = order.decide(index, self._database.get(key))
        if made is None:
            return False
        self._database.put(key, made)
        return True

    def _list(self, order: ListEntries) -> Entries:
        prefix = bytes([order.space])
        found = [
            Entry(key[1:], entry_hash(HASH_KEY, key[1:], value), len(value))
            for key, value in self._database.scan(prefix, bytes([order.space + 1]))
        ]
        return Entries(tuple(found), None)


def _key(space: Space, key: bytes) -> bytes:
    return bytes([space]) + key
