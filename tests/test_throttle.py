"""The token bucket: writers settle at the measured rate, pauses are short, quiet times are not
saved up."""

from __future__ import annotations

import pytest

from lsmkv.throttle import BURST_S, PAUSE_MAX_S, RATE_MIN, Throttle


def run(throttle: Throttle, pressure: float, seconds: float, write_bytes: int = 1000) -> float:
    """Write as fast as the pauses allow, each write taking 1 us; the bytes per second reached."""
    now_s, written = 100.0, 0
    end_s = now_s + seconds
    while now_s < end_s:
        pause_s = throttle.pause_s(now_s, written, pressure)
        assert 0 <= pause_s <= PAUSE_MAX_S
        now_s += pause_s + 1e-6
        written += write_bytes
    return written / seconds


def measured(rate: int) -> Throttle:
    throttle = Throttle()
    for second in range(20):
        throttle.flushed(float(second), rate, was_waited_for=True)
    return throttle


@pytest.mark.parametrize(("pressure", "share"), [(0.0, 1.0), (0.5, 0.5), (0.9, 0.1)])
def test_writers_settle_at_the_scaled_rate(pressure: float, share: float) -> None:
    throttle = measured(50 << 20)
    assert throttle.rate_bytes_per_s == pytest.approx(50 << 20, rel=0.01)
    reached = run(throttle, pressure, 2.0)
    assert reached == pytest.approx(share * (50 << 20), rel=0.1)


def test_full_pressure_leaves_the_minimum_rate() -> None:
    assert run(measured(50 << 20), 1.0, 2.0) == pytest.approx(RATE_MIN, rel=0.2)


def test_slow_writers_are_not_paused() -> None:
    throttle = measured(50 << 20)
    for step in range(1000):
        assert throttle.pause_s(100.0 + step * 0.001, step * 1000, 0.5) == 0.0


def test_quiet_time_is_saved_up_only_for_a_moment() -> None:
    throttle = measured(50 << 20)
    run(throttle, 0.5, 1.0)
    assert throttle.pause_s(500.0, 10**9, 0.5) == 0.0
    burst = int(BURST_S * (25 << 20))
    assert throttle.pause_s(500.001, 10**9 + 2 * burst, 0.5) > 0


def test_a_flush_nobody_waited_for_says_nothing_of_the_rate() -> None:
    throttle = measured(50 << 20)
    throttle.flushed(1000.0, 1, was_waited_for=False)
    assert throttle.rate_bytes_per_s == pytest.approx(50 << 20, rel=0.01)
