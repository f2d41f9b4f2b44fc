"""The clocks of this machine, as nodes read them."""

from __future__ import annotations

import time

from lsmkv_cluster.ports import Now

__all__ = ["SystemClock"]

_MS = 1_000_000  # nanoseconds


class SystemClock:
    """Monotonic time goes on while the machine sleeps, so that a node notices that it did."""

    def now(self) -> Now:
        return Now(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _MS + 1, time.time_ns() // _MS)

    @property
    def wall_ms(self) -> int:
        return time.time_ns() // _MS
