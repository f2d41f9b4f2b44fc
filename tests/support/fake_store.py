"""A store for machines under test: a dict of records, real Merkle trees, the reference merge.

It carries out storage orders as storage_orders.py says, and forgets what was not synced when the
power goes. Faults are set from outside: keys that cannot be read, a failure of every write. Engine
keys are of its own making; everyone who uses the same seed makes the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from lsmkv.kernel import MerkleTree, entry_hash, key_token
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.slots import slot_of
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.storage.engine_key import partition_tokens
from lsmkv_cluster.storage.storage_orders import (
    Discard,
    Done,
    Drop,
    Entries,
    Entry,
    Failed,
    Failure,
    ListEntries,
    Merge,
    Merged,
    Order,
    Read,
    Result,
    Scrub,
    Scrubbed,
    Space,
    Sync,
    Values,
)
from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.record import Item, Kind, Record, merge
from lsmkv_cluster.versions.vclock import Actor, Clock, Dot
from lsmkv_cluster.versions.vclock import Entry as ClockEntry

__all__ = ["FakeStore", "HASH_KEY", "merged", "some_record"]

HASH_KEY = b"k" * 16
DEPTH = 2


def some_record(actor: int, counter: int = 1, value: bytes = b"v") -> bytes:
    """One write by an actor: it supersedes the actor's writes before it and no other."""
    who = Actor(actor, 1, 1)
    item = Item(Dot(who, counter), Kind.VALUE, counter, value=value)
    return record_format.encode(Record(Clock({who: ClockEntry(counter, 1000)}), (item,)))


def merged(old: bytes | None, new: bytes) -> bytes:
    record = record_format.decode(new)
    if old is None:
        return new
    return record_format.encode(merge(record_format.decode(old), record).record)


