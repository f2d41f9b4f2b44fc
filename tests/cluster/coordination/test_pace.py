"""Slow is who takes much longer than others: by its answers, or because none comes; for a while."""

from __future__ import annotations

from lsmkv_cluster.coordination.pace import FORGET_MS, SLOW_FACTOR, SLOW_MIN_MS, Pace

A, B, C = b"a", b"b", b"c"
ALL = (A, B, C)


def answered(pace: Pace, member: bytes, elapsed_ms: int, *, at_ms: int = 0) -> None:
    pace.began(at_ms, 1, member)
    pace.ended(at_ms + elapsed_ms, 1, member, counts=True)


def test_nobody_is_slow_before_anything_is_known():
    pace = Pace()
    assert pace.slow(0, ALL) == set()
    assert pace.slow(0, ()) == set()


def test_a_little_slower_is_not_slow():
    """The first owner goes on being asked: the clock of a key names few actors."""
    pace = Pace()
    answered(pace, A, SLOW_MIN_MS)
    answered(pace, B, 1)
    assert pace.slow(100, ALL) == set()


def test_much_slower_is():
    pace = Pace()
    answered(pace, A, SLOW_MIN_MS + 1)
    assert pace.slow(100, ALL) == {A}


def test_where_all_are_slow_nobody_is():
    pace = Pace()
    for member, elapsed_ms in ((A, 300), (B, 200), (C, 100)):
        answered(pace, member, elapsed_ms)
    assert pace.slow(400, ALL) == set()
    answered(pace, A, 10_000, at_ms=400)
    assert pace.slow(10_400, (A, B)) == {A}
    assert SLOW_FACTOR * 100 < 10_000


def test_silence_is_slow_before_any_deadline():
    pace = Pace()
    pace.began(1000, 1, A)
    pace.began(1040, 2, A)
    assert pace.slow(1000 + SLOW_MIN_MS, ALL) == set()
    assert pace.slow(1001 + SLOW_MIN_MS, ALL) == {A}
    pace.ended(1001 + SLOW_MIN_MS, 1, A, counts=False)
    assert pace.slow(1001 + SLOW_MIN_MS, ALL) == set()
    assert pace.slow(1041 + SLOW_MIN_MS, ALL) == {A}


def test_what_does_not_count_changes_nothing():
    pace = Pace()
    answered(pace, A, 1000)
    for number in range(100):
        pace.began(1000, number, A)
        pace.ended(1000, number, A, counts=False)
    assert pace.slow(1000, ALL) == {A}


def test_who_was_slow_is_tried_again_and_then_known_anew():
    pace = Pace()
    answered(pace, A, 1000)
    assert pace.slow(1000 + FORGET_MS - 1, ALL) == {A}
    assert pace.slow(1000 + FORGET_MS, ALL) == set()
    answered(pace, A, 2, at_ms=1000 + FORGET_MS)
    assert pace.slow(1002 + FORGET_MS, ALL) == set()


def test_an_average_follows():
    pace = Pace()
    answered(pace, A, 1000)
    for n in range(20):
        answered(pace, A, 1, at_ms=1000 + n)
    assert pace.slow(1020, ALL) == set()
