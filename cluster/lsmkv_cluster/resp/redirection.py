"""When a cluster client is sent elsewhere: if all that it asks for is in one slot of which this
node has no copy. An owner never sends anybody away, and what concerns several slots is carried out
here, by way of their owners.
"""

from __future__ import annotations

from collections.abc import Sequence

from lsmkv_cluster.placement.slots import slot_of
from lsmkv_cluster.resp.cluster_map import endpoint, master_of
from lsmkv_cluster.resp.host import Host
from lsmkv_cluster.resp.replies import ErrorReply
from lsmkv_cluster.resp.session import Session

__all__ = ["is_foreign", "moved_to"]


def is_foreign(host: Host, keys: Sequence[bytes]) -> bool:
    """Whether this node has to ask others for one of them."""
    topology, me = host.topology, host.me
    return any(me not in topology.owners[topology.partition_of(key)] for key in keys)


def moved_to(host: Host, session: Session, keys: Sequence[bytes]) -> ErrorReply | None:
    """Where to, for a client of the cluster port; None where it is served here, perhaps by way of
    an owner."""
    if not keys or session.is_asking:
        return None
    slots = {slot_of(key) for key in keys}
    if len(slots) > 1:
        return None
    slot = slots.pop()
    topology, me = host.topology, host.me
    partition = topology.partitioning.partition_of(slot)
    row = topology.owners[partition]
    if not row or me in row:
        return None
    master = master_of(host, partition)
    if master is None or not host.is_reachable(master):
        return None
    there = endpoint(topology.members_by_id[master])
    return ErrorReply(f"MOVED {slot} {there}") if there.port else None
