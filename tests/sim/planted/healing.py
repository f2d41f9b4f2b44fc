"""Bugs in how copies become equal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from lsmkv_cluster.healing.repair_records import RecordRepair
from lsmkv_cluster.storage.partition_trees import PartitionTrees
from lsmkv_cluster.storage.storage_orders import Drop, Entry, Merge, Merged, Read
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.versions.record import Kind
from lsmkv_cluster.versions.record_format import decode
from tests.sim.canaries import canary, replaced


@canary("the newest record stays", "C1 lost write")
def newest_record_stays() -> Iterator[None]:
    """Where two records meet the one with the newest stamp stays, and is not joined with the other:
    clocks decide before contexts do (last write wins, and the clock that was ahead)."""

    def newest(key: bytes, old: bytes | None, operand: bytes) -> bytes:
        if old is None or decode(old).newest_stamp() < decode(operand).newest_stamp():
            return operand
        return old

    def merge(self: Store, order: Merge) -> Merged:
        space = order.space
        pairs = [(self._scheme.engine_key(space, key), record) for key, record in order.records]

        def merge_one(index: int) -> Any:
            return self._one(space, pairs[index], newest)

        return self._merged(self._all(space, pairs, newest, merge_one), order.sync)

    with replaced(Store, "_merge", merge):
        yield


@canary("differing records are left alone", "C3 copies differ")
def differing_records_are_left() -> Iterator[None]:
    """Anti-entropy brings what one side lacks and leaves what both have in two versions."""
    before = RecordRepair.add

    def add(self: RecordRepair, own: Iterable[Entry], peer: Iterable[Entry]) -> None:
        ours, theirs = list(own), list(peer)
        both = {entry.key for entry in ours} & {entry.key for entry in theirs}
        before(
            self,
            [entry for entry in ours if entry.key not in both],
            [entry for entry in theirs if entry.key not in both],
        )

    with replaced(RecordRepair, "add", add):
        yield


@canary("the tree is not told of merges", "a tree is not what is stored")
def tree_is_not_told() -> Iterator[None]:
    """Merges do not change the Merkle tree, so what differs looks equal (an index of hashes that
    drifts from the data, as Riak's before it was rebuilt once a week)."""
    before = Store._merge

    def merge(self: Store, order: Merge) -> Any:
        with replaced(PartitionTrees, "apply", lambda self, changes: None):
            return before(self, order)

    with replaced(Store, "_merge", merge):
        yield


@canary("tombstones are collected at once", "C4 resurrected")
def tombstones_are_collected() -> Iterator[None]:
    """A record of nothing but tombstones is removed where it is written: a copy that was away
    brings back what was deleted (Cassandra's zombies, and riak_test kv679_tombstone)."""
    before_merge, before_mint = Store._merge, Store._mint

    def collect(self: Store, space: Any, keys: list[bytes]) -> None:
        values = self._read(Read(space, tuple(keys))).values
        dead = [
            (key, self._digest(self._scheme.engine_key(space, key), value))
            for key, value in zip(keys, values, strict=True)
            if isinstance(value, bytes)
            and all(item.kind is Kind.TOMBSTONE for item in decode(value).items)
        ]
        self._drop(Drop(space, tuple(dead)))

    def merge(self: Store, order: Merge) -> Any:
        result = before_merge(self, order)
        collect(self, order.space, [key for key, _ in order.records])
        return result

    def mint(self: Store, order: Any) -> Any:
        result = before_mint(self, order)
        collect(self, order.space, list(order.keys))
        return result

    with replaced(Store, "_merge", merge), replaced(Store, "_mint", mint):
        yield
