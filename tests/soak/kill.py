"""SIGKILL at file operations of a real process on real files, and twice more while it recovers.

The first cases take the fixed workload of crash_lab at every operation, before, inside and after
it, in both log modes; the others draw a workload and places in it. The oracle is outside
(support/kill_lab.py).
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

from tests.soak.part import Counts, Part, noted
from tests.support.crash_lab import run_workload
from tests.support.kill_lab import MOMENTS, Moment, Subject, Workload, rehearse
from tests.support.random_workload import draw_options, run_random_workload

__all__ = ["LOG_MODES", "PART", "fixed_workload", "kill_once"]

LOG_MODES = ("written", "mapped")
BLOCK = 20  # operations of the fixed workload for each case
DRAWN = 30  # deaths in each drawn workload
RECOVERIES_MAX = 2

Place = tuple[int, Moment]


@cache
def fixed_workload(log_mode: str) -> Workload:
    return rehearse(run_workload, {"log_mode": log_mode})


def kill_once(workload: Workload, place: Place, directory: Path, rng: random.Random) -> Counts:
    """Write and die there, recover and die, and die again; then all must be there."""
    subject = Subject(str(directory), workload)
    kills = int(subject.write(*place).killed)
    recoveries = 0
    for _ in range(RECOVERIES_MAX):
        death = subject.recover(rng.randrange(1, 60), rng.choice(MOMENTS))
        recoveries += death.killed
    subject.check()
    return {"kills": kills, "kills of recoveries": recoveries}


def _plan(case: int) -> tuple[Workload, Iterator[Place]]:
    for log_mode in LOG_MODES:
        workload = fixed_workload(log_mode)
        blocks = -(-workload.operation_count // BLOCK)
        if case < blocks:
            operations = range(case * BLOCK + 1, (case + 1) * BLOCK + 1)
            return workload, ((at, moment) for at in operations for moment in MOMENTS)
        case -= blocks
    rng = random.Random(f"places/{case}")
    options = draw_options(case) | {"log_mode": rng.choice(LOG_MODES)}
    workload = rehearse(partial(run_random_workload, seed=case), options)
    count = workload.operation_count
    return workload, ((rng.randrange(1, count + 1), rng.choice(MOMENTS)) for _ in range(DRAWN))


def run_case(case: int, directory: Path) -> Counts:
    workload, places = _plan(case)
    rng = random.Random(f"recoveries/{case}")
    totals: Counts = {"kills": 0, "kills of recoveries": 0}
    for place in places:
        target = directory / "killed"
        target.mkdir()
        with noted(f"killed {place[1]} operation {place[0]}"):
            for what, count in kill_once(workload, place, target, rng).items():
                totals[what] += count
        shutil.rmtree(target)
    return totals


PART = Part("kills", run_case)
