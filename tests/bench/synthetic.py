"""Reports without a measurement: small ones with exact times, and one as large as a real one.

The large one is made of typical times with a seeded noise: the same at every call.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lsmkv_bench.results import Case, Latency, Outcome, Report, Run

CASE = Case(1000, "decimal", 100)
MACHINE = {"cpu": "Example 9000, 2 cores", "memory": "8 GiB", "disk": "ext4", "python": "3.11.7"}

# Of lsmkv, plyvel, rocksdict, lmdb and sqlite3: microseconds per operation.
ENGINES = ("lsmkv", "plyvel", "rocksdict", "lmdb", "sqlite3")
WRITES = {
    "fillseq": (0.64, 2.6, 3.5, 0.86, 3.9), "fillrandom": (0.8, 6.0, 6.8, 2.1, 26),
    "overwrite": (0.9, 6.1, 6.8, 2.1, 27), "fillbatch": (0.52, 4.8, 2.1, 1.9, 11),
    "fillsync": (290, 483, 302, 310, 420), "deleterandom": (0.7, 5.2, 5.9, 2.3, 21),
    "updaterandom": (1.5, 9.4, 9.9, 3.2, 40),
}  # fmt: skip
READS = {
    "readrandom": (0.7, 3.2, 3.0, 1.1, 14), "readmissing": (0.12, 1.6, 0.6, 1.0, 11),
    "readhot": (0.4, 1.9, 1.4, 0.9, 9), "multireadrandom": (0.57, 3.0, 4.1, 1.3, 12),
    "readwhilewriting": (1.1, 4.4, 3.9, 1.6, 19), "readcold": (9.1, 11.2, 8.7, 10.4, 31),
}  # fmt: skip
SCANS = {
    "readseq": (0.13, 0.45, 0.39, 0.2, 0.66), "readreverse": (0.14, 0.52, 0.5, 0.2, 0.7),
    "seekrandom": (2.4, 7.6, 6.6, 4.1, 19), "seekreverse": (2.9, 9.6, 7.9, 4.2, 21),
    "prefixscan": (3.2, 8.6, 7.0, 4.9, 23), "scancold": (0.31, 0.6, 0.52, 0.44, 1.2),
    "scansnapshot": (0.14, 0.5, 0.41, 0.22, 0.8),
}  # fmt: skip
_YCSB_UNIFORM = {
    "a": (0.9, 4.6, 5.1, 1.9, 21), "b": (0.75, 3.4, 3.3, 1.3, 15), "c": (0.7, 3.2, 3.0, 1.1, 14),
    "d": (0.5, 2.4, 2.2, 1.0, 12), "e": (4.1, 12, 9.4, 5.6, 33), "f": (1.6, 7.9, 8.0, 3.1, 35),
}  # fmt: skip
YCSB = {
    f"ycsb-{letter}-{distribution}": tuple(factor * each for each in times)
    for letter, times in _YCSB_UNIFORM.items()
    for distribution, factor in (("uniform", 1.0), ("zipfian", 0.7))
}
TYPICAL = {**WRITES, **READS, **SCANS, **YCSB}
_SLOWER_THAN_LSMKV = {"lsmkv": 1.0, "plyvel": 1.9, "rocksdict": 1.5, "lmdb": 1.1, "sqlite3": 1.3}


def outcome(workload: str, us: float, **rest: object) -> Outcome:
    """A thousand operations of so many microseconds each."""
    made = Outcome(workload, 1000, us / 1000, cpu_seconds=us / 1000)
    return replace(made, **rest)  # type: ignore[arg-type]


def report_of(
    times: Mapping[str, Mapping[str, Sequence[float | None]]],
    case: Case = CASE,
    drains: Mapping[str, float] | None = None,
) -> Report:
    """{engine: {workload: [us of round 1, ...]}}; None leaves a round out. `drains` is the drain
    of an engine's operations, in microseconds for each."""
    rounds = max(len(each) for by in times.values() for each in by.values())
    runs = []
    for number in range(rounds):
        for engine, by_workload in times.items():
            drain = None if drains is None or engine not in drains else drains[engine] / 1000
            outcomes = [
                outcome(workload, us, drain_seconds=drain)
                for workload, each in by_workload.items()
                if number < len(each) and (us := each[number]) is not None
            ]
            runs.append(Run(engine, case, number + 1, outcomes))
    settings = {engine: {"cache": "256 MiB", "buffer": "64 MiB"} for engine in times}
    return Report("2025-01-02T03:04:05+00:00", dict(MACHINE), {"rounds": rounds}, settings, runs)


