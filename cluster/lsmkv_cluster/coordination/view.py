"""What a node knows of its cluster while it serves: the document, and who can be reached.

The topology says who owns and who stands in; membership says who answers; readiness says which
copies here are whole. Machines ask this one object, so that all of them see the same at any moment.
Nothing here is decided, and ownership never follows from liveness.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import NamedTuple

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.swim.gossip_messages import Load

__all__ = ["Place", "Target", "View"]

# Plain numbers: these are asked for every read.
OVERLOADED = int(Load.OVERLOADED)
UNFIT_TO_WRITE = int(Load.OVERLOADED | Load.READ_ONLY | Load.DRAINING)


@dataclass(frozen=True)
class Place:
    """Where a partition lives. Owners are read; keepers are written, and more than the owners while
    the partition moves. Both in the order of preference of this node: its own data centre first;
    `stand_ins` in that of the ring."""

    partition: int
    owners: tuple[MemberId, ...]
    owners_by_dc: dict[str, tuple[MemberId, ...]]
    keepers: tuple[MemberId, ...]
    written: tuple[dict[str, tuple[MemberId, ...]], ...]  # a write needs enough of each of these
    stand_ins: tuple[MemberId, ...]
    is_owner: bool
    is_keeper: bool
    placed: int  # the epoch since which all this is so


class Target(NamedTuple):
    """Somebody who is to keep a record: an owner, or a stand-in in the place of one."""

    member: MemberId
    owner: MemberId

    @property
    def is_hint(self) -> bool:
        return self.member != self.owner


class View:
    """`is_reachable` is about peers; this node always reaches itself. `load` gives the bits of Load
    that a member has announced, and those of this node itself; `crowded` are peers that are sent
    nothing more just now (flights.py)."""

    def __init__(
        self,
        topology: Topology,
        me: MemberId,
        is_reachable: Callable[[MemberId], bool],
        is_ready: Callable[[int], bool],
        load: Callable[[MemberId], int] = lambda _: 0,
        crowded: Set[MemberId] = frozenset(),
    ) -> None:
        self.topology = topology
        self.me = me
        member = topology.members_by_id.get(me)
        self.dc = member.dc if member is not None else ""  # it was removed, and serves nobody
        self.is_ready = is_ready
        self.crowded = crowded
        self._is_reachable = is_reachable
        self._load = load
        self._places: dict[int, Place] = {}

    def follow(self, topology: Topology) -> None:
        """The next document, in which this node is still a member."""
        self.topology = topology
        self.dc = topology.members_by_id[self.me].dc
        self._places = {}

    def is_reachable(self, member: MemberId) -> bool:
        return member == self.me or self._is_reachable(member)

    def is_overloaded(self, member: MemberId) -> bool:
        return self._load(member) & OVERLOADED != 0

    def is_loath_to_write(self, member: MemberId) -> bool:
        """Whether a write had better be carried out by another owner."""
        return self._load(member) & UNFIT_TO_WRITE != 0

    def place_of(self, key: bytes) -> Place:
        return self.place(self.topology.partition_of(key))

    def place(self, partition: int) -> Place:
        known = self._places.get(partition)
        if known is None:
            known = self._places[partition] = self._make_place(partition)
        return known

    def _make_place(self, partition: int) -> Place:
        topology = self.topology
        row, keepers = topology.owners[partition], topology.keepers(partition)
        return Place(
            partition=partition,
            owners=self._nearest_first(row),
            owners_by_dc=self._by_dc(row),
            keepers=self._nearest_first(keepers),
            written=tuple(self._by_dc(written) for written in topology.written_rows(partition)),
            stand_ins=topology.stand_ins(partition),
            is_owner=self.me in row,
            is_keeper=self.me in keepers,
            placed=topology.placed[partition],
        )

    def _nearest_first(self, row: tuple[MemberId, ...]) -> tuple[MemberId, ...]:
        members = self.topology.members_by_id
        return tuple(sorted(row, key=lambda id: members[id].dc != self.dc))

    def _by_dc(self, row: tuple[MemberId, ...]) -> dict[str, tuple[MemberId, ...]]:
        members = self.topology.members_by_id
        dcs = sorted({members[id].dc for id in row})
        return {dc: tuple(id for id in row if members[id].dc == dc) for dc in dcs}

    def reachable_owners(self, place: Place) -> list[MemberId]:
        return [id for id in place.owners if self.is_reachable(id)]

    def reachable_keepers(self, place: Place) -> list[MemberId]:
        return [id for id in place.keepers if self.is_reachable(id)]

    def readable(self, place: Place, sloppy: bool) -> list[Target]:
        """Who should be able to tell what a key holds."""
        return self._targets(place, place.owners, sloppy)

    def targets(self, place: Place, sloppy: bool) -> list[Target]:
        """Who should keep a record now: the keepers that can be reached; sloppy, for each other
        one the next stand-in of its data centre, all on different hosts."""
        return self._targets(place, place.keepers, sloppy)

    def _targets(self, place: Place, owners: tuple[MemberId, ...], sloppy: bool) -> list[Target]:
        found = [Target(id, id) for id in owners if self.is_reachable(id)]
        if sloppy and len(found) < len(owners):
            taken = [target.member for target in found]
            for owner in owners:
                if not self.is_reachable(owner):
                    stand_in = self.stand_in(place, owner, taken)
                    if stand_in is not None:
                        taken.append(stand_in)
                        found.append(Target(stand_in, owner))
        return found

    def stand_in(self, place: Place, owner: MemberId, taken: list[MemberId]) -> MemberId | None:
        """The first reachable member in the data centre of `owner` that shares no host with
        `taken`."""
        members = self.topology.members_by_id
        hosts = {members[id].host for id in taken}
        dc = members[owner].dc
        for id in place.stand_ins:
            member = members[id]
            if member.dc == dc and member.host not in hosts and self.is_reachable(id):
                return id
        return None
