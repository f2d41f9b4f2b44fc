"""Commands that have not come in whole, of all clients together: how much of them is held.

A client may begin a large command, and many clients may. Those who have sent much count; once they
hold too much together, they have turns: two are read from, in the order in which they began, until
there are no more than two. Who has its turn and sends nothing has to go. So a flood of halves takes
little memory, and who sends all of a large command gets it through.

Small commands never wait here.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Protocol

__all__ = ["LARGE_SIZE", "Holder", "InputBudget"]

LARGE_SIZE = 64 << 10  # bytes that came and were not carried out, from which on a client counts
TURNS = 2  # at a time: each may send megabytes before it is looked at again
STALLED_S = 2.0  # that one may send nothing while it is its turn


class Holder(Protocol):
    """A connection."""

    def reconsider_reading(self) -> None:
        """It may be read from again, or not any more."""

    def give_up(self, why: str) -> None: ...


class InputBudget:
    """`later` calls a function when nothing else is under way."""

    def __init__(self, size_max: int, later: Callable[[Callable[[], None]], object]) -> None:
        self._size_max = size_max
        self._later = later
        self._held: dict[Holder, int] = {}  # in the order of their beginning
        self._seen: dict[Holder, tuple[int, float]] = {}  # whose turn it is: how much, since when
        self._is_planned = False
        self.is_tight = False  # there are turns
        self.total = 0  # bytes

    def holds(self, holder: Holder, size: int) -> bool:
        """So much of it is there now. Whether it counts."""
        before = self._held.get(holder, 0)
        counted = size if size > LARGE_SIZE else 0
        self.total += counted - before
        if counted:
            self._held[holder] = counted
            self.is_tight = self.is_tight or self.total > self._size_max
        elif before:
            del self._held[holder]
            if self.is_tight:
                self.is_tight = len(self._held) > TURNS
                self._plan()
        return bool(counted)

    def may_read(self, holder: Holder) -> bool:
        return not self.is_tight or holder not in self._held or holder in self._first()

    def look(self, now_s: float) -> None:
        """Now and then: those who have their turn, and send nothing, make room."""
        before, self._seen = self._seen, {}
        for holder in self._first() if self.is_tight else []:
            size, since_s = before.get(holder, (0, now_s))
            if size != self._held[holder]:
                self._seen[holder] = self._held[holder], now_s
            elif now_s - since_s <= STALLED_S:
                self._seen[holder] = size, since_s
            else:
                self.holds(holder, 0)
                holder.give_up("it does not end its command, and others wait for the memory")

    def _first(self) -> list[Holder]:
        return list(islice(self._held, TURNS))

    def _plan(self) -> None:
        if not self._is_planned:
            self._is_planned = True
            self._later(self._reconsider)

    def _reconsider(self) -> None:
        self._is_planned = False
        for holder in self._first():
            holder.reconsider_reading()
