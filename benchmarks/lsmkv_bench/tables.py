"""The tables of a report as plain cells: the terminal draws them with spaces, the page as HTML.

A table nobody measured anything for is not made. Cells are text; a dash is "not measured".
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lsmkv_bench.ratios import (
    BETTER,
    BETTER_OF,
    Rounds,
    Row,
    Spread,
    collect,
    engines_of,
    over_rounds,
    ratio_names,
    rows_of,
)
from lsmkv_bench.results import Case, Latency, Outcome, Report
from lsmkv_bench.wording import DASH, joined, number, optional, plain, ratio_with_spread

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Table:
    """The first `text_columns` are words, the others numbers."""

    title: str
    note: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    text_columns: int = 1


@dataclass(frozen=True)
class Metric:
    """Something measured beside the time."""

    title: str
    note: str
    scale: float
    measure: Callable[[Outcome], float | None]


def write_amplification(outcome: Outcome) -> float | None:
    if outcome.written_bytes is None or not outcome.user_bytes:
        return None
    return outcome.written_bytes / outcome.user_bytes


def space_amplification(outcome: Outcome) -> float | None:
    if outcome.disk_bytes is None or not outcome.live_bytes:
        return None
    return outcome.disk_bytes / outcome.live_bytes


MEMORY = Metric(
    "Peak memory, MiB",
    "resident, anonymous and shared; pages of files are not counted",
    MEBIBYTE,
    lambda outcome: outcome.memory_peak_bytes,
)
DISK = Metric("Disk, MiB", "after the drain", MEBIBYTE, lambda outcome: outcome.disk_bytes)
WRITES = Metric("Write amplification", "bytes written / bytes handed in", 1, write_amplification)
SPACE = Metric("Space amplification", "bytes on disk / bytes of live data", 1, space_amplification)
CPU = Metric(
    "CPU, us per operation",
    "user and system, background threads included; above the time where threads work in parallel",
    1,
    lambda outcome: outcome.cpu_seconds / outcome.operations * 1e6,
)
METRICS = (MEMORY, DISK, WRITES, SPACE, CPU)


def case_tables(report: Report, case: Case) -> list[Table]:
    """Everything measured on one case, times first."""
    rows = [row for row in rows_of(report) if row.case == case]
    found = {workload: value for (of, workload), value in collect(report).items() if of == case}
    engines = engines_of(report)
    made = [
        _times(report, rows),
        _times_with_drain(report, rows),
        _latencies(found, engines),
        *(metric_table(metric, found, engines) for metric in METRICS),
        _shapes(found, engines),
    ]
    return [table for table in made if table.rows]


def _times(report: Report, rows: Sequence[Row]) -> Table:
    return _with_ratios(
        report,
        "Time, us per operation",
        "medians; ratio = peer / lsmkv round by round: median [lowest..highest]",
        [(row.workload, row.times, row.ratios) for row in rows],
    )


def _times_with_drain(report: Report, rows: Sequence[Row]) -> Table:
    return _with_ratios(
        report,
        "Time including the drain, us per operation",
        "until background work is done; ratios as above",
        [
            (row.workload, row.times_with_drain, row.ratios_with_drain)
            for row in rows
            if row.times_with_drain
        ],
    )


def _with_ratios(
    report: Report,
    title: str,
    note: str,
    values: list[tuple[str, dict[str, Spread], dict[str, Spread]]],
) -> Table:
    engines, ratios = engines_of(report), ratio_names(report)
    if BETTER in ratios:
        note += f"; {BETTER}: the faster of {joined(BETTER_OF)} in each round"
    return Table(
        title,
        note,
        ("workload", *engines, *(f"{name} / lsmkv" for name in ratios)),
        [
            (
                workload,
                *(optional(times.get(engine)) for engine in engines),
                *(ratio_with_spread(found[name]) if name in found else DASH for name in ratios),
            )
            for workload, times, found in values
        ],
    )


def latency_of(rounds: Rounds) -> Latency | None:
    """Medians of the rounds' percentiles, and the longest operation of all rounds."""
    found = [each.latency for each in rounds.values() if each.latency is not None]
    if not found:
        return None
    return Latency(
        p50=statistics.median(each.p50 for each in found),
        p99=statistics.median(each.p99 for each in found),
        p99_9=statistics.median(each.p99_9 for each in found),
        p99_99=statistics.median(each.p99_99 for each in found),
        longest=max(each.longest for each in found),
    )


def _latencies(found: dict[str, dict[str, Rounds]], engines: Sequence[str]) -> Table:
    rows = []
    for workload, by_engine in found.items():
        measured = [
            (engine, latency)
            for engine in engines
            if (latency := latency_of(by_engine.get(engine, {})))
        ]
        for place, (engine, latency) in enumerate(measured):
            values = (
                latency.p50, latency.p99, latency.p99_9, latency.p99_99, latency.longest
            )  # fmt: skip
            rows.append(("" if place else workload, engine, *map(number, values)))
    return Table(
        "Latency of single operations, us",
        "medians of the rounds; the longest of all rounds",
        ("workload", "engine", "p50", "p99", "p99.9", "p99.99", "longest"),
        rows,
        text_columns=2,
    )


def metric_table(
    metric: Metric, found: dict[str, dict[str, Rounds]], engines: Sequence[str]
) -> Table:
    """Workloads down, engines across; workloads nobody measured it for are left out."""
    rows = []
    for workload, by_engine in found.items():
        values = [over_rounds(by_engine.get(engine, {}), metric.measure) for engine in engines]
        if any(values):
            rows.append((workload, *(optional(value, metric.scale) for value in values)))
    return Table(metric.title, f"{metric.note}; medians", ("workload", *engines), rows)


def _shapes(found: dict[str, dict[str, Rounds]], engines: Sequence[str]) -> Table:
    rows = []
    for workload, by_engine in found.items():
        for engine in engines:
            rounds = by_engine.get(engine, {})
            shapes = [rounds[each].tree_shape for each in sorted(rounds)]
            if shapes and shapes[-1]:
                rows.append((workload, engine, shapes[-1]))
    return Table("Shape of the tree", "of the last round", ("workload", "engine", "shape"), rows, 3)


def setting_tables(report: Report) -> list[Table]:
    """Settings of every engine, the machine, and the plan."""
    settings = [
        (engine, name, value)
        for engine, values in report.settings.items()
        for name, value in values.items()
    ]
    plan = [(name, plain(value)) for name, value in report.plan.items()]
    made = [
        Table("Settings", "of each engine", ("engine", "setting", "value"), settings, 3),
        Table("Machine", "", ("what", "value"), list(report.machine.items()), 2),
        Table("Plan", "what was asked for", ("what", "value"), plan, 2),
    ]
    return [table for table in made if table.rows]
