"""A report as one HTML page: charts, then every number. No network, no script, light and dark.

Everything shown comes from the report through ratios.py and tables.py; this file arranges it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from lsmkv_bench import svg
from lsmkv_bench.charts import (
    Series,
    bar_chart,
    highest_of_families,
    metric_values,
    ratio_chart,
    series_of,
    time_chart,
)
from lsmkv_bench.curves import growth_chart, latency_chart, value_size_chart
from lsmkv_bench.markdown import command_of, rounds_of
from lsmkv_bench.ratios import (
    BETTER,
    BETTER_OF,
    SUBJECT,
    Row,
    Standing,
    cases_of,
    collect,
    main_case,
    peers_of,
    ratio_names,
    rows_of,
    series_of_cases,
    standing,
)
from lsmkv_bench.results import Case, Report
from lsmkv_bench.scene import OUTLINES, Scene
from lsmkv_bench.tables import DISK, MEMORY, SPACE, WRITES, Table, case_tables, setting_tables
from lsmkv_bench.wording import TIMES, case_title, counted, facts, joined, ratio, short_size

STYLE = Path(__file__).with_name("page.css")

_HOW = (
    "Each engine runs in a process of its own on a fresh directory, one case and one round at a "
    "time. Within a round the engines run next to each other, so that a ratio compares two runs "
    "that met the same machine.",
    f"A ratio is the time of the peer divided by the time of {SUBJECT}, round by round; shown is "
    "the median, the bar or bracket is the lowest and the highest round. Above 1 "
    f"{SUBJECT} is the faster.",
    "The drain is what a write workload leaves to background threads: the time until the tree is "
    "stable, with the disk's work done.",
    "Latencies are of a pass of their own, since timing each call costs time; histograms of all "
    "rounds are added up.",
    "Write amplification is bytes written to disk, logs included, by bytes handed in; space "
    "amplification is bytes on disk by bytes of live keys and values.",
    "Peak memory is resident memory without pages of files, so that a mapped file does not count.",
)


@dataclass(frozen=True)
class Section:
    anchor: str
    title: str
    lead: str
    body: str


def write(report: Report, path: Path) -> None:
    """Replaces the file whole."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(render(report), encoding="utf-8")
    temporary.replace(path)


def render(report: Report) -> str:
    """The page as text."""
    rows = rows_of(report)
    case = main_case(rows)
    main = [row for row in rows if row.case == case]
    sections = [
        each
        for each in (
            _ratios(report, main),
            _times(report, main),
            _latency(report, case),
            _over(report, "entries", "growth", "Growth", growth_chart),
            _over(report, "value_size", "value-sizes", "Size of values", value_size_chart),
            _space(report, case),
            _tables(report),
            _setting(report),
        )
        if each.body
    ]
    peers = joined(peers_of(report))
    title = f"{SUBJECT} beside {peers}" if peers else SUBJECT
    navigation = "".join(f'<a href="#{each.anchor}">{escape(each.title)}</a>' for each in sections)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            '<meta name="color-scheme" content="light dark"/>',
            f"<title>{escape(title)}</title>",
            f"<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<main>",
            _header(report, title, case),
            _tiles(report, main),
            f"<nav>{navigation}</nav>",
            *map(_section, sections),
            f"<footer>lsmkv bench, {escape(report.started)}</footer>",
            "</main>\n</body>\n</html>\n",
        ]
    )


def _section(section: Section) -> str:
    return (
        f'<section id="{section.anchor}">\n<h2>{escape(section.title)}</h2>\n'
        f'<p class="lead">{escape(section.lead)}</p>\n{section.body}\n</section>'
    )


def _figure(scene: Scene | None, caption: str = "") -> str:
    if scene is None:
        return ""
    text = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure>{text}{svg.render(scene)}</figure>"


def _header(report: Report, title: str, case: Case | None) -> str:
    said = [report.started[:16].replace("T", " "), *facts(report.machine)]
    if case is not None:
        said = [case_title(case), counted(rounds_of(report, case), "round"), *said]
    items = "".join(f"<li>{escape(fact)}</li>" for fact in said)
    return (
        f'<header>\n<p class="eyebrow">Embedded key-value stores, measured from Python</p>\n'
        f'<h1>{escape(title)}</h1>\n<ul class="facts">{items}</ul>\n</header>'
    )


def _tiles(report: Report, rows: Sequence[Row]) -> str:
    tones = {each.name: each for each in series_of(report)}
    found = [each for name in ratio_names(report) if (each := standing(rows, name))]
    if not found:
        return ""
    lead = (
        f"How many times as long as {SUBJECT} each peer takes: the geometric mean over all "
        f"workloads, and in how many {SUBJECT} is the faster in every round."
    )
    if found[-1].peer == BETTER:
        lead += f" The {BETTER}: the faster of {joined(BETTER_OF)}, round by round."
    tiles = "".join(_tile(each, tones.get(each.peer)) for each in found)
    return f'<p class="lead summary">{escape(lead)}</p><div class="tiles">{tiles}</div>'


