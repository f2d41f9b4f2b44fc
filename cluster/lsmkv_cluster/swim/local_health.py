"""How far this node may trust its own timers: Lifeguard's local health.

0 is healthy. A node that misses answers which it should have got is more likely to be slow itself
than to be surrounded by failures, so it waits longer before it accuses anybody: all its times of
probing are multiplied by score + 1. What moves the score:

    a probe succeeded                      -1
    a probe failed                         +1 for each relay that did not report at all, or +1
                                           when there was none to ask
    this node was accused, and refutes     +1
    a tick came late                       +1, and +1 for each interval it was late
"""

from __future__ import annotations

__all__ = ["LocalHealth"]


class LocalHealth:
    """The score, from 0 to `score_max`."""

    __slots__ = ("_score", "_score_max")

    def __init__(self, score_max: int) -> None:
        self._score = 0
        self._score_max = score_max

    @property
    def score(self) -> int:
        return self._score

    def note(self, change: int) -> None:
        self._score = min(self._score_max, max(0, self._score + change))

    def scaled(self, time_ms: int) -> int:
        return time_ms * (self._score + 1)
