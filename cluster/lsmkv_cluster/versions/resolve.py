"""What a reader makes of a record: siblings, the last writer, a counter, a set or a map.

Storage keeps every item that nothing has superseded; how a keyspace resolves concurrent ones is
decided when it is read, and deletes nothing. Every choice is deterministic: the newest stamp wins,
then the larger dot, so that all nodes answer alike.

Expiry hides. An item stays in the record, and is seen by nobody, from its expiry on, until a
tombstone takes its place (minting.expire).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

from lsmkv_cluster.versions.crdt import count, fields, members
from lsmkv_cluster.versions.record import Item, Kind, Record
from lsmkv_cluster.versions.visible import age, newest, visible

__all__ = ["Reading", "Resolved", "hidden_count", "last_writer", "resolve", "siblings", "winner"]

Resolved = tuple[bytes, ...] | bytes | int | frozenset[bytes] | dict[bytes, bytes] | None


class Reading(Enum):
    """What is made of a record. Of plain values a keyspace's Resolution (keyspaces.py) says which:
    LAST_WRITER shows one concurrent write only, and is never the default."""

    SIBLINGS = "siblings"
    LAST_WRITER = "last-writer-wins"
    COUNTER = "counter"
    SET = "set"
    MAP = "map"


def siblings(record: Record | None, now_ms: int) -> tuple[bytes, ...]:
    """The live values, newest first."""
    found = visible(record, now_ms, Kind.VALUE)
    return tuple(item.value for item in sorted(found, key=age, reverse=True))


def winner(record: Record | None, now_ms: int) -> bytes | None:
    """The one value that a plain GET answers with."""
    item = newest(visible(record, now_ms, Kind.VALUE))
    return item.value if item else None


def last_writer(record: Record | None, now_ms: int) -> bytes | None:
    """The newest write, be it a value or a delete; nil where it was a delete or has expired."""
    item = newest(_plain_items(record))
    if item is None or item.kind is Kind.TOMBSTONE or 0 < item.expiry_ms <= now_ms:
        return None
    return item.value


def hidden_count(record: Record | None) -> int:
    """How many concurrent writes the last writer hides, for the metric."""
    return max(0, len(_plain_items(record)) - 1)


def resolve(record: Record | None, reading: Reading, now_ms: int) -> Resolved:
    return READERS[reading](record, now_ms)


def _plain_items(record: Record | None) -> list[Item]:
    items: Iterable[Item] = record.items if record else ()
    return [item for item in items if item.kind in (Kind.VALUE, Kind.TOMBSTONE)]


READERS: dict[Reading, Callable[[Record | None, int], Resolved]] = {
    Reading.SIBLINGS: siblings,
    Reading.LAST_WRITER: last_writer,
    Reading.COUNTER: count,
    Reading.SET: members,
    Reading.MAP: fields,
}
