"""How long a writer pauses under pressure: a token bucket over the measured rate of the background.

Writers spend a token per byte; tokens come at the rate at which memtables have lately been turned
into tables, scaled down as the pressure rises. Where that balances, writers go as fast as the
background can follow, and nobody is stopped. A pure machine: the time is an argument, sleeping is
the caller's.
"""

from __future__ import annotations

__all__ = ["Throttle"]

RATE_MIN = 1 << 20  # bytes per second, also before anything was measured under pressure
RATE_UNKNOWN = 64 << 20
PAUSE_MIN_S = 0.0005  # shorter debts are collected: a timer cannot be that precise
PAUSE_MAX_S = 0.010  # the longest a single write is paused
BURST_S = 0.020  # how much unused time may be saved up


class Throttle:
    """One per database. Not locked: callers hold the GIL."""

    def __init__(self) -> None:
        self._rate = float(RATE_UNKNOWN)
        self._flushed_at_s: float | None = None
        self._written_bytes = 0
        self._refilled_at_s = 0.0
        self._tokens = 0.0

    @property
    def rate_bytes_per_s(self) -> float:
        """The measured rate of the background: bytes of memtable that became tables, per second."""
        return self._rate

    def flushed(self, now_s: float, size_bytes: int, was_waited_for: bool) -> None:
        """A flush of so many bytes has ended. Only one that writers were ahead of says what the
        rate can be."""
        previous, self._flushed_at_s = self._flushed_at_s, now_s
        if previous is None or not was_waited_for or now_s <= previous:
            return
        measured = size_bytes / (now_s - previous)
        self._rate = max(RATE_MIN, 0.5 * self._rate + 0.5 * measured)

    def pause_s(self, now_s: float, written_bytes: int, pressure: float) -> float:
        """How long the next writer should sleep. `written_bytes`: total so far; `pressure`: 0 to
        1."""
        rate = max(RATE_MIN, self._rate * (1.0 - pressure))
        elapsed_s = min(now_s - self._refilled_at_s, BURST_S)
        spent = written_bytes - self._written_bytes
        if now_s - self._refilled_at_s > 1.0:
            spent = (
                0  # the first write under pressure after a quiet time: start with an empty bucket
            )
        self._refilled_at_s = now_s
        self._written_bytes = written_bytes
        self._tokens = min(self._tokens + elapsed_s * rate, BURST_S * rate) - spent
        pause_s = -self._tokens / rate
        return min(pause_s, PAUSE_MAX_S) if pause_s >= PAUSE_MIN_S else 0.0
