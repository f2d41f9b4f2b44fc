"""Scales put values where they belong, ticks are round, labels keep apart."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_bench.scene import Scale, linear_ticks, log_scale, log_ticks, spread_out


def test_equal_factors_are_equal_distances_on_a_log_scale() -> None:
    scale = Scale(1, 100, 200, 400)
    assert [scale(value) for value in (1, 10, 100)] == pytest.approx([200, 300, 400])
    assert [scale(value) for value in (0.1, 1000)] == pytest.approx([200, 400])


def test_a_linear_scale_may_run_upwards() -> None:
    scale = Scale(0, 10, 100, 0, log=False)
    assert [scale(value) for value in (0, 5, 10)] == pytest.approx([100, 50, 0])


@given(st.lists(st.floats(1e-3, 1e7), min_size=1))
def test_a_log_scale_holds_its_values_and_has_ticks(values: list[float]) -> None:
    scale = log_scale(values, 0, 100)
    assert scale.low <= min(values)
    assert max(values) <= scale.high
    assert scale.high / scale.low >= 1.99
    ticks = scale.ticks(6)
    assert 1 <= len(ticks) <= 6
    assert all(scale.low <= tick <= scale.high for tick in ticks)


def test_ticks_are_as_dense_as_fits() -> None:
    assert log_ticks(0.9, 5.5, 8) == [1, 1.5, 2, 3, 4, 5]
    assert log_ticks(0.9, 60, 8) == [1, 2, 5, 10, 20, 50]
    assert log_ticks(0.9, 600, 8) == [1, 3, 10, 30, 100, 300]
    assert log_ticks(0.9, 6e5, 8) == [1, 10, 100, 1000, 10000, 100000]
    assert log_ticks(0.009, 2e6, 5) == [0.01, 1, 100, 10000, 1000000]


@pytest.mark.parametrize(
    ("high", "ticks"),
    [(10, [0, 2, 4, 6, 8, 10]), (0.6, [0, 0.2, 0.4, 0.6]), (1, [0, 0.2, 0.4, 0.6, 0.8, 1])],
)
def test_linear_ticks(high: float, ticks: list[float]) -> None:
    assert linear_ticks(high, 5) == ticks


@given(st.lists(st.floats(0, 100), max_size=6))
def test_labels_keep_apart_and_in_order(places: list[float]) -> None:
    moved = spread_out(places, 12, 0, 100)
    pairs = sorted(zip(places, moved, strict=True))
    assert all(0 <= each <= 100.0001 for each in moved)
    ordered = sorted(moved)
    assert all(b - a >= 11.999 for a, b in pairwise(ordered))
    assert all(a[1] <= b[1] for a, b in pairwise(pairs) if a[0] < b[0])


def test_labels_that_have_room_stay() -> None:
    assert spread_out([50, 10, 90], 12, 0, 100) == [50, 10, 90]