def latency_around(us: float, source: random.Random) -> Latency:
    """A long tail behind a narrow middle, in buckets of an eighth of an octave."""
    counts: dict[float, float] = {}
    for _ in range(1500):
        tail = source.paretovariate(1.6) - 1
        value = us * (0.8 + 0.15 * source.random() + 0.05 * tail)
        bucket = us * 0.8
        while bucket < value:
            bucket *= 2 ** (1 / 8)
        counts[bucket] = counts.get(bucket, 0) + 1
    ordered = [[bound, counts[bound]] for bound in sorted(counts)]

    def percentile(part: float) -> float:
        left = part * 1500
        for bound, count in ordered:
            left -= count
            if left <= 0:
                return bound
        return ordered[-1][0]

    return Latency(*map(percentile, (0.5, 0.99, 0.999, 0.9999, 1)), counts=ordered)


@functools.cache
def large_report(rounds: int = 3) -> Report:
    """All workloads, five engines, and smaller cases of other sizes and numbers of entries."""
    source = random.Random(5)
    main = Case(1_000_000, "decimal", 100)
    some = [*list(WRITES)[:3], *list(READS)[:2], *list(SCANS)[:3]]
    plan = [(main, list(TYPICAL), 1.0)]
    plan += [(replace(main, entries=n), some, f) for n, f in ((10_000_000, 1.3), (50_000_000, 1.9))]
    plan += [
        (replace(main, value_size=n), some, f) for n, f in ((16, 0.8), (1024, 2.2), (16384, 9))
    ]
    runs = [
        _run(engine, case, number + 1, names, factor, source)
        for case, names, factor in plan
        for number in range(rounds)
        for engine in ENGINES
    ]
    settings = {
        "lsmkv": {"block_cache_size": "256 MiB", "write_buffer_size": "64 MiB",
                  "bloom_bits_per_key": "10", "compression": "zstd"},
        "plyvel": {"lru_cache_size": "256 MiB", "write_buffer_size": "64 MiB",
                   "bloom_filter_bits": "10", "compression": "snappy"},
        "rocksdict": {"block_cache": "256 MiB", "write_buffer_size": "64 MiB", "bloom": "10 bits",
                      "compression": "zstd", "max_background_jobs": "2"},
        "lmdb": {"map_size": "64 GiB", "sync": "off", "transaction": "1000 writes"},
        "sqlite3": {"synchronous": "off", "journal": "wal", "transaction": "1000 writes"},
    }  # fmt: skip
    asked = {"command": "make bench BENCH='--cases all --rounds 3'", "rounds": rounds,
             "engines": list(ENGINES), "latency": True}  # fmt: skip
    return Report("2025-06-01T12:00:00+00:00", dict(MACHINE), asked, settings, runs)


def _run(
    engine: str, case: Case, number: int, names: Sequence[str], factor: float, source: random.Random
) -> Run:
    place = ENGINES.index(engine)
    slower = factor ** (0.6 + 0.3 * _SLOWER_THAN_LSMKV[engine])
    with_latency = case.entries == 1_000_000 and case.value_size == 100 and engine != "sqlite3"
    outcomes = []
    for name in names:
        us = TYPICAL[name][place] * slower * source.lognormvariate(0, 0.06)
        made = Outcome(
            name,
            case.entries,
            us * case.entries / 1e6,
            cpu_seconds=us * case.entries / 1e6,
            latency=latency_around(us, source) if with_latency else None,
            memory_peak_bytes=(150, 190, 240, 90, 280)[place] << 20,
        )
        outcomes.append(_written(made, case, place, source) if name in WRITES else made)
    return Run(engine, case, number, outcomes)


def _written(made: Outcome, case: Case, place: int, source: random.Random) -> Outcome:
    """With what only workloads that write have."""
    user_bytes = case.entries * (16 + case.value_size)
    noise = source.lognormvariate(0, 0.05)
    is_tree = place < 3
    return replace(
        made,
        cpu_seconds=1.3 * made.seconds,
        drain_seconds=(0.2 + 0.05 * place) * made.seconds if is_tree else 0.0,
        disk_bytes=int(user_bytes * (0.6, 0.71, 0.63, 1.6, 1.3)[place] * noise),
        live_bytes=user_bytes,
        written_bytes=int(user_bytes * (2.2, 4.1, 3.4, 5.2, 2.9)[place] * noise),
        user_bytes=user_bytes,
        tree_shape=f"L0 0, L1 {place + 1}, L6 12 tables" if is_tree else None,
    )
