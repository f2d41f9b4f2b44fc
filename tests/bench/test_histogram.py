"""The histogram: bounds are close and never too low, percentiles are those of the sorted values."""

from __future__ import annotations

import random

import pytest

from lsmkv_bench.histogram import LINEAR_BITS, Histogram, bucket_of, upper_bound


@pytest.mark.parametrize("value", [0, 1, 63, 64, 65, 127, 128, 1000, 123_456_789, (1 << 40) + 7])
def test_a_bound_is_at_or_at_most_a_thirtysecond_above_the_value(value: int) -> None:
    bound = upper_bound(bucket_of(value))
    assert value <= bound <= value + value / 32
    assert bucket_of(bound) == bucket_of(value)
    assert bucket_of(bound + 1) == bucket_of(value) + 1


def test_small_values_have_a_bucket_each() -> None:
    assert [upper_bound(bucket_of(value)) for value in range(1 << LINEAR_BITS)] == list(
        range(1 << LINEAR_BITS)
    )


@pytest.mark.parametrize("percent", [50, 99, 99.9, 100])
def test_percentiles_are_those_of_the_sorted_values(percent: float) -> None:
    source = random.Random(3)
    values = [int(source.lognormvariate(8, 2)) for _ in range(10_000)]
    histogram = Histogram()
    for start in range(0, len(values), 999):
        histogram.add(values[start : start + 999])
    exact = sorted(values)[max(0, -(-len(values) * percent // 100).__trunc__() - 1)]
    assert exact <= histogram.percentile(percent) <= exact * 33 / 32
    assert histogram.count == len(values)


def test_the_summary_is_in_microseconds_and_keeps_the_longest_exactly() -> None:
    histogram = Histogram()
    histogram.add([1_000] * 99 + [1_234_567])
    latency = histogram.summary()
    assert latency.p50 == pytest.approx(1, rel=1 / 32)
    assert latency.longest == latency.p99_99 == 1234.567
    assert [count for _, count in latency.counts] == [99, 1]
    assert histogram.percentile(100) == 1_234_567


def test_an_empty_histogram_is_all_zero() -> None:
    assert Histogram().summary().longest == 0
