"""Carries out the steps of a plan, each in a process of its own, and keeps what they bring.

Results are saved after every step, so that an interrupted benchmark goes on where it was. A step
that fails is told about and left out; the others go on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lsmkv_bench import plans
from lsmkv_bench.plans import Plan, Step
from lsmkv_bench.results import Case, Latency, Outcome, Report, Run
from lsmkv_bench.worker import Job, Result

ERROR_LINES = 5


class StepError(Exception):
    """The process of a step failed; the end of what it said."""


@dataclass(frozen=True)
class Finished:
    """The report and what went wrong, line by line; empty if nothing did."""

    report: Report
    complaints: list[str] = field(default_factory=list)


def run_plan(
    plan: Plan,
    report: Report,
    *,
    run_job: Callable[[Job], Result],
    folder: Path,
    save: Callable[[Report], None],
    tell: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Finished:
    """Whatever `report` does not have yet. Databases are made below `folder`."""
    all_steps = plans.steps(plan)
    left = plans.left_to_do(all_steps, report.runs)
    durations: dict[tuple[str, Case], list[float]] = {}
    complaints: list[str] = []
    while left:
        step, *left = left
        done = len(all_steps) - len(left) - 1
        tell(
            progress_line(
                step, done, len(all_steps), plans.remaining_seconds([step, *left], durations)
            )
        )
        started = clock()
        try:
            result = _run_step(plan, step, report, run_job, folder)
        except StepError as error:
            complaints.append(f"{step.engine}, {step.case.name}, round {step.round}: {error}")
            tell(f"failed: {complaints[-1]}")
            continue
        durations.setdefault((step.engine, step.case), []).append(clock() - started)
        run = Run(step.engine, step.case, step.round, result.outcomes)
        report = replace(
            report,
            settings={**report.settings, step.engine: result.settings},
            runs=[*report.runs, run],
        )
        save(report)
    differences = plans.disagreements(report.runs)
    complaints += [f"results differ: {line}" for line in differences]
    return Finished(report, complaints)


def _run_step(
    plan: Plan, step: Step, report: Report, run_job: Callable[[Job], Result], folder: Path
) -> Result:
    pace = 0.0
    if step.engine == plans.CONTROL:
        pace = plans.pace_of(step, report.runs)
        if not pace:
            raise StepError(f"there is no run of {plans.CONTROLLED} whose pace it could take")
    with tempfile.TemporaryDirectory(prefix="lsmkv-bench-", dir=folder) as place:
        return run_job(
            Job(step.engine, step.case, list(step.workloads), plan.effort, place, plan.kind, pace)
        )


def progress_line(step: Step, done: int, total: int, seconds_left: float | None) -> str:
    """`[ 3/20] lsmkv 1000000-decimal-100, round 1; about 6 min left`."""
    width = len(str(total))
    line = f"[{done + 1:>{width}}/{total}] {step.engine} {step.case.name}, round {step.round}"
    if seconds_left is None:
        return line
    if seconds_left < 90:
        return f"{line}; about {seconds_left:.0f} s left"
    return f"{line}; about {seconds_left / 60:.0f} min left"


def spawn(job: Job) -> Result:
    """Run a job in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "lsmkv_bench.worker"],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()[-ERROR_LINES:]
        raise StepError("\n".join(lines) or f"exit status {done.returncode}")
    return _read_result(json.loads(done.stdout))


def _read_result(values: dict[str, Any]) -> Result:
    outcomes = [
        Outcome(**{**each, "latency": Latency(**each["latency"]) if each["latency"] else None})
        for each in values["outcomes"]
    ]
    return Result(outcomes, values["settings"])
