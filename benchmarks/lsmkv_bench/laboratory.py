"""The bench on which workloads work: one engine, one data set, a folder for databases.

It keeps the loops that all workloads share, so that every engine runs the very same Python, and
turns what was measured into outcomes. Latencies come from passes of their own: timing each call
costs time.
"""

from __future__ import annotations

import gc
import itertools
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lsmkv_bench import meters
from lsmkv_bench.datasets import Dataset
from lsmkv_bench.engines.interface import SESSION_OPERATIONS, Engine, Pair
from lsmkv_bench.histogram import Histogram
from lsmkv_bench.meters import Stopwatch
from lsmkv_bench.results import Latency, Outcome
from lsmkv_bench.sequences import picked, shuffled

CHECKED_KEYS = 1000


@dataclass(frozen=True)
class Effort:
    """How many operations where it is not every key once."""

    reads: int = 200_000
    latencies: int = 100_000  # 0: no latency passes
    synced: int = 1000  # by one thread
    synced_together: int = 4000  # by all threads


class Laboratory:
    """See above. `outcomes` grows as workloads are done."""

    def __init__(self, engine: Engine, data: Dataset, effort: Effort, folder: Path) -> None:
        self.engine = engine
        self.data = data
        self.effort = effort
        self.outcomes: list[Outcome] = []
        self._folder = folder
        self._path = folder
        self._memory_before: int | None = None
        self.shuffled_keys = picked(data.keys, shuffled(len(data.keys), seed=1))

    # --- databases -------------------------------------------------------------------------------

    @contextmanager
    def database(self, name: str, *, is_durable: bool = False) -> Iterator[Path]:
        """A fresh database, destroyed at the end."""
        path = self._path = self._folder / name
        gc.collect()
        gc.freeze()  # the data set is no work for the collector
        meters.give_back_memory()
        if self._memory_before is None:  # later ones would count what an earlier database left
            self._memory_before = meters.memory_bytes()
        self.engine.open(path, is_durable=is_durable)
        try:
            yield path
        finally:
            self.engine.close()
            shutil.rmtree(path)

    def reopen(self) -> None:
        """The database anew: nothing in its cache, its files in the system's."""
        self.engine.close()
        meters.warm_page_cache(self._path)
        self.engine.open(self._path)

    # --- outcomes --------------------------------------------------------------------------------

    def record(self, workload: str, operations: int, watch: Stopwatch, **more: Any) -> None:
        """Keep an outcome; memory and the tree's shape are those of now unless given."""
        more.setdefault("memory_peak_bytes", self.memory_bytes())
        more.setdefault("tree_shape", self.engine.tree_shape())
        seconds, cpu_seconds = watch.seconds, watch.cpu_seconds
        self.outcomes.append(Outcome(workload, operations, seconds, cpu_seconds, **more))

    def add_latency(self, latency: Latency | None) -> None:
        """To the outcome that was recorded last."""
        self.outcomes[-1] = replace(self.outcomes[-1], latency=latency)

    def memory_bytes(self) -> int:
        """What the process holds beyond what it held before its first database was opened."""
        return max(0, meters.memory_bytes() - (self._memory_before or 0))

    def write(
        self,
        workload: str,
        operations: int,
        write: Callable[[Stopwatch], None],
        *,
        user_bytes: int,
        live_bytes: int,
        checked: Sequence[bytes],
        **more: Any,
    ) -> None:
        """Run a workload that writes, wait for the engine, and keep both times; some of the keys
        `checked` are looked at afterwards."""
        watch = Stopwatch()
        written_before = meters.written_bytes()
        write(watch)
        memory_bytes = self.memory_bytes()
        drain_seconds = self.engine.drain()
        written_after = meters.written_bytes()
        is_known = written_before is not None and written_after is not None
        self.record(
            workload,
            operations,
            watch,
            drain_seconds=drain_seconds,
            memory_peak_bytes=memory_bytes,
            written_bytes=(written_after or 0) - (written_before or 0) if is_known else None,
            user_bytes=user_bytes,
            live_bytes=live_bytes,
            disk_bytes=meters.disk_bytes(self._path),
            tree_shape=self.engine.tree_shape(),
            check=self.check_some(checked),
            **more,
        )

    def write_each(
        self, workload: str, keys: Sequence[bytes], write: Callable[[Stopwatch], None], **more: Any
    ) -> None:
        """write(), for a workload that gives each key a value and leaves no others."""
        size = pairs_size(keys, self.data.values)
        self.write(
            workload, len(keys), write, user_bytes=size, live_bytes=size, checked=keys, **more
        )

    # --- loops -----------------------------------------------------------------------------------

    def put_all(self, keys: Sequence[bytes], watch: Stopwatch, *, is_ordered: bool = False) -> None:
        """One put for each key, values in turn."""
        values = self.data.values
        n = len(values)
        with watch.running():
            for start in range(0, len(keys), SESSION_OPERATIONS):
                with self.engine.writing(is_ordered=is_ordered) as writing:
                    put = writing.put
                    for i, key in enumerate(keys[start : start + SESSION_OPERATIONS], start):
                        put(key, values[i % n])

    def put_latencies(self, keys: Sequence[bytes], *, is_ordered: bool = False) -> Latency | None:
        """Puts with a clock around each; leaving the transaction counts for its last put."""
        if not keys:
            return None
        histogram = Histogram()
        values, clock = self.data.values, time.perf_counter_ns
        n = len(values)
        for start in range(0, len(keys), SESSION_OPERATIONS):
            times: list[int] = []
            record = times.append
            before = 0
            with self.engine.writing(is_ordered=is_ordered) as writing:
                put = writing.put
                for i, key in enumerate(keys[start : start + SESSION_OPERATIONS], start):
                    before = clock()
                    put(key, values[i % n])
                    record(clock() - before)
            times[-1] = clock() - before
            histogram.add(times)
        return histogram.summary()

    def fill_latency(self, keys: Sequence[bytes], *, is_ordered: bool = False) -> Latency | None:
        """Of puts into a database of their own."""
        if not self.effort.latencies:
            return None
        with self.database("latency"):
            return self.put_latencies(keys[: self.effort.latencies], is_ordered=is_ordered)

    def load(self) -> None:
        """Every key, in random order, through the bulk call; not measured."""
        for batch in self.batches(self.shuffled_keys):
            self.engine.put_batch(batch)

    def batches(self, keys: Sequence[bytes]) -> list[list[Pair]]:
        """The keys with their values, by SESSION_OPERATIONS."""
        values = itertools.cycle(self.data.values)
        pairs = list(zip(keys, values, strict=False))
        return [
            pairs[start : start + SESSION_OPERATIONS]
            for start in range(0, len(pairs), SESSION_OPERATIONS)
        ]

    def check_some(self, keys: Sequence[bytes]) -> str:
        """Count and checksum of what is stored under some of the keys."""
        step = max(1, len(keys) // CHECKED_KEYS)
        with self.engine.reading() as reading:
            return checksum(reading.get(key) for key in keys[::step])


def pairs_size(keys: Sequence[bytes], values: Sequence[bytes]) -> int:
    """Bytes of the keys, each with a value."""
    return sum(map(len, keys)) + len(keys) * len(values[0])


def checksum(values: Iterable[bytes | None]) -> str:
    """How many are not None, and a checksum of those."""
    count = crc = 0
    for value in values:
        if value is not None:
            count += 1
            crc = zlib.crc32(value, crc)
    return f"{count}:{crc:08x}"


def call_latencies(call: Callable[[Any], object], arguments: Sequence[Any]) -> Latency | None:
    """Each call with a clock around it."""
    if not arguments:
        return None
    histogram = Histogram()
    clock = time.perf_counter_ns
    for start in range(0, len(arguments), SESSION_OPERATIONS):
        times: list[int] = []
        record = times.append
        for argument in arguments[start : start + SESSION_OPERATIONS]:
            before = clock()
            call(argument)
            record(clock() - before)
        histogram.add(times)
    return histogram.summary()
