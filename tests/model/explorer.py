"""Every state that a model can reach, or as many as a budget allows, each once.

States are known by the 64 bits of their hash: of n states about n^2 / 2^65 are taken for another
one, of ten million not one in a hundred thousand runs. `breadth` goes from state to state in the
order of steps, so that the first fault has a shortest path; otherwise the newest state is left in a
random direction, by a seed: a budget that ends early has then seen ends of paths, and another seed
sees others.

Of each state only the hash and where it came from is kept; a path is found again by taking its
steps once more.
"""

from __future__ import annotations

import random
from array import array
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

__all__ = ["Model", "Verdict", "explore"]

PROGRESS_EVERY = 50_000  # states

State = TypeVar("State", bound=Hashable)


class Model(Protocol[State]):
    """Steps are in an order that depends on the state alone."""

    def start(self) -> State: ...
    def steps(self, state: State) -> Iterable[tuple[Hashable, State]]: ...
    def fault(self, state: State) -> str: ...


@dataclass(frozen=True)
class Verdict:
    """`steps` that were taken, to whichever state; `depth`: the longest way by which a state was
    found. `fault` is empty when there is none; `path` leads to it."""

    states: int
    steps: int
    depth: int
    is_complete: bool
    fault: str = ""
    path: tuple[Hashable, ...] = ()

    def __str__(self) -> str:
        how_far = "all there are" if self.is_complete else "the budget ended first"
        return f"{self.states} states ({how_far}), {self.steps} steps, {self.depth} deep"


class _Seen:
    """The states so far: hash, and the number of the one before."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._before = array("q")
        self._known: set[int] = set()

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, state: Hashable, before: int) -> bool:
        """Whether it is new."""
        hashed = hash(state)
        if hashed in self._known:
            return False
        self._known.add(hashed)
        self._hashes.append(hashed)
        self._before.append(before)
        return True

    def way_to(self, number: int) -> list[int]:
        """Hashes from the start to a state, which is the last."""
        found = []
        while number >= 0:
            found.append(self._hashes[number])
            number = self._before[number]
        return found[::-1]


def explore(
    model: Model[State],
    *,
    states_max: int,
    breadth: bool = True,
    seed: int = 0,
    progress: Callable[[str], None] = lambda text: None,
) -> Verdict:
    """Ends at the first fault, when all states have been seen, or when there are `states_max`."""
    seen = _Seen()
    rng = random.Random(seed)
    first = model.start()
    seen.add(first, -1)
    waiting: deque[tuple[int, int, State]] = deque([(0, 0, first)])
    steps = depth = 0
    if told := model.fault(first):
        return Verdict(1, 0, 0, False, told)
    while waiting:
        number, deep, state = waiting.popleft() if breadth else waiting.pop()
        fresh = []
        for _, following in model.steps(state):
            steps += 1
            if not seen.add(following, number):
                continue
            depth = max(depth, deep + 1)
            if told := model.fault(following):
                path = _path(model, seen.way_to(len(seen) - 1))
                return Verdict(len(seen), steps, depth, False, told, path)
            if len(seen) % PROGRESS_EVERY == 0:
                progress(f"{len(seen)} states, {len(waiting)} to be left, {depth} deep")
            if len(seen) >= states_max:
                return Verdict(len(seen), steps, depth, False)
            fresh.append((len(seen) - 1, deep + 1, following))
        if not breadth:
            rng.shuffle(fresh)
        waiting.extend(fresh)
    return Verdict(len(seen), steps, depth, True)


def _path(model: Model[State], way: list[int]) -> tuple[Hashable, ...]:
    """The steps that lead through states of these hashes."""
    state, path = model.start(), []
    for hashed in way[1:]:
        step, state = next(found for found in model.steps(state) if hash(found[1]) == hashed)
        path.append(step)
    return tuple(path)
