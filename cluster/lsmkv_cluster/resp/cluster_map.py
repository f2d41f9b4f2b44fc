"""What cluster clients are told of placement: of every slot one master, and no replicas.

A slot's master is the first of its owners that can be reached, in the data centre of the node that
is asked before all others, as its clients are taken to be near. Any owner serves as well, and who
owns what does not follow from any of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lsmkv_cluster.placement.members import CLUSTER_FACE, Member, MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.resp.host import Host

__all__ = ["Endpoint", "SlotRun", "endpoint", "master_of", "redis_id", "slot_runs"]

REDIS_ID_SIZE = 40  # hexadecimal digits


class Endpoint(NamedTuple):
    """Of a member that announces none, the host is empty and the port 0."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class SlotRun(NamedTuple):
    """Slots from `first` to `last`, which belongs to it."""

    first: int
    last: int
    master: MemberId


def master_of(host: Host, partition: int) -> MemberId | None:
    topology = host.topology
    dc = topology.members_by_id[host.me].dc
    return _master(topology, partition, dc, host.is_reachable)


def _master(
    topology: Topology, partition: int, dc: str, is_reachable: Callable[[MemberId], bool]
) -> MemberId | None:
    candidates = (*topology.owners_in(partition, dc), *topology.owners[partition])
    return next(
        (id for id in candidates if is_reachable(id)), candidates[0] if candidates else None
    )


def slot_runs(host: Host) -> list[SlotRun]:
    """Those that touch and have one master as one; slots that nobody owns are missing."""
    topology = host.topology
    dc = topology.members_by_id[host.me].dc
    reachable = {member.id for member in topology.members if host.is_reachable(member.id)}
    runs: list[SlotRun] = []
    for partition in range(len(topology.owners)):
        master = _master(topology, partition, dc, reachable.__contains__)
        if master is None:
            continue
        slots = topology.partitioning.slots_of(partition)
        first = slots.start
        if runs and runs[-1].master == master and runs[-1].last == first - 1:
            first = runs.pop().first
        runs.append(SlotRun(first, slots.stop - 1, master))
    return runs


def endpoint(member: Member) -> Endpoint:
    """Where clients of clusters find it."""
    host, _, port = (member.location_of(CLUSTER_FACE) or "").rpartition(":")
    if not port.isdecimal():
        return Endpoint("", 0)
    return Endpoint(host.removeprefix("[").removesuffix("]"), int(port))


def redis_id(id: MemberId) -> str:
    """As long as those of Redis, which some clients count on."""
    return id.hex().ljust(REDIS_ID_SIZE, "0")
