"""Which processes are run, and in which order: pure, from what was asked for to a list of steps.

A plan is one or more cases, each with its workloads, engines and rounds. Within a round the engines
take turns, A B C A B C, so that a slow minute of the machine falls on all of them; round r of one
engine is compared with round r of another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lsmkv_bench import datasets, workloads, ycsb
from lsmkv_bench.datasets import KEY_KINDS, VALUE_SIZES
from lsmkv_bench.laboratory import Effort
from lsmkv_bench.results import Case, Run

STANDARD = Case(datasets.ENTRIES_MAX, "decimal", 100)
QUICK_ENTRIES = 100_000
ROUNDS = 5
QUICK_ROUNDS = 2
PEERS = ("lsmkv", "plyvel", "rocksdict", "lmdb", "sqlite3")

DEFAULT_WORKLOADS = (
    "fillseq",
    "fillbatch",
    "fillcolumns",
    "fillsync1",
    "fillsync8",
    "fillrandom",
    "overwrite",
    "readrandomcold",
    "readrandom",
    "readmissing",
    "multireadrandom",
    "readcolumns",
    "seekrandom",
    "readseq",
    "readreverse",
    "deleterandom",
)
QUICK_WORKLOADS = (
    "fillseq",
    "fillrandom",
    "overwrite",
    "readrandom",
    "readmissing",
    "readseq",
    "readreverse",
    "fillbatch",
)
VARIATION_WORKLOADS = tuple(
    name
    for name in workloads.WORKLOADS
    if name not in ycsb.NAMES and not name.startswith(("fillsync", "readwhilewriting"))
)

SCALE_ENTRIES = (1_000_000, 10_000_000, 50_000_000)
SCALE_PEERS = ("lsmkv", "rocksdict", "lmdb")
SCALE_WORKLOADS = ("fillrandom", "readrandom", "readmissing", "readseq", "sustainedfill")
CONTROL = "mapped-writes"
CONTROLLED = "lsmkv"


# Ten times slower than the others at some workloads: it takes part in the first rounds only.
SLOW_ENGINES = ("sqlite3",)
SLOW_ROUNDS = 2


@dataclass(frozen=True)
class CasePlan:
    """One case: every engine in every round, the slow ones in the first `slow_rounds`."""

    case: Case
    engines: tuple[str, ...]
    workloads: tuple[str, ...]
    rounds: int
    slow_rounds: int


@dataclass(frozen=True)
class Plan:
    """`kind`: "standard", or "scale" for work that keeps no keys."""

    kind: str
    cases: tuple[CasePlan, ...]
    effort: Effort

    def as_json(self) -> dict[str, Any]:
        """What a result file keeps: lists and dicts only, so that it compares after reading."""
        values = asdict(self)
        values["cases"] = [
            {**case, "engines": list(case["engines"]), "workloads": list(case["workloads"])}
            for case in values["cases"]
        ]
        return values


@dataclass(frozen=True)
class Step:
    """One process."""

    engine: str
    case: Case
    round: int
    workloads: tuple[str, ...]


class PlanError(ValueError):
    """What was asked for does not exist."""


def steps(plan: Plan) -> list[Step]:
    """In order. The control follows the engine whose pace it takes."""
    found: list[Step] = []
    for case in plan.cases:
        for number in range(1, case.rounds + 1):
            for engine in case.engines:
                if engine in SLOW_ENGINES and number > case.slow_rounds:
                    continue
                wanted = case.workloads
                if engine == CONTROL:
                    wanted = ("sustainedfill",)
                found.append(Step(engine, case.case, number, wanted))
    return found


def left_to_do(all_steps: Iterable[Step], done: Iterable[Run]) -> list[Step]:
    """Those of which there is no run yet."""
    known = {(run.engine, run.case, run.round) for run in done}
    return [step for step in all_steps if (step.engine, step.case, step.round) not in known]


def pace_of(step: Step, runs: Iterable[Run]) -> float:
    """Bytes per second at which the controlled engine was filled in that round; 0: no such run."""
    for run in runs:
        if (run.engine, run.case, run.round) == (CONTROLLED, step.case, step.round):
            for outcome in run.outcomes:
                if outcome.workload == "sustainedfill":
                    return (outcome.user_bytes or 0) / outcome.seconds
    return 0.0


def disagreements(runs: Iterable[Run]) -> list[str]:
    """Workloads of which engines or rounds had different results, as lines to print."""
    checks: dict[tuple[str, str], dict[str, list[str]]] = {}
    for run in runs:
        for outcome in run.outcomes:
            if outcome.check:
                found = checks.setdefault((run.case.name, outcome.workload), {})
                found.setdefault(outcome.check, []).append(f"{run.engine} round {run.round}")
    return [
        f"{workload} ({case}): "
        + "; ".join(f"{check} by {', '.join(who)}" for check, who in found.items())
        for (case, workload), found in checks.items()
        if len(found) > 1
    ]


def remaining_seconds(
    steps_left: Sequence[Step], durations: Mapping[tuple[str, Case], Sequence[float]]
) -> float | None:
    """From how long the same engine took with the same case, else from the average so far."""
    known = [seconds for each in durations.values() for seconds in each]
    if not known:
        return None
    average = sum(known) / len(known)
    total = 0.0
    for step in steps_left:
        own = durations.get((step.engine, step.case))
        total += sum(own) / len(own) if own else average
    return total


# --- the sets ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """What the command line asks for; None and empty: as the set has it."""

    set: str = "default"  # or "quick" or "full"
    engines: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    entries: int | None = None
    value_sizes: tuple[int, ...] = ()
    key_kinds: tuple[str, ...] = ()
    rounds: int | None = None


def make_plan(request: Request, engines: Collection[str]) -> Plan:
    """`engines`: those that are installed, of which the request may name some."""
    chosen = tuple(name for name in request.engines or PEERS if name in engines)
    if not chosen:
        raise PlanError("none of the engines is installed")
    unknown = set(request.key_kinds) - set(KEY_KINDS)
    if unknown:
        raise PlanError(f"no such kind of keys: {', '.join(sorted(unknown))}")
    if min(request.value_sizes, default=1) < 1:
        raise PlanError("values have at least 1 byte")
    wanted = _matching(request.workloads)
    rounds = request.rounds or (QUICK_ROUNDS if request.set == "quick" else ROUNDS)
    slow_rounds = SLOW_ROUNDS if request.set == "default" and request.rounds is None else rounds
    if request.entries is not None or request.value_sizes or request.key_kinds:
        base = {"default": DEFAULT_WORKLOADS, "quick": QUICK_WORKLOADS}.get(
            request.set, tuple(workloads.WORKLOADS)
        )
        cases = [(case, base) for case in _asked_cases(request)]
    else:
        cases = _cases_of_set(request.set)
    plans = tuple(
        CasePlan(case, chosen, wanted or names, rounds, slow_rounds) for case, names in cases
    )
    return Plan("standard", plans, Effort())


def make_scale_plan(
    entries: Sequence[int], engines: Sequence[str], wanted: Sequence[str], rounds: int | None
) -> Plan:
    """One case for each number of entries, the control beside the engine it is a control of."""
    unknown = set(wanted) - set(SCALE_WORKLOADS)
    if unknown:
        raise PlanError(f"no such workload: {', '.join(sorted(unknown))}")
    names = tuple(wanted) or SCALE_WORKLOADS
    with_control: list[str] = []
    for engine in engines:
        with_control.append(engine)
        if engine == CONTROLLED and "sustainedfill" in names:
            with_control.append(CONTROL)
    plans = tuple(
        CasePlan(
            replace(STANDARD, entries=count),
            tuple(with_control),
            names,
            rounds or rounds_for(count),
            slow_rounds=rounds or SLOW_ROUNDS,
        )
        for count in entries
    )
    return Plan("scale", plans, Effort(latencies=0))


def rounds_for(entries: int) -> int:
    """Fewer where one takes long."""
    if entries < 10_000_000:
        return ROUNDS
    return 3 if entries < 50_000_000 else 1


def _asked_cases(request: Request) -> list[Case]:
    found: list[Case] = []
    for kind in request.key_kinds or ("decimal",):
        for size in request.value_sizes or (STANDARD.value_size,):
            case = Case(request.entries or STANDARD.entries, kind, size)
            found.append(case if request.entries else datasets.capped(case))
    return found


def _cases_of_set(name: str) -> list[tuple[Case, tuple[str, ...]]]:
    if name == "quick":
        return [(replace(STANDARD, entries=QUICK_ENTRIES), QUICK_WORKLOADS)]
    if name == "default":
        return [(STANDARD, DEFAULT_WORKLOADS)]
    sizes = [replace(STANDARD, value_size=size) for size in VALUE_SIZES]
    kinds = [replace(STANDARD, key_kind=kind) for kind in KEY_KINDS]
    variations = [datasets.capped(case) for case in (*sizes, *kinds) if case != STANDARD]
    return [
        (STANDARD, tuple(workloads.WORKLOADS)),
        *((case, VARIATION_WORKLOADS) for case in variations),
    ]


def _matching(patterns: Sequence[str]) -> tuple[str, ...]:
    """Workloads by name or by how their names begin, in the order in which they run."""
    for pattern in patterns:
        if not any(name.startswith(pattern) for name in workloads.WORKLOADS):
            known = ", ".join(workloads.WORKLOADS)
            raise PlanError(f"no such workload: {pattern}. There are {known}")
    exact = set(patterns) & set(workloads.WORKLOADS)
    prefixes = tuple(set(patterns) - exact)
    return tuple(
        name
        for name in workloads.WORKLOADS
        if name in exact or (prefixes and name.startswith(prefixes))
    )