class FakeStore:
    def __init__(self, topology: Topology, me: MemberId) -> None:
        self.topology = topology
        self.me = me
        self.records: dict[bytes, bytes] = {}  # by engine key
        self._durable: dict[bytes, bytes] = {}
        self.unreadable: set[bytes] = set()  # keys of clients
        self.write_failure: Failure | None = None
        self.orders: list[Order] = []
        self.write_count = 0  # records that changed something
        self._plant_trees()

    # --- what tests look at

    def engine_key(self, space: Space, key: bytes) -> bytes:
        head = hashlib.blake2b(key, digest_size=5).digest()
        return bytes([space]) + slot_of(key).to_bytes(2, "big") + head + key

    def get(self, key: bytes, space: Space = Space.DATA) -> bytes | None:
        return self.records.get(self.engine_key(space, key))

    def contents(self, space: Space = Space.DATA) -> dict[bytes, bytes]:
        return {name[8:]: record for name, record in self.records.items() if name[0] == space}

    def tree(self, partition: int) -> MerkleTree:
        return self.trees[partition]

    def is_durable(self, key: bytes, space: Space = Space.DATA) -> bool:
        name = self.engine_key(space, key)
        return self._durable.get(name) == self.records.get(name)

    def follow(self, topology: Topology) -> None:
        """What is kept no more is dropped, and what is gained begins empty; both durably."""
        before, self.topology = set(self.trees), topology
        kept = set(topology.kept_by(self.me))
        for partition in sorted(before ^ kept):
            self.trees.pop(partition, None)
            self._discard(partition)
        self.trees |= {partition: self._planted(partition) for partition in sorted(kept - before)}

    # --- faults

    def lose_power(self) -> None:
        self.records = dict(self._durable)
        self._plant_trees()

    def wipe(self) -> None:
        self.records.clear()
        self._durable.clear()
        self._plant_trees()

    # --- orders

    def carry_out(self, order: Order) -> Result:
        self.orders.append(order)
        match order:
            case Read(space, keys, durable):
                if durable:
                    self._durable = dict(self.records)
                return Values(tuple(self._read(space, key) for key in keys))
            case Merge(space, records, sync):
                outcomes = tuple(self._merge(space, key, record) for key, record in records)
                if sync:
                    self._durable = dict(self.records)
                return Merged(outcomes)
            case ListEntries():
                return self._list(order)
            case Drop(space, entries):
                self._drop(space, entries)
                return Done()
            case Sync():
                self._durable = dict(self.records)
                return Done()
            case Discard(partition):
                self._discard(partition)
                return Done()
            case Scrub():
                return self._scrub(order)
            case _:
                raise AssertionError(f"an order that no test needs: {order}")

    def _read(self, space: Space, key: bytes) -> bytes | Failure | None:
        return Failure.CORRUPT if key in self.unreadable else self.get(key, space)

    def _merge(self, space: Space, key: bytes, record: bytes) -> bool | Failure:
        if self.write_failure is not None:
            return self.write_failure
        if key in self.unreadable:
            return Failure.CORRUPT
        name = self.engine_key(space, key)
        old = self.records.get(name)
        try:
            new = merged(old, record)
        except Exception:
            return Failure.INVALID
        if new == old:
            return False
        self._change(name, new)
        self.write_count += 1
        return True

    def _list(self, order: ListEntries) -> Entries:
        names = sorted(
            name
            for name in self.records
            if order.first <= key_token(name) < order.end and name > order.after
        )
        page = names[: order.count_max]
        entries = tuple(
            Entry(name[8:], self._digest(name, self.records[name]), len(self.records[name]))
            for name in page
        )
        assert all(name[0] == order.space for name in page)
        return Entries(entries, page[-1] if len(page) < len(names) else None)

    def _drop(self, space: Space, entries: Iterable[tuple[bytes, int]]) -> None:
        for key, digest in entries:
            name = self.engine_key(space, key)
            if name in self.records and self._digest(name, self.records[name]) == digest:
                self._change(name, None)

    def _discard(self, partition: int) -> None:
        """Durably; what could not be read is gone with the rest."""
        for key in [*self.contents(), *self.unreadable]:
            if self.topology.partition_of(key) == partition:
                self.unreadable.discard(key)
                self.records.pop(self.engine_key(Space.DATA, key), None)
                self._durable.pop(self.engine_key(Space.DATA, key), None)
        if partition in self.trees:
            self.trees[partition] = self._planted(partition)

    def _scrub(self, order: Scrub) -> Result:
        """Every leaf at once: corrected when the tree was not that of the entries."""
        if any(self.topology.partition_of(key) == order.partition for key in self.unreadable):
            return Failed(Failure.CORRUPT)
        before = self.trees[order.partition].root
        self.trees[order.partition] = self._planted(order.partition)
        next_leaf = order.leaf + order.leaf_count
        changed = int(before != self.trees[order.partition].root)
        return Scrubbed(None if next_leaf >= 16**DEPTH else next_leaf, changed)

    # --- trees

    def _plant_trees(self) -> None:
        self.trees = {number: self._planted(number) for number in self.topology.kept_by(self.me)}

    def _planted(self, partition: int) -> MerkleTree:
        tokens = partition_tokens(Space.DATA, self.topology.partitioning, partition)
        span_bits = (tokens.end - tokens.first - 1).bit_length()
        tree = MerkleTree(tokens.first, span_bits, depth=DEPTH)
        for name, record in self.records.items():
            token = key_token(name)
            if tokens.first <= token < tokens.end:
                tree.update(token, 0, self._digest(name, record))
        return tree

    def _change(self, name: bytes, record: bytes | None) -> None:
        old = self.records.pop(name, None)
        if record is not None:
            self.records[name] = record
        self._touch(name, old, record)

    def _touch(self, name: bytes, old: bytes | None, new: bytes | None) -> None:
        tree = self.trees.get(self.topology.partition_of(name[8:]))
        if name[0] == Space.DATA and tree is not None:
            hashes = (0 if record is None else self._digest(name, record) for record in (old, new))
            tree.update(key_token(name), *hashes)

    def _digest(self, name: bytes, record: bytes) -> int:
        return entry_hash(HASH_KEY, name[8:], record)
