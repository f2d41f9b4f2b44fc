"""Who holds what while a plan is being made: the one mutable value of the planner.

Partitions have `copies` holders each. A copy that nobody holds yet belongs to NOBODY, so that
giving it away is a replacement like any other. What a replacement may do, `openings` says; that
holds for owners (hosts and racks) and for first owners (one of the owners) alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["Assignment", "Openings"]

Openings = Callable[[int, Sequence[int]], int]  # (partition, other holders) -> who may join them


class Assignment:
    """Members are numbers from 0; `nobody` is the number after the last."""

    def __init__(
        self,
        member_count: int,
        copies: int,
        rows: Sequence[Sequence[int]],
        before: Sequence[int],
        openings: Openings,
    ) -> None:
        """`rows` are holders that keep the rules; `before` are the masks of those with a copy."""
        self.nobody = member_count
        self.copies = copies
        self.rows = [list(row) for row in rows]
        self.before = list(before)
        self.load = [0] * (member_count + 1)
        # Sets in the order of insertion: plans must not depend on anything else.
        self.held: list[dict[int, None]] = [{} for _ in range(member_count + 1)]
        self._openings = openings
        for partition, row in enumerate(self.rows):
            for holder in row:
                self._count(partition, holder)
            for _ in range(copies - len(row)):
                self._count(partition, self.nobody)

    def openings(self, partition: int, leaving: int) -> int:
        """Who may take the place of `leaving`."""
        row = self.rows[partition]
        others = row if leaving == self.nobody else [holder for holder in row if holder != leaving]
        return self._openings(partition, others) & ~(1 << leaving)

    def free_of_charge(self, partition: int, leaving: int) -> int:
        """Who may replace `leaving` without a copy more to be made than now."""
        before = self.before[partition]
        if leaving == self.nobody or before >> leaving & 1:
            return before
        return -1  # its own copy had to be made, too

    def is_unchanged(self, partition: int) -> bool:
        """Whether no copy of it has to be made."""
        before = self.before[partition]
        return all(before >> holder & 1 for holder in self.rows[partition])

    def missing(self, partition: int) -> int:
        return self.copies - len(self.rows[partition])

    def replace(self, partition: int, leaving: int, entering: int) -> None:
        """REQUIRES: `leaving` holds it (or is nobody, and a copy is missing), `entering` may."""
        row = self.rows[partition]
        if leaving == self.nobody:
            row.append(entering)
        else:
            row[row.index(leaving)] = entering
        self.load[leaving] -= 1
        if leaving != self.nobody or not self.missing(partition):
            del self.held[leaving][partition]
        self._count(partition, entering)

    def _count(self, partition: int, holder: int) -> None:
        self.load[holder] += 1
        self.held[holder][partition] = None
