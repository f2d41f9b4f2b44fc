"""Charts with a line for each workload: ratios, times, and bars of space and memory.

Each function takes a report and a case and gives a Scene, or None when there is nothing to show.
What a mark stands for is in its note, so that a page shows exact numbers without a script.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lsmkv_bench.ratios import (
    BETTER,
    SUBJECT,
    Rounds,
    Row,
    Spread,
    engines_of,
    over_rounds,
    ratio_names,
)
from lsmkv_bench.results import Report
from lsmkv_bench.scene import (
    SERIES_TONES,
    SHAPES,
    Box,
    Dot,
    Label,
    Line,
    Mark,
    Scale,
    Scene,
    log_scale,
)
from lsmkv_bench.tables import Metric
from lsmkv_bench.wording import (
    DASH,
    FAMILIES,
    TIMES,
    case_title,
    family,
    number,
    ratio,
    short_count,
)

WIDTH = 1080
_NAMES = 152  # columns of workload names
_NUMBER = 70  # and of each column of numbers
_STEP = 7  # between the series of one workload
_TOP = 58
_EVEN = (0.75, 1.35)  # of a ratio: both sides of 1 are always to be seen
_BAR = 9


@dataclass(frozen=True)
class Series:
    """An engine as it is drawn, the same in every chart."""

    name: str
    tone: str
    shape: str


@dataclass(frozen=True)
class DotRow:
    name: str
    values: Mapping[str, Spread]  # by series
    ends: Mapping[str, Spread] = field(default_factory=dict)  # hollow, joined with the value
    texts: Sequence[str] = ()  # one for each column


@dataclass(frozen=True)
class Column:
    header: str
    tone: str
    bold: bool = False


def series_of(report: Report) -> list[Series]:
    return [
        Series(name, f"series{place % SERIES_TONES}", SHAPES[place % len(SHAPES)])
        for place, name in enumerate(engines_of(report))
    ]


def by_family(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """In the order of FAMILIES, empty ones left out."""
    groups: dict[str, list[Row]] = {name: [] for name in FAMILIES}
    for row in rows:
        groups[family(row.workload)].append(row)
    return [(name, found) for name, found in groups.items() if found]


def ratio_chart(report: Report, rows: Sequence[Row]) -> Scene | None:
    """How many times longer each peer takes, with the range of the rounds."""
    peers = [each for each in series_of(report) if each.name != SUBJECT]
    rows = [row for row in rows if row.ratios]
    if not peers or not rows:
        return None
    names = ratio_names(report)
    tones = {each.name: each.tone for each in peers}
    columns = [Column(name, tones.get(name, "ink"), name == BETTER) for name in names]
    groups = [
        (
            title,
            [
                DotRow(
                    row.workload,
                    {each: found for each, found in row.ratios.items() if each != BETTER},
                    texts=[
                        f"{ratio(row.ratios[name].median)}{TIMES}" if name in row.ratios else DASH
                        for name in names
                    ],
                )
                for row in found
            ],
        )
        for title, found in by_family(rows)
    ]
    return _dot_plot(
        f"peer time / {SUBJECT} time per workload, {case_title(rows[0].case)}",
        groups, peers, columns, unit=TIMES, even=True,
    )  # fmt: skip


def time_chart(report: Report, rows: Sequence[Row]) -> Scene | None:
    """Microseconds per operation; a hollow mark is the time with the drain."""
    rows = [row for row in rows if row.times]
    if not rows:
        return None
    series = series_of(report)
    groups = [
        (
            title,
            [
                DotRow(
                    row.workload,
                    row.times,
                    row.times_with_drain,
                    [
                        number(row.times[each.name].median) if each.name in row.times else DASH
                        for each in series
                    ],
                )
                for row in found
            ],
        )
        for title, found in by_family(rows)
    ]
    return _dot_plot(
        f"microseconds per operation per workload, {case_title(rows[0].case)}",
        groups, series, [Column(each.name, each.tone) for each in series], unit=" µs", even=False,
    )  # fmt: skip


def _dot_plot(
    title: str,
    groups: Sequence[tuple[str, Sequence[DotRow]]],
    series: Sequence[Series],
    columns: Sequence[Column],
    unit: str,
    even: bool,
) -> Scene:
    rows = [row for _, found in groups for row in found]
    spreads = [each for row in rows for side in (row.values, row.ends) for each in side.values()]
    values = [value for each in spreads for value in (each.low, each.high)]
    right = WIDTH - _NUMBER * len(columns) - 12
    scale = log_scale([*values, *_EVEN] if even else values, _NAMES, right)
    height_of_row = max(22, _STEP * len(series) + 6)
    marks: list[Mark] = []
    y: float = _TOP
    for name, found in groups:
        marks.append(Label(0, y + 14, name.upper(), "muted", 10.5, bold=True))
        y += 26
        for place in range(len(found)):
            if place % 2 == 0:
                marks.append(Box(0, y, WIDTH, height_of_row, "band"))
            y += height_of_row
        y += 6
    grid = _axis(scale, _TOP - 4, y, unit, even)
    y = _TOP
    for _, found in groups:
        y += 26
        for row in found:
            marks += _dot_row(row, series, columns, scale, y + height_of_row / 2, right, unit)
            y += height_of_row
        y += 6
    for place, column in enumerate(columns):
        marks += _column_header(column, right + _NUMBER * (place + 1), series)
    bands = [mark for mark in marks if isinstance(mark, Box)]
    others = [mark for mark in marks if not isinstance(mark, Box)]
    return Scene(title, WIDTH, y + 24, (*bands, *grid, *others))


def _column_header(column: Column, x: float, series: Sequence[Series]) -> list[Mark]:
    shape = next((each.shape for each in series if each.name == column.header), None)
    first, _, rest = column.header.partition(" ")
    lines = [first, rest] if rest else [first]
    marks: list[Mark] = [
        Label(x, 40 - 13 * (len(lines) - 1 - place), text, column.tone, 11.5, "end", True)
        for place, text in enumerate(lines)
    ]
    if shape:
        marks.append(Dot(x - 5, 24, shape, column.tone, 4.5))
    return marks


def _axis(scale: Scale, top: float, bottom: float, unit: str, even: bool) -> list[Mark]:
    marks: list[Mark] = []
    for tick in scale.ticks(10):
        x = scale(tick)
        marks.append(Line(x, top, x, bottom, "grid"))
        for y in (top - 10, bottom + 12):
            marks.append(Label(x, y, f"{tick:g}{unit}", "muted", 10.5, "middle"))
    if even:
        x = scale(1)
        marks.append(Line(x, top - 2, x, bottom, "ink", 1.5))
        marks.append(Label(x + 8, 12, f"{SUBJECT} faster →", "ink", 11.5, "start", True))
        marks.append(Label(x - 8, 12, "← peer faster", "ink", 11.5, "end", True))
    return marks


def _dot_row(
    row: DotRow,
    series: Sequence[Series],
    columns: Sequence[Column],
    scale: Scale,
    middle: float,
    right: float,
    unit: str,
) -> list[Mark]:
    marks: list[Mark] = [Label(10, middle, row.name, "ink", 12.5)]
    for place, each in enumerate(series):
        found = row.values.get(each.name)
        if found is None:
            continue
        y = middle + _STEP * (place - (len(series) - 1) / 2)
        x = scale(found.median)
        end = row.ends.get(each.name)
        if end is not None and end.median > found.median:
            there = scale(end.median)
            marks.append(Line(x, y, there, y, each.tone, 1, dashed=True))
            note = f"{row.name}, {each.name}: {number(end.median)}{unit} including the drain"
            marks.append(Dot(there, y, each.shape, each.tone, 3.2, True, note))
        marks.append(Line(scale(found.low), y, scale(found.high), y, each.tone, 2.5))
        note = (
            f"{row.name}, {each.name}: {number(found.median)}{unit}, "
            f"{number(found.low)} to {number(found.high)} in {found.rounds} rounds"
        )
        marks.append(Dot(x, y, each.shape, each.tone, 4, note=note))
    for place, (column, text) in enumerate(zip(columns, row.texts, strict=True)):
        x = right + _NUMBER * (place + 1)
        tone = "muted" if text == DASH else column.tone
        marks.append(Label(x, middle, text, tone, 12, "end", column.bold))
    return marks


def metric_values(
    metric: Metric, found: Mapping[str, Mapping[str, Rounds]]
) -> dict[str, dict[str, float]]:
    """Medians by workload and engine, in the unit of the metric; workloads without are left out."""
    values = {
        workload: {
            engine: median.median / metric.scale
            for engine, rounds in by_engine.items()
            if (median := over_rounds(rounds, metric.measure))
        }
        for workload, by_engine in found.items()
    }
    return {workload: by_engine for workload, by_engine in values.items() if by_engine}


def highest_of_families(values: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """By family instead of by workload."""
    highest: dict[str, dict[str, float]] = {name: {} for name in FAMILIES}
    for workload, by_engine in values.items():
        group = highest[family(workload)]
        for engine, value in by_engine.items():
            group[engine] = max(value, group.get(engine, value))
    return {name: by_engine for name, by_engine in highest.items() if by_engine}


def bar_chart(
    report: Report, title: str, values: Mapping[str, Mapping[str, float]], width: float = 520
) -> Scene | None:
    """Bars from 0, one for each engine and name. The longest have the full width."""
    series = series_of(report)
    highest = max((value for each in values.values() for value in each.values()), default=0)
    if highest <= 0:
        return None
    left, right, top = 118.0, width - 48, 26.0
    scale = Scale(0, highest, left, right, log=False)
    height_of_row = _BAR * len(series) + 9
    bottom = top + height_of_row * len(values)
    marks: list[Mark] = []
    for tick in scale.ticks(5):
        marks.append(Line(scale(tick), top - 4, scale(tick), bottom, "grid"))
        marks.append(Label(scale(tick), top - 13, short_count(tick), "muted", 10, "middle"))
    y = top + 3
    for name, by_engine in values.items():
        marks.append(Label(left - 8, y + _BAR * len(series) / 2, name, "ink", 11.5, "end"))
        for place, each in enumerate(series):
            if each.name in by_engine:
                value = by_engine[each.name]
                at = y + _BAR * place
                note = f"{name}, {each.name}: {number(value)} ({title})"
                long = max(scale(value) - left, 1)
                marks.append(Box(left, at, long, _BAR - 1.5, each.tone, note))
                marks.append(
                    Label(left + long + 4, at + _BAR / 2 - 1, number(value), each.tone, 8.5)
                )
        y += height_of_row
    marks.append(Line(left, top - 4, left, bottom, "ink"))
    return Scene(title, width, bottom + 6, tuple(marks))
