"""Which items of a record a reader sees, and which of several comes first."""

from __future__ import annotations

from collections.abc import Iterable

from lsmkv_cluster.versions.record import Item, Kind, Record
from lsmkv_cluster.versions.vclock import Dot

__all__ = ["age", "newest", "visible"]


def visible(record: Record | None, now_ms: int, kind: Kind) -> list[Item]:
    """The items of a kind that have not expired."""
    if record is None:
        return []
    return [
        item
        for item in record.items
        if item.kind is kind and (item.expiry_ms == 0 or item.expiry_ms > now_ms)
    ]


def age(item: Item) -> tuple[int, Dot]:
    """The order between concurrent writes: by stamp, then by dot, alike on all nodes."""
    return (item.stamp, item.dot)


def newest(items: Iterable[Item]) -> Item | None:
    return max(items, key=age, default=None)
