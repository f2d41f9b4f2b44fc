"""Whose clock is beyond the bound on skew: an operator's business, told once for each time."""

from __future__ import annotations

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.swim.peer_clocks import ClockOffset
from lsmkv_cluster.versions.hlc import SKEW_LIMIT_MS

__all__ = ["ClockWatch"]


class ClockWatch:
    def __init__(self, limit_ms: int = SKEW_LIMIT_MS) -> None:
        self._limit_ms = limit_ms
        self._wild: set[MemberId] = set()

    def look(self, member: MemberId, clock: ClockOffset | None) -> str | None:
        """What to say of a member's clock, if there is something new."""
        is_wild = clock is not None and abs(clock.offset_ms) > self._limit_ms
        if is_wild == (member in self._wild):
            return None
        if is_wild:
            self._wild.add(member)
            return f"its clock is off by more than {self._limit_ms} ms"
        self._wild.discard(member)
        return "its clock is right again"