def _tile(found: Standing, series: Series | None) -> str:
    within = found.workloads - found.ahead - found.behind
    parts = [f"faster in {found.ahead} of {counted(found.workloads, 'workload')}"]
    if found.behind:
        parts.append(f"slower in {found.behind}")
    if within:
        parts.append(f"{within} within the spread")
    tone = series.tone if series else "ink"
    return (
        f'<div class="tile b-{tone}">'
        f'<p class="peer c-{tone}">{_key(series)}vs {escape(found.peer)}</p>'
        f'<p class="big">{ratio(found.mean)}<span>{TIMES}</span></p>'
        f"<p>{escape(', '.join(parts))}</p>"
        f'<p class="range">lowest {ratio(found.lowest[1])}{TIMES} {escape(found.lowest[0])}<br/>'
        f"highest {ratio(found.highest[1])}{TIMES} {escape(found.highest[0])}</p></div>"
    )


def _key(series: Series | None) -> str:
    """The mark of an engine, to stand before its name."""
    if series is None:
        return ""
    inner = '<circle cx="6" cy="6" r="4.6"/>'
    if series.shape in OUTLINES:
        points = " ".join(f"{6 + x * 4.4:.1f},{6 + y * 4.4:.1f}" for x, y in OUTLINES[series.shape])
        inner = f'<polygon points="{points}"/>'
    return f'<svg class="key f-{series.tone}" viewBox="0 0 12 12" aria-hidden="true">{inner}</svg>'


def _legend(report: Report) -> str:
    names = "".join(
        f'<span class="c-{each.tone}">{_key(each)}{escape(each.name)}</span>'
        for each in series_of(report)
    )
    return f'<p class="legend">{names}</p>'


def _ratios(report: Report, rows: Sequence[Row]) -> Section:
    return Section(
        "ratios",
        "How many times faster",
        f"Time of the peer / time of {SUBJECT}. Marks are medians of paired rounds, bars reach "
        f"from the lowest round to the highest. Right of the line at 1, {SUBJECT} is the faster. "
        "Logarithmic axis.",
        _figure(ratio_chart(report, rows)),
    )


def _times(report: Report, rows: Sequence[Row]) -> Section:
    drains = any(row.times_with_drain for row in rows)
    return Section(
        "times",
        "Time per operation",
        "Microseconds per operation, less is better. Marks are medians, bars the range of the "
        "rounds."
        + (" Hollow marks: with the drain of background work." if drains else "")
        + " Logarithmic axis.",
        _figure(time_chart(report, rows)),
    )


def _latency(report: Report, case: Case | None) -> Section:
    scene = latency_chart(report, case) if case else None
    return Section(
        "latency",
        "Latency",
        "Of single operations: so many of them took at most so long. Microseconds, less is "
        "better; both axes logarithmic, each panel with its own height.",
        _figure(scene),
    )


def _over(
    report: Report,
    varying: str,
    anchor: str,
    title: str,
    draw: Callable[[Report, Sequence[Case]], Scene | None],
) -> Section:
    figures = []
    for cases in series_of_cases(cases_of(report), varying):
        first = cases[0]
        same = (
            f"{first.key_kind} keys, {short_size(first.value_size)} values"
            if varying == "entries"
            else f"{first.entries:,} entries, {first.key_kind} keys"
        )
        figures.append(_figure(draw(report, cases), same))
    what = "more entries" if varying == "entries" else "larger values"
    return Section(
        anchor,
        title,
        f"Microseconds per operation with {what}, medians; less is better. Both axes logarithmic, "
        "each panel with its own height.",
        "".join(figures),
    )


def _space(report: Report, case: Case | None) -> Section:
    found = {workload: value for (of, workload), value in collect(report).items() if of == case}
    figures = []
    for metric in (DISK, SPACE, WRITES, MEMORY):
        values = metric_values(metric, found)
        note = metric.note
        if metric is MEMORY:
            values = highest_of_families(values)
            note = "the highest of each group of workloads"
        scene = bar_chart(report, metric.title, values)
        if scene:
            figures.append(_figure(scene, f"{metric.title}: {note}"))
    body = f'{_legend(report)}<div class="grid">{"".join(figures)}</div>' if figures else ""
    return Section("space", "Space and memory", "Medians; less is better.", body)


def _tables(report: Report) -> Section:
    main = main_case(rows_of(report))
    parts = []
    for case in cases_of(report):
        tables = "".join(_table(table) for table in case_tables(report, case))
        chart = ""
        if case != main:
            rows = [row for row in rows_of(report) if row.case == case]
            chart = _figure(ratio_chart(report, rows), f"Time of the peer / time of {SUBJECT}")
        state = ' open="open"' if case == main else ""
        parts.append(
            f"<details{state}><summary>{escape(case_title(case))}</summary>"
            f"{chart}{tables}</details>"
        )
    return Section("tables", "Every number", "One fold for each data set.", "".join(parts))


def _setting(report: Report) -> Section:
    how = "".join(f"<li>{escape(text)}</li>" for text in _HOW)
    tables = "".join(_table(table) for table in setting_tables(report))
    command = f"<pre>{escape(command_of(report))}</pre>"
    return Section(
        "method",
        "How it was measured",
        "What the numbers mean, with which settings and on which machine.",
        f'<ul class="how">{how}</ul>{tables}<h3>Repeat it</h3>{command}',
    )


def _table(table: Table) -> str:
    def cells(values: Iterable[str], tag: str) -> str:
        kinds = ("" if place < table.text_columns else ' class="n"' for place in itertools.count())
        return "".join(
            f"<{tag}{kind}>{escape(value)}</{tag}>"
            for kind, value in zip(kinds, values, strict=False)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f"<h3>{escape(table.title)}</h3>{note}"
        f'<div class="scroll"><table><thead><tr>{cells(table.header, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
