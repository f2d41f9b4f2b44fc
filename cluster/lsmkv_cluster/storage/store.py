"""The store of a node: carries out orders (storage_orders.py) on a database of the engine.

What holds:
- every change of a record reaches the Merkle tree of its partition in the step that makes it, also
  when a later sync fails: trees say what readers see;
- an error of the engine never comes out: it becomes a Failure, of as few keys as possible. The
  engine does a batch as a whole or not at all; what fails is done again key by key, so a damaged
  record, or one damaged block on disk, takes nothing else with it;
- a full disk refuses what would take room (FULL) and is forgotten: once there is space writes go
  on. After a failed sync, or write of the log, nothing is written (BROKEN) until the database is
  opened anew; reads go on in both;
- records of the own partitions are merged under the guard (kernels/record_merge.h): with the
  identity that is on stable storage, never with one that is still to be written.

Which partitions have a copy here, and what they lack, is for copies.py. One caller at a time, who
may be on any thread. Lack of memory comes out as MemoryError, and leaves no choice but to end the
process. Opening: store_opening.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lsmkv import DB
from lsmkv.kernel import (
    MerkleTree,
    RecordMerger,
    entry_hash,
    is_braking,
    merge_batch,
    sequences,
)
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.storage.copies import Copies
from lsmkv_cluster.storage.deletions import Deletions
from lsmkv_cluster.storage.engine_key import (
    KeyScheme,
    Space,
    TokenRange,
    client_key,
)
from lsmkv_cluster.storage.partition_trees import PartitionTrees
from lsmkv_cluster.storage.storage_orders import (
    Collect,
    Complete,
    Confirm,
    Discard,
    Done,
    Drop,
    Entries,
    Entry,
    Failed,
    Failure,
    Lack,
    ListDeleted,
    ListEntries,
    MakeRoom,
    Merge,
    Merged,
    Mint,
    Order,
    Persist,
    Read,
    Release,
    Remember,
    Result,
    Scrub,
    Scrubbed,
    Suspect,
    Sync,
    Values,
)
from lsmkv_cluster.storage.store_failures import REFUSALS, concerns_all, read_failure, write_failure
from lsmkv_cluster.storage.store_marks import (
    CLOSED_KEY,
    IDENTITY_KEY,
    encode_closed,
    encode_identity,
    note_key,
)
from lsmkv_cluster.versions.actor import Identity

__all__ = ["Store"]

Outcomes = list[bool | Failure]
Pairs = Sequence[tuple[bytes, bytes]]  # engine keys and what is to be merged


class Store:
    """Works on an open database, which stays the caller's. Made by store_opening.open_store."""

    def __init__(
        self, db: DB, topology: Topology, me: MemberId, identity: Identity | None = None
    ) -> None:
        self._db = db
        self._scheme = KeyScheme(topology.key_seed)
        self._partitioning = topology.partitioning
        kept = topology.kept_by(me)
        self.trees = PartitionTrees(self._scheme, self._partitioning, kept)
        self._copies = Copies(db, self._partitioning, self.trees)
        deletions = Deletions(db, self._scheme)
        self._identity = identity
        self._mergers = {space: self._new_merger(space) for space in (Space.DATA, Space.HINT)}
        self._checker = RecordMerger()
        self._work: dict[type[Order], Callable[[Any], Result]] = {
            Read: self._read,
            Merge: self._merge,
            Mint: self._mint,
            Sync: self._sync,
            ListEntries: self._list_entries,
            Drop: self._drop,
            ListDeleted: deletions.listed,
            Confirm: deletions.confirmed,
            Collect: self._collect,
            Persist: self._persist,
            Remember: self._remember,
            Scrub: self._scrub,
            Discard: self._copies.discard,
            MakeRoom: self._copies.make_room,
            Release: self._copies.release,
            Suspect: self._copies.suspect,
            Complete: self._copies.complete,
        }

    def carry_out(self, order: Order) -> Result:
        return self._work[type(order)](order)

    def tree(self, partition: int) -> MerkleTree:
        """Of an owned partition. It may be replaced by another one between orders."""
        return self.trees[partition]

    @property
    def incomplete(self) -> dict[int, Lack]:
        """By partition; whoever reads asks."""
        return self._copies.incomplete

    @property
    def is_braking(self) -> bool:
        """Whether a write may have to wait for the engine's background."""
        return is_braking(self._db)

    @property
    def sequence(self) -> int:
        """How many operations the engine has seen; grows with every change."""
        return sequences(self._db).applied

    @property
    def durable_sequence(self) -> int:
        """How many of them are on stable storage for certain."""
        return sequences(self._db).durable

    def close(self) -> Done | Failed:
        """Leave checkpoints and the mark of a clean end; nothing may be written after it. When it
        fails the end is no clean one."""
        try:
            self._db.put_many(self.trees.checkpoints())
        except REFUSALS as error:
            return Failed(write_failure(error, self._db))
        return _done_or(self._note(CLOSED_KEY, encode_closed(self.sequence + 1)))

    # --- reading

    def _read(self, order: Read) -> Values:
        keys = [self._scheme.engine_key(order.space, key) for key in order.keys]
        try:
            values = [self._checked(value) for value in self._db.get_many(keys)]
        except REFUSALS:
            values = [self._read_one(key) for key in keys]
        if order.durable and (failure := self._made_durable()) is not None:
            return Values((failure,) * len(keys))
        return Values(tuple(values))

    def _read_one(self, key: bytes) -> bytes | Failure | None:
        try:
            return self._checked(self._db.get(key))
        except REFUSALS as error:
            return read_failure(error)

    def _checked(self, record: bytes | None) -> bytes | Failure | None:
        if record is None:
            return None
        try:
            self._checker.check(record)
        except REFUSALS:
            return Failure.CORRUPT
        return record

    def _list_entries(self, order: ListEntries) -> Entries | Failed:
        keys = TokenRange(order.first, order.end).keys
        start = max(keys.start, order.after + b"\0") if order.after else keys.start
        try:
            with self._db.scan(start, keys.stop, limit=order.count_max) as scan:
                found = list(scan)
        except REFUSALS as error:
            return Failed(read_failure(error))
        entries = tuple(
            Entry(client_key(key), self._digest(key, record), len(record)) for key, record in found
        )
        return Entries(entries, found[-1][0] if len(found) == order.count_max else None)

    def _digest(self, key: bytes, record: bytes) -> int:
        return entry_hash(self._scheme.tree_key, key, record)

    # --- merging

    def _merge(self, order: Merge) -> Merged:
        engine_key, space = self._scheme.engine_key, order.space
        pairs = [(engine_key(space, key), record) for key, record in order.records]

        def merge_one(index: int) -> bool | Failure:
            merger = self._new_merger(space)
            return self._one(space, pairs[index], merger.hook, merger)

        outcomes = self._all(space, pairs, self._mergers[space].hook, merge_one)
        return self._merged(outcomes, order.sync)

    def _mint(self, order: Mint) -> Merged:
        pairs = [(self._scheme.engine_key(order.space, key), b"") for key in order.keys]

        def mint_one(index: int) -> bool | Failure:
            decision = _Decision(order.decide, [index], self._checker)
            outcome = self._one(order.space, pairs[index], decision)
            return Failure.CORRUPT if decision.has_met_damage else outcome

        decision = _Decision(order.decide, range(len(pairs)), self._checker)
        try:
            outcomes = self._all(order.space, pairs, decision, mint_one)
        except _DecideFailed as failed:
            raise failed.error from None
        return self._merged(outcomes, order.sync)

    def _drop(self, order: Drop) -> Done | Failed:
        outcomes = self._drop_same(order.space, order.entries)
        failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
        return Failed(failures[0]) if failures else Done()

    def _collect(self, order: Collect) -> Merged:
        return Merged(tuple(self._drop_same(Space.DATA, order.entries)))

    def _drop_same(self, space: Space, entries: Iterable[tuple[bytes, int]]) -> Outcomes:
        pairs = [
            (self._scheme.engine_key(space, key), digest.to_bytes(8, "big"))
            for key, digest in entries
        ]

        def unless_changed(key: bytes, old: bytes | None, digest: bytes) -> bytes | None:
            same = old is not None and self._digest(key, old) == int.from_bytes(digest, "big")
            return None if same else old

        def drop_one(index: int) -> bool | Failure:
            return self._one(space, pairs[index], unless_changed)

        return self._all(space, pairs, unless_changed, drop_one)

    def _all(
        self, space: Space, pairs: Pairs, function: Any, do_one: Callable[[int], bool | Failure]
    ) -> Outcomes:
        """One batch, or where that is refused, one by one."""
        try:
            return self._apply(space, pairs, function)
        except REFUSALS as error:
            if concerns_all(error):
                return [write_failure(error, self._db)] * len(pairs)
        return [do_one(index) for index in range(len(pairs))]

    def _one(
        self,
        space: Space,
        pair: tuple[bytes, bytes],
        function: Any,
        merger: RecordMerger | None = None,
    ) -> bool | Failure:
        try:
            return self._apply(space, [pair], function)[0]
        except REFUSALS as error:
            return write_failure(error, self._db, pair[0], merger)

    def _apply(self, space: Space, pairs: Pairs, function: Any) -> Outcomes:
        """One batch of the engine, with what follows from it for trees; what has changed. Raises
        REFUSALS, and nothing was written."""
        if space is Space.DATA:
            changes = merge_batch(self._db, pairs, function, hash_key=self._scheme.tree_key)
            self.trees.apply(changes)
            return [change is not None for change in changes]
        values = merge_batch(self._db, pairs, function, pairs=True)
        return [new is not old for old, new in values]

    def _merged(self, outcomes: Outcomes, sync: bool) -> Merged:
        """After the batch rather than in it: when a sync fails the trees have been told."""
        if sync and (failure := self._made_durable()) is not None:
            outcomes = [failure] * len(outcomes)
        return Merged(tuple(outcomes))

    def _new_merger(self, space: Space) -> RecordMerger:
        if space is Space.DATA and self._identity is not None:
            return RecordMerger(self._identity.own(), self._identity.trusted_epoch)
        return RecordMerger()

    # --- durability and marks

    def _sync(self, _: Sync) -> Done | Failed:
        return _done_or(self._made_durable())

    def _made_durable(self) -> Failure | None:
        try:
            self._db.sync()
        except REFUSALS as error:
            return write_failure(error, self._db)
        return None

    def _persist(self, order: Persist) -> Done | Failed:
        failure = self._note(IDENTITY_KEY, encode_identity(order.identity))
        if failure is None:
            self._identity = order.identity
            self._mergers[Space.DATA] = self._new_merger(Space.DATA)
        return _done_or(failure)

    def _remember(self, order: Remember) -> Done | Failed:
        return _done_or(self._note(note_key(order.name), order.value))

    def _note(self, key: bytes, value: bytes | None) -> Failure | None:
        """Write a mark, or remove it, and sync."""
        try:
            if value is None:
                self._db.delete(key, sync=True)
            else:
                self._db.put(key, value, sync=True)
        except REFUSALS as error:
            return write_failure(error, self._db)
        return None

    # --- scrubbing

    def _scrub(self, order: Scrub) -> Scrubbed | Failed:
        try:
            return self.trees.scrub(self._db, order.partition, order.leaf, order.leaf_count)
        except REFUSALS as error:
            return Failed(read_failure(error))


Decide = Callable[[int, bytes | None], bytes | None]


class _DecideFailed(Exception):
    """No error of the engine, whatever it is."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Decision:
    """A Mint as a function of merge_batch, which asks in the order of the keys."""

    def __init__(self, decide: Decide, indices: Iterable[int], checker: RecordMerger) -> None:
        self._decide = decide
        self._indices = iter(indices)
        self._checker = checker
        self.has_met_damage = False  # a stored record is none

    def __call__(self, key: bytes, old: bytes | None, operand: bytes) -> bytes | None:
        if old is not None:
            self._check(old)
        try:
            decided = self._decide(next(self._indices), old)
        except REFUSALS as error:
            raise _DecideFailed(error) from error
        return old if decided is None else decided

    def _check(self, old: bytes) -> None:
        try:
            self._checker.check(old)
        except REFUSALS:
            self.has_met_damage = True
            raise


def _done_or(failure: Failure | None) -> Done | Failed:
    return Done() if failure is None else Failed(failure)
