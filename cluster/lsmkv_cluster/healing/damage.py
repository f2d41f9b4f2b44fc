"""Which partitions a result of the store shows to be unreadable. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lsmkv_cluster.placement.slots import Partitioning, slot_of
from lsmkv_cluster.storage.engine_key import HASH_BITS, Space
from lsmkv_cluster.storage.storage_orders import (
    Collect,
    Confirm,
    Failed,
    Failure,
    ListDeleted,
    ListEntries,
    Merge,
    Merged,
    Mint,
    Order,
    Read,
    Result,
    Scrub,
    Values,
)

__all__ = ["unreadable_partitions"]

SLOT_MASK = 0xFFFF


def unreadable_partitions(
    partitioning: Partitioning, order: Order, result: Result
) -> list[tuple[Space, int]]:
    """Each once, in the order of the keys."""
    found: Iterable[tuple[Space, int]] = ()
    if isinstance(result, Failed):
        if result.failure is Failure.CORRUPT:
            found = _of_whole_order(partitioning, order)
    elif isinstance(result, Values | Merged):
        outcomes = result.values if isinstance(result, Values) else result.outcomes
        if Failure.CORRUPT in outcomes:
            space, keys = _space_and_keys(order)
            found = [
                (space, partitioning.partition_of(slot_of(key)))
                for key, outcome in zip(keys, outcomes, strict=True)
                if outcome is Failure.CORRUPT
            ]
    return list(dict.fromkeys(found))


def _space_and_keys(order: Order) -> tuple[Space, Sequence[bytes]]:
    if isinstance(order, Collect):
        return Space.DATA, [key for key, _ in order.entries]
    if isinstance(order, Merge):
        return order.space, [key for key, _ in order.records]
    assert isinstance(order, Read | Mint)
    return order.space, order.keys


def _of_whole_order(partitioning: Partitioning, order: Order) -> list[tuple[Space, int]]:
    if isinstance(order, ListEntries):
        slot = order.first >> HASH_BITS & SLOT_MASK
        return [(order.space, partitioning.partition_of(slot))]
    if isinstance(order, ListDeleted):
        slot = order.first >> HASH_BITS & SLOT_MASK
        return [(Space.DATA, partitioning.partition_of(slot))]
    if isinstance(order, Confirm):  # of one partition
        return [(Space.DATA, partitioning.partition_of(slot_of(order.entries[0][0])))]
    if isinstance(order, Scrub):
        return [(Space.DATA, order.partition)]
    return []
