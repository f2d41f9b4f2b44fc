"""A bounded hybrid logical clock: stamps that follow physical time and never run backwards.

A stamp is one integer, milliseconds << 16 | count. What holds:
- each stamp is larger than every stamp that this clock has given or followed before;
- a stamp from elsewhere is followed only while it is at most `skew_limit_ms` ahead of the own
  physical time. One beyond that is refused and counted: a node with a wild clock is noticed, and
  nobody else's clock runs off with it.
A physical clock that jumps ahead takes this one with it, and back only in physical time:
`ahead_ms` says by how much stamps lead, so that the node can report itself.

Order between two writes of one key never rests on this alone: a version that supersedes another is
newer whatever their stamps (see minting.py, which also keeps stamps ascending along each key).
"""

from __future__ import annotations

__all__ = [
    "COUNT_BITS",
    "SKEW_LIMIT_MS",
    "STAMP_MAX",
    "HybridClock",
    "is_acceptable",
    "stamp_from_ms",
    "stamp_to_ms",
]

COUNT_BITS = 16
SKEW_LIMIT_MS = 5_000
STAMP_MAX = (1 << 64) - 1


def stamp_from_ms(time_ms: int) -> int:
    """The first stamp of a millisecond."""
    return time_ms << COUNT_BITS


def stamp_to_ms(stamp: int) -> int:
    return stamp >> COUNT_BITS


def is_acceptable(stamp: int, now_ms: int, skew_limit_ms: int = SKEW_LIMIT_MS) -> bool:
    """Whether a stamp from elsewhere lies within the bound on skew."""
    return stamp_to_ms(stamp) <= now_ms + skew_limit_ms


class HybridClock:
    """One node's clock. `last` is the largest stamp given or followed so far."""

    def __init__(self, skew_limit_ms: int = SKEW_LIMIT_MS, last: int = 0) -> None:
        self.skew_limit_ms = skew_limit_ms
        self.last = last
        self.refused_count = 0

    def next(self, now_ms: int) -> int:
        """A stamp for an event of this node."""
        self.last = max(self.last + 1, stamp_from_ms(now_ms))
        return self.last

    def follow(self, stamp: int, now_ms: int) -> bool:
        """Take notice of a stamp from elsewhere; False when it is too far ahead to follow."""
        if not is_acceptable(stamp, now_ms, self.skew_limit_ms):
            self.refused_count += 1
            return False
        self.last = max(self.last, stamp)
        return True

    def ahead_ms(self, now_ms: int) -> int:
        """By how much the stamps lead physical time, 0 when they do not."""
        return max(0, stamp_to_ms(self.last) - now_ms)
