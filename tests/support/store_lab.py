"""A node's store on a disk in memory, and what it must hold: a dict of records, merged by the
reference."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import lsmkv
from lsmkv._native.vfs import FileSystem, MemoryFileSystem
from lsmkv.kernel import MerkleTree
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.storage.engine_key import KeyScheme, Space, space_tokens
from lsmkv_cluster.storage.storage_orders import Failure, Merge, Merged, Order, Read, Result, Values
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.storage.store_opening import Opened, open_store
from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.minting import mint, overwrite
from lsmkv_cluster.versions.record import Record, merge
from lsmkv_cluster.versions.vclock import Actor
from tests.support.members import make_topology

__all__ = [
    "FILLED",
    "ME",
    "PATH",
    "TOPOLOGY",
    "StoreLab",
    "key_in",
    "record_of",
    "same_trees",
    "unique_record",
]

PATH = "/store"
SMALL: dict[str, Any] = {"background": "inline", "write_buffer_size": 4096, "table_size": 4096,
                         "block_size": 256, "level0_trigger": 2, "compression": None,
                         "block_cache_size": 0}  # fmt: skip
ELSEWHERE = Actor(2, 20, 1 << 32)
STAMP = 1_700_000_000_000 << 16


def _topology() -> Topology:
    made = make_topology()
    [first, *_] = made.owners[0]
    # One member owns all but the last three partitions.
    owners = [(first,)] * (len(made.owners) - 3) + [made.owners[0][1:2]] * 3
    return replace(made, owners=tuple(owners))


TOPOLOGY = _topology()
FILLED = (0, 1, 2, 3, 12)
ME = TOPOLOGY.owners[0][0]


def record_of(value: bytes, actor: Actor = ELSEWHERE, local: bytes | None = None) -> bytes:
    """A value that supersedes `local`."""
    record = None if local is None else record_format.decode(local)
    return record_format.encode(mint(record, overwrite(record, value), actor, STAMP).record)


@cache
def _keys_in(partition: int) -> list[bytes]:
    keys = (b"key%d" % i for i in range(2000))
    return [key for key in keys if TOPOLOGY.partition_of(key) == partition]


def key_in(partition: int, number: int = 0) -> bytes:
    """The `number`-th key of a partition."""
    return _keys_in(partition)[number]


def unique_record(space: Space, partition: int, number: int) -> bytes:
    return record_of(b"<%d:%d:%d>" % (space, partition, number) * 10)


def reference_merge(old: bytes | None, new: bytes) -> bytes:
    if old is None:
        return new
    return record_format.encode(merge(record_format.decode(old), record_format.decode(new)).record)


class StoreLab:
    """`model` is what Space.DATA and Space.HINT must hold."""

    def __init__(
        self,
        filesystem: FileSystem | None = None,
        topology: Topology = TOPOLOGY,
        **options: Any,
    ) -> None:
        self.filesystem = filesystem or MemoryFileSystem()
        self.topology = topology
        self.scheme = KeyScheme(topology.key_seed)
        self.options = {**SMALL, **options}
        self.model: dict[tuple[Space, bytes], bytes] = {}
        self.open()

    def open(self, *, is_log_sound: bool = True) -> Opened:
        self.db = lsmkv.open(PATH, filesystem=self.filesystem, **self.options)
        try:
            self.opened = open_store(self.db, self.topology, ME, is_log_sound=is_log_sound)
        except BaseException:
            self.db.close()
            raise
        return self.opened

    @property
    def store(self) -> Store:
        return self.opened.store

    def __enter__(self) -> StoreLab:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    def close(self) -> None:
        self.db.close()

    def end_cleanly(self) -> None:
        self.store.close()
        self.db.close()

    def crash(self, disk: MemoryFileSystem) -> Opened:
        """Go on with what a power loss leaves."""
        image = disk.crash()
        self.db.close()
        self.filesystem = image
        return self.open()

    def do(self, order: Order) -> Result:
        return self.store.carry_out(order)

    def merge(self, space: Space, *records: tuple[bytes, bytes], sync: bool = False) -> Merged:
        """Merge, here and in the model."""
        result = self.do(Merge(space, records, sync))
        assert isinstance(result, Merged)
        for (key, record), outcome in zip(records, result.outcomes, strict=True):
            if isinstance(outcome, Failure):
                continue
            old = self.model.get((space, key))
            merged = reference_merge(old, record)
            assert outcome == (merged != old)
            self.model[space, key] = merged
        return result

    def fill(self, space: Space = Space.DATA, count: int = 20) -> None:
        """The first keys of some partitions."""
        for partition in FILLED:
            keys = [
                (key_in(partition, n), unique_record(space, partition, n)) for n in range(count)
            ]
            self.merge(space, *keys)

    def forget(self, space: Space, partition: int) -> None:
        """In the model."""
        for place in list(self.model):
            if place[0] is space and self.topology.partition_of(place[1]) == partition:
                del self.model[place]

    def read(self, space: Space, *keys: bytes, durable: bool = False) -> tuple[Any, ...]:
        result = self.do(Read(space, keys, durable))
        assert isinstance(result, Values)
        return result.values

    def record(self, key: bytes, space: Space = Space.DATA) -> Record:
        [value] = self.read(space, key)
        return record_format.decode(value)

    def check(self) -> None:
        """The store holds the model, and its trees are those of it."""
        for space in (Space.DATA, Space.HINT):
            keys = [key for place, key in self.model if place is space]
            assert self.read(space, *keys) == tuple(self.model[space, key] for key in keys)
            bounds = space_tokens(space).keys
            assert len(list(self.db.scan(bounds.start, bounds.stop))) == len(keys)
        for partition in self.store.trees:
            assert same_trees(self.store.tree(partition), self.rebuilt(partition))

    def rebuilt(self, partition: int) -> MerkleTree:
        tree = self.store.tree(partition)
        made = MerkleTree(tree.start, tree.span_bits, depth=tree.depth)
        made.add_entries(
            self.scheme.tree_key,
            [
                (self.scheme.engine_key(space, key), record)
                for (space, key), record in self.model.items()
                if space is Space.DATA and self.topology.partition_of(key) == partition
            ],
        )
        return made


def same_trees(first: MerkleTree, second: MerkleTree) -> bool:
    """All leaves, the place and the count of entries."""
    return first.checkpoint() == second.checkpoint()
