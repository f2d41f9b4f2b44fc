"""What the rounds say: medians, spreads, and the ratio of each peer to lsmkv round by round.

A ratio is peer time / lsmkv time within one round, so above 1 lsmkv is the faster; what changes
from round to round (a noisy neighbour, a hot disk) meets both sides of it. A round that one side
lacks is left out of that ratio. Pure: it formats nothing and reads no file.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lsmkv_bench.results import Case, Outcome, Report

SUBJECT = "lsmkv"
BETTER = "better of two"
BETTER_OF = ("rocksdict", "plyvel")

Rounds = dict[int, Outcome]


@dataclass(frozen=True)
class Spread:
    """One number over the rounds."""

    median: float
    low: float
    high: float
    rounds: int


@dataclass(frozen=True)
class Row:
    """One workload on one case. Keyed by engine; ratios by peer, and BETTER where it exists."""

    case: Case
    workload: str
    times: dict[str, Spread]  # microseconds per operation
    ratios: dict[str, Spread]
    times_with_drain: dict[str, Spread]
    ratios_with_drain: dict[str, Spread]


@dataclass(frozen=True)
class Standing:
    """One peer against lsmkv over all workloads of a case."""

    peer: str
    mean: float  # geometric, of the medians
    lowest: tuple[str, float]  # workload and ratio
    highest: tuple[str, float]
    workloads: int
    ahead: int  # lsmkv was faster in every round
    behind: int  # slower in every round


def spread(values: Iterable[float]) -> Spread | None:
    """None of no values."""
    found = sorted(values)
    if not found:
        return None
    return Spread(statistics.median(found), found[0], found[-1], len(found))


def paired(peer: dict[int, float], subject: dict[int, float]) -> Spread | None:
    """Of the rounds that both have."""
    return spread(peer[each] / subject[each] for each in peer.keys() & subject.keys())


def better(sides: Sequence[dict[int, float]]) -> dict[int, float]:
    """The fastest of each round in which every side has a time."""
    common = set.intersection(*(set(side) for side in sides))
    return {each: min(side[each] for side in sides) for each in common}


def engines_of(report: Report) -> list[str]:
    """lsmkv first, then in order of appearance."""
    return sorted(dict.fromkeys(run.engine for run in report.runs), key=lambda x: x != SUBJECT)


def peers_of(report: Report) -> list[str]:
    return [engine for engine in engines_of(report) if engine != SUBJECT]


def ratio_names(report: Report) -> list[str]:
    """The peers, and BETTER when there are both it is made of."""
    peers = peers_of(report)
    return [*peers, BETTER] if set(BETTER_OF) <= set(peers) else peers


def cases_of(report: Report) -> list[Case]:
    return list(dict.fromkeys(run.case for run in report.runs))


def collect(report: Report) -> dict[tuple[Case, str], dict[str, Rounds]]:
    """Outcomes by case and workload, then engine, then round; in order of appearance."""
    found: dict[tuple[Case, str], dict[str, Rounds]] = {}
    for run in report.runs:
        for outcome in run.outcomes:
            if outcome.operations and outcome.seconds > 0:
                engines = found.setdefault((run.case, outcome.workload), {})
                engines.setdefault(run.engine, {})[run.round] = outcome
    return found


def over_rounds(rounds: Rounds, measure: Callable[[Outcome], float | None]) -> Spread | None:
    """Of the rounds that measured it."""
    return spread(value for each in rounds.values() if (value := measure(each)) is not None)


def _compare(
    engines: dict[str, Rounds], measure: Callable[[Outcome], float | None]
) -> tuple[dict[str, Spread], dict[str, Spread]]:
    times = {
        engine: {each: value for each, out in rounds.items() if (value := measure(out)) is not None}
        for engine, rounds in engines.items()
    }
    subject = times.get(SUBJECT, {})
    sides = {engine: values for engine, values in times.items() if engine != SUBJECT}
    if set(BETTER_OF) <= set(sides):
        sides[BETTER] = better([sides[engine] for engine in BETTER_OF])
    medians = {engine: found for engine in times if (found := spread(times[engine].values()))}
    ratios = {peer: found for peer in sides if (found := paired(sides[peer], subject))}
    return medians, ratios


def rows_of(report: Report) -> list[Row]:
    """One per case and workload, in order of appearance."""
    return [
        Row(
            case,
            workload,
            *_compare(engines, lambda outcome: outcome.us_per_operation),
            *_compare(engines, lambda outcome: outcome.us_with_drain),
        )
        for (case, workload), engines in collect(report).items()
    ]


def main_case(rows: Sequence[Row]) -> Case | None:
    """The one with the most workloads; of equals the first."""
    counts: dict[Case, int] = {}
    for row in rows:
        counts[row.case] = counts.get(row.case, 0) + 1
    return max(counts, key=lambda case: counts[case], default=None)


def standing(rows: Iterable[Row], peer: str) -> Standing | None:
    """None where the peer has no ratio."""
    found = [(row.workload, row.ratios[peer]) for row in rows if peer in row.ratios]
    if not found:
        return None
    medians = [(workload, ratio.median) for workload, ratio in found]
    return Standing(
        peer,
        math.exp(statistics.fmean(math.log(median) for _, median in medians)),
        min(medians, key=lambda each: each[1]),
        max(medians, key=lambda each: each[1]),
        len(found),
        sum(ratio.low > 1 for _, ratio in found),
        sum(ratio.high < 1 for _, ratio in found),
    )


def series_of_cases(cases: Iterable[Case], varying: str) -> list[list[Case]]:
    """Cases that differ in one field alone ("entries" or "value_size"), ascending, two or more."""
    fixed = [name for name in ("entries", "key_kind", "value_size") if name != varying]
    groups: dict[tuple[object, ...], list[Case]] = {}
    for case in cases:
        groups.setdefault(tuple(getattr(case, name) for name in fixed), []).append(case)
    return [
        sorted(group, key=lambda case: int(getattr(case, varying)))
        for group in groups.values()
        if len(group) > 1
    ]
