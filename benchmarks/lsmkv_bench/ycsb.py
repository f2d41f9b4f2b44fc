"""The six workloads of YCSB, each with uniform and with zipfian requests.

    a  half reads, half updates          d  reads of what was inserted last, 5 % inserts
    b  reads, 5 % updates                e  scans of 1 to 100 entries, 5 % inserts
    c  reads                             f  half reads, half read-modify-writes

They run in this order on one database that is loaded once and merged before the first. Operations
are precomputed: a list of (kind, key, value or length).
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from lsmkv_bench.engines.interface import SESSION_OPERATIONS, Writing
from lsmkv_bench.histogram import Histogram
from lsmkv_bench.laboratory import Laboratory
from lsmkv_bench.meters import Stopwatch
from lsmkv_bench.results import Latency
from lsmkv_bench.sequences import Zipfian, made_anew, zipfian

SCAN_LENGTH_MAX = 100
READ, WRITE, SCAN, MODIFY = range(4)

Operation: TypeAlias = tuple[int, bytes, Any]


@dataclass(frozen=True)
class Mix:
    """Percent of each kind of operation; the rest are reads."""

    updates: int = 0
    inserts: int = 0
    scans: int = 0
    modifications: int = 0


MIXES = {
    "a": Mix(updates=50),
    "b": Mix(updates=5),
    "c": Mix(),
    "d": Mix(inserts=5),
    "e": Mix(inserts=5, scans=95),
    "f": Mix(modifications=50),
}
NAMES = [
    "ycsb-a-uniform",
    "ycsb-a-zipfian",
    "ycsb-b-uniform",
    "ycsb-b-zipfian",
    "ycsb-c-uniform",
    "ycsb-c-zipfian",
    "ycsb-d-latest",
    "ycsb-e-uniform",
    "ycsb-e-zipfian",
    "ycsb-f-uniform",
    "ycsb-f-zipfian",
]


def run(lab: Laboratory, name: str, inserts: Iterator[bytes], known: list[bytes]) -> None:
    """One of NAMES. REQUIRES: the `known` keys are there; they grow by what is inserted."""
    _, letter, distribution = name.split("-")
    count = min(lab.effort.reads, len(lab.data.keys))
    operations = make_operations(
        MIXES[letter], distribution, count, known, inserts, lab.data.values, seed=NAMES.index(name)
    )
    latency_operations = operations[: lab.effort.latencies]
    watch = Stopwatch()
    for start in range(0, count, SESSION_OPERATIONS):
        part = operations[start : start + SESSION_OPERATIONS]
        with watch.running(), lab.engine.writing() as writing:
            _carry_out(writing, part)
    latency = _latencies(lab, latency_operations)
    check = lab.check_some(known)
    lab.record(name, count, watch, check=check, latency=latency)


def make_operations(
    mix: Mix,
    distribution: str,
    count: int,
    known: list[bytes],
    inserts: Iterator[bytes],
    values: list[bytes],
    seed: int,
) -> list[Operation]:
    """Keys that are inserted are appended to `known`."""
    source = random.Random(seed)
    choose = _chooser(distribution, known, seed)
    value = itertools.cycle(values)
    thresholds = list(
        itertools.accumulate((mix.inserts, mix.updates, mix.modifications, mix.scans))
    )
    operations: list[Operation] = []
    for _ in range(count):
        percent = source.random() * 100
        if percent < thresholds[0] and (key := next(inserts, None)) is not None:
            operations.append((WRITE, key, next(value)))
            known.append(key)
        elif percent < thresholds[1]:
            operations.append((WRITE, choose(), next(value)))
        elif percent < thresholds[2]:
            operations.append((MODIFY, choose(), next(value)))
        elif percent < thresholds[3]:
            operations.append((SCAN, choose(), source.randint(1, SCAN_LENGTH_MAX)))
        else:
            operations.append((READ, choose(), None))
    return operations


def _chooser(distribution: str, known: list[bytes], seed: int) -> Callable[[], bytes]:
    """A function that gives the next key asked for."""
    if distribution == "uniform":
        source = random.Random(seed + 1000)
        return lambda: made_anew(known[int(source.random() * len(known))])
    if distribution == "latest":
        ranks = Zipfian(len(known), seed + 1000)
        return lambda: made_anew(known[-1 - ranks.next_rank(len(known))])
    positions = zipfian(len(known), seed + 1000)
    return lambda: made_anew(known[next(positions)])


def _carry_out(writing: Writing, operations: list[Operation]) -> None:
    get, put, scan_from = writing.get, writing.put, writing.scan_from
    for kind, key, argument in operations:
        if kind == READ:
            get(key)
        elif kind == WRITE:
            put(key, argument)
        elif kind == SCAN:
            scan_from(key, argument)
        else:
            get(key)
            put(key, argument)


def _latencies(lab: Laboratory, operations: list[Operation]) -> Latency | None:
    """Of every operation by itself; leaving the transaction counts for its last one."""
    if not operations:
        return None
    histogram = Histogram()
    clock = time.perf_counter_ns
    for start in range(0, len(operations), SESSION_OPERATIONS):
        times: list[int] = []
        before = 0
        with lab.engine.writing() as writing:
            for operation in operations[start : start + SESSION_OPERATIONS]:
                one = [operation]
                before = clock()
                _carry_out(writing, one)
                times.append(clock() - before)
        times[-1] = clock() - before
        histogram.add(times)
    return histogram.summary()
