"""Who is slow with what was forwarded to it: known from its answers, and from their absence.

Each member has a moving average of what its answers took; it counts no more when it is old, so that
who was slow is tried again. What is still unanswered counts as well: a member that has stopped
answering is slow long before the first deadline comes. Slow is who takes much longer than the
fastest of those that there are to choose from, and not merely longer: the first owner of a key
should go on being the one that writes it.
"""

from __future__ import annotations

from collections.abc import Collection

from lsmkv_cluster.placement.members import MemberId

__all__ = ["Pace"]

SLOW_MIN_MS = 50
SLOW_FACTOR = 4
FORGET_MS = 10_000
WEIGHT = 0.2  # of the newest answer in the average


class Pace:
    def __init__(self) -> None:
        self._averages: dict[MemberId, tuple[int, float]] = {}  # with when it was noted last
        self._open: dict[MemberId, dict[int, int]] = {}  # by number: since when, the oldest first

    def began(self, now_ms: int, number: int, member: MemberId) -> None:
        self._open.setdefault(member, {})[number] = now_ms

    def ended(self, now_ms: int, number: int, member: MemberId, *, counts: bool) -> None:
        """`counts`: it was carried out, or not answered. A quick refusal is no sign of speed."""
        waiting = self._open[member]
        elapsed_ms = now_ms - waiting.pop(number)
        if not waiting:
            del self._open[member]
        if counts:
            noted_ms, before = self._averages.get(member, (0, float(elapsed_ms)))
            if now_ms >= noted_ms + FORGET_MS:
                before = float(elapsed_ms)
            self._averages[member] = now_ms, before + WEIGHT * (elapsed_ms - before)

    def slow(self, now_ms: int, members: Collection[MemberId]) -> set[MemberId]:
        expected = {member: self._expected_ms(now_ms, member) for member in members}
        limit_ms = max(SLOW_MIN_MS, SLOW_FACTOR * min(expected.values(), default=0))
        return {member for member, ms in expected.items() if ms > limit_ms}

    def _expected_ms(self, now_ms: int, member: MemberId) -> float:
        noted_ms, average = self._averages.get(member, (0, 0.0))
        if now_ms >= noted_ms + FORGET_MS:
            average = 0.0
        waiting = self._open.get(member)
        return max(average, now_ms - next(iter(waiting.values()))) if waiting else average
