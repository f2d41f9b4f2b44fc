"""The owner table: who keeps each partition, what changes between two tables, and how it changes.

A row names the owners of one partition, data centre by data centre in the order of their names;
within a data centre the first owner comes first, the one that clients are sent to.

A partition goes from one row to another in two steps, a document each, and then is settled again:

    phase       read from   written to   meanwhile
    settled     row         row
    FILLING     old row     both rows    those who come fill their copies from the old owners
    SWITCHED    new row     both rows    those who go hand on what only they have
    settled     new row     new row      those who have gone drop their copies

Written to both means enough of each. What is read in one phase meets what was written in the phases
next to it; who is two phases behind cannot get enough answers (transition_rules.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from lsmkv_cluster.placement.members import MemberId

__all__ = ["Move", "Owners", "Phase", "Transition", "moves_between", "no_owners"]

Owners = tuple[tuple[MemberId, ...], ...]


class Phase(IntEnum):
    """Numbers are persistent."""

    FILLING = 1
    SWITCHED = 2


@dataclass(frozen=True)
class Transition:
    """A partition between two rows. The one that is read stands in the table, `row` is the other:
    the coming one while FILLING, the leaving one when SWITCHED."""

    partition: int
    phase: Phase
    row: tuple[MemberId, ...]


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
