"""What a database must offer to be measured, and how long it goes on working after the last write.

An adapter calls its library the fastest way the library documents and adds no Python of its own
where the library's own method fits: `Writing` and `Reading` hold bound methods, which the loops of
the workloads call. Transactional engines open a transaction with `writing()`, the others do nothing
there; workloads enter it once for every SESSION_OPERATIONS operations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

CACHE_SIZE_BYTES = 256 << 20
WRITE_BUFFER_SIZE_BYTES = 64 << 20
BLOOM_BITS = 10
ZSTD_LEVEL = 1
BACKGROUND_JOBS = 2

SESSION_OPERATIONS = 1000  # at most, between entering and leaving writing()

POLL_SECONDS = 0.005

Pair: TypeAlias = tuple[bytes, bytes]
Pairs: TypeAlias = list[Pair]


@dataclass(frozen=True)
class Writing:
    """Single operations; reads see the writes before them."""

    put: Callable[[bytes, bytes], object]
    get: Callable[[bytes], bytes | None]
    delete: Callable[[bytes], object]
    scan_from: Callable[[bytes, int], Pairs]  # at most so many pairs, from the key on


@dataclass(frozen=True)
class Reading:
    """Reads of one moment, from one thread."""

    get: Callable[[bytes], bytes | None]
    get_many: Callable[[Sequence[bytes]], Sequence[bytes | None]]
    seeker: Callable[[], Callable[[bytes, int], Pairs]]  # makes a scan_from that keeps its iterator
    scan: Callable[[bool], Iterable[Pair]]  # everything; True: backwards


class Engine(Protocol):
    """One database at a time; opened, closed and opened again by a workload."""

    def open(self, path: Path, *, is_durable: bool = False) -> None:
        """Open, making it if need be. `is_durable`: put_sync will be used."""

    def close(self) -> None:
        """Everything written is there for the next open()."""

    def writing(self, *, is_ordered: bool = False) -> AbstractContextManager[Writing]:
        """For one thread. `is_ordered`: keys ascend and none is there yet."""

    def reading(self) -> AbstractContextManager[Reading]:
        """For the calling thread, not within writing()."""

    def put_batch(self, pairs: Pairs, *, is_ordered: bool = False) -> None:
        """The library's bulk call."""

    def put_sync(self, key: bytes, value: bytes) -> None:
        """Durable when it returns. From any thread."""

    def drain(self) -> float:
        """Wait until nothing is left to do; the seconds that took, the last look left out."""

    def settle(self) -> None:
        """Merge everything, as the library's manual says."""

    def tree_shape(self) -> str:
        """In a few words."""

    def settings(self) -> dict[str, str]:
        """The version and whatever is not the library's default."""


class Bulk(Protocol):
    """The calls a library has for bulk work, with whatever forms of data they take."""

    keys_per_call: int

    def prepare(self, lab: Any, keys: list[bytes]) -> list[object]:
        """The keys with their values, in portions for write(). `lab`: laboratory.Laboratory."""

    def write(self, portion: Any) -> None:
        """Store one portion."""

    def prepare_keys(self, keys: list[bytes]) -> object:
        """What read() takes."""

    def read(self, keys: Any) -> object:
        """Their values, as the library gives them."""

    def values(self, result: Any) -> list[bytes | None]:
        """What a read returned, one by one."""


def drained_seconds(
    is_busy: Callable[[], bool],
    quiet_seconds: float,
    *,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Poll until nothing has been busy for `quiet_seconds`; when it last was, from the call on."""
    started = last_busy = clock()
    while True:
        busy = is_busy()
        now = clock()
        if busy:
            last_busy = now
        elif now - last_busy >= quiet_seconds:
            return last_busy - started
        sleep(POLL_SECONDS)


class Changes:
    """Busy while a description changes or the process computes: for engines that do not say."""

    def __init__(
        self,
        describe: Callable[[], object],
        *,
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock: Callable[[], float] = time.process_time,
    ) -> None:
        self._describe, self._clock, self._cpu_clock = describe, clock, cpu_clock
        self._last = (describe(), clock(), cpu_clock())

    def __call__(self) -> bool:
        state, then, cpu_then = self._last
        self._last = (self._describe(), self._clock(), self._cpu_clock())
        elapsed, computed = self._last[1] - then, self._last[2] - cpu_then
        return self._last[0] != state or computed > elapsed / 2
