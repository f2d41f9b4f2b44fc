"""A report as Markdown for the README: one table, one sentence, one command.

The table is of the case with the most workloads: medians in microseconds per operation, and in
brackets peer / lsmkv. Other cases follow as one line each: the geometric mean of their ratios.
"""

from __future__ import annotations

from collections.abc import Sequence

from lsmkv_bench.ratios import (
    BETTER,
    BETTER_OF,
    Row,
    cases_of,
    engines_of,
    main_case,
    peers_of,
    ratio_names,
    rows_of,
    standing,
)
from lsmkv_bench.results import Case, Report
from lsmkv_bench.wording import DASH, case_title, counted, facts, joined, number, pairs, ratio

COMMAND = "make bench"  # unless the plan names the command that was given


def render(report: Report) -> str:
    """Ends without a line feed; empty when nothing was measured."""
    rows = rows_of(report)
    case = main_case(rows)
    if case is None:
        return ""
    own = [row for row in rows if row.case == case]
    parts = [_table(report, own), _sentence(report, case), *_others(report, rows, case)]
    parts.append(f"```sh\n{command_of(report)}\n```")
    return "\n\n".join(parts)


def command_of(report: Report) -> str:
    """What repeats it."""
    return str(report.plan.get("command", COMMAND))


def rounds_of(report: Report, case: Case) -> int:
    return len({run.round for run in report.runs if run.case == case})


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _table(report: Report, rows: Sequence[Row]) -> str:
    engines = engines_of(report)
    extra = [BETTER] if BETTER in ratio_names(report) else []
    lines = [
        _line(["us per operation", *engines, *extra]),
        "|---|" + "---:|" * (len(engines) + len(extra)),
    ]
    for row in rows:
        cells = [_cell(row, engine) for engine in engines]
        if extra:
            better = row.ratios.get(BETTER)
            cells.append(f"{ratio(better.median)}x" if better else DASH)
        lines.append(_line([row.workload, *cells]))
    return "\n".join(lines)


def _cell(row: Row, engine: str) -> str:
    if engine not in row.times:
        return DASH
    text = number(row.times[engine].median)
    return f"{text} ({ratio(row.ratios[engine].median)}x)" if engine in row.ratios else text


def _sentence(report: Report, case: Case) -> str:
    rounds = counted(rounds_of(report, case), "round")
    text = (
        f"Medians of {rounds} on {', '.join(facts(report.machine)) or 'an unnamed machine'}, "
        f"started {report.started}: {case_title(case)}; in brackets the peer's time divided by "
        "lsmkv's, paired round by round"
    )
    if BETTER in ratio_names(report):
        text += f" ({BETTER}: the faster of {joined(BETTER_OF)} in each round)"
    settings = [f"{engine}: {pairs(values)}" for engine, values in report.settings.items()]
    return text + (f". Settings: {'; '.join(settings)}." if settings else ".")


def _others(report: Report, rows: Sequence[Row], main: Case) -> list[str]:
    cases = [case for case in cases_of(report) if case != main]
    peers = peers_of(report)
    if not cases or not peers:
        return []
    lines = [
        _line(["other data sets: geometric mean of peer / lsmkv", "workloads", *peers]),
        "|---|---:|" + "---:|" * len(peers),
    ]
    for case in cases:
        own = [row for row in rows if row.case == case]
        found = [standing(own, peer) for peer in peers]
        cells = [f"{ratio(each.mean)}x" if each else DASH for each in found]
        lines.append(_line([case_title(case), str(len(own)), *cells]))
    return ["\n".join(lines)]
