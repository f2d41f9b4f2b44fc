"""The next owner table: a pure function of the table before, the members and the copies wanted.

Priorities, fixed: distinct hosts > copies for each data centre > rack spread > load. Within them

- every member holds its fair share to within one partition, and is first owner of its fair share to
  within one, both in proportion to weight and in each data centre by itself;
- as few copies as possible are made for that, and where there is a choice a partition gets one new
  owner, not two. First owners come before that: where copies cannot follow weight, a copy more may
  be made for their sake (firsts.py);
- what is near on the ring is preferred.

Whether a member is up plays no part: a plan that followed liveness would move data back and forth.
Whatever of the wishes had to give way is named in `Plan.relaxed`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from lsmkv_cluster.placement.assignment import Assignment
from lsmkv_cluster.placement.balance import Limits, balance
from lsmkv_cluster.placement.fair import Bound, fair_shares
from lsmkv_cluster.placement.firsts import first_owners, room_for_firsts
from lsmkv_cluster.placement.members import Member, MemberId, check_members
from lsmkv_cluster.placement.owners import Move, Owners, moves_between
from lsmkv_cluster.placement.ring import distances, position_of_slot, tokens_of
from lsmkv_cluster.placement.savings import save_copies
from lsmkv_cluster.placement.site import Site, set_of
from lsmkv_cluster.placement.slots import Partitioning

__all__ = ["Constraint", "Plan", "Relaxed", "plan", "sites_of"]


class Constraint(Enum):
    """What a plan may have to relax. Distinct hosts are never given up."""

    COPIES = "copies"
    RACKS = "racks"
    LOAD = "load"
    FIRST_OWNERS = "first owners"


@dataclass(frozen=True)
class Relaxed:
    constraint: Constraint
    dc: str
    reason: str

    def __str__(self) -> str:
        return f"{self.dc}: {self.constraint.value}: {self.reason}"


@dataclass(frozen=True)
class Plan:
    owners: Owners
    moves: tuple[Move, ...]
    relaxed: tuple[Relaxed, ...]

    @property
    def copies_made(self) -> int:
        """Copies of a partition that have to be fetched."""
        return sum(len(move.gains) for move in self.moves)


def plan(previous: Owners, members: Iterable[Member], replicas: Mapping[str, int]) -> Plan:
    """The table to go to from `previous`, with `replicas` copies in each data centre.

    Members that do not store (joined only, leaving, of weight 0) and those that `previous` names
    but `members` does not get nothing. TopologyError when members contradict each other.
    """
    members = tuple(members)
    check_members(members)
    rows: list[list[MemberId]] = [[] for _ in previous]
    relaxed: list[Relaxed] = []
    for site in sites_of(members, replicas):
        relaxed += _relaxed_rules(site)
        if not site.copies:
            continue
        placed = _Placement(site, previous)
        for row, numbers in zip(rows, placed.rows(), strict=True):
            row += [site.members[number].id for number in numbers]
        relaxed += placed.relaxed()
    owners = tuple(tuple(row) for row in rows)
    return Plan(owners, moves_between(previous, owners), tuple(relaxed))


def sites_of(members: Iterable[Member], replicas: Mapping[str, int]) -> list[Site]:
    """The data centres that copies are wanted in, by name."""
    storing = sorted((m for m in members if m.stores), key=lambda member: member.id)
    return [
        Site(dc, tuple(member for member in storing if member.dc == dc), wanted)
        for dc, wanted in sorted(replicas.items())
        if wanted
    ]


class _Placement:
    """One data centre's part of a plan."""

    def __init__(self, site: Site, previous: Owners) -> None:
        self._site = site
        self._fair = fair_shares(site, len(previous))
        columns = _columns(site.members, len(previous))
        numbers = {member.id: number for number, member in enumerate(site.members)}
        before = [[numbers[id] for id in row if id in numbers] for row in previous]

        self._first_limits = _limits(self._fair.first)
        self._limits = room_for_firsts(
            _limits(self._fair.copies), self._first_limits, len(previous)
        )
        self._owners = _owners(site, before, self._limits, columns)
        self._first = first_owners(before, self._owners, self._limits, self._first_limits, columns)
        self._columns = columns

    def rows(self) -> list[list[int]]:
        """The owners of each partition, first owner first, the others by their distance."""
        found = []
        for partition, owners in enumerate(self._owners.rows):
            [first] = self._first.rows[partition]
            rest = [owner for owner in owners if owner != first]
            rest.sort(key=lambda owner, p=partition: self._columns[owner][p])  # type: ignore[misc]
            found.append([first, *rest])
        return found

    def relaxed(self) -> list[Relaxed]:
        found = [_relaxed_load(self._site, bound) for bound in self._fair.bounds]
        for constraint, assignment, limits in (
            (Constraint.LOAD, self._owners, self._limits),
            (Constraint.FIRST_OWNERS, self._first, self._first_limits),
        ):
            for number, member in enumerate(self._site.members):
                load, low, high = assignment.load[number], limits.low[number], limits.high[number]
                if not low <= load <= high:
                    reason = f"{member.name} has {load} instead of {low} to {high}"
                    found.append(Relaxed(constraint, self._site.dc, reason))
        return found


