"""Timers come due once, in order, at the time that was set last; stopped ones do not pile up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.transport.timers import STALE_MAX, Timers

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 5), st.integers(0, 20)),
        st.tuples(st.just("stop"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("take"), st.just(0), st.integers(0, 20)),
    ),
    max_size=60,
)


@given(STEPS)
def test_timers_are_a_mapping_from_number_to_time(steps):
    timers = Timers()
    model: dict[int, int] = {}
    for step, number, ms in steps:
        if step == "start":
            timers.start(number, ms)
            model[number] = ms
        elif step == "stop":
            timers.stop(number)
            model.pop(number, None)
        else:
            due = sorted((due_ms, number) for number, due_ms in model.items() if due_ms <= ms)
            assert timers.take_due(ms) == [number for _, number in due]
            for _, taken in due:
                del model[taken]
        assert timers.next_deadline() == min(model.values(), default=None)
        assert len(timers) == len(model)


def test_a_timer_that_is_set_twice_to_one_time_comes_due_once():
    timers = Timers()
    timers.start(1, 10)
    timers.start(1, 10)
    assert timers.take_due(10) == [1]
    assert timers.next_deadline() is None


def test_what_was_stopped_does_not_pile_up():
    timers = Timers()
    timers.start(0, 1 << 40)
    for number in range(1, 10_000):
        timers.start(number, 1 << 30)
        timers.stop(number)
        assert len(timers._heap) <= 2 * (len(timers) + 1) + STALE_MAX
    assert timers.next_deadline() == 1 << 40
