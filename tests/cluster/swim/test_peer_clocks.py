"""The offset of a peer's clock is known within the error that is stated."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.ports import Now
from lsmkv_cluster.swim.peer_clocks import (
    HEARD_ERROR_MS,
    ClockOffset,
    OwnClock,
    better,
    heard,
    measured,
    moved,
)


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


# --- clocks that are set


def test_a_message_from_ahead_tells_that_a_clock_was_set():
    known = ClockOffset(100, 2, 0)
    assert heard(known, 1_000_100, Now(500, 1_000_000)) is known
    assert heard(known, 1_000_599, Now(500, 1_000_000)) is known
    found = heard(known, 1_005_000, Now(500, 1_000_000))
    assert found == ClockOffset(5_000, HEARD_ERROR_MS, 500)
    assert better(found, ClockOffset(5_010, 3, 600)) == ClockOffset(5_010, 3, 600)


def test_a_message_from_behind_may_have_been_long_on_its_way():
    """Believing it would make requests live longer than they may: it is measured instead."""
    known = ClockOffset(100, 2, 1_000)
    assert heard(known, 999_600, Now(1_000, 1_000_000)) is known
    assert heard(known, 995_000, Now(1_000, 1_000_000)) is None


def test_the_own_clock_is_set_when_it_leaves_the_monotonic_one():
    clock = OwnClock()
    assert clock.moved_ms(Now(10, 1_000)) == 0
    assert clock.moved_ms(Now(5_010, 6_000)) == 0, "a pause is no jump"
    assert clock.moved_ms(Now(5_020, 6_000)) == 0, "slewed"
    assert clock.moved_ms(Now(5_020, 2_406_000)) == 2_400_000
    assert clock.moved_ms(Now(5_021, 2_406_001)) == 0
    assert clock.moved_ms(Now(5_022, 6_002)) == -2_400_000
    assert moved(ClockOffset(100, 2, 7), -2_400_000) == ClockOffset(2_400_100, 2, 7)
