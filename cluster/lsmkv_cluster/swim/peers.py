"""The other members in random orders: whom to probe next, whom to pick.

Everybody is probed once in a pass, in an order that differs from pass to pass: so a member is
probed at the latest after two passes, and no two members' probes stay in step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Random

__all__ = ["Peers"]

Wanted = Callable[[MemberId], bool]


class Peers:
    """All others, wanted or not."""

    __slots__ = ("_hurried", "_mixed", "_order", "_position", "_rng")

    def __init__(self, others: Sequence[MemberId], rng: Random) -> None:
        self._rng = rng
        self._mixed = list(others)
        self._order = list(others)
        self._position = len(others)
        self._hurried: dict[MemberId, None] = {}

    def hurry(self, member: MemberId) -> None:
        """Let it be the next one, beside its turn."""
        self._hurried[member] = None

    def next(self, is_wanted: Wanted) -> MemberId | None:
        """The next one to be probed, or nobody when none is wanted."""
        while self._hurried:
            member = next(iter(self._hurried))
            del self._hurried[member]
            if is_wanted(member):
                return member
        for _ in range(2 * len(self._order)):
            if self._position == len(self._order):
                self._order = self.pick(len(self._order), lambda _: True)
                self._position = 0
            member = self._order[self._position]
            self._position += 1
            if is_wanted(member):
                return member
        return None

    def pick(self, count: int, is_wanted: Wanted) -> list[MemberId]:
        """Up to `count` different ones, every choice as likely as any other.

        The first steps of a shuffle: of a thousand, three cost three steps when most are wanted.
        """
        mixed, randrange = self._mixed, self._rng.randrange
        found: list[MemberId] = []
        for index in range(len(mixed)):
            if len(found) == count:
                break
            other = index + randrange(len(mixed) - index)
            mixed[index], mixed[other] = mixed[other], mixed[index]
            if is_wanted(mixed[index]):
                found.append(mixed[index])
        return found
