"""The Interrupter reaches every moment once, and only those at which a signal could be handled."""

from __future__ import annotations

from tests.support.interrupts import Interrupter

SEEN: list[int] = []


def watched() -> None:
    SEEN.append(1)
    SEEN.append(2)
    for number in (3, 4, 5):
        SEEN.append(number)


def test_every_moment_of_a_function() -> None:
    counter = Interrupter([__name__])
    assert not counter.run(watched)
    reached = []
    for at in range(1, counter.count + 1):
        SEEN.clear()
        assert Interrupter([__name__], at).run(watched)
        reached.append(len(SEEN))
    assert reached == sorted(reached)
    assert set(reached) == {0, 1, 2, 3, 4, 5}
    assert set(counter.moments()) < set(range(1, counter.count + 1))


def test_two_stores_are_not_parted() -> None:
    def swap() -> None:
        pair.first = pair.second = 1  # type: ignore[attr-defined]

    class Pair:
        first = second = 0

    pair = Pair()
    counter = Interrupter([__name__])
    counter.run(swap)
    for at in range(1, counter.count + 1):
        pair.first = pair.second = 0
        Interrupter([__name__], at).run(swap)
        assert pair.first == pair.second
