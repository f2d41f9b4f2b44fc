"""Bringing an assignment within the limits of every member, with as few new copies as possible.

The problem is a flow of least cost: copies flow from partitions to members, each member takes
between `low` and `high`, a copy where there was none costs 1. It is solved in steps, each as cheap
as the plain case allows:

    fill     copies that nobody holds go to the nearest member with room
    shift    a member with too few takes the nearest partitions from members with too many
    chain    where no partition fits, a shortest chain of replacements does: a gives p to c, and c
             gives q to b; passing on a copy that has to be made anyway costs nothing
    group    where some members have too few together, they get more by such chains

Nearest is by the ring. All choices are ordered, so equal inputs give equal results everywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lsmkv_cluster.placement.assignment import Assignment
from lsmkv_cluster.placement.site import bits, set_of

__all__ = ["Columns", "Hop", "Limits", "balance"]

Columns = Sequence[Sequence[int]]  # by member and partition: the distance on the ring


@dataclass(frozen=True)
class Limits:
    """How many partitions each member is to hold, and how many some of them together."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    group: int = 0  # a set of members
    group_low: int = 0

    def spare(self, load: Sequence[int]) -> int:
        """What the group holds above its limit; negative: what it lacks."""
        return sum(load[member] for member in bits(self.group)) - self.group_low


@dataclass(frozen=True)
class Hop:
    """`entering` replaces `leaving` among the holders of a partition."""

    partition: int
    leaving: int
    entering: int


def balance(assignment: Assignment, limits: Limits, columns: Columns) -> None:
    """Replaces holders until all limits are met, or as nearly as can be found."""
    low, high = list(limits.low), list(limits.high)
    for room in (low, high):
        _fill(assignment, room, columns)
    nobody_has = [*high, 0]  # what nobody holds is always too much
    for donors, receivers in ((nobody_has, low), (nobody_has, high), ([*low, 0], low)):
        for unchanged_only in (True, False):
            _shift(assignment, donors, receivers, columns, unchanged_only=unchanged_only)
        _chain(assignment, donors, receivers)
    _chain_into_group(assignment, limits)


def _fill(assignment: Assignment, room: Sequence[int], columns: Columns) -> None:
    nobody, load = assignment.nobody, assignment.load
    open_members = sum(1 << member for member in range(nobody) if load[member] < room[member])
    for partition in sorted(assignment.held[nobody]):
        if not open_members:
            return
        row = [column[partition] for column in columns]
        for member in sorted(range(nobody), key=row.__getitem__):
            if not assignment.missing(partition):
                break
            if not (open_members & assignment.openings(partition, nobody)) >> member & 1:
                continue
            assignment.replace(partition, nobody, member)
            if load[member] >= room[member]:
                open_members &= ~(1 << member)


def _shift(
    assignment: Assignment,
    donors: Sequence[int],
    receivers: Sequence[int],
    columns: Columns,
    *,
    unchanged_only: bool,
) -> None:
    """Members below `receivers` take from members above `donors`; those who lack most come first.

    `unchanged_only` leaves partitions alone that already get a new owner: a partition is safer
    to move one copy at a time.
    """
    load = assignment.load
    wanting = [m for m in range(assignment.nobody) if load[m] < receivers[m]]
    for member in sorted(wanting, key=lambda m: (load[m] - receivers[m], m)):
        if not any(load[donor] > donors[donor] for donor in range(assignment.nobody)):
            return
        column = columns[member]
        for partition in sorted(range(len(assignment.rows)), key=column.__getitem__):
            if load[member] >= receivers[member]:
                break
            if unchanged_only and not assignment.is_unchanged(partition):
                continue
            donor = _donor(assignment, partition, member, donors)
            if donor is not None:
                assignment.replace(partition, donor, member)