def _columns(members: Sequence[Member], partition_count: int) -> list[array[int]]:
    partitioning = Partitioning(partition_count)
    positions = [
        position_of_slot(partitioning.slots_of(partition)[0])
        for partition in range(partition_count)
    ]
    return [distances(tokens_of(member), positions) for member in members]


def _limits(shares: Iterable[Fraction]) -> Limits:
    shares = tuple(shares)
    return Limits(tuple(map(math.floor, shares)), tuple(map(math.ceil, shares)))


def _owners(
    site: Site, before: Sequence[Sequence[int]], limits: Limits, columns: Sequence[array[int]]
) -> Assignment:
    assignment = Assignment(
        len(site.members),
        site.copies,
        _kept(site, before, limits),
        [set_of(row) for row in before],
        lambda _, others: site.openings(others),
    )
    balance(assignment, limits, columns)
    if not assignment.load[assignment.nobody]:
        save_copies(assignment, limits)
    return assignment


def _kept(site: Site, before: Sequence[Sequence[int]], limits: Limits) -> list[list[int]]:
    """What may stay: all owners where they keep the rules, else as many as do.

    Greedy is exact here, because sets that can be completed to a full set of owners are those of a
    matroid. Members that have most above their limit are the first to lose.
    """
    surplus = [-high for high in limits.high]
    for row in before:
        for owner in row:
            surplus[owner] += 1
    rows: list[list[int]] = []
    for row in before:
        if site.keeps_rules(row):
            rows.append(list(row))
            continue
        kept: list[int] = []
        for owner in sorted(row, key=lambda owner: (surplus[owner], owner)):
            if len(kept) < site.copies and site.openings(kept) >> owner & 1:
                kept.append(owner)
            else:
                surplus[owner] -= 1
        rows.append(kept)
    return rows


# --- what had to give way


def _relaxed_rules(site: Site) -> list[Relaxed]:
    found = []
    if site.copies < site.replicas:
        hosts = f"{len(site.hosts)} hosts store data" if site.hosts else "no host stores data"
        reason = f"{site.copies} of each partition instead of {site.replicas}: {hosts}"
        found.append(Relaxed(Constraint.COPIES, site.dc, reason))
    if len(site.racks) < 2:
        return found  # no racks were declared
    for rack, quota in site.quotas.items():
        if quota.most > 1:
            is_even = quota.most == site.even_most
            why = f"there are {len(site.racks)} racks" if is_even else "others have too few hosts"
            reason = f"up to {quota.most} of {site.copies} copies in rack {rack}: {why}"
            found.append(Relaxed(Constraint.RACKS, site.dc, reason))
    return found


def _relaxed_load(site: Site, bound: Bound) -> Relaxed:
    rule = (
        "a host keeps a partition once" if bound.kind == "host" else "copies are spread over racks"
    )
    if bound.given > bound.wanted:
        rule = "others cannot take more"
    reason = (
        f"{bound.kind} {bound.name} has {float(bound.given):.0f} copies, by weight it would have "
        f"{float(bound.wanted):.0f}: {rule}"
    )
    return Relaxed(Constraint.LOAD, site.dc, reason)
