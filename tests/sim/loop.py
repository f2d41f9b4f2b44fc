"""Virtual time: a heap of what happens next, and nothing that ticks.

Times are microseconds since the start of a run. What is due at the same time happens in the order
in which it was planned. A plan cannot be taken back; whoever made it looks, when it comes due,
whether it still holds.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

__all__ = ["MS", "SECOND", "WALL_START_MS", "Loop", "true_ms"]

MS = 1000  # microseconds
SECOND = 1_000_000
WALL_START_MS = 1_700_000_000_000


def true_ms(time_us: int) -> int:
    """What clocks show then that are right."""
    return WALL_START_MS + time_us // MS


class Loop:
    def __init__(self) -> None:
        self.now_us = 0
        self.event_count = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._planned = 0

    def at(self, time_us: int, action: Callable[..., None], *arguments: Any) -> None:
        """What lies in the past happens now."""
        self._planned += 1
        now_us = self.now_us
        heapq.heappush(
            self._heap,
            (time_us if time_us > now_us else now_us, self._planned, action, arguments),
        )

    def after(self, delay_us: int, action: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now_us + delay_us, action, *arguments)

    def run_until(self, time_us: int) -> None:
        """Everything that is due up to this time, and then it is this time."""
        heap, pop = self._heap, heapq.heappop
        count = 0
        while heap and heap[0][0] <= time_us:
            self.now_us, _, action, arguments = pop(heap)
            action(*arguments)
            count += 1
        self.event_count += count
        self.now_us = max(self.now_us, time_us)

    def run_while(self, condition: Callable[[], bool], limit_us: int, step_us: int) -> bool:
        """Run in steps until the condition fails, True, or the limit is reached, False."""
        while condition():
            if self.now_us >= limit_us:
                return False
            self.run_until(min(limit_us, self.now_us + step_us))
        return True
