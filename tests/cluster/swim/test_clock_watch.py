"""A clock that leaves the bound is told once, and so is its return."""

from __future__ import annotations

from lsmkv_cluster.swim.clock_watch import ClockWatch
from lsmkv_cluster.swim.peer_clocks import ClockOffset


def test_each_change_is_told_once() -> None:
    watch = ClockWatch(limit_ms=100)
    told = [
        watch.look(member, None if offset is None else ClockOffset(offset, 0, 0))
        for member, offset in (
            (b"a", None), (b"a", 100), (b"a", 101), (b"a", 300), (b"b", -101), (b"a", -100),
            (b"a", 5),
        )
    ]  # fmt: skip
    off, right = "its clock is off by more than 100 ms", "its clock is right again"
    assert told == [None, None, off, None, off, right, None]
