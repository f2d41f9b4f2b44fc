"""The explorer finds every state of models whose states can be counted, each once, and the shortest
way to a fault."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

import pytest

from tests.model.explorer import PROGRESS_EVERY, explore

Position = tuple[int, ...]


class Walks:
    """Counters that go up to a limit, one at a time; a fault where all are `bad`."""

    def __init__(self, limits: Position, bad: int | None = None) -> None:
        self._limits = limits
        self._bad = bad

    def start(self) -> Position:
        return (0,) * len(self._limits)

    def steps(self, state: Position) -> Iterator[tuple[int, Position]]:
        for place, (at, limit) in enumerate(zip(state, self._limits, strict=True)):
            if at < limit:
                yield place, (*state[:place], at + 1, *state[place + 1 :])

    def fault(self, state: Position) -> str:
        return "all are there" if self._bad is not None and set(state) == {self._bad} else ""


class Remembering(Walks):
    """What was looked at last."""

    def fault(self, state: Position) -> str:
        self.last = state
        return ""


class Subsets:
    """Messages that arrive in any order: a state is which have."""

    def __init__(self, count: int) -> None:
        self._count = count

    def start(self) -> frozenset[int]:
        return frozenset()

    def steps(self, state: frozenset[int]) -> Iterator[tuple[int, frozenset[int]]]:
        for message in range(self._count):
            if message not in state:
                yield message, state | {message}

    def fault(self, state: frozenset[int]) -> str:
        return ""


@pytest.mark.parametrize("breadth", [True, False])
def test_every_state_is_found_once(breadth: bool):
    verdict = explore(Walks((3, 4, 5)), states_max=10_000, breadth=breadth)
    assert verdict.is_complete
    assert (verdict.states, verdict.depth) == (4 * 5 * 6, 3 + 4 + 5)
    assert verdict.steps == 3 * 5 * 6 + 4 * 4 * 6 + 5 * 4 * 5


@pytest.mark.parametrize("breadth", [True, False])
def test_all_orders_of_messages(breadth: bool):
    verdict = explore(Subsets(9), states_max=10_000, breadth=breadth)
    assert verdict.states == sum(comb(9, n) for n in range(10))
    assert verdict.steps == 9 * 2**8


def test_a_fault_is_told_with_a_shortest_way():
    verdict = explore(Walks((5, 5), bad=2), states_max=10_000)
    assert verdict.fault == "all are there"
    assert sorted(verdict.path) == [0, 0, 1, 1]


def test_a_fault_is_found_and_its_way_leads_there_depth_first():
    walks = Walks((5, 5), bad=2)
    verdict = explore(walks, states_max=10_000, breadth=False, seed=3)
    state = walks.start()
    for taken in verdict.path:
        state = dict(walks.steps(state))[taken]
    assert state == (2, 2)


def test_the_first_state_may_be_at_fault():
    assert explore(Walks((1,), bad=0), states_max=10).path == ()


def test_the_budget_ends_it_and_is_told():
    told: list[str] = []
    verdict = explore(Walks((300, 300)), states_max=PROGRESS_EVERY + 10, progress=told.append)
    assert (verdict.states, verdict.is_complete) == (PROGRESS_EVERY + 10, False)
    assert len(told) == 1


def test_another_seed_goes_another_way():
    ends = set()
    for seed in range(5):
        walks = Remembering((30, 30))
        explore(walks, states_max=40, breadth=False, seed=seed)
        ends.add(walks.last)
    assert len(ends) > 1
