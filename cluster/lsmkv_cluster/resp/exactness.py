"""What a cluster that merges concurrent writes does not serve as if it were one server: whatever
decides by the present value of a key, such as locks."""

from __future__ import annotations

from collections.abc import Iterable

from lsmkv_cluster.resp.commanding import CommandError, Turn

__all__ = ["refuse_unless_exact"]


def refuse_unless_exact(turn: Turn, keys: Iterable[bytes], what: str) -> None:
    """In a cluster it is served where the keyspace asks for it, and promises nothing."""
    if all(turn.is_exact(key) for key in keys):
        return
    raise CommandError(
        f"ERR {what} is exact only in a node that is alone: two clients of a cluster may both "
        "succeed. A keyspace with BESTEFFORT (KV.KEYSPACE SET) serves it all the same"
    )
