"""The offset of a peer's clock is known within the error that is stated."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.swim.peer_clocks import ClockOffset, better, measured


@given(
    st.floats(-1e6, 1e6), st.floats(0, 5000), st.floats(0, 5000), st.floats(1.8e12, 1.8e12 + 1e6)
)
def test_the_true_offset_is_within_the_error(
    offset: float, there: float, back: float, asked: float
):
    """Clocks are read as whole milliseconds, and the ways there and back differ."""
    peer_wall_ms = int(asked + there + offset)
    round_trip_ms = int(asked + there + back) - int(asked)
    found = measured(int(asked), peer_wall_ms, round_trip_ms, 0)
    assert abs(found.offset_ms - offset) <= found.error_ms
    assert found.error_ms <= (there + back) / 2 + 2


def test_the_sample_with_the_smaller_error_is_kept():
    good, poor = ClockOffset(100, 2, 0), ClockOffset(130, 40, 1000)
    assert better(None, poor) is poor
    assert better(good, poor) is good
    assert better(poor, ClockOffset(100, 2, 1000)).error_ms == 2


def test_a_contradiction_means_that_a_clock_was_set():
    known, new = ClockOffset(100, 2, 0), ClockOffset(5000, 40, 1000)
    assert better(known, new) is new


def test_a_known_offset_loses_worth_with_age():
    known = ClockOffset(100, 2, 0)
    assert better(known, ClockOffset(110, 10, 79_000)) is known
    later = ClockOffset(110, 10, 81_000)
    assert better(known, later) is later
