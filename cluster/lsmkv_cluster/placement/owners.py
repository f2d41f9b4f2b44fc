"""The owner table: who keeps each partition, and what changes between two tables.

A row names the owners of one partition, data centre by data centre in the order of their names;
within a data centre the first owner comes first, the one that clients are sent to.
"""

from __future__ import annotations

from dataclasses import dataclass

from lsmkv_cluster.placement.members import MemberId

__all__ = ["Move", "Owners", "moves_between", "no_owners"]

Owners = tuple[tuple[MemberId, ...], ...]


@dataclass(frozen=True)
class Move:
    """A partition whose owners change: each that gains has to fetch a copy."""

    partition: int
    gains: tuple[MemberId, ...]
    losses: tuple[MemberId, ...]


def no_owners(partition_count: int) -> Owners:
    """The table before the first plan."""
    return ((),) * partition_count


def moves_between(previous: Owners, following: Owners) -> tuple[Move, ...]:
    """By partition. Another order of the same owners moves nothing."""
    found = []
    for partition, (old, new) in enumerate(zip(previous, following, strict=True)):
        gains = tuple(id for id in new if id not in old)
        losses = tuple(id for id in old if id not in new)
        if gains or losses:
            found.append(Move(partition, gains, losses))
    return tuple(found)
