"""Who is to be compared with whom: the other keepers of every partition that a member keeps. Pure.

While a partition moves all keepers of both rows are compared, but for two copies that are both to
be filled: neither has what the other lacks. A copy that is not read any more (SWITCHED, and not of
the row that is) is to be handed over to each of those that are read, before it goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.placement.topology import Topology

__all__ = ["PairPlan", "is_leaving", "pairs_of", "peers_of"]


@dataclass(frozen=True, slots=True)
class PairPlan:
    """A partition and another member that keeps it."""

    partition: int
    peer: MemberId
    gives: bool = False  # everything that is here is to be handed over to the peer


def is_leaving(topology: Topology, partition: int, member: MemberId) -> bool:
    """Whether its copy is one that is not read any more."""
    transition = topology.transitions_by_partition.get(partition)
    return (
        transition is not None
        and transition.phase is Phase.SWITCHED
        and member in transition.row
        and member not in topology.owners[partition]
    )


def pairs_of(topology: Topology, me: MemberId, partitions: Iterable[int]) -> list[PairPlan]:
    """Of those of the partitions that this member keeps."""
    found: list[PairPlan] = []
    for partition in partitions:
        keepers = topology.keepers(partition)
        if me not in keepers:
            continue
        is_filling = topology.is_filling(partition, me)
        leaves = is_leaving(topology, partition, me)
        for peer in keepers:
            if peer != me and not (is_filling and topology.is_filling(partition, peer)):
                gives = leaves and peer in topology.owners[partition]
                found.append(PairPlan(partition, peer, gives))
    return found


def peers_of(
    topology: Topology, me: MemberId, partitions: Collection[int]
) -> dict[int, list[MemberId]]:
    """With whom each of these is compared, where this member keeps it at all."""
    found: dict[int, list[MemberId]] = {partition: [] for partition in partitions}
    for pair in pairs_of(topology, me, partitions):
        found[pair.partition].append(pair.peer)
    return found
