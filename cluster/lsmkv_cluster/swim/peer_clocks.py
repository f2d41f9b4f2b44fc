"""How far a peer's wall clock is from ours, as one exchange of messages tells.

The peer read its clock somewhere between our question and its answer, so the offset is known up to
half the round trip, and up to the millisecond in which clocks are read. The better of two samples
is the one with the smaller error; a known one loses worth with age, because clocks drift, and is
thrown away when a new one contradicts it: one of the clocks has been set.

A clock that is set is noticed at once, as deadlines travel in wall time. One's own no longer agrees
with the monotonic one: all offsets move by the difference, and the others are told. A peer's does
not agree with what it says in its next message: one that is ahead of what it should be is believed
until it is measured again; one that is behind may as well come from a message that was long on its
way, so the peer is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lsmkv_cluster.ports import Now

__all__ = ["DRIFT_PPM", "ClockOffset", "OwnClock", "better", "heard", "measured", "moved"]

HEARD_ERROR_MS = 500  # a message is on its way for no longer as a rule
SET_MIN_MS = 50  # a clock that moves by less in one step drifts, or is being slewed
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


def heard(known: ClockOffset | None, peer_wall_ms: int, now: Now) -> ClockOffset | None:
    """What is known after a message in which a peer says what time it is; None: it is to be asked
    again."""
    if known is None:
        return None
    said = ClockOffset(peer_wall_ms - now.wall_ms, HEARD_ERROR_MS, now.ms)
    ahead_ms, bound_ms = said.offset_ms - known.offset_ms, known.error_at(now.ms) + said.error_ms
    if ahead_ms > bound_ms:
        return said
    return None if ahead_ms < -bound_ms else known


def better(known: ClockOffset | None, new: ClockOffset) -> ClockOffset:
    if known is None:
        return new
    error_ms = known.error_at(new.measured_ms)
    contradicts = abs(known.offset_ms - new.offset_ms) > error_ms + new.error_ms
    return new if contradicts or new.error_ms <= error_ms else known


class OwnClock:
    """Tells when it is set."""

    def __init__(self) -> None:
        self._ahead_ms: int | None = None  # wall time of monotonic time

    def moved_ms(self, now: Now) -> int:
        """By how much it has been set since the last time, 0 if it has not been."""
        ahead_ms = now.wall_ms - now.ms
        before_ms = ahead_ms if self._ahead_ms is None else self._ahead_ms
        self._ahead_ms = ahead_ms
        moved_ms = ahead_ms - before_ms
        return moved_ms if abs(moved_ms) >= SET_MIN_MS else 0


def moved(known: ClockOffset, own_moved_ms: int) -> ClockOffset:
    """The same after the own clock has been set."""
    return replace(known, offset_ms=known.offset_ms - own_moved_ms)
