"""Who has to answer: levels as groups of owners, and when two levels are sure to meet.

A Need is one or more Groups, each "so many of these"; it is met when every group is. Owners answer
for themselves; a stand-in of sloppy mode answers in the place of the owner whose copy it keeps.

    level          groups
    ONE            1 of all owners
    QUORUM         more than half of all owners
    ALL            all of them
    LOCAL_QUORUM   more than half of the owners in the coordinator's data centre
    EACH_QUORUM    more than half of the owners of each data centre, one group for each
    COUNT          so many of all owners

Strict mode wants that a read meets every write before it and that writes meet each other, wherever
they were coordinated: R + W > N and 2 W > N, generalised to groups by `always_meet`. Requests with
levels of their own meet those of everybody else as long as each read meets the keyspace's writes
and no write is content with less than those (`is_at_least`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from lsmkv_cluster.placement.keyspaces import Consistency, Level
from lsmkv_cluster.placement.members import MemberId

__all__ = [
    "Group",
    "Need",
    "always_meet",
    "can_meet",
    "is_at_least",
    "is_met",
    "is_strict",
    "missing",
    "need",
    "total",
]

OwnersByCentre = Mapping[str, tuple[MemberId, ...]]


@dataclass(frozen=True, slots=True)
class Group:
    """`count` of `members`; more than there are can never be met."""

    members: frozenset[MemberId]
    count: int


Need = tuple[Group, ...]


def need(consistency: Consistency, owners: OwnersByCentre, own_dc: str) -> Need:
    """`owners` are those of the partition by data centre, without empty ones. No need is met by
    nobody."""
    level = consistency.level
    if level is Level.LOCAL_QUORUM:
        return (_majority(owners.get(own_dc, ())),)
    if level is Level.EACH_QUORUM and owners:
        return tuple(_majority(local) for local in owners.values())
    everybody = frozenset(id for local in owners.values() for id in local)
    counts = {
        Level.ONE: 1,
        Level.QUORUM: len(everybody) // 2 + 1,
        Level.ALL: max(1, len(everybody)),
        Level.EACH_QUORUM: 1,  # of nobody
        Level.COUNT: consistency.count,
    }
    return (Group(everybody, counts[level]),)


def _majority(members: Collection[MemberId]) -> Group:
    return Group(frozenset(members), len(members) // 2 + 1)


def is_met(needed: Need, answered: Collection[MemberId]) -> bool:
    """Whether these owners, or those in their place, are enough."""
    for group in needed:
        count = 0
        for id in answered:
            count += id in group.members
        if count < group.count:
            return False
    return True


def missing(needed: Need, answered: Collection[MemberId]) -> list[Group]:
    """The groups that still wait, with the members that could help and how many must."""
    found = []
    for group in needed:
        rest = group.count - sum(id in group.members for id in answered)
        if rest > 0:
            found.append(Group(group.members.difference(answered), rest))
    return found


def can_meet(needed: Need, candidates: Collection[MemberId]) -> bool:
    """Whether these would be enough if all of them answered."""
    return is_met(needed, candidates)


def total(needed: Need) -> int:
    return sum(group.count for group in needed)


def always_meet(first: Consistency, second: Consistency, owners: OwnersByCentre) -> bool:
    """Whether any two sets that meet the two levels have an owner in common, whichever data centres
    their coordinators stand in."""
    return all(
        _overlap(need(first, owners, here), need(second, owners, there))
        for here in owners
        for there in owners
    )


def _overlap(first: Need, second: Need) -> bool:
    everybody = _members(first) | _members(second)
    if total(first) + total(second) > len(everybody):
        return True
    return any(a.count + b.count > len(a.members | b.members) for a in first for b in second)


def _members(needed: Iterable[Group]) -> frozenset[MemberId]:
    return frozenset().union(*(group.members for group in needed))


def is_strict(read: Consistency, write: Consistency, owners: OwnersByCentre) -> bool:
    """Whether these levels keep what strict mode promises."""
    return always_meet(read, write, owners) and always_meet(write, write, owners)


def is_at_least(level: Consistency, least: Consistency, owners: OwnersByCentre) -> bool:
    """Whether whoever meets `level`, in any data centre, meets `least` in one of them."""
    return all(
        any(_implies(need(level, owners, here), need(least, owners, there)) for there in owners)
        for here in owners
    )


def _implies(first: Need, second: Need) -> bool:
    """Whether every set that meets the one meets the other. The groups of a need are disjoint."""
    return all(
        sum(max(0, a.count - len(a.members - b.members)) for a in first) >= b.count for b in second
    )
