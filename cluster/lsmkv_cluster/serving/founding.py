"""The first document of a cluster: one member, who has everything.

The cluster grows from there: members join, and the conductor plans (reconfiguration/). So there is
one way in which data gets to other nodes, and none that is used once only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lsmkv_cluster.placement.keyspaces import Keyspace
from lsmkv_cluster.placement.members import Member, MemberState
from lsmkv_cluster.placement.topology import DOCUMENT_HASH_SIZE, DataCentre, Topology

__all__ = ["FEATURE_LEVEL", "Founding", "first_document"]

FEATURE_LEVEL = 1  # what this version writes into records and topology


@dataclass(frozen=True, slots=True)
class Founding:
    """What a cluster is made of that no node decides."""

    cluster_id: bytes
    key_seed: int
    partition_count: int
    replicas: tuple[tuple[str, int], ...]  # by data centre


def first_document(founding: Founding, member: Member) -> Topology:
    """`member` has a weight, and its data centre is among those that have copies; TopologyError
    else."""
    centres = tuple(DataCentre(name, count) for name, count in sorted(founding.replicas))
    return Topology(
        cluster_id=founding.cluster_id,
        epoch=1,
        parent=bytes(DOCUMENT_HASH_SIZE),
        feature_level=FEATURE_LEVEL,
        key_seed=founding.key_seed,
        data_centres=centres,
        members=(replace(member, state=MemberState.SERVING),),
        keyspaces=(Keyspace(),),
        owners=((member.id,),) * founding.partition_count,
    )
