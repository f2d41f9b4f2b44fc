"""What a benchmark is: a case makes work, work runs operations and answers with time and checksum.

pytest-benchmark divides what its timer says by the number of calls, and a call here is a round of
many operations. OperationClock is therefore the timer: it goes forward by the time of one operation
whenever a round has run, so tables and JSON state seconds per operation.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from benchmarks.kernels.native import Native

__all__ = [
    "FULL",
    "Case",
    "OperationClock",
    "PythonWork",
    "Run",
    "Scale",
    "Unavailable",
    "Work",
    "wrapping_sum",
]


class Unavailable(Exception):
    """This machine cannot run the benchmark: a library or a kind of file system is missing."""


@dataclass(frozen=True)
class Run:
    elapsed_ns: int
    checksum: int


class Work(Protocol):
    def run(self, operations: int) -> Run: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Scale:
    """How large the data is. The far size is a power of two, many times the largest cache."""

    far_size_bytes: int
    entries_few: int
    entries_many: int


FULL = Scale(far_size_bytes=256 << 20, entries_few=10_000, entries_many=1_000_000)


@dataclass(frozen=True)
class Case:
    """One benchmark. `expected` says which checksum that many operations must return."""

    kernel: str
    name: str
    operations: int  # of one round
    create: Callable[[Native], Work]
    expected: Callable[[int], int]
    floors: tuple[str, ...] = ()  # names of cases
    rounds: int = 20


@dataclass(eq=False)
class OperationClock:
    """A timer for pytest-benchmark: the sum of the seconds per operation of all rounds."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds

    def add(self, run: Run, operations: int) -> None:
        self.seconds += run.elapsed_ns / operations * 1e-9


@dataclass
class PythonWork:
    """A loop in Python over items, which are repeated as often as needed; CPU time, as in bench.c.

    `verify` makes the checksum of the items that the loop has gone through; it is not timed.
    """

    items: Sequence[Any]
    loop: Callable[[Sequence[Any]], None]
    verify: Callable[[Sequence[Any]], int]
    on_close: Callable[[], None] = lambda: None

    def run(self, operations: int) -> Run:
        batch = list(itertools.islice(itertools.cycle(self.items), operations))
        start = time.thread_time_ns()
        self.loop(batch)
        elapsed_ns = time.thread_time_ns() - start
        return Run(elapsed_ns, self.verify(batch))

    def close(self) -> None:
        self.on_close()


def wrapping_sum(values: Iterable[int], operations: int) -> int:
    """The sum of the first `operations` of `values`, begun again at their end, in 64 bits."""
    cycle = list(itertools.islice(values, operations))
    rounds, rest = divmod(operations, len(cycle))
    return (rounds * sum(cycle) + sum(cycle[:rest])) % 2**64
