"""The other members in random orders: whom to probe next, whom to pick.

Everybody is probed once in a pass, in an order that differs from pass to pass: so a member is
probed at the latest after two passes, and no two members' probes stay in step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Random

__all__ = ["Peers", "others_of"]

Wanted = Callable[[MemberId], bool]


def others_of(members: Sequence[MemberId], me: MemberId) -> list[MemberId]:
    """ValueError unless the members are different and this node is one of them."""
    others = [member for member in members if member != me]
    if len(set(others)) != len(members) - 1:
        raise ValueError("the members must be different, and this node one of them")
    return others


class Peers:
    """All others, wanted or not."""

    __slots__ = ("_hurried", "_mixed", "_order", "_position", "_rng")

    def __init__(self, others: Sequence[MemberId], rng: Random) -> None:
        self._rng = rng
        self._mixed = list(others)
        self._order = list(others)
        self._position = len(others)
        self._hurried: dict[MemberId, None] = {}

    def follow(self, others: Sequence[MemberId]) -> None:
        """These are the others now. New ones get their turn within this pass, somewhere in it."""
        known, kept = set(self._mixed), set(others)
        done = [member for member in self._order[: self._position] if member in kept]
        ahead = [member for member in self._order[self._position :] if member in kept]
        self._mixed = [member for member in self._mixed if member in kept]
        for member in others:
            if member not in known:
                self._mixed.append(member)
                ahead.insert(self._rng.randrange(len(ahead) + 1), member)
        self._order, self._position = done + ahead, len(done)
        self._hurried = {member: None for member in self._hurried if member in kept}

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
