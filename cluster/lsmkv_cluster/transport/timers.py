"""When to look at which call again: one timer for each, the next one first.

Setting a timer replaces that of the same number, stopping costs nothing but an entry that stays in
the heap until its time; once most of a heap are such entries it is made anew. So what is kept grows
with the timers that run, however far away the deadlines of those that were stopped.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

__all__ = ["Timers"]

STALE_MAX = 64  # stopped timers that are kept in any case


class Timers:
    """Numbers are the caller's."""

    __slots__ = ("_due", "_heap")

    def __init__(self) -> None:
        self._due: dict[int, int] = {}
        self._heap: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._due)

    def start(self, number: int, due_ms: int) -> None:
        self._due[number] = due_ms
        heappush(self._heap, (due_ms, number))
        if len(self._heap) > 2 * len(self._due) + STALE_MAX:
            self._heap = [(due_ms, number) for number, due_ms in self._due.items()]
            heapify(self._heap)

    def stop(self, number: int) -> None:
        self._due.pop(number, None)

    def take_due(self, now_ms: int) -> list[int]:
        """The numbers whose time has come, in order; their timers are gone."""
        found: list[int] = []
        while self._heap and self._heap[0][0] <= now_ms:
            due_ms, number = heappop(self._heap)
            if self._due.get(number) == due_ms:
                del self._due[number]
                found.append(number)
        return found

    def next_deadline(self) -> int | None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None
