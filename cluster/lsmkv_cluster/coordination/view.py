"""What a node knows of its cluster while it serves: the document, and who can be reached.

The topology says who owns and who stands in; membership says who answers; readiness says which
copies here are whole. Machines ask this one object, so that all of them see the same at any moment.
Nothing here is decided, and ownership never follows from liveness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology

__all__ = ["Place", "Target", "View"]


@dataclass(frozen=True)
class Place:
    """Where a partition lives. `owners` in the order of preference of this node: its own data
    centre first; `stand_ins` in that of the ring."""

    partition: int
    owners: tuple[MemberId, ...]
    owners_by_dc: dict[str, tuple[MemberId, ...]]
    stand_ins: tuple[MemberId, ...]
    is_owner: bool


class Target(NamedTuple):
    """Somebody who is to keep a record: an owner, or a stand-in in the place of one."""

    member: MemberId
    owner: MemberId

    @property
    def is_hint(self) -> bool:
        return self.member != self.owner


class View:
    """`is_reachable` is about peers; this node always reaches itself."""

    def __init__(
        self,
        topology: Topology,
        me: MemberId,
        is_reachable: Callable[[MemberId], bool],
        is_ready: Callable[[int], bool],
    ) -> None:
        self.topology = topology
        self.me = me
        self.dc = topology.members_by_id[me].dc
        self.is_ready = is_ready
        self._is_reachable = is_reachable
        self._places: dict[int, Place] = {}

    def is_reachable(self, member: MemberId) -> bool:
        return member == self.me or self._is_reachable(member)

    def place_of(self, key: bytes) -> Place:
        return self.place(self.topology.partition_of(key))

    def place(self, partition: int) -> Place:
        known = self._places.get(partition)
        if known is None:
            known = self._places[partition] = self._make_place(partition)
        return known

    def _make_place(self, partition: int) -> Place:
        topology = self.topology
        row = topology.owners[partition]
        dcs = [topology.members_by_id[id].dc for id in row]
        by_dc = {dc: topology.owners_in(partition, dc) for dc in sorted(set(dcs))}
        near = by_dc.get(self.dc, ())
        owners = near + tuple(id for id in row if id not in near)
        return Place(partition, owners, by_dc, topology.stand_ins(partition), self.me in row)

    def reachable_owners(self, place: Place) -> list[MemberId]:
        return [id for id in place.owners if self.is_reachable(id)]

    def targets(self, place: Place, sloppy: bool) -> list[Target]:
        """Who should keep a record now: the owners that can be reached; sloppy, for each other
        owner the next stand-in of its data centre, all on different hosts."""
        found = [Target(id, id) for id in place.owners if self.is_reachable(id)]
        if sloppy and len(found) < len(place.owners):
            taken = [target.member for target in found]
            for owner in place.owners:
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
