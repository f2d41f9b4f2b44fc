"""The topology document: everything that all members of a cluster must agree on.

Documents form a chain: epoch e + 1 names the hash of its parent, epoch e; the first has epoch 1
and no parent. A document never changes, a change is the next one. Who is up or down does not stand
in it. The upper half of an epoch is the generation: 0, and one more whenever a document was forced
without a majority (reconfiguration/).

`placed` says of each partition in which epoch its rows or its phase changed last: what was sent in
an earlier epoch is about another place.

What holds of every document, whoever made it, is checked when it is made:
- members, data centres and keyspaces are unique and in order: ids, names, prefixes ascend;
- every member stands in a data centre that the document lists, with the copies wanted there;
- a row of owners goes by data centres in their order, has no member twice, no two on one host; that
  of a settled partition has not more of a data centre than its copies;
- transitions ascend by partition, and lead to other owners;
- one keyspace has the empty prefix: every key has a keyspace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from lsmkv_cluster.errors import TopologyError
from lsmkv_cluster.placement.keyspaces import KEYSPACES_MAX, Keyspace
from lsmkv_cluster.placement.members import (
    CLUSTER_ID_SIZE,
    Member,
    MemberId,
    check_members,
    check_name,
)
from lsmkv_cluster.placement.owners import Owners, Phase, Transition
from lsmkv_cluster.placement.ring import Ring, position_of_slot
from lsmkv_cluster.placement.slots import Partitioning, slot_of

__all__ = [
    "DOCUMENT_HASH_SIZE",
    "DATA_CENTRES_MAX",
    "GENERATION_SHIFT",
    "REPLICAS_MAX",
    "DataCentre",
    "Topology",
]

DOCUMENT_HASH_SIZE = 32  # bytes
DATA_CENTRES_MAX = 16
REPLICAS_MAX = 15  # copies in one data centre
GENERATION_SHIFT = 32  # bits of an epoch below its generation
_Key = TypeVar("_Key", bytes, str, int)
_NO_PARENT = bytes(DOCUMENT_HASH_SIZE)


@dataclass(frozen=True)
class DataCentre:
    name: str
    replicas: int  # copies of each partition that are wanted here

    def __post_init__(self) -> None:
        check_name("data centre", self.name)
        if not 0 <= self.replicas <= REPLICAS_MAX:
            raise TopologyError(f"{self.name}: {self.replicas} copies, not 0 to {REPLICAS_MAX}")


@dataclass(frozen=True)
class Topology:
    cluster_id: bytes
    epoch: int
    parent: bytes  # hash of the document before
    feature_level: int  # what all members may use; raised by a new document only
    key_seed: int  # of the hash in stored keys; the same in every document of a cluster
    data_centres: tuple[DataCentre, ...]
    members: tuple[Member, ...]
    keyspaces: tuple[Keyspace, ...]
    owners: Owners  # who is read
    transitions: tuple[Transition, ...] = ()
    placed: tuple[int, ...] = ()  # epochs; in the first document all are 1

    def __post_init__(self) -> None:
        if len(self.cluster_id) != CLUSTER_ID_SIZE or len(self.parent) != DOCUMENT_HASH_SIZE:
            raise TopologyError("a cluster id or parent hash of the wrong size")
        if not 1 <= self.epoch < 1 << 63:
            raise TopologyError(f"epoch {self.epoch}")
        if (self.epoch == 1) != (self.parent == _NO_PARENT):
            raise TopologyError(f"epoch {self.epoch} with the parent {self.parent.hex()}")
        if not 1 <= self.feature_level < 1 << 16 or not 0 <= self.key_seed < 1 << 64:
            raise TopologyError("a feature level or key seed out of range")
        self._check_data_centres()
        check_members(self.members)
        _check_ascending("members", [member.id for member in self.members])
        self._check_keyspaces()
        if not self.placed:
            object.__setattr__(self, "placed", (1,) * len(self.owners))
        self._check_owners()
        self._check_transitions()

    # --- looking things up

    @cached_property
    def partitioning(self) -> Partitioning:
        return Partitioning(len(self.owners))

    @cached_property
    def members_by_id(self) -> dict[MemberId, Member]:
        return {member.id: member for member in self.members}

    @cached_property
    def replicas(self) -> dict[str, int]:
        """By data centre."""
        return {centre.name: centre.replicas for centre in self.data_centres}

    @property
    def generation(self) -> int:
        return self.epoch >> GENERATION_SHIFT

    @cached_property
    def transitions_by_partition(self) -> dict[int, Transition]:
        return {transition.partition: transition for transition in self.transitions}

    @cached_property
    def voters(self) -> frozenset[MemberId]:
        """Who decides on the next document."""
        return frozenset(member.id for member in self.members if member.votes)

    def keepers(self, partition: int) -> tuple[MemberId, ...]:
        """Who is written to: those who are read, first owner first, then those of the other row."""
        row = self.owners[partition]
        transition = self.transitions_by_partition.get(partition)
        if transition is None:
            return row
        return row + tuple(id for id in transition.row if id not in row)

    def written_rows(self, partition: int) -> tuple[tuple[MemberId, ...], ...]:
        """A write needs enough of each."""
        transition = self.transitions_by_partition.get(partition)
        row = self.owners[partition]
        return (row,) if transition is None else (row, transition.row)

    def kept_by(self, member: MemberId) -> list[int]:
        """The partitions of which it has a copy, is to have one, or still has one."""
        return [p for p in range(len(self.owners)) if member in self.keepers(p)]

    def moved_since(self, before: Topology) -> list[int]:
        """The partitions whose place is not that of an earlier document any more."""
        pairs = zip(before.placed, self.placed, strict=True)
        return [partition for partition, (old, new) in enumerate(pairs) if old != new]

    def is_filling(self, partition: int, member: MemberId) -> bool:
        """Whether its copy is a coming one."""
        transition = self.transitions_by_partition.get(partition)
        return (
            transition is not None
            and transition.phase is Phase.FILLING
            and member in transition.row
            and member not in self.owners[partition]
        )

    def partition_of(self, key: bytes) -> int:
        return self.partitioning.partition_of(slot_of(key))

    def owners_in(self, partition: int, dc: str) -> tuple[MemberId, ...]:
        """The owners in one data centre, first owner first."""
        return tuple(id for id in self.owners[partition] if self.members_by_id[id].dc == dc)

    def stand_ins(self, partition: int) -> tuple[MemberId, ...]:
        """Members that store data and keep no copy of the partition, in the ring's order."""
        owners = self.keepers(partition)
        position = position_of_slot(self.partitioning.slots_of(partition)[0])
        return tuple(id for id in self._ring.walk(position) if id not in owners)

    def keyspace_of(self, key: bytes) -> Keyspace:
        for size in self._prefix_sizes:
            if (found := self._by_prefix.get(key[:size])) is not None:
                return found
        raise AssertionError("the empty prefix is always there")

    @cached_property
    def _ring(self) -> Ring:
        return Ring(member for member in self.members if member.stores)

    @cached_property
    def _by_prefix(self) -> dict[bytes, Keyspace]:
        return {keyspace.prefix: keyspace for keyspace in self.keyspaces}

    @cached_property
    def _prefix_sizes(self) -> list[int]:
        return sorted({len(prefix) for prefix in self._by_prefix}, reverse=True)

    # --- what holds

    def _check_data_centres(self) -> None:
        if len(self.data_centres) > DATA_CENTRES_MAX:
            raise TopologyError(f"more than {DATA_CENTRES_MAX} data centres")
        _check_ascending("data centres", [centre.name for centre in self.data_centres])
        for member in self.members:
            if member.dc not in self.replicas:
                raise TopologyError(f"{member.name} stands in {member.dc}, which is not listed")

    def _check_keyspaces(self) -> None:
        if not 1 <= len(self.keyspaces) <= KEYSPACES_MAX:
            raise TopologyError(f"{len(self.keyspaces)} keyspaces, not 1 to {KEYSPACES_MAX}")
        _check_ascending("keyspaces", [keyspace.prefix for keyspace in self.keyspaces])
        if self.keyspaces[0].prefix:
            raise TopologyError("no keyspace has the empty prefix")

    def _check_owners(self) -> None:
        Partitioning(len(self.owners))
        moving = self.transitions_by_partition
        settled = {row for p, row in enumerate(self.owners) if p not in moving}
        self._check_rows({*self.owners, *(move.row for move in self.transitions)}, settled)
        if len(self.placed) != len(self.owners):
            raise TopologyError(f"{len(self.placed)} places of {len(self.owners)} partitions")
        if not 1 <= min(self.placed) <= max(self.placed) <= self.epoch:
            raise TopologyError("a partition was placed in an epoch that is not between 1 and this")

    def _check_rows(
        self, rows: Iterable[tuple[MemberId, ...]], settled: set[tuple[MemberId, ...]]
    ) -> None:
        for row in sorted(rows):
            places = [self.members_by_id.get(id) for id in row]
            owners = [member for member in places if member is not None]
            if len(owners) < len(row):
                raise TopologyError("an owner of a partition is not a member")
            if len({member.host for member in owners}) < len(owners):
                raise TopologyError(f"two owners of a partition on one host: {_names(owners)}")
            centres = [member.dc for member in owners]
            if centres != sorted(centres):
                raise TopologyError(f"owners not in the order of data centres: {_names(owners)}")
            most = self.replicas if row in settled else {}
            if any(centres.count(dc) > most.get(dc, REPLICAS_MAX) for dc in set(centres)):
                raise TopologyError(f"more owners than copies: {_names(owners)}")

    def _check_transitions(self) -> None:
        _check_ascending("transitions", [move.partition for move in self.transitions])
        for move in self.transitions:
            if not 0 <= move.partition < len(self.owners):
                raise TopologyError(f"a transition of partition {move.partition}")
            if set(move.row) == set(self.owners[move.partition]):
                raise TopologyError(f"a transition of partition {move.partition} to the same row")


def _check_ascending(what: str, keys: Sequence[_Key]) -> None:
    if list(keys) != sorted(set(keys)):
        raise TopologyError(f"{what} out of order, or one twice")


def _names(members: Sequence[Member]) -> str:
    return " ".join(member.name for member in members)
