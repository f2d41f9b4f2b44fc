"""Which partitions have a copy in a store, and which of them may lack something.

A copy has a Merkle tree; one that may lack something is marked with what (Lack), on stable storage.
What holds:
- a partition is marked before anything of it is dropped, and stays marked, over restarts, until it
  is said to be complete;
- what is not kept any more goes with its mark and tree, durably; a copy that comes begins empty;
- failures of the engine come out as Failed, and what was asked for may be asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable

from lsmkv import DB
from lsmkv.kernel import drop_range
from lsmkv_cluster.placement.slots import Partitioning
from lsmkv_cluster.storage.engine_key import Space, TokenRange, partition_runs, partition_tokens
from lsmkv_cluster.storage.partition_trees import PartitionTrees
from lsmkv_cluster.storage.storage_orders import (
    Complete,
    Discard,
    Done,
    Failed,
    Lack,
    MakeRoom,
    Release,
    Suspect,
)
from lsmkv_cluster.storage.store_failures import REFUSALS, write_failure
from lsmkv_cluster.storage.store_marks import encode_incomplete, incomplete_key

__all__ = ["Copies"]


class Copies:
    def __init__(self, db: DB, partitioning: Partitioning, trees: PartitionTrees) -> None:
        self._db = db
        self._partitioning = partitioning
        self._trees = trees
        self.incomplete: dict[int, Lack] = {}  # by partition; whoever reads asks

    def discard(self, order: Discard) -> Done | Failed:
        partition = order.partition
        if order.space is Space.DATA:
            failed = self.suspect(Suspect((partition,), Lack.LOST))
            if isinstance(failed, Failed):
                return failed
        try:
            self._drop(partition_tokens(order.space, self._partitioning, partition))
        except REFUSALS as error:
            return Failed(write_failure(error, self._db))
        if order.space is Space.DATA:
            self._trees.clear(partition)
        return Done()

    def make_room(self, order: MakeRoom) -> Done | Failed:
        """One sync for all marks: there may be a thousand partitions, most of them empty."""
        failed = self.suspect(Suspect(order.partitions, Lack.LOST))
        if isinstance(failed, Failed):
            return failed
        try:
            for tokens in partition_runs(Space.DATA, self._partitioning, sorted(order.partitions)):
                if not self._is_empty(tokens):
                    self._drop(tokens)
        except REFUSALS as error:
            return Failed(write_failure(error, self._db))
        for partition in order.partitions:
            self._trees.clear(partition)
        return Done()

    def suspect(self, order: Suspect) -> Done | Failed:
        slots = [self._partitioning.slots_of(partition) for partition in order.partitions]
        marks = [(incomplete_key(some), encode_incomplete(some, order.lack)) for some in slots]
        try:
            self._db.put_many(marks, sync=True)
        except REFUSALS as error:
            return Failed(write_failure(error, self._db))
        self.incomplete.update(dict.fromkeys(order.partitions, order.lack))
        return Done()

    def complete(self, order: Complete) -> Done | Failed:
        try:
            self._remove_marks([order.partition], sync=order.sync)
        except REFUSALS as error:
            return Failed(write_failure(error, self._db))
        return Done()

    def release(self, order: Release) -> Done | Failed:
        gone = [p for p in range(self._partitioning.count) if p not in order.kept]
        try:
            for tokens in partition_runs(Space.DATA, self._partitioning, gone):
                if not self._is_empty(tokens):
                    self._drop(tokens)
            self._remove_marks([p for p in gone if p in self.incomplete])
        except REFUSALS as error:
            return Failed(write_failure(error, self._db))
        for partition in gone:
            self._trees.remove(partition)
        return Done()

    def _remove_marks(self, partitions: Iterable[int], *, sync: bool = True) -> None:
        """At once. Of slots as they are cut now."""
        with self._db.write_batch(sync=sync) as batch:
            for partition in partitions:
                batch.delete(incomplete_key(self._partitioning.slots_of(partition)))
        for partition in partitions:
            self.incomplete.pop(partition, None)

    def _drop(self, tokens: TokenRange) -> None:
        keys = tokens.keys
        drop_range(self._db, keys.start, keys.stop)

    def _is_empty(self, tokens: TokenRange) -> bool:
        """What cannot be read is not empty."""
        keys = tokens.keys
        try:
            with self._db.scan(keys.start, keys.stop, limit=1) as scan:
                return not list(scan)
        except REFUSALS:
            return False
