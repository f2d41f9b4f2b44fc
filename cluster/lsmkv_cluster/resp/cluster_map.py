"""What cluster clients are told of placement: of every slot one master, and no replicas.

A slot's master is its first owner in the data centre of the node that is asked, as its clients are
taken to be near; where that has no copy, its first owner. Any owner serves as well.
"""

from __future__ import annotations

from typing import NamedTuple

from lsmkv_cluster.placement.members import Member, MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.resp.host import CLUSTER_FACE

__all__ = ["Endpoint", "SlotRun", "endpoint", "master_of", "redis_id", "slot_runs"]

REDIS_ID_SIZE = 40  # hexadecimal digits


class Endpoint(NamedTuple):
    """Of a member that announces none, the host is empty: clients then stay where they are."""

    host: str
    port: int


class SlotRun(NamedTuple):
    """Slots from `first` to `last`, which belongs to it."""

    first: int
    last: int
    master: MemberId


def master_of(topology: Topology, partition: int, dc: str) -> MemberId | None:
    row = topology.owners_in(partition, dc) or topology.owners[partition]
    return row[0] if row else None


def slot_runs(topology: Topology, dc: str) -> list[SlotRun]:
    """Those that touch and have one master as one; slots that nobody owns are missing."""
    runs: list[SlotRun] = []
    for partition in range(len(topology.owners)):
        master = master_of(topology, partition, dc)
        if master is None:
            continue
        slots = topology.partitioning.slots_of(partition)
        first = slots.start
        if runs and runs[-1].master == master and runs[-1].last == first - 1:
            first = runs.pop().first
        runs.append(SlotRun(first, slots.stop - 1, master))
    return runs


def endpoint(member: Member, face: str = CLUSTER_FACE) -> Endpoint:
    for address in member.addresses:
        if address.face == face:
            host, _, port = address.location.rpartition(":")
            if port.isdecimal():
                return Endpoint(host.removeprefix("[").removesuffix("]"), int(port))
    return Endpoint("", 0)


def redis_id(id: MemberId) -> str:
    """As long as those of Redis, which some clients count on."""
    return id.hex().ljust(REDIS_ID_SIZE, "0")
