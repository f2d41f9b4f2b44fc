"""Charts of many small panels: latency by percentile, growth with entries, size of values.

All panels of a chart have the same width and their own log axis of microseconds; every line ends
in the name of its engine. None when there is nothing to show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lsmkv_bench.charts import WIDTH, Series, series_of
from lsmkv_bench.ratios import Rounds, collect, rows_of
from lsmkv_bench.results import Case, Report
from lsmkv_bench.scene import Curve, Dot, Label, Line, Mark, Scale, Scene, log_scale, spread_out
from lsmkv_bench.wording import FAMILIES, family, number, short_count, short_size

_COLUMNS = 4
_GAP = 18
_PANEL_HEIGHT = 178
_LEFT, _TOP, _BOTTOM = 34, 26, 24  # inside of a panel, around its plot
_LETTER = 7.1  # of the names at the ends of lines
_LABEL = 12.5  # between the names at the ends of lines
_PERCENTILES = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"))
_QUARTET = (0.5, 0.99, 0.999, 0.9999)

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Panel:
    title: str
    lines: Mapping[str, Points]  # by engine; x is as the axis wants it
    dots: bool = True


def nines(part: float) -> float:
    """Where a percentile stands on the axis: 0 for the fastest, 1 for p90, 2 for p99."""
    return -math.log10(1 - part)


def percentile_points(counts: Sequence[Sequence[float]]) -> Points:
    """(nines, microseconds) at the end of each bucket; the last at what one of them all is."""
    total = sum(count for _, count in counts)
    points = []
    below = 0.0
    for bound, count in counts:
        if not count:
            continue
        below += count
        left = max(total - below, 0.5)  # beyond the last there is no half operation
        points.append((math.log10(total / left), bound))
    return tuple(points)


def merged(rounds: Rounds) -> list[list[float]]:
    """The histograms of all rounds as one."""
    sums: dict[float, float] = {}
    for outcome in rounds.values():
        for bound, count in outcome.latency.counts if outcome.latency else ():
            sums[bound] = sums.get(bound, 0) + count
    return [[bound, sums[bound]] for bound in sorted(sums)]


def latency_points(rounds: Rounds) -> Points:
    """Of the histograms, or of the four percentiles of the first round that has some."""
    counts = merged(rounds)
    if counts:
        return percentile_points(counts)
    for outcome in rounds.values():
        if outcome.latency:
            each = outcome.latency
            values = (each.p50, each.p99, each.p99_9, each.p99_99)
            return tuple(zip(map(nines, _QUARTET), values, strict=True))
    return ()


def latency_chart(report: Report, case: Case) -> Scene | None:
    panels = []
    for (of, workload), by_engine in collect(report).items():
        if of != case:
            continue
        lines = {engine: latency_points(rounds) for engine, rounds in by_engine.items()}
        lines = {engine: points for engine, points in lines.items() if points}
        if lines:
            panels.append(Panel(workload, lines, dots=False))
    if not panels:
        return None
    last = max(x for panel in panels for points in panel.lines.values() for x, _ in points)
    ticks = [(nines(part), name) for part, name in _PERCENTILES if nines(part) <= last]
    return _grid(
        "latency of single operations by percentile, microseconds",
        panels, series_of(report), Scale(0, max(last, 1), 0, 1, log=False), ticks, columns=3,
    )  # fmt: skip


def growth_chart(report: Report, cases: Sequence[Case]) -> Scene | None:
    ticks = [(float(case.entries), short_count(case.entries)) for case in cases]
    return _over_cases(report, cases, ticks, "microseconds per operation by number of entries")


def value_size_chart(report: Report, cases: Sequence[Case]) -> Scene | None:
    ticks = [(float(max(case.value_size, 1)), short_size(case.value_size)) for case in cases]
    return _over_cases(report, cases, ticks, "microseconds per operation by size of values")


def _over_cases(
    report: Report, cases: Sequence[Case], ticks: Sequence[tuple[float, str]], title: str
) -> Scene | None:
    """One panel for each workload that at least two of the cases have."""
    lines: dict[str, dict[str, list[tuple[float, float]]]] = {}
    rows = {(row.case, row.workload): row for row in rows_of(report)}
    for case, (x, _) in zip(cases, ticks, strict=True):
        for (of, workload), row in rows.items():
            if of == case:
                for engine, found in row.times.items():
                    engines = lines.setdefault(workload, {})
                    engines.setdefault(engine, []).append((x, found.median))
    panels = [
        Panel(workload, {engine: tuple(points) for engine, points in engines.items()})
        for workload, engines in lines.items()
        if any(len(points) > 1 for points in engines.values())
    ]
    panels.sort(key=lambda panel: FAMILIES.index(family(panel.title)))
    if not panels:
        return None
    scale = log_scale([x for x, _ in ticks], 0, 1, margin=1.0)
    return _grid(title, panels, series_of(report), scale, _thinned(ticks, scale), _COLUMNS)


def _thinned(ticks: Sequence[tuple[float, str]], scale: Scale) -> list[tuple[float, str]]:
    """Those with room for their text: a fifth of the axis; the last stands in any case."""
    kept = list(ticks[-1:])
    for tick in reversed(ticks[:-1]):
        if scale(kept[0][0]) - scale(tick[0]) >= 0.19:
            kept.insert(0, tick)
    return kept


def _grid(
    title: str,
    panels: Sequence[Panel],
    series: Sequence[Series],
    across: Scale,
    ticks: Sequence[tuple[float, str]],
    columns: int,
) -> Scene:
    width = (WIDTH - _GAP * (columns - 1)) / columns
    marks: list[Mark] = []
    for place, panel in enumerate(panels):
        row, column = divmod(place, columns)
        x, y = column * (width + _GAP), row * (_PANEL_HEIGHT + _GAP)
        marks += _panel(panel, series, across, ticks, x, y, width)
    rows = -(-len(panels) // columns)
    return Scene(title, WIDTH, rows * (_PANEL_HEIGHT + _GAP) - _GAP, tuple(marks))


def _panel(
    panel: Panel,
    series: Sequence[Series],
    across: Scale,
    ticks: Sequence[tuple[float, str]],
    x: float,
    y: float,
    width: float,
) -> list[Mark]:
    left, right = x + _LEFT, x + width - 10 - _LETTER * max(len(each.name) for each in series)
    top, bottom = y + _TOP, y + _PANEL_HEIGHT - _BOTTOM
    horizontal = Scale(across.low, across.high, left, right, across.log)
    values = [value for points in panel.lines.values() for _, value in points]
    vertical = log_scale(values, bottom, top)
    marks: list[Mark] = [Label(x, y + 9, panel.title, "ink", 12.5, bold=True)]
    for tick in vertical.ticks(5):
        at = vertical(tick)
        marks.append(Line(left, at, right, at, "grid"))
        marks.append(Label(left - 6, at, short_count(tick), "muted", 10, "end"))
    marks.append(Label(right, y + 9, "µs", "muted", 10, "end"))
    marks.append(Line(left, bottom, right, bottom, "axis"))
    for value, text in ticks:
        at = horizontal(value)
        marks.append(Line(at, bottom, at, bottom + 4, "axis"))
        marks.append(Label(at, bottom + 13, text, "muted", 10, "middle"))
    drawn = [each for each in series if each.name in panel.lines]
    for each in reversed(drawn):
        marks += _line(panel, each, horizontal, vertical)
    ends = [vertical(panel.lines[each.name][-1][1]) for each in drawn]
    for each, at in zip(drawn, spread_out(ends, _LABEL, top, bottom), strict=True):
        marks.append(Label(right + 8, at, each.name, each.tone, 11, bold=True))
    return marks


def _line(panel: Panel, series: Series, horizontal: Scale, vertical: Scale) -> list[Mark]:
    points = panel.lines[series.name]
    placed = tuple((horizontal(x), vertical(value)) for x, value in points)
    marks: list[Mark] = [Curve(placed, series.tone)] if len(placed) > 1 else []
    if panel.dots or len(placed) == 1:
        for (x, y), (_, value) in zip(placed, points, strict=True):
            note = f"{panel.title}, {series.name}: {number(value)} µs"
            marks.append(Dot(x, y, series.shape, series.tone, 3.5, note=note))
    return marks
