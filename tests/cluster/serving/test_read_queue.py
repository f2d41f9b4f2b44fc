"""Those who send large commands share one read in each turn of the loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from lsmkv_cluster.serving.read_queue import ReadQueue


class Lab:
    """Each reader goes on waiting until it has been read so often."""

    def __init__(self, **reads: int) -> None:
        self.later: deque[Callable[[], None]] = deque()
        self.queue = ReadQueue(self.later.append)
        self.turns: list[str] = []
        for name, count in reads.items():
            self.queue.wait(Reader(self, name, count))

    def play(self) -> list[str]:
        while self.later:
            before = len(self.turns)
            self.later.popleft()()
            assert len(self.turns) == before + 1, "two were read in one turn"
        return self.turns


class Reader:
    def __init__(self, lab: Lab, name: str, count: int) -> None:
        self.lab, self.name, self.count = lab, name, count

    def read_on(self) -> None:
        self.lab.turns.append(self.name)
        self.count -= 1
        if self.count:
            self.lab.queue.wait(self)


def test_one_is_read_in_a_turn_and_each_in_turn() -> None:
    assert Lab(a=3, b=1, c=2).play() == ["a", "b", "c", "a", "c", "a"]


def test_one_alone_is_read_in_every_turn() -> None:
    lab = Lab(a=3)
    assert lab.play() == ["a"] * 3
    lab.queue.wait(Reader(lab, "a", 1))
    assert lab.play() == ["a"] * 4
    assert not lab.later, "nothing happens while nobody waits"
