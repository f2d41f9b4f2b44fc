"""One report against an older one: what became faster or slower beyond the spread of both.

A time has changed when the slowest round of one report is faster than the fastest of the other. A
report of one round has no spread, so nothing can be said about it. With few rounds chance alone
parts some equal times; how many is said at the end. Different machines, settings or plans are said
first: then the times are not comparable, or not for the reason one thinks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lsmkv_bench.ratios import Spread, cases_of, rows_of
from lsmkv_bench.results import Case, Report
from lsmkv_bench.tables import Table
from lsmkv_bench.terminal import draw
from lsmkv_bench.wording import case_title, counted, number, plain, ratio

FASTER, SLOWER, SAME, UNKNOWN = "faster", "slower", "same", "one round"


@dataclass(frozen=True)
class Change:
    """Of one workload on one engine; times in microseconds per operation."""

    case: Case
    workload: str
    engine: str
    old: Spread
    new: Spread

    @property
    def speedup(self) -> float:
        """Above 1 the new one is the faster."""
        return self.old.median / self.new.median

    @property
    def chance(self) -> float:
        """That the rounds of equal times part into all of one report before all of the other."""
        if self.verdict == UNKNOWN:
            return 0.0
        return 2 / math.comb(self.old.rounds + self.new.rounds, self.new.rounds)

    @property
    def verdict(self) -> str:
        if min(self.old.rounds, self.new.rounds) < 2:
            return UNKNOWN
        if self.new.high < self.old.low:
            return FASTER
        return SLOWER if self.new.low > self.old.high else SAME


def _times(report: Report) -> dict[tuple[Case, str, str], Spread]:
    return {
        (row.case, row.workload, engine): found
        for row in rows_of(report)
        for engine, found in row.times.items()
    }


def changes(old: Report, new: Report) -> list[Change]:
    """What both have, in the order of the new one."""
    before = _times(old)
    return [Change(*key, before[key], now) for key, now in _times(new).items() if key in before]


def warnings(old: Report, new: Report) -> list[str]:
    """One line for each thing that differs, and for times that stand in one report only."""
    found = _differences("machine", old.machine, new.machine)
    for engine in dict.fromkeys([*old.settings, *new.settings]):
        before, after = old.settings.get(engine), new.settings.get(engine)
        if before is not None and after is not None:
            found += _differences(f"setting of {engine}", before, after)
    found += _differences("plan", old.plan, new.plan)
    sides = set(_times(old)), set(_times(new))
    for name, only in (("old", sides[0] - sides[1]), ("new", sides[1] - sides[0])):
        if only:
            found.append(f"{counted(len(only), 'time')} only in the {name} report")
    return found


def _differences(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [
        f"{what} differs: {name}: {plain(old.get(name))} -> {plain(new.get(name))}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]


def render(old: Report, new: Report) -> str:
    """Ends without a line feed."""
    found = changes(old, new)
    parts = [f"old: {old.started}\nnew: {new.started}"]
    warned = warnings(old, new)
    if warned:
        parts.append("\n".join(f"warning: {each}" for each in warned))
    for case in cases_of(new):
        own = [change for change in found if change.case == case]
        if own:
            parts.append(draw(_table(case, own)))
    counts = {
        verdict: sum(change.verdict == verdict for change in found)
        for verdict in (FASTER, SLOWER, SAME, UNKNOWN)
    }
    said = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    if not said:
        return "\n\n".join([*parts, "nothing in common"])
    by_chance = sum(change.chance for change in found)
    parts.append(
        f"{', '.join(said)}; if nothing had changed, chance would mark about {by_chance:.1f}"
    )
    return "\n\n".join(parts)


def _range(found: Spread) -> str:
    return f"{number(found.median)} [{number(found.low)}..{number(found.high)}]"


def _table(case: Case, found: list[Change]) -> Table:
    return Table(
        case_title(case),
        "us per operation: median [lowest..highest]; old / new above 1 is faster",
        ("workload", "engine", "verdict", "old", "new", "old / new"),
        [
            (
                change.workload,
                change.engine,
                change.verdict,
                _range(change.old),
                _range(change.new),
                f"{ratio(change.speedup)}x",
            )
            for change in found
        ],
        text_columns=3,
    )
