"""How long a suspicion lasts, and how it ends: arithmetic without a timer.

A suspicion begins with one accuser and `max_ms` to go. Every further accuser, by its own failed
probe, takes time off:

    timeout = max - (max - min) * log(confirmations + 1) / log(needed + 1)

When it is over, the member is dead if the confirmations that are needed have come, and otherwise
out of reach for those alone whose own probe failed. Needed are two, or everybody whom there is to
ask when they are fewer: `live - 2`, for neither the accuser nor the accused counts. In a cluster of
two nobody can confirm: waiting for it would be in vain, and nobody is ever called dead.

    live members  2    3    4    5    more
    needed        0    1    2    2    2
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import log, log10

__all__ = [
    "CONFIRMATIONS_MAX",
    "Timeouts",
    "Verdict",
    "confirmations_needed",
    "judge",
    "timeout_ms",
    "timeouts",
]

CONFIRMATIONS_MAX = 2


@dataclass(frozen=True, slots=True)
class Timeouts:
    min_ms: int
    max_ms: int


class Verdict(Enum):
    OPEN = "open"
    CONFIRMED = "confirmed"
    EXPIRED = "expired"


def timeouts(member_count: int, interval_ms: int, multiplier: int, max_multiplier: int) -> Timeouts:
    """The bounds in a cluster of this size: news needs log(members) rounds to reach everybody, and
    the accused's answer as many to come back."""
    min_ms = int(multiplier * max(1.0, log10(max(1, member_count))) * interval_ms)
    return Timeouts(min_ms, max_multiplier * min_ms)


def confirmations_needed(live_count: int) -> int:
    """`live_count` has everybody who is not known to be dead or to have left, oneself included."""
    return max(0, min(CONFIRMATIONS_MAX, live_count - 2))


def timeout_ms(bounds: Timeouts, confirmations: int, needed: int) -> int:
    """From the first accusation to the end of the suspicion."""
    if confirmations >= needed:
        return bounds.min_ms
    share = log(confirmations + 1) / log(needed + 1)
    return max(bounds.min_ms, round(bounds.max_ms - share * (bounds.max_ms - bounds.min_ms)))


def judge(bounds: Timeouts, waited_ms: int, confirmations: int, needed: int) -> Verdict:
    if waited_ms < timeout_ms(bounds, confirmations, needed):
        return Verdict.OPEN
    return Verdict.CONFIRMED if 0 < needed <= confirmations else Verdict.EXPIRED