def _donor(
    assignment: Assignment, partition: int, receiver: int, donors: Sequence[int]
) -> int | None:
    """The holder with most above its limit whose place the receiver may take."""
    load = assignment.load
    best: int | None = None
    for holder in assignment.rows[partition]:
        surplus = load[holder] - donors[holder]
        if surplus <= 0 or (best is not None and surplus <= load[best] - donors[best]):
            continue
        if assignment.openings(partition, holder) >> receiver & 1:
            best = holder
    return best


def _chain(assignment: Assignment, donors: Sequence[int], receivers: Sequence[int]) -> None:
    load = assignment.load
    members = range(assignment.nobody)
    while True:
        sources = [m for m in (assignment.nobody, *members) if load[m] > donors[m]]
        targets = sum(1 << m for m in members if load[m] < receivers[m])
        hops = _shortest(assignment, sources, targets)
        if not hops:
            return
        for hop in hops:
            assignment.replace(hop.partition, hop.leaving, hop.entering)


def _chain_into_group(assignment: Assignment, limits: Limits) -> None:
    """The group takes what it lacks from the others, as far as the limits of each let it."""
    load = assignment.load
    others = [m for m in range(assignment.nobody) if not limits.group >> m & 1]
    while limits.spare(load) < 0:
        sources = [m for m in others if load[m] > limits.low[m]]
        targets = set_of(m for m in bits(limits.group) if load[m] < limits.high[m])
        hops = _shortest(assignment, sources, targets)
        if not hops:
            return
        for hop in hops:
            assignment.replace(hop.partition, hop.leaving, hop.entering)


def _shortest(assignment: Assignment, sources: Sequence[int], targets: int) -> list[Hop]:
    """The cheapest chain from a source to a target; empty when there is none.

    Where a partition occurs twice in it, a gives it to b and later c to d, the second replacement
    was looked up as if the first had not happened. If a can give it to d, the chain does without
    what lies between. If not, both fit together, because the sets of holders that a partition may
    have are the bases of a matroid.
    """
    hops = _Search(assignment).run(sources, targets) if sources and targets else []
    start = 0
    while start < len(hops):
        hop = hops[start]
        openings = assignment.openings(hop.partition, hop.leaving)
        for end in range(len(hops) - 1, start, -1):
            last = hops[end]
            if last.partition == hop.partition and openings >> last.entering & 1:
                hops[start : end + 1] = [Hop(hop.partition, hop.leaving, last.entering)]
                break
        start += 1
    return hops


class _Search:
    """Breadth first over members; replacements free of charge are followed first."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._last: dict[int, Hop] = {}  # by member: the last replacement on the way to it
        self._done = 0

    def run(self, sources: Sequence[int], targets: int) -> list[Hop]:
        price = dict.fromkeys(sources, 0)
        queue = deque(sources)
        while queue:
            member = queue.popleft()
            if self._done >> member & 1:
                continue
            if targets >> member & 1:
                return self._way_to(member)
            self._done |= 1 << member
            for hop, cost in self._replacements(member):
                if price.get(hop.entering, 1 << 62) <= price[member] + cost:
                    continue
                price[hop.entering] = price[member] + cost
                self._last[hop.entering] = hop
                if cost:
                    queue.append(hop.entering)
                    continue
                if targets >> hop.entering & 1:
                    return self._way_to(hop.entering)
                queue.appendleft(hop.entering)
        return []

    def _replacements(self, leaving: int) -> Iterator[tuple[Hop, int]]:
        """One for each member that may take something from `leaving`, or two: paid, then free."""
        free_seen = paid_seen = self._done
        for partition in self._assignment.held[leaving]:
            openings = self._assignment.openings(partition, leaving)
            free = openings & self._assignment.free_of_charge(partition, leaving)
            paid = openings & ~free & ~free_seen & ~paid_seen
            free &= ~free_seen
            for cost, members in ((0, free), (1, paid)):
                for entering in bits(members):
                    yield Hop(partition, leaving, entering), cost
            free_seen |= free
            paid_seen |= paid

    def _way_to(self, member: int) -> list[Hop]:
        hops = []
        while (hop := self._last.get(member)) is not None:
            hops.append(hop)
            member = hop.leaving
        return hops[::-1]
