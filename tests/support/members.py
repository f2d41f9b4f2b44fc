"""Members and topologies for tests: ids follow from names, everything else is short to write."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode
from lsmkv_cluster.placement.members import (
    MEMBER_ID_SIZE,
    WEIGHT_ORDINARY,
    Address,
    Member,
    MemberState,
)
from lsmkv_cluster.placement.owners import no_owners
from lsmkv_cluster.placement.planner import plan
from lsmkv_cluster.placement.topology import DataCentre, Topology

__all__ = ["make_member", "make_topology", "member_id"]


def member_id(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=MEMBER_ID_SIZE).digest()


def make_member(
    name: str,
    *,
    dc: str = "east",
    rack: str = "r1",
    host: str = "",
    weight: int = WEIGHT_ORDINARY,
    state: MemberState = MemberState.SERVING,
) -> Member:
    """A host of its own unless `host` is given."""
    return Member(member_id(name), name, dc, rack, host or name, weight, state)


def make_topology() -> Topology:
    """Six members in two data centres, 16 partitions, three keyspaces; epoch 1."""
    members = [
        *(make_member(f"n{n}", rack=f"e{n % 2}", host=f"h{n}") for n in range(1, 5)),
        *(make_member(f"n{n}", dc="west", rack="w", host=f"h{n}", weight=n) for n in (5, 6)),
    ]
    members[0] = replace(members[0], addresses=(Address("peer", "127.0.0.1:7100"),))
    centres = (DataCentre("east", 2), DataCentre("west", 1))
    replicas = {centre.name: centre.replicas for centre in centres}
    return Topology(
        cluster_id=member_id("cluster"),
        epoch=1,
        parent=bytes(32),
        feature_level=1,
        key_seed=0x1122334455667788,
        data_centres=centres,
        members=tuple(sorted(members, key=lambda member: member.id)),
        keyspaces=(
            Keyspace(),
            Keyspace(b"user:", Consistency(Level.ONE), Consistency(Level.COUNT, 2)),
            Keyspace(b"user:session:", mode=Mode.STRICT, best_effort=True),
        ),
        owners=plan(no_owners(16), members, replicas).owners,
    )
