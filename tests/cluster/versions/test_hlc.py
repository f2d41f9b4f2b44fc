"""The hybrid clock: ascending under any physical time, bounded against others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.versions.hlc import HybridClock, is_acceptable, stamp_from_ms, stamp_to_ms

LIMIT_MS = 500


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 10**6), st.integers(0, 10**6)), max_size=60)
)
def test_stamps_ascend_while_physical_time_jumps(events: list[tuple[bool, int, int]]):
    """Any sequence of own events and stamps from elsewhere, at any times."""
    clock = HybridClock(LIMIT_MS)
    newest, physical_max = 0, 0
    for is_own, now_ms, other_ms in events:
        physical_max = max(physical_max, now_ms)
        if is_own:
            stamp = clock.next(now_ms)
            assert stamp > newest
            newest = stamp
        elif clock.follow(stamp_from_ms(other_ms), now_ms):
            newest = max(newest, stamp_from_ms(other_ms))
        assert clock.last == newest
        assert stamp_to_ms(newest) <= physical_max + LIMIT_MS + 1


def test_stamps_follow_physical_time():
    clock = HybridClock(LIMIT_MS)
    assert [clock.next(7), clock.next(7), clock.next(9)] == [7 << 16, 7 << 16 | 1, 9 << 16]


def test_a_stamp_too_far_ahead_moves_nobody():
    clock = HybridClock(LIMIT_MS)
    assert clock.follow(stamp_from_ms(1500), 1000)
    assert not clock.follow(stamp_from_ms(1501), 1000)
    assert clock.refused_count == 1
    assert clock.next(1000) == stamp_from_ms(1500) + 1
    assert is_acceptable(stamp_from_ms(1500), 1000, LIMIT_MS)
    assert not is_acceptable(stamp_from_ms(1501), 1000, LIMIT_MS)


@pytest.mark.parametrize("jump_ms", [3_600_000, 10])
def test_a_clock_that_jumped_knows_by_how_much_it_leads(jump_ms: int):
    clock = HybridClock(LIMIT_MS)
    before = clock.next(1000 + jump_ms)
    assert clock.ahead_ms(1000) == jump_ms
    assert clock.next(1000) == before + 1
    assert clock.ahead_ms(1000 + 2 * jump_ms) == 0


def test_a_full_count_goes_on_into_the_next_millisecond():
    clock = HybridClock(LIMIT_MS, last=stamp_from_ms(5) + 0xFFFF)
    assert clock.next(5) == stamp_from_ms(6)
