"""First owners: one of the owners of each partition, and each member so for its fair share.

Where copies follow weight, any owners within their limits let that be: a member that holds its fair
share is one of so many owners. Where a rule is stronger than weight (a light member alone in its
rack holds everything) a member may hold hardly more than it is to be first owner of, and two things
can stand in the way:

    rounding    the heavy rack has a first owner for six of seven partitions, its two large members
                may be first for two each; if they hold 3 and 3, and a small one 1, five are found
    company     of two members with room to be first, both own one partition, and neither another

`room_for_firsts` rules out the first before owners are chosen; the fewest copies are counted among
what it leaves. In the second, owners change places, in one ring at a time. That may cost a copy
more, and balance comes first; a search of rings one by one is not proved to find the cheapest way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from lsmkv_cluster.placement.assignment import Assignment
from lsmkv_cluster.placement.balance import Columns, Hop, Limits, balance
from lsmkv_cluster.placement.savings import Ring, rings_through
from lsmkv_cluster.placement.site import bits, set_of

__all__ = ["first_owners", "room_for_firsts"]

TRIES_MAX = 100  # of rings that may not help, before those are tried that nearly always do


def room_for_firsts(limits: Limits, first: Limits, partition_count: int) -> Limits:
    """The limits for owners, such that there are first owners for all partitions.

    Some members may be first owner of all they can hold. What the others may not be first owner of,
    those have to hold together. Fair shares allow it, so some whole numbers beside them do.
    """
    group = set_of(m for m, high in enumerate(limits.high) if first.high[m] >= high)
    others = sum(high for m, high in enumerate(first.high) if not group >> m & 1)
    return replace(limits, group=group, group_low=partition_count - others)


def first_owners(
    before: Sequence[Sequence[int]],
    owners: Assignment,
    owner_limits: Limits,
    limits: Limits,
    columns: Columns,
) -> Assignment:
    """Who was first owner stays so where the limits allow; `owners` may change places for that.

    Every partition gets one of its owners, beyond the limits if need be.
    """
    was_first = [row[:1] for row in before]
    first = _appointed(was_first, [set_of(row) for row in was_first], owners, limits, columns)
    while (better := _change_places(owners, owner_limits, first, limits, columns)) is not None:
        first = better
    for partition in list(first.held[first.nobody]):
        owner = min(owners.rows[partition], key=lambda m: (first.load[m] - limits.high[m], m))
        first.replace(partition, first.nobody, owner)
    return first


def _appointed(
    rows: Sequence[Sequence[int]],
    before: Sequence[int],
    owners: Assignment,
    limits: Limits,
    columns: Columns,
) -> Assignment:
    """Those of `rows` that are owners still, brought within the limits if that can be."""
    kept = [
        [member for member in row if member in now]
        for row, now in zip(rows, owners.rows, strict=True)
    ]
    first = Assignment(
        owners.nobody, 1, kept, before, lambda partition, _: set_of(owners.rows[partition])
    )
    balance(first, limits, columns)
    return first


def _change_places(
    owners: Assignment,
    owner_limits: Limits,
    first: Assignment,
    limits: Limits,
    columns: Columns,
) -> Assignment | None:
    """Opens a way from a member that is first too often to one with room, at the least cost.

    The one with room, or one that can hand on to it, takes an owner's place where it can be given a
    partition; others follow in a ring. Returns first owners that are nearer to the limits; None
    when there is nothing to do or nothing helps, and then owners are as before.
    """
    sources, targets = _unbalanced(first, limits)
    if not sources or not targets:
        return None
    kept = {(holder, p) for p, row in enumerate(first.rows) for holder in row}
    entries = list(_entries(owners, first, sources))
    rings = _cheapest_first(rings_through(owners, owner_limits, entries, kept))
    cost = rings[0].cost if rings else math.inf
    if cost > 0:  # perhaps it helps for less that first owners give way
        others = _cheapest_first(rings_through(owners, owner_limits, entries, ()))
        rings = [ring for ring in others if ring.cost < cost][:TRIES_MAX] + rings
    for ring in rings:
        for hop in ring.hops:
            owners.replace(hop.partition, hop.leaving, hop.entering)
        better = _appointed(first.rows, first.before, owners, limits, columns)
        if _amiss(better, limits) < _amiss(first, limits):
            return better
        for hop in ring.hops[::-1]:
            owners.replace(hop.partition, hop.entering, hop.leaving)
    return None


def _cheapest_first(rings: Iterable[Ring]) -> list[Ring]:
    return sorted(rings, key=lambda ring: ring.cost)


def _amiss(first: Assignment, limits: Limits) -> int:
    """How far first owners are from the limits, in partitions."""
    return first.load[first.nobody] + sum(
        max(0, load - high, low - load)
        for load, low, high in zip(first.load, limits.low, limits.high, strict=False)
    )


def _unbalanced(first: Assignment, limits: Limits) -> tuple[list[int], int]:
    """Members that have to give and all that may take; or all that may give, and who has to take.

    Partitions without a first owner are to give, too. Two times nobody when all limits are met.
    """
    load, members = first.load, range(first.nobody)
    over = [m for m in members if load[m] > limits.high[m]]
    if load[first.nobody]:
        over.append(first.nobody)
    if over:
        return over, set_of(m for m in members if load[m] < limits.high[m])
    under = set_of(m for m in members if load[m] < limits.low[m])
    return [m for m in members if load[m] > limits.low[m]] if under else [], under


def _entries(owners: Assignment, first: Assignment, sources: Sequence[int]) -> Iterator[Hop]:
    """Replacements by whom the sources reach somebody new: nothing helps without one of them."""
    reached = _reachable(first, sources)
    givers = [*bits(reached), *({first.nobody} & set(sources))]
    for partition in sorted(partition for giver in givers for partition in first.held[giver]):
        for leaving in owners.rows[partition]:
            for entering in bits(owners.openings(partition, leaving) & ~reached):
                yield Hop(partition, leaving, entering)


def _reachable(first: Assignment, sources: Sequence[int]) -> int:
    """The sources, whom they can give a partition to, whom those can give one to, and so on."""
    found = set_of(source for source in sources if source != first.nobody)
    waiting = list(sources)
    while waiting:
        member = waiting.pop()
        for partition in first.held[member]:
            new = first.openings(partition, member) & ~found
            found |= new
            waiting += bits(new)
    return found
