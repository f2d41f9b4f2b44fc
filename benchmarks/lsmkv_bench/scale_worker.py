"""Runs with more entries than fit into lists: keys are made as they are needed.

Keys are made in chunks, outside what is timed; an engine's background work goes on meanwhile. The
order of writing is a permutation that needs no memory. Memory is sampled after every chunk. The
tree is read as the fill and its drain left it.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lsmkv_bench import mapped_writes, reading
from lsmkv_bench.datasets import Dataset, make_values
from lsmkv_bench.engines import make_engine
from lsmkv_bench.engines.interface import SESSION_OPERATIONS
from lsmkv_bench.histogram import Histogram
from lsmkv_bench.laboratory import CHECKED_KEYS, Laboratory
from lsmkv_bench.meters import Stopwatch
from lsmkv_bench.plans import CONTROL
from lsmkv_bench.sequences import permuted

if TYPE_CHECKING:
    from lsmkv_bench.worker import Job, Result

CHUNK_KEYS = 100_000
KEY_SIZE = 16
FILL_SEED, READ_SEED = 1, 2


def present_key(number: int) -> bytes:
    """Of entry `number`; the absent one after it is between it and the next."""
    return b"%016d" % (2 * number)


def absent_key(number: int) -> bytes:
    return b"%016d" % (2 * number + 1)


def key_chunks(entries: int) -> Iterator[list[bytes]]:
    """Every key once, in the order in which they are written."""
    numbers = permuted(entries, FILL_SEED)
    while chunk := [present_key(number) for number in itertools.islice(numbers, CHUNK_KEYS)]:
        yield chunk


def run(job: Job) -> Result:
    """A job of kind "scale"."""
    from lsmkv_bench.worker import Result

    values = make_values(job.case.value_size, job.case.entries)
    if job.engine == CONTROL:
        outcome = mapped_writes.run(Path(job.folder), job.case.entries, values, job.pace)
        return Result([outcome], mapped_writes.settings())
    engine = make_engine(job.engine)
    lab = Laboratory(engine, Dataset([], [], values), job.effort, Path(job.folder))
    if set(job.workloads) - {"sustainedfill"}:
        _fill_and_read(lab, job.case.entries, job.workloads)
    if "sustainedfill" in job.workloads:
        with lab.database("sustained"):
            _sustained_fill(lab, job.case.entries)
    return Result(lab.outcomes, engine.settings())


def _fill_and_read(lab: Laboratory, entries: int, wanted: list[str]) -> None:
    with lab.database("random"):
        samples: list[list[float]] = []

        def fill(watch: Stopwatch) -> None:
            for chunk in key_chunks(entries):
                lab.put_all(chunk, watch)
                _sample(lab, samples, len(chunk))

        _record_fill(lab, "fillrandom", entries, fill, samples)
        source = random.Random(READ_SEED)
        numbers = [source.randrange(entries - 1) for _ in range(lab.effort.reads)]
        if "readrandom" in wanted:
            reading.get_each(lab, "readrandom", [present_key(number) for number in numbers])
        if "readmissing" in wanted:
            reading.get_each(lab, "readmissing", [absent_key(number) for number in numbers])
        if "readseq" in wanted:
            reading.scan_all(lab, "readseq", reverse=False)


def _sustained_fill(lab: Laboratory, entries: int) -> None:
    """A clock around every put; leaving a transaction counts for its last one."""
    histogram, samples = Histogram(), list[list[float]]()
    values, clock = lab.data.values, time.perf_counter_ns
    n = len(values)

    def fill(watch: Stopwatch) -> None:
        for chunk in key_chunks(entries):
            times: list[int] = []
            record = times.append
            with watch.running():
                for start in range(0, len(chunk), SESSION_OPERATIONS):
                    before = 0
                    with lab.engine.writing() as writing:
                        put = writing.put
                        for i, key in enumerate(chunk[start : start + SESSION_OPERATIONS], start):
                            before = clock()
                            put(key, values[i % n])
                            record(clock() - before)
                    times[-1] = clock() - before
            histogram.add(times)
            _sample(lab, samples, len(chunk))

    _record_fill(lab, "sustainedfill", entries, fill, samples)
    lab.add_latency(histogram.summary())


def _record_fill(
    lab: Laboratory,
    workload: str,
    entries: int,
    fill: Callable[[Stopwatch], None],
    samples: list[list[float]],
) -> None:
    size_bytes = entries * (KEY_SIZE + len(lab.data.values[0]))
    checked = [present_key(number) for number in range(0, entries, entries // CHECKED_KEYS + 1)]
    lab.write(
        workload, entries, fill, user_bytes=size_bytes, live_bytes=size_bytes, checked=checked
    )
    last = lab.outcomes[-1]
    peak = max([last.memory_peak_bytes or 0, *(int(size) for _, size in samples)])
    lab.outcomes[-1] = replace(last, memory_samples=samples, memory_peak_bytes=peak)


def _sample(lab: Laboratory, samples: list[list[float]], written: int) -> None:
    done = (samples[-1][0] if samples else 0) + written
    samples.append([done, lab.memory_bytes()])
