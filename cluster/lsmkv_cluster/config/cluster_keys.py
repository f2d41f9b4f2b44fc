"""Keys made of the secret of a cluster: one for each use, so that none can stand in for another.

key = BLAKE2b-256 of the cluster id, keyed with the secret, person "lsmkv <use> 1"
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

__all__ = ["ClusterKeys", "derive_keys"]

KEY_SIZE = 32  # bytes


@dataclass(frozen=True, slots=True, repr=False)
class ClusterKeys:
    contexts: bytes  # of what clients have seen
    datagrams: bytes  # of gossip
    peers: bytes  # of nodes that log in to other nodes as clients do

    @property
    def password(self) -> bytes:
        """Of the user `cluster` (users.py)."""
        return self.peers.hex().encode()


def derive_keys(secret: bytes, cluster_id: bytes) -> ClusterKeys:
    def key(use: str) -> bytes:
        person = f"lsmkv {use} 1".encode()
        return blake2b(cluster_id, digest_size=KEY_SIZE, key=secret, person=person).digest()

    return ClusterKeys(contexts=key("context"), datagrams=key("gossip"), peers=key("peer"))
