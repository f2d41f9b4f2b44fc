"""Virtual time goes from event to event: in order, never back, and never by itself."""

from __future__ import annotations

from tests.sim.loop import Loop


def test_events_come_in_order_of_time_then_of_planning():
    loop, seen = Loop(), []
    loop.at(30, seen.append, "late")
    loop.at(10, seen.append, "first")
    loop.at(10, seen.append, "second")
    loop.run_until(20)
    assert seen == ["first", "second"]
    assert loop.now_us == 20
    loop.run_until(30)
    assert seen[2:] == ["late"]
    assert loop.event_count == 3


def test_an_event_sees_its_own_time_and_may_plan_more():
    loop, seen = Loop(), []

    def tick() -> None:
        seen.append(loop.now_us)
        loop.after(5, tick)

    loop.after(5, tick)
    loop.run_until(17)
    assert seen == [5, 10, 15]


def test_what_lies_in_the_past_happens_now():
    loop, seen = Loop(), []
    loop.run_until(100)
    loop.at(50, lambda: seen.append(loop.now_us))
    loop.run_until(100)
    assert seen == [100]


def test_waiting_ends_with_the_condition_or_with_the_limit():
    loop, seen = Loop(), []
    loop.at(250, seen.append, 1)
    assert loop.run_while(lambda: not seen, 1000, 100)
    assert loop.now_us == 300
    assert not loop.run_while(lambda: True, 1000, 100)
    assert loop.now_us == 1000
