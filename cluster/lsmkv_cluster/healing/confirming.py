"""Owners that stay while their data centre gets fewer copies: they, too, confirm before the switch.

A write that was with enough of the old owners need not be with enough of fewer new ones, all of
whom may have been owners before. So each of them meets the others first, like a copy that is being
filled (transition_rules.py), but answers readers all the time: nothing is missing here that a read
of the old owners would not find.
"""

from __future__ import annotations

from collections.abc import Callable

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.reconfiguration.transition_rules import confirming, is_filled

__all__ = ["Confirming"]


class Confirming:
    """What was `met` counts for the place that a partition has now."""

    def __init__(
        self, topology: Topology, me: MemberId, is_reachable: Callable[[MemberId], bool]
    ) -> None:
        self._me = me
        self._is_reachable = is_reachable
        self._topology = topology
        self._met: dict[int, set[MemberId]] = {p: set() for p in self._staying(topology)}

    def _staying(self, topology: Topology) -> list[int]:
        return [
            move.partition
            for move in topology.transitions
            if self._me in topology.owners[move.partition]
            and self._me in confirming(topology, move.partition)
        ]

    def follow(self, topology: Topology) -> None:
        before, self._topology = self._topology, topology
        self._met = {
            p: self._met.get(p, set()) if before.placed[p] == topology.placed[p] else set()
            for p in self._staying(topology)
        }

    def met(self, partition: int, peer: MemberId) -> None:
        """All that the peer had is durable here."""
        if partition in self._met:
            self._met[partition].add(peer)

    def wanting(self) -> list[int]:
        return [p for p in self._met if not self._is_filled(p)]

    def confirmed(self) -> list[int]:
        return [p for p in self._met if self._is_filled(p)]

    def _is_filled(self, partition: int) -> bool:
        met = self._met[partition] | {self._me}
        return is_filled(self._topology, partition, met, self._is_reachable)
