"""What a leaving copy has brought to those who are read in its place.

In phase SWITCHED the old owners that are not read any more keep their copies until everything in
them is durable at the new ones: an acknowledged write may have reached nobody else. Anti-entropy
does the work and tells of each peer that has been given all (antientropy.py); a partition is handed
over when every new owner that can be reached has, and more than half of those that are not REMOVED,
of whom nobody will hear any more. What a coordinator of an older epoch sent is refused since the
switch, and what comes now goes to enough new owners, too.
"""

from __future__ import annotations

from collections.abc import Callable

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.placement.topology import Topology

__all__ = ["Handover", "leaving"]


def leaving(topology: Topology, member: MemberId) -> list[int]:
    """The partitions whose copy at this member is to be handed over."""
    return [
        move.partition
        for move in topology.transitions
        if move.phase is Phase.SWITCHED
        and member in move.row
        and member not in topology.owners[move.partition]
    ]


class Handover:
    """`given` counts for the place that a partition has now."""

    def __init__(
        self, topology: Topology, me: MemberId, is_reachable: Callable[[MemberId], bool]
    ) -> None:
        self._me = me
        self._is_reachable = is_reachable
        self._topology = topology
        self._given: dict[int, set[MemberId]] = {p: set() for p in leaving(topology, me)}

    def follow(self, topology: Topology) -> None:
        before, self._topology = self._topology, topology
        self._given = {
            p: self._given.get(p, set()) if before.placed[p] == topology.placed[p] else set()
            for p in leaving(topology, self._me)
        }

    def given(self, partition: int, peer: MemberId) -> None:
        if partition in self._given:
            self._given[partition].add(peer)

    def handed_over(self) -> tuple[int, ...]:
        return tuple(p for p, given in self._given.items() if self._is_enough(p, given))

    def _is_enough(self, partition: int, given: set[MemberId]) -> bool:
        left = self._topology.voters.intersection(self._topology.owners[partition])
        wanted = {owner for owner in left if self._is_reachable(owner)}
        return given >= wanted and 2 * len(given & left) > len(left)
