"""First owners: one of the owners of each partition, and each member so for its fair share.

Where copies follow weight, any owners within their limits let that be: a member that holds its fair
share is one of so many owners. Where a rule is stronger than weight (a light member alone in its
rack holds everything) a member may hold hardly more than it is to be first owner of, and rounding
can stand in the way: the heavy rack has a first owner for six of seven partitions, its two large
members may be first for two each; if they hold 3 and 3, and a small one 1, five are found.
`room_for_firsts` rules that out before owners are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lsmkv_cluster.placement.assignment import Assignment
from lsmkv_cluster.placement.balance import Columns, Limits, balance
from lsmkv_cluster.placement.site import set_of

__all__ = ["first_owners", "room_for_firsts"]


def room_for_firsts(limits: Limits, first: Limits, partition_count: int) -> Limits:
    """The limits for owners, such that there are first owners for all partitions.

    Some members may be first owner of all they can hold. What the others may not be first owner of,
    those have to hold together. Fair shares allow it, so some whole numbers beside them do.
    """
    group = set_of(m for m, high in enumerate(limits.high) if first.high[m] >= high)
    others = sum(high for m, high in enumerate(first.high) if not group >> m & 1)
    return replace(limits, group=group, group_low=partition_count - others)


def first_owners(
    before: Sequence[Sequence[int]], owners: Assignment, limits: Limits, columns: Columns
) -> Assignment:
    """Who was first owner stays so where the limits allow.

    Every partition gets one of its owners, beyond the limits if need be.
    """
    was_first = [row[:1] for row in before]
    first = Assignment(
        owners.nobody,
        1,
        [
            [owner for owner in row if owner in now]
            for row, now in zip(was_first, owners.rows, strict=True)
        ],
        [set_of(row) for row in was_first],
        lambda partition, _: set_of(owners.rows[partition]),
    )
    balance(first, limits, columns)
    for partition in list(first.held[first.nobody]):
        owner = min(owners.rows[partition], key=lambda m: (first.load[m] - limits.high[m], m))
        first.replace(partition, first.nobody, owner)
    return first
