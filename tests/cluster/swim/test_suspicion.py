"""Suspicions last as long as memberlist's, and bury only with the confirmations that are needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.swim.suspicion import (
    Timeouts,
    Verdict,
    confirmations_needed,
    judge,
    timeout_ms,
    timeouts,
)

BOUNDS = Timeouts(4000, 24_000)


@pytest.mark.parametrize(
    ("members", "expected"),
    [(1, (4000, 24_000)), (10, (4000, 24_000)), (100, (8000, 48_000)), (1000, (12_000, 72_000))],
)
def test_bounds_grow_with_the_logarithm_of_the_members(members: int, expected: tuple[int, int]):
    assert timeouts(members, 1000, 4, 6) == Timeouts(*expected)


def test_two_confirmations_or_everybody_who_could_confirm():
    assert [confirmations_needed(live) for live in range(7)] == [0, 0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("confirmations", "needed", "expected"),
    [
        (0, 2, 24_000),
        (1, 2, 11_381),  # log 2 / log 3 of the way
        (2, 2, 4000),
        (0, 1, 24_000),
        (1, 1, 4000),
        (0, 0, 4000),  # nobody to wait for
    ],
)
def test_each_confirmation_takes_time_off(confirmations: int, needed: int, expected: int):
    assert timeout_ms(BOUNDS, confirmations, needed) == expected
    before = judge(BOUNDS, expected - 1, confirmations, needed)
    assert before is Verdict.OPEN
    is_confirmed = 0 < needed <= confirmations
    after = judge(BOUNDS, expected, confirmations, needed)
    assert after is (Verdict.CONFIRMED if is_confirmed else Verdict.EXPIRED)


@given(st.integers(0, 5), st.integers(0, 2), st.integers(0, 10**6))
def test_nobody_is_buried_without_the_others(confirmations: int, needed: int, waited_ms: int):
    verdict = judge(BOUNDS, waited_ms, confirmations, needed)
    assert BOUNDS.min_ms <= timeout_ms(BOUNDS, confirmations, needed) <= BOUNDS.max_ms
    if verdict is Verdict.CONFIRMED:
        assert 0 < needed <= confirmations
        assert waited_ms >= BOUNDS.min_ms
