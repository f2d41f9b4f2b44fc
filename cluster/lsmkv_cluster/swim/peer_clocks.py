"""How far a peer's wall clock is from ours, as one exchange of messages tells.

The peer read its clock somewhere between our question and its answer, so the offset is known up to
half the round trip, and up to the millisecond in which clocks are read. The better of two samples
is the one with the smaller error; a known one loses worth with age, because clocks drift, and is
thrown away when a new one contradicts it: one of the clocks has been set.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DRIFT_PPM", "ClockOffset", "better", "measured"]

DRIFT_PPM = 100  # of two ordinary crystals against each other


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """The peer's clock minus ours is `offset_ms`, give or take `error_ms`."""

    offset_ms: int
    error_ms: int
    measured_ms: int  # monotonic

    def error_at(self, now_ms: int) -> int:
        return self.error_ms + (now_ms - self.measured_ms) * DRIFT_PPM // 1_000_000


def measured(asked_wall_ms: int, peer_wall_ms: int, round_trip_ms: int, now_ms: int) -> ClockOffset:
    """`round_trip_ms` is monotonic: our own wall clock may have been set meanwhile."""
    offset_ms = peer_wall_ms - asked_wall_ms - round_trip_ms // 2
    return ClockOffset(offset_ms, (round_trip_ms + 1) // 2 + 1, now_ms)


def better(known: ClockOffset | None, new: ClockOffset) -> ClockOffset:
    if known is None:
        return new
    error_ms = known.error_at(new.measured_ms)
    contradicts = abs(known.offset_ms - new.offset_ms) > error_ms + new.error_ms
    return new if contradicts or new.error_ms <= error_ms else known
