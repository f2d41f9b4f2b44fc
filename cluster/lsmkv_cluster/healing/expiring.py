"""What has expired makes room for a tombstone, by a Mint order that decides on what is stored then.

Exactly the items that had expired by then are superseded, and nothing that the store does not hold:
a write that this node has not seen survives. An expiry instant is never changed. Any owner may mint
such a tombstone; those of several merge to one record that is deleted all the same.
"""

from __future__ import annotations

from lsmkv_cluster.coordination.minter import Minter
from lsmkv_cluster.storage.storage_orders import Mint, Space
from lsmkv_cluster.versions.context import NOTHING
from lsmkv_cluster.versions.minting import expire, mint
from lsmkv_cluster.versions.record_format import decode, encode
from lsmkv_cluster.versions.vclock import Actor

__all__ = ["expiry_order"]


def expiry_order(minter: Minter, keys: tuple[bytes, ...], wall_ms: int, by_ms: int) -> Mint:
    """For what had expired by `by_ms`. Keys of which nothing has are left as they are, as are all
    while this store may not mint."""

    def decide(_: int, old: bytes | None) -> bytes | None:
        return None if old is None else _expired(minter, old, wall_ms, by_ms)

    return Mint(Space.DATA, keys, decide)


def _expired(minter: Minter, old: bytes, wall_ms: int, by_ms: int) -> bytes | None:
    local = decode(old)
    change = expire(local, by_ms)
    if change is None:
        return None
    actor = minter.actors.choose(local, NOTHING, wall_ms, len(change.payloads))
    if not isinstance(actor, Actor):
        return None
    stamp = minter.clock.next(wall_ms)
    try:
        return encode(mint(local, change, actor, stamp, limits=minter.limits).record)
    except ValueError:  # no room for one more clock entry
        return None
