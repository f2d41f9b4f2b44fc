"""How fast others answer: whom to ask first, when to ask somebody else as well, and how often.

Each member has a moving average, by which readers are ordered; a member nobody has asked yet comes
before slow ones, so that it is tried. All answers together make a histogram that forgets, from
which the 95th percentile is read: a read that waits longer than that may be hedged, while the
budget lasts. (Dean and Barroso, The Tail at Scale, 2013.)
"""

from __future__ import annotations

from collections.abc import Iterable

from lsmkv_cluster.placement.members import MemberId

__all__ = ["HEDGE_SHARE", "HedgeBudget", "Latencies"]

HEDGE_SHARE = 0.05  # of all reads
BURST = 10.0  # hedges that may be saved up
WEIGHT = 0.1  # of the newest answer in the average
BUCKETS = 24  # powers of two of a millisecond and below
DECAY_AT = 4096  # answers, then all counts are halved
PERCENTILE = 0.95


class Latencies:
    """Answers so far, in milliseconds."""

    def __init__(self) -> None:
        self._average: dict[MemberId, float] = {}
        self._counts = [0] * BUCKETS
        self._total = 0

    def note(self, member: MemberId, elapsed_ms: int) -> None:
        before = self._average.get(member)
        self._average[member] = (
            float(elapsed_ms) if before is None else before + WEIGHT * (elapsed_ms - before)
        )
        self._counts[min(elapsed_ms.bit_length(), BUCKETS - 1)] += 1
        self._total += 1
        if self._total >= DECAY_AT:
            self._counts = [count // 2 for count in self._counts]
            self._total = sum(self._counts)

    def average_ms(self, member: MemberId) -> float:
        return self._average.get(member, 0.0)

    def fastest_first(self, members: Iterable[MemberId]) -> list[MemberId]:
        """Equal ones stay in the order given."""
        return sorted(members, key=self.average_ms)

    def percentile_ms(self) -> int:
        """The upper end of the bucket that the 95th percentile falls into; 0 without answers."""
        rank = self._total * PERCENTILE
        for bits, count in enumerate(self._counts):
            rank -= count
            if rank < 0:
                return 1 << bits
        return 0


class HedgeBudget:
    """Each read earns a twentieth of a hedge."""

    def __init__(self, share: float = HEDGE_SHARE) -> None:
        self._share = share
        self._tokens = 1.0
        self.spent = 0

    def earn(self, reads: int = 1) -> None:
        self._tokens = min(BURST, self._tokens + self._share * reads)

    def spend(self) -> bool:
        if self._tokens < 1:
            return False
        self._tokens -= 1
        self.spent += 1
        return True
